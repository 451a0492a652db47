// Package static holds the files that browsers load: styles, scripts, icons and the vendored
// front end. They are part of the binary, and each has an address that changes with its content,
// so a browser may keep it for ever.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed css js vendor icons icons.svg favicon.svg embed.js
var files embed.FS

// Base is the path under which Handler is mounted.
const Base = "/static/"

// digests are the first 12 hex digits of each file's SHA-256, worked out once.
var digests = sync.OnceValue(func() map[string]string {
	sums := map[string]string{}
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		sums[name] = hex.EncodeToString(sum[:6])
		return nil
	})
	return sums
})

// FS is the files as they are embedded, such as css/app.css.
func FS() fs.FS { return files }

// URL is the address of a file, with its hash before the extension: js/live.js becomes
// /static/js/live-0123456789ab.js. It panics on a name that does not exist: that is a typing
// mistake in a template, which the golden tests meet.
func URL(name string) string {
	sum, ok := digests()[name]
	if !ok {
		panic("static: no file " + name)
	}
	ext := path.Ext(name)
	return Base + strings.TrimSuffix(name, ext) + "-" + sum + ext
}

// Handler serves the files under Base, by hashed address only to be kept for a year, by plain
// name to be asked for again.
func Handler() http.Handler {
	plain := http.StripPrefix(Base, http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, hashed := resolve(strings.TrimPrefix(r.URL.Path, Base))
		sum, ok := digests()[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("ETag", `"`+sum+`"`)
		h.Set("Cache-Control", "no-cache")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // a sandboxed panel and other sites' pages load them
		if hashed {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = Base+name, ""
		plain.ServeHTTP(w, r2)
	})
}

// resolve finds the file behind an address and says whether the address carried its hash. An
// address with an old hash finds nothing: a stale page must not get a newer script.
func resolve(p string) (name string, hashed bool) {
	if _, ok := digests()[p]; ok {
		return p, false
	}
	ext := path.Ext(p)
	stem, sum, ok := cutLast(strings.TrimSuffix(p, ext), "-")
	if ok && digests()[stem+ext] == sum {
		return stem + ext, true
	}
	return "", false
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
