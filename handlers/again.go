package handlers

import (
	"bytes"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
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
