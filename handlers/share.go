package handlers

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
)

func (h *Handler) shareRoutes() []route {
	return []route{
		{method: http.MethodPost, path: "/save", serve: h.shared, body: shareBody},
	}
}

const (
	shareBody  = 512 << 20 // all files of one share together
	shareFiles = 50
	shareField = 8 << 10 // bytes of a title, text or address
)

// shared serves POST /save: what a share sheet handed over. An address only fills the form, as
// GET /save does; files are saved, since the person has just chosen them and Skylift for it. Only
// the system itself or our own pages can send this: crossOrigin stops every other site's form.
func (h *Handler) shared(c echo.Context) error {
	r := c.Request() // films on a slow line take long; a client that sends nothing may not
	r.Body = io.NopCloser(steady(c, r.Body))
	parts, err := r.MultipartReader()
	if err != nil {
		return bad("invalidRequest")
	}
	words := url.Values{}
	saved := 0
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &apiError{code: requestCode(err)}
		}
		switch name := part.FormName(); {
		case part.FileName() != "" && saved < shareFiles:
			if err := h.saveShared(c, part); err != nil {
				return err
			}
			saved++
		case name == "title" || name == "text" || name == "url":
			text, err := io.ReadAll(io.LimitReader(part, shareField))
			if err != nil {
				return &apiError{code: requestCode(err)}
			}
			words.Set(name, string(text))
		}
	}
	if saved > 0 {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return c.Redirect(http.StatusSeeOther, "/save?"+words.Encode())
}

// saveShared hands one shared file over to OneDrive, into the person's folder for it. Its size has to be
// known first, so it is spooled meanwhile.
func (h *Handler) saveShared(c echo.Context, part *multipart.Part) error {
	file, err := h.o.Saver.Spool(c.Request().Context(), owner(c), part)
	if err != nil {
		return spoolError(err)
	}
	defer file.Close()
	size := file.Size
	ctx, who := c.Request().Context(), owner(c)
	r := transfer.Request{
		Route: transfer.Upload, Size: &size, ContentType: part.Header.Get(echo.HeaderContentType),
		Name: path.Base(strings.ReplaceAll(part.FileName(), `\`, "/")),
	}
	if err := h.targets(c).check(ctx, &r); err != nil {
		return err
	}
	t, _, err := h.o.Store.Submit(ctx, who, r, "")
	if err != nil {
		return err
	}
	_, err = h.o.Saver.Receive(ctx, h.o.Store, who, t.ID, transfer.Content{Total: size, ContentType: r.ContentType, Body: file, Once: true})
	if err != nil { // it never came so far as to fail by itself, and nobody brings its bytes again
		_, _ = h.o.Runner.Cancel(context.WithoutCancel(ctx), who, t.ID)
	}
	return err
}

// spoolError tells a client that broke off from a disk that takes no more.
func spoolError(err error) error {
	var disk *fs.PathError
	if errors.Is(err, transfer.ErrManyBodies) {
		return err
	}
	if errors.Is(err, transfer.ErrSpoolFull) || errors.As(err, &disk) {
		return &apiError{code: "storeUnavailable", cause: err}
	}
	return &apiError{code: requestCode(err)}
}
