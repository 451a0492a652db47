package transfer_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// TestListGivesAllNewestFirst spreads transfers over two years and many densities.
func TestListGivesAllNewestFirst(t *testing.T) {
	now := time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC)
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{Now: func() time.Time { return now }, Retention: 800 * 24 * time.Hour}).store
	var want []string
	for _, burst := range []struct {
		n    int
		step time.Duration
	}{{300, 0}, {40, time.Millisecond}, {40, 100 * time.Millisecond}, {40, 10 * time.Second}, {40, time.Hour}, {40, 10 * 24 * time.Hour}, {10, time.Minute}} {
		for i := range burst.n {
			now = now.Add(burst.step)
			got := submit(t, s, robin, picture(i), "")
			if i%3 > 0 {
				got.State = []transfer.State{transfer.Completed, transfer.Failed}[i%2]
				if err := s.Update(t.Context(), &got); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, got.ID)
		}
		submit(t, s, kim, picture(1), "")
	}
	slices.Reverse(want)
	for _, top := range []int{7, 50, 200} {
		var got []string
		for cursor := ""; ; {
			p, err := s.List(t.Context(), robin, transfer.ListOptions{Top: top, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range p.Value {
				got = append(got, tr.ID)
			}
			if cursor = p.Cursor; cursor == "" {
				break
			}
			if len(p.Value) != top {
				t.Fatalf("a page of %d, want %d", len(p.Value), top)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("top %d: %d transfers, want %d in order", top, len(got), len(want))
		}
	}
	for state, n := range map[transfer.State]int{transfer.Completed: 168, transfer.Failed: 168, transfer.NotStarted: 174, transfer.Cancelled: 0} {
		count := 0
		for cursor := ""; ; {
			p, err := s.List(t.Context(), robin, transfer.ListOptions{State: state, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			count += len(p.Value)
			if cursor = p.Cursor; cursor == "" {
				break
			}
		}
		if count != n {
			t.Errorf("%s: %d, want %d", state, count, n)
		}
	}
}

func TestSearchFindsNamesAddressesAndWhatIsOnThePicture(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	for i := range 30 {
		r := picture(i)
		r.Name, r.AltText = fmt.Sprintf("Cat %d.jpg", i), fmt.Sprintf("A tabby on roof %d.", i)
		submit(t, s, robin, r, "")
	}
	for query, want := range map[string]int{"cat 7.jpg": 1, "EXAMPLE/12.JPG": 1, "images.example": 30, "ROOF 7.": 1, "dog": 0} {
		found, cursor := 0, ""
		for first := true; first || cursor != ""; first = false { // a search that takes long ends a page early
			p, err := s.List(t.Context(), robin, transfer.ListOptions{Query: query, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			found, cursor = found+len(p.Value), p.Cursor
		}
		if found != want {
			t.Errorf("%q: %d found, want %d", query, found, want)
		}
	}
}

func TestFindKnowsWhatWasSavedBefore(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	r := picture(1)
	r.FolderID = "folder"
	done := submit(t, s, robin, r, "")
	submit(t, s, robin, r, "") // not completed
	done.State = transfer.Completed
	if err := s.Update(t.Context(), &done); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		owner, folder, source string
		want                  int
	}{{robin, "folder", r.SourceURL, 1}, {kim, "folder", r.SourceURL, 0}, {robin, "other", r.SourceURL, 0}, {robin, "folder", picture(2).SourceURL, 0}, {robin, "folder", "", 0}} {
		got, err := s.Find(t.Context(), row.owner, row.folder, row.source)
		if err != nil || len(got) != row.want {
			t.Errorf("%+v: %d, %v", row, len(got), err)
		}
	}
	if err := s.Delete(t.Context(), robin, done.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Find(t.Context(), robin, "folder", r.SourceURL); err != nil || len(got) != 0 {
		t.Errorf("after removal: %d, %v", len(got), err)
	}
}

// TestListSeesWhatOthersWrite: an index that is in use learns of other stores' writes, of removals
// and of what was retried, and one that is made later finds the same.
func TestListSeesWhatOthersWrite(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	other, err := transfer.OpenStore(t.Context(), e.node.JetStream(), e.node.Conn(), transfer.StoreOptions{}.Shared())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	list := func(s *transfer.Store, state transfer.State) (ids []string) {
		p, err := s.List(t.Context(), robin, transfer.ListOptions{State: state})
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range p.Value {
			ids = append(ids, tr.ID)
		}
		return ids
	}
	list(other, "") // makes its index while there is nothing
	var want []string
	for i := range 30 {
		got := submit(t, e.store, robin, picture(i), "")
		if i%2 == 0 {
			got.State = transfer.Failed
			if err := e.store.Update(t.Context(), &got); err != nil {
				t.Fatal(err)
			}
		}
		if i%6 == 0 {
			if err := e.store.Delete(t.Context(), robin, got.ID); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want = append(want, got.ID)
	}
	r := transfer.NewRunner(e.store, nil, transfer.RunnerOptions{})
	if _, err := r.Retry(t.Context(), robin, want[1]); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(want)
	late, err := transfer.OpenStore(t.Context(), e.node.JetStream(), e.node.Conn(), transfer.StoreOptions{}.Shared())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	for name, s := range map[string]*transfer.Store{"the writer": e.store, "one made later": late, "the other": other} {
		deadline := time.Now().Add(5 * time.Second) // events are on their way to the other
		got := list(s, "")
		for !slices.Equal(got, want) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
			got = list(s, "")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %d, want %d", name, len(got), len(want))
		}
		if got := list(s, transfer.Failed); len(got) != 9 || slices.Contains(got, want[len(want)-2]) {
			t.Errorf("%s lists %d failed, want 9 without the retried one", name, len(got))
		}
	}
}

// TestANewIndexReachesBack: the first page of an index reads only what is newest; those after it
// bring everything, in order.
func TestANewIndexReachesBack(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{MaxUnfinished: 20_000})
	var want []string
	batch := func(owner string, n int) (ids []string) {
		rs := make([]transfer.Request, n)
		for i := range rs {
			rs[i] = picture(i)
		}
		for _, got := range e.store.SubmitBatch(t.Context(), owner, rs, nil) {
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			ids = append(ids, got.Transfer.ID)
		}
		return ids
	}
	for range 3 {
		want = append(want, batch(robin, 60)...)
		batch(kim, 6000)
	}
	want = append(want, batch(robin, 60)...)
	slices.Sort(want)
	slices.Reverse(want)
	s, err := transfer.OpenStore(t.Context(), e.node.JetStream(), e.node.Conn(), transfer.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for cursor := ""; ; {
		p, err := s.List(t.Context(), robin, transfer.ListOptions{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range p.Value {
			got = append(got, tr.ID)
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d transfers, want %d in order", len(got), len(want))
	}
}
