package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// takesBack removes each file that was sent right after OneDrive has answered that it is there.
type takesBack struct{ http.RoundTripper }

func (c takesBack) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPut || res.StatusCode != http.StatusCreated {
		return res, err
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	var item struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &item); err != nil {
		return nil, err
	}
	base, _, _ := strings.Cut(r.URL.String(), "/me/drive/")
	gone, err := http.NewRequestWithContext(r.Context(), http.MethodDelete, base+"/me/drive/items/"+item.ID, nil)
	if err != nil {
		return nil, err
	}
	gone.Header.Set("Authorization", r.Header.Get("Authorization"))
	if deleted, err := c.RoundTripper.RoundTrip(gone); err != nil || deleted.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("the test cannot take the file back: %v %w", deleted, err)
	}
	return res, err
}

// Nothing is called saved because an answer said so: the file is looked up. Nor is it sent again:
// whoever took it away may have meant it.
func TestAnAnswerIsNotYetAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newWire()
		l := net.listen()
		ms := onedrivetest.NewServerOn(t, l, takesBack{net.transport(t)}, fakegraph.Options{Fetch: net.transport(t), Empty: true})
		w := &world{wire: net, web: newWebOn(t, net.listen()), ms: ms}
		w.furnish(t, nil)
		if tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/tabby.jpg"})); tr.State != Failed || tr.Failure.Code != "itemNotFound" {
			t.Errorf("ended %s %+v, want failed with itemNotFound", tr.State, tr.Failure)
		}
	})
}
