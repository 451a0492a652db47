package fakegraph

import "time"

// shelf is a bounded map whose entries expire. When it is full the oldest entry goes, so that
// no caller can grow the server's memory. The zero value is not ready; its owner locks.
type shelf[K comparable, V any] struct {
	max   int
	items map[K]shelved[V]
	order []K // oldest first; may hold keys that were taken meanwhile
}

type shelved[V any] struct {
	value   V
	expires time.Time
}

func newShelf[K comparable, V any](max int) *shelf[K, V] {
	return &shelf[K, V]{max: max, items: map[K]shelved[V]{}}
}

// put stores a value until a time.
func (s *shelf[K, V]) put(key K, value V, expires time.Time) {
	if _, known := s.items[key]; known {
		s.items[key] = shelved[V]{value, expires}
		return
	}
	for len(s.items) >= s.max && len(s.order) > 0 {
		delete(s.items, s.order[0])
		s.order = s.order[1:]
	}
	if len(s.order) > 2*s.max {
		s.tidy()
	}
	s.items[key] = shelved[V]{value, expires}
	s.order = append(s.order, key)
}

// tidy drops keys from the order that are no longer stored.
func (s *shelf[K, V]) tidy() {
	kept := make([]K, 0, len(s.items))
	for _, key := range s.order {
		if _, ok := s.items[key]; ok {
			kept = append(kept, key)
		}
	}
	s.order = kept
}

// get finds a value; expired says that it was there but its time is over.
func (s *shelf[K, V]) get(key K, now time.Time) (value V, expired, ok bool) {
	item, ok := s.items[key]
	return item.value, ok && !now.Before(item.expires), ok
}

func (s *shelf[K, V]) drop(key K) { delete(s.items, key) }

func (s *shelf[K, V]) clear() { s.items, s.order = map[K]shelved[V]{}, nil }
