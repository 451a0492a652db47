package static

import (
	"embed"
	"io/fs"
)

//go:embed extension/manifest.json extension/managed.json extension/preset.json extension/*.js extension/*.html extension/*.css extension/icons
var extension embed.FS

// Extension is the browser extension's own tree, manifest.json at its top: one for Chromium and
// Firefox, ready to be packed. Its tests are not in it.
func Extension() fs.FS {
	sub, err := fs.Sub(extension, "extension")
	if err != nil {
		panic(err) // "extension" is a valid path
	}
	return sub
}
