package fakegraph

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	_ "image/gif" // decoders of the pictures that get thumbnails
	"image/jpeg"
	_ "image/png"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// thumbnailSizes are the named sizes: longest side in pixels, and whether it is cut square
// (microsoft.md §3.7).
var thumbnailSizes = []struct {
	name   string
	side   int
	square bool
}{
	{"small", 96, false}, {"medium", 176, false}, {"large", 800, false},
	{"smallSquare", 96, true}, {"mediumSquare", 176, true}, {"largeSquare", 800, true},
}

// maxPicture bounds what is decoded for a thumbnail, in bytes and in pixels.
const (
	maxPicture = 32 << 20
	maxPixels  = 40_000_000
)

// box is the frame that a thumbnail fits into.
type box struct {
	width, height int
	crop          bool
}

// parseSize reads "medium", "largeSquare", "c300x400" or "c300x400_Crop".
func parseSize(name string) (box, bool) {
	for _, s := range thumbnailSizes {
		if strings.EqualFold(s.name, name) {
			return box{s.side, s.side, s.square}, true
		}
	}
	rest, ok := strings.CutPrefix(name, "c")
	rest, crop := strings.CutSuffix(rest, "_Crop")
	w, h, ok2 := strings.Cut(rest, "x")
	width, err := strconv.Atoi(w)
	height, err2 := strconv.Atoi(h)
	if !ok || !ok2 || err != nil || err2 != nil || width < 1 || height < 1 || width > 2000 || height > 2000 {
		return box{}, false
	}
	return box{width, height, crop}, true
}

// dimensions are the picture's, when it is one that can be read.
func (it *item) dimensions() (width, height int, ok bool) {
	if it.blob == nil || it.blob.width == 0 || !strings.HasPrefix(it.mime, "image/") {
		return 0, 0, false
	}
	return int(it.blob.width), int(it.blob.height), true
}

// thumbnailSets is the thumbnails of an item: one set for a picture that can be read, none for
// the rest. only picks sizes; nil means the three usual ones.
func (c *call) thumbnailSets(it *item, only []string) []any {
	width, height, ok := it.dimensions()
	if !ok || it.blob.size > maxPicture || width*height > maxPixels {
		return []any{}
	}
	if len(only) == 0 {
		only = []string{"small", "medium", "large"}
	}
	set := map[string]any{"id": "0"}
	for _, name := range only {
		if b, ok := parseSize(name); ok {
			set[name] = c.thumbnailOf(it, name, fit(width, height, b))
		}
	}
	return []any{set}
}

func (c *call) thumbnailOf(it *item, name string, size image.Point) map[string]any {
	key := c.s.seal("thumbnail", it.drive.id, it.id, name, c.now.Add(downloadLife))
	return map[string]any{"url": c.base + "/thumbnail/" + key, "width": size.X, "height": size.Y}
}

// fit is the size of a picture in a frame; it never grows.
func fit(width, height int, b box) image.Point {
	if b.crop {
		return image.Pt(min(b.width, width), min(b.height, height))
	}
	scale := min(1, float64(b.width)/float64(width), float64(b.height)/float64(height))
	return image.Pt(max(1, int(float64(width)*scale+0.5)), max(1, int(float64(height)*scale+0.5)))
}

// thumbnails serves …/thumbnails, …/thumbnails/0, …/thumbnails/0/{size} and …/content.
func (c *call) thumbnails() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	rest := c.place.rest
	if len(rest) == 0 {
		var only []string
		if fields := c.query.Get("$select"); fields != "" {
			only = strings.FieldsFunc(fields, func(r rune) bool { return r == ',' || r == ' ' })
			only = slices.DeleteFunc(only, func(name string) bool { return name == "id" })
		}
		c.answer(200, map[string]any{"@odata.context": c.base + "/v1.0/$metadata#thumbnails", "value": c.thumbnailSets(it, only)})
		return nil
	}
	var only []string
	if len(rest) > 1 {
		only = rest[1:2]
	}
	sets := c.thumbnailSets(it, only)
	if len(sets) == 0 || rest[0] != "0" {
		return notFound()
	}
	if len(rest) == 1 {
		c.answer(200, sets[0])
		return nil
	}
	one, ok := sets[0].(map[string]any)[rest[1]].(map[string]any)
	switch {
	case !ok:
		return invalid("The size of the thumbnail is not known.")
	case len(rest) == 3 && rest[2] == "content":
		c.w.Header().Set("Location", one["url"].(string))
		c.w.WriteHeader(http.StatusFound)
	case len(rest) == 2:
		c.answer(200, one)
	default:
		return unknownSegment(rest[2])
	}
	return nil
}

// thumbnail serves the picture itself, scaled, as JPEG.
func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request) {
	driveID, itemID, size, ok := s.unseal("thumbnail", r.PathValue("key"))
	frame, ok2 := parseSize(size)
	d := s.driveByID(driveID)
	if !ok || !ok2 || d == nil {
		refuse(401, "unauthenticated", "The address has expired.").write(s, w, r)
		return
	}
	d.mu.RLock()
	var b *blob
	if it := d.items[itemID]; it != nil {
		b = it.blob
	}
	d.mu.RUnlock()
	picture, err := scaled(b, frame)
	if err != nil {
		notFound().write(s, w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(picture)))
	_, _ = w.Write(picture)
}

// scaled is the picture in the frame.
func scaled(b *blob, frame box) ([]byte, error) {
	if b == nil || !b.kept || b.size > maxPicture {
		return nil, fmt.Errorf("no picture is kept")
	}
	config, _, err := image.DecodeConfig(b.reader())
	if err != nil || config.Width*config.Height > maxPixels {
		return nil, fmt.Errorf("not a picture that can be read")
	}
	src, _, err := image.Decode(b.reader())
	if err != nil {
		return nil, err
	}
	from := src.Bounds()
	if frame.crop {
		from = centred(from, frame)
	}
	size := fit(from.Dx(), from.Dy(), frame)
	dst := average(src, from, size)
	var out bytes.Buffer
	err = jpeg.Encode(&out, dst, &jpeg.Options{Quality: 85})
	return out.Bytes(), err
}

// centred is the part of a picture that has the frame's proportions.
func centred(r image.Rectangle, b box) image.Rectangle {
	w, h := r.Dx(), r.Dy()
	if w*b.height > h*b.width {
		w = max(1, h*b.width/b.height)
	} else {
		h = max(1, w*b.height/b.width)
	}
	x, y := r.Min.X+(r.Dx()-w)/2, r.Min.Y+(r.Dy()-h)/2
	return image.Rect(x, y, x+w, y+h)
}

// average scales down: each pixel is the mean of those it stands for, on white.
func average(src image.Image, from image.Rectangle, size image.Point) *image.RGBA {
	flat := image.NewRGBA(image.Rect(0, 0, from.Dx(), from.Dy()))
	draw.Draw(flat, flat.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), src, from.Min, draw.Over)
	dst := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		y0, y1 := y*from.Dy()/size.Y, max(y*from.Dy()/size.Y+1, (y+1)*from.Dy()/size.Y)
		for x := range size.X {
			x0, x1 := x*from.Dx()/size.X, max(x*from.Dx()/size.X+1, (x+1)*from.Dx()/size.X)
			var sum [3]int
			for v := y0; v < y1; v++ {
				row := flat.Pix[flat.PixOffset(x0, v):flat.PixOffset(x1, v)]
				for i := 0; i < len(row); i += 4 {
					sum[0] += int(row[i])
					sum[1] += int(row[i+1])
					sum[2] += int(row[i+2])
				}
			}
			n, at := (y1-y0)*(x1-x0), dst.PixOffset(x, y)
			dst.Pix[at], dst.Pix[at+1], dst.Pix[at+2], dst.Pix[at+3] = byte(sum[0]/n), byte(sum[1]/n), byte(sum[2]/n), 255
		}
	}
	return dst
}
