package handlers

import (
	"strconv"
	"testing"
	"time"
)

// However many addresses ask, what is remembered of them stays bounded, and the search for idle
// ones is not made for each.
func TestSoManyKeysAreRememberedAndNoMore(t *testing.T) {
	l, now := newLimiters(Limits{}), time.Now()
	for i := range 2*bucketsKept + 7 {
		if _, ok := l.allow(general, strconv.Itoa(i), now); !ok {
			t.Fatalf("key %d is refused", i)
		}
		l.know(strconv.Itoa(i), now)
	}
	if n := len(l.keys); n > bucketsKept {
		t.Errorf("%d keys are remembered, want %d at most", n, bucketsKept)
	}
	if l.swept != now {
		t.Errorf("idle ones were last looked for at %v", l.swept)
	}
	l.allow(general, "later", now.Add(bucketIdle+time.Second))
	if n := len(l.keys); n != 1 {
		t.Errorf("%d idle keys are remembered still", n-1)
	}
}
