package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// apiBase is where the JSON API lives.
const apiBase = "/api/v1"

// isAPI reports whether a path belongs to the JSON API, of whatever version, which answers problems instead of pages.
func isAPI(path string) bool { return path == "/api" || strings.HasPrefix(path, "/api/") }

// apiRoutes are the calls of the JSON API but for those of devices.
func (h *Handler) apiRoutes() []route {
	table := []route{
		{method: http.MethodGet, path: "/me", serve: h.apiMe, panel: true},
		{method: http.MethodGet, path: "/folders", serve: h.apiFolders, panel: true},
		{method: http.MethodPost, path: "/folders", serve: h.apiNewFolder, panel: true},
		{method: http.MethodPost, path: "/transfers", serve: h.apiSubmit, body: listBody, panel: true},
		{method: http.MethodPost, path: "/transfers/batch", serve: h.apiBatch, body: listBody, panel: true},
		{method: http.MethodPost, path: "/transfers/retry-failed", serve: h.apiRetryFailed},
		{method: http.MethodGet, path: "/transfers", serve: h.apiList, panel: true},
		{method: http.MethodGet, path: "/transfers/:id", serve: h.apiGet, panel: true},
		{method: http.MethodDelete, path: "/transfers/:id", serve: h.apiDelete},
		{method: http.MethodPost, path: "/transfers/:id/retry", serve: h.apiRetry, body: listBody, panel: true},
		{method: http.MethodPost, path: "/transfers/:id/cancel", serve: h.apiAction(h.cancel), panel: true},
		{method: http.MethodPost, path: "/transfers/:id/undo", serve: h.apiAction(h.undo)},
		{method: http.MethodPut, path: "/transfers/:id/content", serve: h.apiContent, body: -1, panel: true},
		{method: http.MethodGet, path: "/peek", serve: h.apiPeek},
		{method: http.MethodGet, path: "/events", serve: h.apiEvents, panel: true},
	}
	for i := range table {
		table[i].path, table[i].access = apiBase+table[i].path, apiUser
	}
	return table
}

// apiMe serves GET /api/v1/me: who it is, their drive, whether OneDrive fetches for them, the
// folder of transfers that name none, and how many rules may lead them elsewhere.
func (h *Handler) apiMe(c echo.Context) error {
	ctx := c.Request().Context()
	u, _ := user(c)
	client, err := h.o.Client(ctx, u.ID)
	if err != nil {
		return err
	}
	d, err := client.Drive(ctx, "")
	if err != nil {
		return err
	}
	drive := map[string]any{"id": d.ID, "driveType": d.DriveType, "quota": nil}
	if q := d.Quota; q != nil {
		drive["quota"] = map[string]any{"total": q.Total, "used": q.Used, "remaining": q.Remaining, "state": q.State}
	}
	p, err := h.prefs(ctx, u.ID)
	if err != nil {
		return err
	}
	folder := transfer.Folder{DriveID: d.ID, Name: "OneDrive", Path: "/"}
	if p.Folder != nil {
		folder = *p.Folder
	}
	return c.JSON(http.StatusOK, map[string]any{
		"id": u.ID, "displayName": u.Name, "userPrincipalName": u.Username, "drive": drive, "native": h.native(ctx, u.ID, d),
		"folder": folderJSON(folder), "rules": len(p.Rules),
	})
}

// native says whether OneDrive fetches URLs for this user.
func (h *Handler) native(ctx context.Context, userID string, d onedrive.Drive) string {
	switch {
	case !d.Personal():
		return "unavailable"
	case h.o.Native == nil:
		return "unknown"
	}
	return h.o.Native(ctx, userID)
}

// apiSubmit serves POST /api/v1/transfers.
func (h *Handler) apiSubmit(c echo.Context) error {
	var r transfer.Request
	if err := readJSON(c, &r); err != nil {
		return err
	}
	key, err := idempotencyKey(c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), owner(c)
	targets := h.targets(c)
	if err := atTop(c, r.ConflictBehavior); err != nil {
		return err
	}
	var t transfer.Transfer
	if err = targets.check(ctx, &r); err == nil {
		t, _, err = h.o.Store.Submit(ctx, who, r, key)
	}
	if err != nil {
		t, err = h.accepted(ctx, who, key, err)
	}
	if err != nil {
		return err
	}
	targets.remember(ctx)
	c.Response().Header().Set(echo.HeaderLocation, apiBase+"/transfers/"+t.ID)
	return c.JSON(http.StatusAccepted, wire(t))
}

// accepted is the transfer that key stands for already: what was accepted stays so, although its request
// would be refused today, as when its folder is gone. Without one it gives why it is refused.
func (h *Handler) accepted(ctx context.Context, userID, key string, refused error) (transfer.Transfer, error) {
	if errors.Is(refused, transfer.ErrUnavailable) {
		return transfer.Transfer{}, refused
	}
	t, err := h.o.Store.Known(ctx, userID, key)
	if errors.Is(err, transfer.ErrNotFound) {
		err = refused
	}
	return t, err
}

// apiBatch serves POST /api/v1/transfers/batch: one bad line spoils no other.
func (h *Handler) apiBatch(c echo.Context) error {
	var in struct {
		Transfers lines `json:"transfers"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	if len(in.Transfers) == 0 || len(in.Transfers) > maxLines {
		return &apiError{code: "invalidRequest", field: "transfers", said: "Send 1 to " + strconv.Itoa(maxLines) + " transfers."}
	}
	key, err := idempotencyKey(c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), owner(c)
	targets := h.targets(c)
	answers := make([]any, len(in.Transfers))
	refuse := func(i int, key string, why error) {
		t, err := h.accepted(ctx, who, key, why)
		if answers[i] = wire(t); err != nil {
			answers[i] = h.lineProblem(c, err)
		}
	}
	var good []transfer.Request
	var keys []string
	var at []int
	for i, text := range in.Transfers {
		line, err := readLine(c, text)
		if err == nil {
			err = line.own(key, i)
		}
		if err != nil {
			answers[i] = h.lineProblem(c, err)
			continue
		}
		if err := targets.check(ctx, &line.Request); err != nil {
			refuse(i, line.IdempotencyKey, err)
			continue
		}
		good, keys, at = append(good, line.Request), append(keys, line.IdempotencyKey), append(at, i)
	}
	for i, s := range h.o.Store.SubmitBatch(ctx, who, good, keys) {
		if answers[at[i]] = wire(s.Transfer); s.Err != nil {
			refuse(at[i], keys[i], s.Err)
		}
	}
	targets.remember(ctx)
	return c.JSON(http.StatusAccepted, map[string]any{"value": answers})
}

// lines is an array whose elements are read one by one later, so that one that is wrong spoils no other.
// What comes after one more than a batch may have is not kept: a body of zeros would be a million lines.
type lines []json.RawMessage

// UnmarshalJSON takes the array apart.
func (l *lines) UnmarshalJSON(text []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errJSON
	}
	for d.More() && len(*l) <= maxLines {
		var line json.RawMessage
		if err := d.Decode(&line); err != nil {
			return err
		}
		*l = append(*l, line)
	}
	return nil
}

// batchLine is one transfer of a batch.
type batchLine struct {
	transfer.Request
	// IdempotencyKey is what the header is to a single request, so that a line can be sent again
	// in another batch or alone.
	IdempotencyKey string `json:"idempotencyKey"`
}

// readLine reads one line of a batch. What a panel may not do is refused for the line alone.
func readLine(c echo.Context, text json.RawMessage) (*batchLine, error) {
	var l *batchLine
	if err := json.Unmarshal(text, &l); err != nil || l == nil {
		return nil, &apiError{code: "invalidRequest", cause: errJSON}
	}
	return l, atTop(c, l.ConflictBehavior)
}

// own gives the line a key where the batch has one: that with the line's number. The space keeps it
// apart from every key that a request can bring.
func (l *batchLine) own(batch string, i int) error {
	if l.IdempotencyKey == "" && batch != "" {
		l.IdempotencyKey = batch + " " + strconv.Itoa(i)
		return nil
	}
	return checkKey(l.IdempotencyKey)
}

// idempotencyKey is the request's key. The same key is the same transfer.
func idempotencyKey(c echo.Context) (string, error) {
	key := c.Request().Header.Get("Idempotency-Key")
	return key, checkKey(key)
}

func checkKey(key string) error {
	if len(key) > 200 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return bad("idempotencyKey")
	}
	return nil
}

// targets looks up the folders of one request's transfers, each once.
type targets struct {
	h      *Handler
	userID string
	framed bool // nothing may be replaced
	found  map[onedrive.Ref]target
	own    *prefs // what the person has set; nil until a transfer leaves something to it
}

// target is a folder that was looked up, or taken unseen, or why it cannot be saved into.
type target struct {
	folder transfer.Folder
	unseen error // why nobody could look
	err    error
}

func (h *Handler) targets(c echo.Context) *targets {
	return &targets{h: h, userID: owner(c), framed: framed(c), found: map[onedrive.Ref]target{}}
}

// check validates a request and fills in its folder, and what the person has set for a name that is taken, or
// says what is wrong with it.
func (t *targets) check(ctx context.Context, r *transfer.Request) error {
	if err := t.checkForm(ctx, r); err != nil {
		return err
	}
	ref, by, err := t.wanted(ctx, r)
	if err != nil {
		return err
	}
	f, ok := t.found[ref]
	if !ok {
		client, err := t.h.o.Client(ctx, t.userID)
		if err != nil {
			return err
		}
		f.folder, f.unseen, err = t.h.target(ctx, client, t.userID, ref)
		if err != nil {
			f.err = &apiError{code: codeOf(err), field: "folderId", cause: err}
		}
		t.found[ref] = f
	}
	switch {
	case f.err != nil && by != nil:
		return ruleError(*by, f.err)
	case f.err != nil:
		return f.err
	case r.Route == transfer.Upload && errors.Is(f.unseen, onedrive.ErrUnauthenticated):
		return f.unseen // the client has the bytes, and nobody would take them
	}
	r.Folder, r.FolderID, r.DriveID, r.FindFolder = f.folder, f.folder.ID, f.folder.DriveID, f.unseen != nil
	return nil
}

// checkForm is check of all but the folder.
func (t *targets) checkForm(ctx context.Context, r *transfer.Request) error {
	if err := t.setConflict(ctx, r); err != nil {
		return err
	}
	return t.h.checkRequest(r)
}

// wanted is the folder that a request means, and the rule that says so, if one does.
func (t *targets) wanted(ctx context.Context, r *transfer.Request) (onedrive.Ref, *rule, error) {
	switch ref := (onedrive.Ref{DriveID: r.DriveID, ID: r.FolderID}); ref {
	case onedrive.Ref{}:
	case driveTop:
		return onedrive.Ref{}, nil, nil
	default:
		return ref, nil, nil
	}
	p, err := t.prefs(ctx)
	if err != nil {
		return onedrive.Ref{}, nil, err
	}
	ref, by := p.folderWanted(*r)
	return ref, by, nil
}

// prefs reads what the person has set, once.
func (t *targets) prefs(ctx context.Context) (*prefs, error) {
	if t.own == nil {
		p, err := t.h.prefs(ctx, t.userID)
		if err != nil {
			return nil, err
		}
		t.own = &p
	}
	return t.own, nil
}

// setConflict gives a request that says nothing of names that are taken the person's own answer.
func (t *targets) setConflict(ctx context.Context, r *transfer.Request) error {
	if r.ConflictBehavior != "" {
		return nil
	}
	p, err := t.prefs(ctx)
	if err != nil {
		return err
	}
	if r.ConflictBehavior = p.Conflict; t.framed && r.ConflictBehavior == onedrive.Replace {
		r.ConflictBehavior = onedrive.Rename
	}
	return nil
}

// remember puts the folders used on top of those saved into last. Not to know them costs nobody
// a transfer, so an error is only noted.
func (t *targets) remember(ctx context.Context) {
	for _, f := range t.found {
		if f.err != nil || f.unseen != nil {
			continue
		}
		if err := t.h.rememberFolder(ctx, t.userID, f.folder); err != nil {
			t.h.log.Warn("remember folder", "error", err)
		}
	}
}

// apiList serves GET /api/v1/transfers.
func (h *Handler) apiList(c echo.Context) error {
	o := transfer.ListOptions{State: transfer.State(c.QueryParam("state")), Query: cut(c.QueryParam("q"), 200), Cursor: c.QueryParam("cursor")}
	if !validState(o.State) {
		return &apiError{code: "invalidRequest", field: "state", said: "This is no state."}
	}
	if top := c.QueryParam("top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 || n > 200 {
			return &apiError{code: "invalidRequest", field: "top", said: "Send a number from 1 to 200."}
		}
		o.Top = n
	}
	page, err := h.o.Store.List(c.Request().Context(), owner(c), o)
	if err != nil {
		return err
	}
	value := make([]transferJSON, len(page.Value))
	for i, t := range page.Value {
		value[i] = wire(t)
	}
	return c.JSON(http.StatusOK, map[string]any{"value": value, "cursor": orNull(page.Cursor)})
}

// apiGet serves GET /api/v1/transfers/{id}.
func (h *Handler) apiGet(c echo.Context) error {
	t, err := h.o.Store.Get(c.Request().Context(), owner(c), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, wire(t))
}

// apiDelete serves DELETE /api/v1/transfers/{id}: off the list; the file in OneDrive stays.
func (h *Handler) apiDelete(c echo.Context) error {
	if err := h.remove(c.Request().Context(), owner(c), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// apiAction serves POST /api/v1/transfers/{id}/cancel and undo.
func (h *Handler) apiAction(do act) echo.HandlerFunc {
	return func(c echo.Context) error {
		t, err := do(c.Request().Context(), owner(c), c.Param("id"))
		if err != nil {
			return err
		}
		return c.JSON(http.StatusAccepted, wire(t))
	}
}

// apiRetryFailed serves POST /api/v1/transfers/retry-failed: all failed ones start again.
func (h *Handler) apiRetryFailed(c echo.Context) error {
	n, err := h.o.Runner.RetryFailed(c.Request().Context(), owner(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, map[string]int{"retried": n})
}

// apiPeek serves GET /api/v1/peek?url=: name, type and size before saving.
func (h *Handler) apiPeek(c echo.Context) error {
	address := c.QueryParam("url")
	p, err := h.o.Saver.Peek(c.Request().Context(), owner(c), address)
	var field *transfer.RequestError
	switch {
	case errors.As(err, &field): // of a request's names, which is not what this parameter is called
		return &apiError{code: field.Code, field: "url", said: refusedWords(address), cause: err}
	case err != nil:
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"name": p.Name, "contentType": orNull(p.ContentType), "size": p.Size})
}
