package auth

import "testing"

// What every request of a page or of the API costs here: one read of the store.

func BenchmarkSessionLookup(b *testing.B) {
	s := openSessions(b, oneNATS(b), SessionOptions{})
	var visitor browser
	visitor.signIn(b, s, robin)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := s.User(visitor.request("/")); !ok {
				b.Error("signed out")
			}
		}
	})
}

func BenchmarkDeviceAuthenticate(b *testing.B) {
	d, err := OpenDevices(b.Context(), oneNATS(b), 1, "")
	if err != nil {
		b.Fatal(err)
	}
	key, _, err := d.Make(b.Context(), robin.ID, "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := d.Authenticate(b.Context(), key); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	c := newClock()
	m := &microsoft{now: c.Now}
	tokens := openTokens(b, oneNATS(b), testKeyring(b), m, c.Now)
	if err := tokens.Put(b.Context(), robin.ID, m.signIn()); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := tokens.Access(b.Context(), robin.ID, ""); err != nil {
				b.Error(err)
			}
		}
	})
}
