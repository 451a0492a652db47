package handlers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

// changes are what is to be different when a transfer is tried again: fields of a transfer request. What is not
// there stays as it was; what is empty means what it means in a request.
type changes struct {
	SourceURL        *string                    `json:"sourceUrl"`
	Name             *string                    `json:"name"`
	FolderID         *string                    `json:"folderId"`
	DriveID          *string                    `json:"driveId"`
	ConflictBehavior *onedrive.ConflictBehavior `json:"conflictBehavior"`
}

// readChanges reads the body of a retry, which may be missing.
func readChanges(c echo.Context) (changes, error) {
	var ch changes
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return ch, &apiError{code: requestCode(err)}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return ch, nil
	}
	c.Request().Body = io.NopCloser(bytes.NewReader(body))
	return ch, readJSON(c, &ch)
}

// apiRetry serves POST /api/v1/transfers/{id}/retry.
func (h *Handler) apiRetry(c echo.Context) error {
	ctx, who, id := c.Request().Context(), owner(c), c.Param("id")
	ch, err := readChanges(c)
	if err != nil {
		return err
	}
	var t transfer.Transfer
	if ch == (changes{}) {
		t, err = h.retry(ctx, who, id)
	} else {
		t, err = h.retryChanged(c, id, ch)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, wire(t))
}

// retryChanged tries a transfer again as what it is with the changes, checked like a new one.
func (h *Handler) retryChanged(c echo.Context, id string, ch changes) (transfer.Transfer, error) {
	ctx, who := c.Request().Context(), owner(c)
	t, err := h.o.Store.Get(ctx, who, id)
	if err != nil {
		return t, err
	}
	r, err := ch.of(t)
	if err != nil {
		return t, err
	}
	if err := atTop(c, r.ConflictBehavior); err != nil {
		return t, err
	}
	targets := h.targets(c)
	check := targets.checkForm
	if ch.FolderID != nil || ch.DriveID != nil {
		check = targets.check
	}
	if err := check(ctx, &r); err != nil {
		return t, err
	}
	if t, err = h.o.Runner.RetryAs(ctx, who, id, r); err == nil {
		targets.remember(ctx)
	}
	return t, err
}

// of is the request that t becomes.
func (ch changes) of(t transfer.Transfer) (transfer.Request, error) {
	r := t.Request()
	if ch.SourceURL != nil && *ch.SourceURL != t.SourceURL {
		if t.Route == transfer.Upload {
			return r, &apiError{code: "invalidRequest", field: "sourceUrl", said: fields["sourceUrl clientBytes"]}
		}
		r.SourceURL, r.SameSource = *ch.SourceURL, false
	}
	if ch.Name != nil {
		r.Name = *ch.Name
	}
	if ch.FolderID != nil || ch.DriveID != nil {
		r.FolderID, r.DriveID = deref(ch.FolderID), deref(ch.DriveID)
	}
	if ch.ConflictBehavior != nil {
		r.ConflictBehavior = *ch.ConflictBehavior
	}
	return r, nil
}

// deref is what p points at, or the empty string.
func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// againPage serves GET /save?again=: the filled form of a transfer that is to be tried again as something else.
func (h *Handler) againPage(c echo.Context, id string) error {
	form, _, err := h.againForm(c.Request().Context(), owner(c), id, c.QueryParam("folder"))
	if err != nil {
		return err
	}
	return h.renderAgain(c, http.StatusOK, form)
}

func (h *Handler) renderAgain(c echo.Context, status int, form views.SaveForm) error {
	p := h.page(c, "Change and try again")
	p.Path = "/"
	return h.render(c, status, views.AgainPage(p, form))
}

// againForm is the form of a transfer as it is, with the folder that was chosen meanwhile, if one was. The
// address stands in it as it is, signed or not: it is there to be mended.
func (h *Handler) againForm(ctx context.Context, userID, id, chosen string) (views.SaveForm, transfer.Transfer, error) {
	t, err := h.o.Store.Get(ctx, userID, id)
	switch {
	case err != nil:
		return views.SaveForm{}, t, err
	case t.MayArrive():
		return views.SaveForm{}, t, transfer.ErrMayArrive
	case !canChange(t):
		return views.SaveForm{}, t, transfer.ErrNotPossible
	}
	form, err := h.newForm(ctx, userID, chosen)
	if err != nil {
		return form, t, err
	}
	form.Folders = slices.DeleteFunc(form.Folders, func(f views.Folder) bool { return f.Value == "" }) // it has its folder: no rules decide
	if chosen == "" {
		form.Folders = chosenFolder(form.Folders, t.Folder)
	}
	form.Text, form.Name, form.Conflict = t.SourceURL, nameToChange(t), string(t.ConflictBehavior)
	form.Browse = views.FoldersURL("", "", "", "", views.ChangeURL(t.ID))
	form.Again = &views.Again{Name: rowName(t), Action: "/transfers/" + t.ID + "/change", Bytes: sentBytes(t)}
	if t.State == transfer.Failed {
		form.Again.Problem = failureNotice(t)
	}
	return form, t, nil
}

// nameToChange is the name that the form shows: the one that was given, or the one that was the trouble. Any other
// is worked out anew.
func nameToChange(t transfer.Transfer) string {
	trouble := t.Failure != nil && slices.Contains([]string{"nameAlreadyExists", "invalidName", "pathIsTooLong"}, t.Failure.Code)
	if t.NameGiven || trouble {
		return t.Name
	}
	return ""
}

// sentBytes reports whether somebody has sent the bytes themselves, so that there is no address to change.
func sentBytes(t transfer.Transfer) bool {
	return t.Route == transfer.Upload || strings.HasPrefix(t.SourceURL, "data:")
}

// changeForm serves POST /transfers/:id/change: tries a transfer again as the form says.
func (h *Handler) changeForm(c echo.Context) error {
	ctx, who := c.Request().Context(), owner(c)
	o, err := readOrder(c)
	if err != nil {
		return err
	}
	form, t, err := h.againForm(ctx, who, c.Param("id"), o.folder)
	r, stays := o.of(t), o.folder == folderValue(t.Folder.Ref())
	switch {
	case errors.Is(err, transfer.ErrNotPossible) && !t.State.Final() && stays && t.Is(r): // a double click
		return c.Redirect(http.StatusSeeOther, "/?watch=1")
	case err != nil:
		return err
	}
	form.Text, form.Name, form.Conflict = o.field, o.name, string(r.ConflictBehavior)
	var wrong *transfer.RequestError
	if err := h.checkRequest(&r); errors.As(err, &wrong) {
		form.FieldBad = &views.Notice{Tone: views.Bad, What: lineWords(err), Did: "Nothing was changed."}
		return h.renderAgain(c, http.StatusUnprocessableEntity, form)
	} else if err != nil {
		return err
	}
	if !stays {
		folder, seen, err := h.folderOfOrder(ctx, who, o.folder)
		if w, known := folderProblem(err); err != nil && known {
			form.FolderBad = w
			return h.renderAgain(c, http.StatusUnprocessableEntity, form)
		}
		if err != nil {
			return err
		}
		r.Folder, r.FolderID, r.DriveID, r.FindFolder = folder, folder.ID, folder.DriveID, !seen
	}
	if _, err := h.o.Runner.RetryAs(ctx, who, t.ID, r); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/?watch=1")
}

// of is the request that t becomes by the order, but for its folder.
func (o order) of(t transfer.Transfer) transfer.Request {
	r := t.Request()
	if o.name != nameToChange(t) {
		r.Name = o.name
	}
	if address := strings.TrimSpace(o.field); !sentBytes(t) && address != t.SourceURL {
		r.SourceURL, r.SameSource = address, false
	}
	if o.conflict != "" {
		r.ConflictBehavior = o.conflict
	}
	return r
}
