package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/handlers/sse"
	"skylift/onedrive/transfer"
	"skylift/views"
)

const (
	pingEvery  = 15 * time.Second
	checkEvery = 4 // pings: how long a stream outlives a session that ended on another instance
)

// drawEvent makes the data of one event: a row for pages, JSON for the API.
type drawEvent func(ctx context.Context, t transfer.Transfer) ([]byte, error)

// pageEvents serves GET /events: named event transfer, data is the rendered row.
func (h *Handler) pageEvents(c echo.Context) error {
	if who := c.QueryParam("who"); who != "" && who != whose(owner(c)) {
		return errSignedOut // the page is another account's: this browser has signed in anew since
	}
	m := meters{}
	return h.stream(c, func(ctx context.Context, t transfer.Transfer) ([]byte, error) {
		var b bytes.Buffer
		err := views.Transfer(h.row(t, m.speed(t, h.now()))).Render(ctx, &b)
		return b.Bytes(), err
	})
}

// whose stands for an account in the address of its pages' event stream, so that a page never
// follows, or passes on to other tabs, what is another account's.
func whose(userID string) string { return auth.Mark("events of " + userID)[:16] }

// apiEvents serves GET /api/v1/events: data is the Transfer as one JSON line.
func (h *Handler) apiEvents(c echo.Context) error {
	return h.stream(c, func(_ context.Context, t transfer.Transfer) ([]byte, error) {
		return json.Marshal(wire(t))
	})
}

// stream follows the user's transfers until the reader, the session or the server goes.
func (h *Handler) stream(c echo.Context, draw drawEvent) error {
	r, who := c.Request(), owner(c)
	if r.Method == http.MethodHead { // there is no end to wait for
		c.Response().Header().Set(echo.HeaderContentType, "text/event-stream")
		return c.NoContent(http.StatusOK)
	}
	ctx, done, err := h.streams.add(r.Context(), who, holder(c), h.now())
	if err != nil {
		return err
	}
	defer done()
	// The session or key may have ended while this came: then its streams were ended just before.
	if !h.stillIn(ctx, c) {
		return errSignedOut
	}
	w, err := sse.Open(c.Response())
	if err != nil {
		return nil // the reader is gone already
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	events := sse.Pump(ctx, h.o.Store.Watch(ctx, who, sse.LastEventID(r)), fail)
	if err := h.follow(ctx, c, w, events, draw); err != nil && !errors.Is(err, context.Canceled) {
		h.log.Debug("event stream", "error", err)
	}
	h.goodbye(ctx, w)
	return nil
}

// follow passes events on until something ends.
func (h *Handler) follow(ctx context.Context, c echo.Context, w *sse.Writer, events <-chan transfer.Event, draw drawEvent) error {
	ping := time.NewTicker(h.ping)
	defer ping.Stop()
	for pings := 0; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, ok := <-events:
			if !ok {
				return context.Cause(ctx)
			}
			out, err := eventOf(ctx, e, owner(c), draw)
			if err != nil {
				return err
			}
			if err := w.Send(out); err != nil {
				return err
			}
		case <-ping.C:
			if err := w.Ping(); err != nil {
				return err
			}
			if pings++; pings%checkEvery == 0 && !h.stillIn(ctx, c) {
				_ = w.Send(sse.Event{Name: "bye", Data: []byte(endSignedOut)})
				return endSignedOut
			}
		}
	}
}

// eventOf draws one event. The owner is compared once more: nobody ever sees somebody else's.
func eventOf(ctx context.Context, e transfer.Event, who string, draw drawEvent) (sse.Event, error) {
	if e.Transfer.Owner != who {
		return sse.Event{}, errors.New("an event of another user")
	}
	if e.Deleted {
		data, err := json.Marshal(map[string]string{"id": e.Transfer.ID})
		return sse.Event{ID: e.ID, Name: "deleted", Data: data}, err
	}
	data, err := draw(ctx, e.Transfer)
	return sse.Event{ID: e.ID, Name: "transfer", Data: data}, err
}

// goodbye tells a reader whose stream we end why, and when to come back. Delays differ, so that
// a restart is not met by everybody at once.
func (h *Handler) goodbye(ctx context.Context, w *sse.Writer) {
	var why endReason
	if !errors.As(context.Cause(ctx), &why) {
		return
	}
	if why == endDrain {
		_ = w.Retry(time.Second + rand.N(4*time.Second))
	}
	_ = w.Send(sse.Event{Name: "bye", Data: []byte(why)})
}

// stillIn asks again whether the session or key that opened the stream is good. A store that
// cannot answer ends nothing.
func (h *Handler) stillIn(ctx context.Context, c echo.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// A fresh request: gorilla remembers in the context what it loaded for the old one.
	fresh := (&http.Request{Header: c.Request().Header.Clone()}).WithContext(valueless{ctx})
	r, _ := c.Get(routeKey).(route)
	who, err := h.callerOf(fresh, r)
	if errors.Is(err, errSignedOut) {
		return false
	}
	return err != nil || who.user.ID == owner(c)
}

// valueless keeps the deadline of a context but none of its values.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// meters work out speeds from the amounts that pass by in one stream.
type meters map[string]*meter

type meter struct {
	bytes int64
	at    time.Time
	rate  float64
}

// speed is the bytes a second of a transfer, smoothed, or 0 when it is not known.
func (m meters) speed(t transfer.Transfer, now time.Time) float64 {
	if t.State != transfer.InProgress || t.BytesTransferred == nil {
		delete(m, t.ID)
		return 0
	}
	k := m[t.ID]
	if k == nil || *t.BytesTransferred < k.bytes {
		m[t.ID] = &meter{bytes: *t.BytesTransferred, at: now}
		return 0
	}
	if d := now.Sub(k.at).Seconds(); d >= 0.2 {
		rate := float64(*t.BytesTransferred-k.bytes) / d
		if k.rate > 0 {
			rate = 0.7*k.rate + 0.3*rate
		}
		*k = meter{bytes: *t.BytesTransferred, at: now, rate: rate}
	}
	return k.rate
}
