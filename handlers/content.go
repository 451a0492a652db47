package handlers

import (
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
)

// apiContent serves PUT /api/v1/transfers/{id}/content: the bytes of a transfer whose client
// holds them, in one go or range by range. They are streamed on to OneDrive, never kept whole.
func (h *Handler) apiContent(c echo.Context) error {
	r := c.Request()
	if r.ContentLength < 0 || r.Header.Get(echo.HeaderContentLength) == "" { // without a body net/http says 0
		return bad("lengthRequired")
	}
	t, err := h.o.Store.Get(r.Context(), owner(c), c.Param("id"))
	if err != nil {
		return err
	}
	if t.Route != transfer.Upload || t.State.Final() {
		return bad("conflict")
	}
	content, err := contentOf(r)
	if err != nil {
		return goOn(err, t)
	}
	body := steady(c, r.Body)
	content.Body = body
	t, err = h.o.Saver.Receive(r.Context(), h.o.Store, owner(c), t.ID, content)
	switch {
	case err != nil && body.slow:
		return goOn(bad("bodyTooSlow"), t)
	case err != nil:
		return goOn(err, t)
	}
	if t.Reason == transfer.ClientBytes {
		sayWait(c, h.o.Saver.Paused(owner(c)))
	}
	return c.JSON(http.StatusAccepted, wire(t))
}

// goOn adds to an error where the bytes of t go on, if that is what its client has to know.
func goOn(err error, t transfer.Transfer) error {
	code := codeOf(err)
	if code != "rangeInvalid" && code != "bodyTooSlow" {
		return err
	}
	next := int64(0)
	if t.BytesTransferred != nil {
		next = *t.BytesTransferred
	}
	return &apiError{code: code, next: &next, cause: err}
}

// contentRange is "bytes 0-99/1000": the form of RFC 9110 §14.4 with a known size.
var contentRange = regexp.MustCompile(`^bytes (\d{1,15})-(\d{1,15})/(\d{1,15})$`)

// contentOf reads where the bytes of a request belong.
func contentOf(r *http.Request) (transfer.Content, error) {
	content := transfer.Content{Total: r.ContentLength, ContentType: r.Header.Get(echo.HeaderContentType)}
	header := r.Header.Get("Content-Range")
	if header == "" {
		return content, nil
	}
	m := contentRange.FindStringSubmatch(header)
	if m == nil {
		return content, bad("rangeInvalid")
	}
	var n [3]int64
	for i := range n {
		n[i], _ = strconv.ParseInt(m[i+1], 10, 64) // at most 15 digits: it fits
	}
	first, last, total := n[0], n[1], n[2]
	if last < first || last >= total || last-first+1 != r.ContentLength {
		return content, bad("rangeInvalid")
	}
	content.Offset, content.Length, content.Total = first, last-first+1, total
	return content, nil
}

// steadyReader gives each read of a body a deadline of its own, and ends a body that drips: a large
// picture on a slow line may take long, a client that sends next to nothing may not. Time that is
// spent elsewhere, OneDrive being slow, does not count.
type steadyReader struct {
	r       interface{ Read([]byte) (int, error) }
	control *http.ResponseController
	now     func() time.Time

	waited time.Duration // in Read, since the window began
	came   int64         // in this window
	slow   bool          // it was ended
}

func steady(c echo.Context, body io.Reader) *steadyReader {
	return &steadyReader{r: body, control: http.NewResponseController(c.Response()), now: time.Now}
}

// How long a client may send nothing of a body, and the least speed of one, as for sources.
const (
	bodyIdle   = 30 * time.Second
	bodyWindow = 30 * time.Second
	bodySpeed  = 8 << 10 // bytes a second over the window
)

func (s *steadyReader) Read(p []byte) (int, error) {
	began := s.now()
	// A connection without deadlines, such as a test's, is read without.
	_ = s.control.SetReadDeadline(began.Add(bodyIdle))
	n, err := s.r.Read(p)
	s.waited, s.came = s.waited+s.now().Sub(began), s.came+int64(n)
	drips := err == nil && s.waited >= bodyWindow && s.came < int64(bodySpeed*s.waited.Seconds())
	if s.waited >= bodyWindow {
		s.waited, s.came = 0, 0
	}
	if drips || errors.Is(err, os.ErrDeadlineExceeded) {
		s.slow = true
		return n, bad("bodyTooSlow")
	}
	return n, err
}
