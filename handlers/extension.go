package handlers

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"

	"skylift/static"
	"skylift/views"
)

func (h *Handler) extensionRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/extension", access: public, serve: h.extensionPage},
		{method: http.MethodGet, path: "/extension.zip", access: public, serve: h.extensionZip},
		{method: http.MethodGet, path: "/.well-known/skylift", access: public, serve: h.wellKnown, bucket: unlimited},
	}
}

// wellKnown serves GET /.well-known/skylift: by this the extension knows that a Skylift answers,
// and by which address it wants to be known.
func (h *Handler) wellKnown(c echo.Context) error {
	answer := map[string]string{"product": "skylift", "api": apiBase}
	if h.o.URL != nil {
		answer["url"] = h.publicURL()
	}
	c.Response().Header().Set("Access-Control-Allow-Origin", "*")
	return c.JSON(http.StatusOK, answer)
}

// publicURL is this server's own address without a slash at its end, or "".
func (h *Handler) publicURL() string {
	if h.o.URL == nil {
		return ""
	}
	return h.o.URL.Scheme + "://" + h.o.URL.Host
}

// extensionPage serves GET /extension: how to install it and what each permission is for.
func (h *Handler) extensionPage(c echo.Context) error {
	permissions, err := extensionPermissions()
	if err != nil {
		return err
	}
	return h.render(c, http.StatusOK, views.Extension(h.page(c, "Browser extension"), views.ExtensionInfo{
		Server: h.publicURL(), Permissions: permissions,
	}))
}

// extensionManifest is the part of the extension's manifest that the install page explains.
type extensionManifest struct {
	Version       string   `json:"version"`
	Permissions   []string `json:"permissions"`
	OptionalHosts []string `json:"optional_host_permissions"`
}

// extensionPermissions are all permissions of the manifest with their reasons. One without a
// reason is an error, so that none can be added quietly.
func extensionPermissions() ([]views.Permission, error) {
	body, err := fs.ReadFile(static.Extension(), "manifest.json")
	if err != nil {
		return nil, err
	}
	var m extensionManifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	var list []views.Permission
	for _, name := range append(m.Permissions, m.OptionalHosts...) {
		p, err := views.PermissionReason(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// extensionZip serves GET /extension.zip: the extension's files with this server's address in
// them. The same files and address make the same bytes, which are made once.
func (h *Handler) extensionZip(c echo.Context) error {
	body, err := h.extension()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	header := c.Response().Header()
	header.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Disposition", `attachment; filename="skylift-extension.zip"`)
	header.Set(echo.HeaderContentType, "application/zip")
	if c.Request().Header.Get("If-None-Match") == header.Get("ETag") {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, "application/zip", body)
}

// packExtension zips the extension with preset.json naming the server.
func packExtension(server string) ([]byte, error) {
	preset, err := json.Marshal(map[string]string{"server": server})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	files := static.Extension()
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if path.Base(name) == "preset.json" {
			content = preset
		}
		w, err := z.Create(name) // no time of change: the same bytes each time
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
