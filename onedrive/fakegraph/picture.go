package fakegraph

import "embed"

// drawings are the sample pictures that draw.go draws.
//
//go:embed pictures/*.jpg pictures/*.png pictures/*.gif
var drawings embed.FS

// picture is a sample picture by its name; nil when there is none.
func picture(name string) []byte {
	switch name {
	case "badge.svg":
		return []byte(badge)
	case "dot.webp":
		return []byte(dotWebP)
	}
	file, err := drawings.ReadFile("pictures/" + name)
	if err != nil {
		return nil
	}
	return file
}

// dotWebP is the smallest picture that the format allows: one pixel, lossless.
const dotWebP = "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00/\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"

const badge = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240" role="img" aria-label="A yellow badge">
<circle cx="120" cy="120" r="110" fill="#f2b705"/><path d="M60 130l40 40 80-100" fill="none" stroke="#1b1a19" stroke-width="22" stroke-linecap="round" stroke-linejoin="round"/>
</svg>
`
