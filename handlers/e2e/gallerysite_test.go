package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
)

// picture is a PNG of one colour with a lighter frame, so that people can tell screenshots apart.
func picture(c color.NRGBA, width, height int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			at := c
			if x < 8 || y < 8 || x >= width-8 || y >= height-8 {
				at = color.NRGBA{255, 255, 255, 255}
			}
			img.SetNRGBA(x, y, at)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

var (
	red    = picture(color.NRGBA{200, 60, 50, 255}, 420, 300)
	green  = picture(color.NRGBA{40, 140, 90, 255}, 640, 400)
	blue   = picture(color.NRGBA{50, 90, 200, 255}, 120, 90)
	violet = picture(color.NRGBA{120, 70, 180, 255}, 800, 500)
	orange = picture(color.NRGBA{230, 140, 30, 255}, 360, 360)
)

// gallerySite is somebody's web site with pictures: open ones, one behind a login, one that only
// a script in the page knows.
type gallerySite struct {
	URL      string // http://127.0.0.1:port
	Host     string // 127.0.0.1:port, for SKYLIFT_ALLOW_SOURCES
	Members  string // http://members.localhost:port: the same, as another site that no server finds
	Secrets  atomic.Int32
	NoCookie atomic.Int32 // how often the secret was asked for by who is not signed in there
	Flaky    atomic.Bool  // /flaky.png cannot be had
	long     []byte       // /long.mp4, for members: more than one piece of the extension's
}

const galleryPage = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Colours of the valley</title>
<style>body{margin:0;font:16px sans-serif;background:#fff}img,video{display:block;margin:10px 20px;width:210px;height:150px}p{margin:10px 20px}
.bg{width:100px;height:50px;background-image:url(/violet.png)}</style>
<p><a id="elsewhere" href="%[2]s/secret.png">a picture of another site, for members</a></p>
<img id="red" src="/red.png" alt="A red square">
<a id="linked" href="/album.html"><img id="orange" src="/orange.png" alt="Orange in a link"></a>
<img id="secret" src="/secret.png" alt="Only for members">
<img id="blob" alt="Made by a script">
<img id="set" src="/blue.png" srcset="/blue.png 120w, /green.png 640w" sizes="120px" alt="Two sizes">
<p id="text">Look at %[1]s/green.png and (%[1]s/violet.png).</p>
<p><a id="file" href="/violet.png">a picture</a></p><div class="bg"></div>
<script>fetch('/red.png').then(r=>r.blob()).then(b=>{document.getElementById('blob').src=URL.createObjectURL(b)})</script></html>`

// newGallerySite starts the site; whoever opens / is signed in there by a cookie.
func newGallerySite(t *testing.T) *gallerySite {
	t.Helper()
	g := &gallerySite{long: bytes.Repeat([]byte("0123456789abcdef"), 11<<16)}
	open := map[string][]byte{"/red.png": red, "/green.png": green, "/blue.png": blue, "/violet.png": violet, "/orange.png": orange,
		"/clip.mp4": []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\x00\x00\x00\x08mdat"), "/tone.mp3": []byte("ID3\x03\x00\x00\x00\x00\x00\x00 a tone")}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := open[r.URL.Path]; ok {
			w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
			_, _ = w.Write(body)
			return
		}
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "member", Value: "yes", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, galleryPage, g.URL, g.Members)
		case "/flaky.png":
			if g.Flaky.Load() {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(blue)
		case "/secret.png", "/long.mp4":
			if c, err := r.Cookie("member"); err != nil || c.Value != "yes" {
				g.NoCookie.Add(1)
				http.Error(w, "sign in first", http.StatusUnauthorized)
				return
			}
			g.Secrets.Add(1)
			w.Header().Set("Cache-Control", "no-store")
			if r.URL.Path == "/long.mp4" {
				w.Header().Set("Content-Type", "video/mp4")
				_, _ = w.Write(g.long)
				return
			}
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(green)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(s.Close)
	g.URL = s.URL
	g.Members = strings.Replace(s.URL, "127.0.0.1", "members.localhost", 1)
	g.Host = strings.TrimPrefix(s.URL, "http://")
	if _, _, err := net.SplitHostPort(g.Host); err != nil {
		t.Fatal(err)
	}
	return g
}
