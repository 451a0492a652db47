package fakegraph

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// samplesMade is the Last-Modified of all samples.
var samplesMade = time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)

// oddSamples are the sources that behave in special ways, by name; Samples tells what they show.
var oddSamples = map[string]func(http.ResponseWriter, *http.Request){
	"photo":           servePicture("tiles.png", "image/png"),
	"named":           serveNamed,
	"slow.jpg":        serveSlow,
	"chunked.jpg":     serveChunked,
	"referer.jpg":     serveReferer,
	"not-a-photo.jpg": servePage,
	"redirect.jpg":    serveRedirect,
	"private.jpg":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Sign in first.", http.StatusUnauthorized) },
	"empty.jpg":       func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "image/jpeg") },
	"broken.jpg":      serveBroken,
	"virus.txt":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(eicar) },
	"big.bin":         serveBig,
}

// Sample is a source that the stand-in serves itself.
type Sample struct{ Name, Note string }

// Samples are the sources under /samples/ with what each is good for.
func Samples() []Sample {
	return []Sample{
		{"meadow.jpg", "A JPEG picture"}, {"garden.jpg", "A JPEG picture, upright"}, {"harbour.png", "A PNG picture"}, {"tiles.png", "A square PNG"},
		{"pulse.gif", "An animated GIF"}, {"badge.svg", "An SVG drawing"}, {"dot.webp", "A WebP picture of one pixel"},
		{"photo", "A PNG whose address has no extension"}, {"named", "Content-Disposition gives the name: Übersicht ☀.png"},
		{"slow.jpg", "Takes about five seconds"}, {"chunked.jpg", "Comes without a length"}, {"referer.jpg", "Only with a Referer"},
		{"not-a-photo.jpg", "A web page that pretends to be a picture"}, {"redirect.jpg", "Leads on to meadow.jpg"}, {"private.jpg", "401: needs a sign-in"},
		{"missing.jpg", "404: nothing there"}, {"empty.jpg", "No bytes at all"}, {"broken.jpg", "Breaks off in the middle"},
		{"virus.txt", "The harmless text that virus scanners report"}, {"big.bin?bytes=104857600", "As many bytes as the address says, with ranges"},
	}
}

// sampleBlobs are the pictures as file content, so that ten drives share one copy.
var sampleBlobs sync.Map

func sampleBlob(name string) *blob {
	if b, ok := sampleBlobs.Load(name); ok {
		return b.(*blob)
	}
	made := picture(name)
	if made == nil {
		return nil
	}
	b, _ := sampleBlobs.LoadOrStore(name, blobOf(made))
	return b.(*blob)
}

// sample serves /samples/{name}.
func (s *Server) sample(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	name := r.PathValue("name")
	if odd, ok := oddSamples[name]; ok {
		odd(w, r)
		return
	}
	if picture(name) == nil {
		http.NotFound(w, r)
		return
	}
	servePicture(name, mime.TypeByExtension(path.Ext(name)))(w, r)
}

func servePicture(name, media string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if known := mimeTypes[path.Ext(name)]; known != "" {
			media = known
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("ETag", `"`+name+`-1"`)
		http.ServeContent(w, r, "", samplesMade, bytes.NewReader(picture(name)))
	}
}

func serveNamed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Disposition", `inline; filename="Ubersicht.png"; filename*=UTF-8''%C3%9Cbersicht%20%E2%98%80.png`)
	servePicture("harbour.png", "image/png")(w, r)
}

// serveRedirect leads on beside itself, wherever the samples are mounted: http.Redirect would name a place
// without the prefix.
func serveRedirect(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "meadow.jpg")
	w.WriteHeader(http.StatusFound)
}

// serveSlow sends a picture in twenty pieces, a quarter of a second apart.
func serveSlow(w http.ResponseWriter, r *http.Request) {
	picture := picture("garden.jpg")
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", strconv.Itoa(len(picture)))
	piece := len(picture)/20 + 1
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for len(picture) > 0 && r.Method != http.MethodHead {
		n := min(piece, len(picture))
		if _, err := w.Write(picture[:n]); err != nil {
			return
		}
		picture = picture[n:]
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func serveChunked(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "image/jpeg")
	picture := picture("meadow.jpg")
	for len(picture) > 0 {
		n := min(32<<10, len(picture))
		_, _ = w.Write(picture[:n])
		_ = http.NewResponseController(w).Flush()
		picture = picture[n:]
	}
}

func serveReferer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Referer") == "" {
		http.Error(w, "This picture is shown on its own page only.", http.StatusForbidden)
		return
	}
	servePicture("garden.jpg", "image/jpeg")(w, r)
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html>\n<html lang=\"en\"><title>Please sign in</title><h1>Please sign in to see this picture</h1></html>\n")
}

// serveBroken promises more than it sends.
func serveBroken(w http.ResponseWriter, _ *http.Request) {
	picture := picture("meadow.jpg")
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", strconv.Itoa(len(picture)))
	_, _ = w.Write(picture[:len(picture)/2])
	panic(http.ErrAbortHandler)
}

// maxBig is the largest ?bytes= of big.bin.
const maxBig = 250 << 30

// serveBig makes bytes on the fly: byte i is the same whatever range it is asked in, so a
// download can be resumed with the strong ETag.
func serveBig(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if err != nil || size < 0 || size > maxBig {
		size = 10 << 20
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", fmt.Sprintf(`"big-%d"`, size))
	http.ServeContent(w, r, "", samplesMade, io.NewSectionReader(bigBytes{}, 0, size))
}

// bigBytes is an endless content: byte i depends on i alone.
type bigBytes struct{}

func (bigBytes) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		at := off + int64(i)
		p[i] = byte(at ^ at>>8 ^ at>>17)
	}
	return len(p), nil
}
