package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func (h *Handler) transferRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/transfers", serve: h.submitForm, body: listBody, panel: true},
		{method: http.MethodGet, path: "/transfers", serve: h.history},
		{method: http.MethodGet, path: "/transfers.csv", serve: h.historyCSV, bucket: exports},
		{method: http.MethodPost, path: "/transfers/retry-failed", serve: h.retryFailed},
		{method: http.MethodPost, path: "/transfers/remove-failed", serve: h.removeFailed},
		{method: http.MethodPost, path: "/transfers/:id/retry", serve: h.rowAction(h.retry), panel: true},
		{method: http.MethodPost, path: "/transfers/:id/change", serve: h.changeForm},
		{method: http.MethodPost, path: "/transfers/:id/cancel", serve: h.rowAction(h.cancel), panel: true},
		{method: http.MethodPost, path: "/transfers/:id/undo", serve: h.rowAction(h.undo)},
		{method: http.MethodPost, path: "/transfers/:id/remove", serve: h.removeRow},
		{method: http.MethodGet, path: "/transfers/:id/thumbnail", serve: h.thumbnail, panel: true},
		{method: http.MethodGet, path: "/transfers/:id/source", serve: h.source, panel: true},
	}
}

// history serves GET /transfers: the list with filter, search and paging.
func (h *Handler) history(c echo.Context) error {
	o := narrowed(c)
	o.Cursor = c.QueryParam("cursor")
	l, err := h.list(c.Request().Context(), owner(c), o)
	if err != nil {
		return err
	}
	l.Live = true
	l.Fixed = o.State != "" || o.Query != "" || o.Cursor != ""
	comeBack(l, c.Request().URL.RequestURI())
	if o.Cursor != "" {
		l.First = views.HistoryURL(string(o.State), o.Query, "")
	}
	return h.render(c, http.StatusOK, views.History(h.page(c, "History"), l))
}

// narrowed is the part of the history that a request asks for.
func narrowed(c echo.Context) transfer.ListOptions {
	state := transfer.State(c.QueryParam("state"))
	if !validState(state) {
		state = ""
	}
	return transfer.ListOptions{State: state, Query: cut(c.QueryParam("q"), 200)}
}

func validState(s transfer.State) bool {
	switch s {
	case "", transfer.NotStarted, transfer.InProgress, transfer.Waiting, transfer.Completed, transfer.Failed, transfer.Cancelled:
		return true
	}
	return false
}

func cut(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// act does one thing to a transfer and returns it as it is then.
type act func(ctx context.Context, userID, id string) (transfer.Transfer, error)

// rowAction answers with the row where a script asked, else with the page that the form was on.
func (h *Handler) rowAction(do act) echo.HandlerFunc {
	return func(c echo.Context) error {
		t, err := do(c.Request().Context(), owner(c), c.Param("id"))
		if err != nil {
			return err
		}
		if isHTMX(c) {
			return h.render(c, http.StatusOK, views.Transfer(h.row(t, 0)))
		}
		return c.Redirect(http.StatusSeeOther, h.cameFrom(c))
	}
}

// comeBack names the page that the rows of a list stand on, for cameFrom.
func comeBack(l views.List, page string) {
	for i := range l.Rows {
		l.Rows[i].Return = page
	}
}

// cameFrom is the page whose form was sent: the panel, the history, or the main page.
func (h *Handler) cameFrom(c echo.Context) string {
	if back := auth.LocalPath(c.FormValue("return")); back != "/" {
		return back
	}
	return "/?watch=1"
}

func (h *Handler) retry(ctx context.Context, userID, id string) (transfer.Transfer, error) {
	return h.o.Runner.Retry(ctx, userID, id)
}

func (h *Handler) cancel(ctx context.Context, userID, id string) (transfer.Transfer, error) {
	return h.o.Runner.Cancel(ctx, userID, id)
}

// undo moves a completed transfer's file into OneDrive's recycle bin, if nobody changed it, and
// shows the transfer as cancelled.
func (h *Handler) undo(ctx context.Context, userID, id string) (transfer.Transfer, error) {
	t, err := h.o.Store.Get(ctx, userID, id)
	if err != nil {
		return t, err
	}
	if t.State != transfer.Completed || t.Item == nil || h.now().Sub(t.Modified) > UndoFor {
		return t, bad("conflict")
	}
	left := transfer.Recycled
	err = h.o.Saver.Undo(ctx, t)
	switch {
	case errors.Is(err, onedrive.ErrNotFound):
		left = "" // somebody took it away before
	case err != nil:
		return t, err
	}
	err = h.o.Store.Undone(ctx, &t, left)
	return t, err
}

// remove takes a transfer off the list; one that still runs is cancelled first.
func (h *Handler) remove(ctx context.Context, userID, id string) error {
	err := h.o.Store.Delete(ctx, userID, id)
	if !errors.Is(err, transfer.ErrNotPossible) {
		return err
	}
	if _, err := h.o.Runner.Cancel(ctx, userID, id); err != nil && !errors.Is(err, transfer.ErrNotPossible) {
		return err
	}
	return h.o.Store.Delete(ctx, userID, id)
}

// removeRow serves POST /transfers/:id/remove. An empty answer takes the row's place.
func (h *Handler) removeRow(c echo.Context) error {
	if err := h.remove(c.Request().Context(), owner(c), c.Param("id")); err != nil {
		return err
	}
	if isHTMX(c) {
		return c.HTML(http.StatusOK, "")
	}
	return c.Redirect(http.StatusSeeOther, h.cameFrom(c))
}

// retryFailed serves POST /transfers/retry-failed.
func (h *Handler) retryFailed(c echo.Context) error {
	if _, err := h.o.Runner.RetryFailed(c.Request().Context(), owner(c)); err != nil {
		return err
	}
	return seeOther(c, "/?watch=1")
}

// removeFailed serves POST /transfers/remove-failed: all failed ones go off the list.
func (h *Handler) removeFailed(c echo.Context) error {
	ctx, who := c.Request().Context(), owner(c)
	for {
		page, err := h.o.Store.List(ctx, who, transfer.ListOptions{State: transfer.Failed, Top: 200})
		if err != nil {
			return err
		}
		if len(page.Value) == 0 {
			return seeOther(c, "/transfers")
		}
		var g errgroup.Group
		g.SetLimit(64) // they share syncs
		for _, t := range page.Value {
			g.Go(func() error {
				err := h.o.Store.Delete(ctx, who, t.ID)
				if errors.Is(err, transfer.ErrNotFound) || errors.Is(err, transfer.ErrNotPossible) {
					return nil // somebody else was faster
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
}

// source serves GET /transfers/:id/source: on to where the file came from.
func (h *Handler) source(c echo.Context) error {
	t, err := h.o.Store.Get(c.Request().Context(), owner(c), c.Param("id"))
	if err != nil {
		return err
	}
	if sourceLink(t) == "" {
		return echo.ErrNotFound
	}
	return c.Redirect(http.StatusFound, t.SourceURL)
}

// noPicture is transparent: the icon of the kind of file shows through it.
var noPicture = []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)

// thumbnail serves GET /transfers/:id/thumbnail: on to Microsoft's small picture of the file, or
// an empty picture when OneDrive has none.
func (h *Handler) thumbnail(c echo.Context) error {
	ctx := c.Request().Context()
	t, err := h.o.Store.Get(ctx, owner(c), c.Param("id"))
	if err != nil {
		return err
	}
	if t.Item == nil {
		return echo.ErrNotFound
	}
	client, err := h.o.Client(ctx, owner(c))
	if err != nil {
		return err
	}
	address, err := client.Thumbnail(ctx, onedrive.Ref{DriveID: t.Item.DriveID, ID: t.Item.ID}, "small")
	if err != nil || address == "" {
		c.Response().Header().Set("Cache-Control", "private, max-age=60")
		return c.Blob(http.StatusOK, "image/svg+xml", noPicture)
	}
	c.Response().Header().Set("Cache-Control", "private, max-age=600")
	return c.Redirect(http.StatusFound, address)
}
