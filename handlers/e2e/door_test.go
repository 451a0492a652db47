package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

var quietLog = log.New(io.Discard, "", 0)

// door is a proxy in front of skylift as companies have them: pages are let in by a cookie that
// its own sign-in page sets, everything else by a header, and the rest is sent to the sign-in.
type door struct {
	URL    string      // the public address
	behind string      // where skylift listens
	shut   atomic.Bool // nobody is let in
}

// behindDoor starts skylift behind a door.
func behindDoor(t *testing.T, g *gallerySite) (*app, *door) {
	t.Helper()
	listen := freeAddress(t)
	d := &door{behind: "http://" + listen}
	inside := proxyTo(fixed(d.behind), nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, _ := r.Cookie("door")
		switch {
		case d.shut.Load():
			http.Error(w, "who are you?", http.StatusForbidden)
		case r.URL.Path == "/door/login":
			http.SetCookie(w, &http.Cookie{Name: "door", Value: "in", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			http.Redirect(w, r, "/"+strings.TrimLeft(r.URL.Query().Get("to"), "/"), http.StatusFound)
		case !strings.Contains(r.UserAgent(), "Mozilla"): // skylift itself, on its way to the demo's Microsoft
			inside.ServeHTTP(w, r)
		case r.Header.Get("X-Access-Token") == "open sesame", cookie != nil:
			r.Header.Del("X-Access-Token")
			inside.ServeHTTP(w, r)
		default:
			http.Redirect(w, r, "/door/login?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusFound)
		}
	}))
	t.Cleanup(s.Close)
	d.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	a := startAt(t, listen, "SKYLIFT_ALLOW_SOURCES="+g.Host, "SKYLIFT_URL="+d.URL)
	a.URL = d.URL
	return a, d
}
