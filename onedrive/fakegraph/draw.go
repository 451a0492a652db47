//go:build ignore

// Command draw draws the sample pictures anew: go run draw.go, in the package's folder. They are files
// because drawing them takes a second, and every new drive holds some.
package main

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"log"
	"math"
	"os"
)

func main() {
	for name, picture := range map[string][]byte{
		"meadow.jpg":  jpegOf(drawn(1600, 1067, meadow)),
		"garden.jpg":  jpegOf(drawn(1200, 1500, garden)),
		"harbour.png": pngOf(drawn(960, 640, harbour)),
		"tiles.png":   pngOf(drawn(640, 640, tiles)),
		"pulse.gif":   pulse(),
	} {
		if err := os.WriteFile("pictures/"+name, picture, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// drawn makes a picture from a function of the place, both coordinates from 0 to 1.
func drawn(width, height int, at func(x, y float64) color.RGBA) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, at(float64(x)/float64(width), float64(y)/float64(height)))
		}
	}
	return m
}

// mix is a colour between a and b.
func mix(a, b color.RGBA, t float64) color.RGBA {
	t = min(1, max(0, t))
	part := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*t) }
	return color.RGBA{part(a.R, b.R), part(a.G, b.G), part(a.B, b.B), 255}
}

func rgb(hex uint32) color.RGBA {
	return color.RGBA{uint8(hex >> 16), uint8(hex >> 8), uint8(hex), 255}
}

// meadow is hills under a low sun.
func meadow(x, y float64) color.RGBA {
	if d := math.Hypot(x-0.72, (y-0.3)*0.67); d < 0.07 {
		return rgb(0xfff3c4)
	} else if ridge := 0.55 + 0.06*math.Sin(7*x) + 0.02*math.Sin(23*x); y < ridge {
		return mix(mix(rgb(0x2b6cb0), rgb(0xfbd38d), y/ridge), rgb(0xfff3c4), 0.35-d)
	} else if near := 0.75 + 0.05*math.Sin(4*x+2); y < near {
		return mix(rgb(0x68a357), rgb(0x32746d), (y-ridge)*4)
	}
	return mix(rgb(0x3b7a3b), rgb(0x1b3a1b), (y-0.7)*2+0.1*math.Sin(200*x))
}

// garden is rows of round flowers.
func garden(x, y float64) color.RGBA {
	cx, cy := math.Floor(x*6)/6+1./12, math.Floor(y*7.5)/7.5+1./15
	dx, dy := x-cx, (y-cy)*1.25
	petals := 0.045 + 0.014*math.Cos(6*math.Atan2(dy, dx))
	switch d := math.Hypot(dx, dy); {
	case d < 0.016:
		return rgb(0xf6ad55)
	case d < petals:
		return mix(rgb(0xd53f8c), rgb(0x6b46c1), math.Mod(cx*3+cy*5, 1))
	}
	return mix(rgb(0x9ae6b4), rgb(0x276749), y)
}

// harbour is houses at the water.
func harbour(x, y float64) color.RGBA {
	house := math.Floor(x * 9)
	roof := 0.35 + 0.08*math.Sin(house*2.7)
	walls := []uint32{0xc05621, 0x2c5282, 0xb7791f, 0x9b2c2c, 0x285e61}
	wall := rgb(walls[int(house)%len(walls)])
	switch {
	case y < roof:
		return mix(rgb(0xbee3f8), rgb(0xebf8ff), y*2)
	case y < 0.62:
		wx, wy := math.Mod(x*27, 1), math.Mod(y*12, 1)
		if wx > 0.3 && wx < 0.7 && wy > 0.3 && wy < 0.8 {
			return rgb(0xfefcbf)
		}
		return wall
	}
	wave := 0.5 + 0.5*math.Sin(90*y+6*math.Sin(9*x))
	return mix(mix(wall, rgb(0x1a365d), 0.65), rgb(0x63b3ed), wave*0.35)
}

// tiles is a pattern.
func tiles(x, y float64) color.RGBA {
	u, v := math.Mod(x*8, 1)-0.5, math.Mod(y*8, 1)-0.5
	if math.Abs(u)+math.Abs(v) < 0.35 {
		return rgb(0xdd6b20)
	}
	if math.Abs(math.Hypot(u, v)-0.55) < 0.08 {
		return rgb(0x2d3748)
	}
	return rgb(0xfffaf0)
}

// pulse is an animated GIF.
func pulse() []byte {
	palette := color.Palette{rgb(0x1a202c), rgb(0x63b3ed), rgb(0xf6ad55), rgb(0xfffaf0)}
	var g gif.GIF
	for frame := range 12 {
		m := image.NewPaletted(image.Rect(0, 0, 240, 240), palette)
		r := 40 + 35*math.Sin(float64(frame)/12*2*math.Pi)
		for y := range 240 {
			for x := range 240 {
				d := math.Hypot(float64(x-120), float64(y-120))
				m.SetColorIndex(x, y, map[bool]uint8{true: 1, false: 0}[math.Abs(d-r-20) < 12])
			}
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 8)
	}
	var b bytes.Buffer
	_ = gif.EncodeAll(&b, &g) // a buffer takes everything
	return b.Bytes()
}

func jpegOf(m image.Image) []byte {
	var b bytes.Buffer
	_ = jpeg.Encode(&b, m, &jpeg.Options{Quality: 88})
	return b.Bytes()
}

func pngOf(m image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}
