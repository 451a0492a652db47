package transfer

import (
	"context"
	"testing"
	"time"

	"skylift/onedrive/transfer/natsd"
)

// What one instance learns of an account, the others know, and so does the one after a restart.
func TestNativeMemoryIsShared(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	open := func() (NativeMemory, NativeMemory, *natsd.Node) {
		node, err := natsd.Start(natsd.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		one, err := OpenNativeMemory(ctx, node.JetStream(), 1)
		if err != nil {
			t.Fatal(err)
		}
		two, err := OpenNativeMemory(ctx, node.JetStream(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return one, two, node
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	wants := func(m NativeMemory, owner string, refused time.Time, worked bool) {
		t.Helper()
		got, err := m.Refused(ctx, owner)
		if err != nil || !got.Equal(refused) {
			t.Errorf("Refused(%s) = %v, %v; want %v", owner, got, err, refused)
		}
		if ok, err := m.Worked(ctx, owner); err != nil || ok != worked {
			t.Errorf("Worked(%s) = %v, %v; want %v", owner, ok, err, worked)
		}
	}
	one, two, node := open()
	for _, err := range []error{one.Refuse(ctx, "a tenant/kim", until), one.Work(ctx, "robin"), one.Work(ctx, "robin"), one.Refuse(ctx, "alex", until), two.Work(ctx, "alex"), two.Refuse(ctx, "sam", until), one.Refuse(ctx, "sam", time.Time{})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(m NativeMemory) {
		t.Helper()
		wants(m, "a tenant/kim", until, false)
		wants(m, "robin", time.Time{}, true)
		wants(m, "alex", time.Time{}, true)
		wants(m, "sam", time.Time{}, false)
		wants(m, "nobody", time.Time{}, false)
	}
	check(two)
	if err := node.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	one, _, node = open()
	defer node.Close(context.Background())
	check(one)
}

// What /me says follows what was seen.
func TestNativeStateFollowsWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ login, before, after string }{
		{robin, NativeUnknown, NativeAvailable}, {kim, NativeUnknown, NativeUnavailable},
	} {
		if got := w.saver.NativeState(t.Context(), tt.login); got != tt.before {
			t.Errorf("%s at first: %s; want %s", tt.login, got, tt.before)
		}
		w.drive(t, w.ask(t, tt.login, Request{SourceURL: "/tabby.jpg"}))
		if got := w.saver.NativeState(t.Context(), tt.login); got != tt.after {
			t.Errorf("%s after a transfer: %s; want %s", tt.login, got, tt.after)
		}
	}
	w.shift.Add(int64(25 * time.Hour))
	if got := w.saver.NativeState(t.Context(), kim); got != NativeUnknown {
		t.Errorf("a day later: %s; want %s", got, NativeUnknown)
	}
	never := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Native = "never" })
	if got := never.saver.NativeState(t.Context(), robin); got != NativeUnavailable {
		t.Errorf("never: %s; want %s", got, NativeUnavailable)
	}
}
