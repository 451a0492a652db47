package static

import (
	"embed"
	"text/template"
)

//go:embed addin/*.xml
var addin embed.FS

// Addin are the manifests that Office installs the panel by, manifest.xml and
// manifest-outlook.xml, as templates that want the server's address.
var Addin = template.Must(template.ParseFS(addin, "addin/*.xml"))
