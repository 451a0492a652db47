package handlers

import (
	"bytes"
	"crypto/sha1"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/static"
)

func (h *Handler) addinRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/addin/manifest.xml", access: public, serve: h.addinManifest("manifest.xml")},
		{method: http.MethodGet, path: "/addin/manifest-outlook.xml", access: public, serve: h.addinManifest("manifest-outlook.xml")},
		{method: http.MethodGet, path: officePath, access: public, serve: h.panelPage, panel: true, framed: true, office: true},
		{method: http.MethodGet, path: "/auth/office", access: public, serve: h.officeStart, bucket: signIn, opener: true},
		{method: http.MethodGet, path: "/auth/office/done", access: public, serve: h.relayDone, opener: true, office: true},
	}
}

const (
	officePath = "/panel/office" // the panel with Office.js on it
	forOffice  = "office"        // purpose of a sign-in that began in Office's dialog
)

// officeScripts is where Office.js has to come from: Microsoft allows no copies.
const officeScripts = "https://appsforoffice.microsoft.com"

// allowOffice lets Office.js run on this answer: its script, and the styles that Office on the web
// puts into the page.
func allowOffice(header http.Header) {
	policy := header.Get("Content-Security-Policy")
	policy = strings.Replace(policy, "script-src 'self'", "script-src 'self' "+officeScripts+" https://ajax.aspnetcdn.com", 1)
	policy = strings.Replace(policy, "style-src 'self'", "style-src 'self' 'unsafe-inline'", 1)
	header.Set("Content-Security-Policy", policy)
}

// officeStart serves GET /auth/office: the first page of Office's dialog, which has to be ours.
// It is on its way to Microsoft at once.
func (h *Handler) officeStart(c echo.Context) error {
	challenge, err := handoffChallenge(c.QueryParam("c"))
	if err != nil {
		return err
	}
	return h.begin(c, auth.BeginOptions{Purpose: forOffice, Challenge: challenge, Prompt: "select_account"})
}

// manifest is what the manifests' templates read.
type manifest struct {
	ID     string
	URL    string
	Secure bool
	Hosts  []string // those with a button on the ribbon
	SignIn []string // where the dialog may go on desktops
}

// Icon is the address of the icon of that many pixels. It changes with its content and may be
// kept: Office shows none that may not.
func (m manifest) Icon(size int) string {
	return m.URL + static.URL(fmt.Sprintf("icons/app-%d.png", size))
}

// addinManifest serves GET /addin/manifest.xml and its sister for Outlook, with this server's
// address in them.
func (h *Handler) addinManifest(name string) echo.HandlerFunc {
	return func(c echo.Context) error {
		address := h.publicURL()
		m := manifest{
			ID: addinID(name + " " + address), URL: escapeXML(address), Secure: strings.HasPrefix(address, "https:"),
			Hosts:  []string{"Document", "Presentation", "Workbook"},
			SignIn: []string{"https://login.microsoftonline.com", "https://login.live.com"},
		}
		var b bytes.Buffer
		if err := static.Addin.ExecuteTemplate(&b, name, m); err != nil {
			return err
		}
		header := c.Response().Header()
		header.Set("Cache-Control", "no-cache")
		header.Set("Content-Disposition", `attachment; filename="skylift-`+name+`"`)
		return c.Blob(http.StatusOK, "application/xml; charset=utf-8", b.Bytes())
	}
}

// addinID is the add-in's GUID, always the same for one server: a UUID of version 5 (RFC 9562).
func addinID(name string) string {
	sum := sha1.Sum([]byte("skylift add-in " + name)) // the standard's hash, no secret
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
