package fakegraph_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"skylift/onedrive/fakegraph"
)

// null is a ResponseWriter that costs nothing.
type null struct{ h http.Header }

func (n null) Header() http.Header         { return n.h }
func (n null) WriteHeader(int)             {}
func (n null) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkMonitor answers monitors while 50,000 transfers are alive.
func BenchmarkMonitor(b *testing.B) {
	s := fakegraph.New(fakegraph.Options{Empty: true})
	b.Cleanup(s.Close)
	s.SetConduct(robin, func(c *fakegraph.Conduct) { c.Stuck = true })
	token := s.Token(robin)
	before := heap()
	locations := make([]string, 50_000)
	for i := range locations {
		r := httptest.NewRequest("POST", "http://fake.example/v1.0/me/drive/root/children",
			strings.NewReader(fmt.Sprintf(`{"@microsoft.graph.sourceUrl":"http://fake.example/samples/tiles.png","name":"%d.png","file":{}}`, i)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Prefer", "respond-async")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if locations[i] = w.Header().Get("Location"); w.Code != 202 {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	each := float64(heap()-before) / float64(len(locations))
	b.ResetTimer()
	for i := range b.N {
		r, err := http.NewRequest("GET", locations[i%len(locations)], nil)
		if err != nil {
			b.Fatal(err)
		}
		s.ServeHTTP(null{http.Header{}}, r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
	b.ReportMetric(each, "B/monitor")
}

// zeros is a body of n bytes that costs nothing to make.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	z.left -= n
	return int(n), nil
}

func (z *zeros) Close() error { return nil }

// BenchmarkUpload swallows fragments of 50 MiB over a real connection, with and without hashes.
func BenchmarkUpload(b *testing.B) {
	const fragment = 160 * unit
	for _, bench := range []struct {
		name    string
		options fakegraph.Options
	}{
		{"discard without hashes", fakegraph.Options{Empty: true, Discard: true, NoHash: true}},
		{"discard with hashes", fakegraph.Options{Empty: true, Discard: true}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m := startDrive(b, bench.options)
			m.SetConduct(robin, func(c *fakegraph.Conduct) { c.Quota = 1 << 60 })
			b.SetBytes(fragment)
			total, first, address := int64(2000)*fragment, int64(0), ""
			b.ResetTimer()
			for range b.N {
				if address == "" {
					address, first = m.open(robin, "big.bin", nil), 0
				}
				req, _ := http.NewRequest("PUT", address, &zeros{fragment})
				req.ContentLength = fragment
				req.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+fragment-1, total))
				res, err := m.client.Do(req)
				if err != nil || res.StatusCode >= 300 {
					b.Fatal(res, err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if first += fragment; first == total {
					address = ""
				}
			}
		})
	}
}

// BenchmarkItem measures what a stored item costs in memory, its bytes apart.
func BenchmarkItem(b *testing.B) {
	s := fakegraph.New(fakegraph.Options{Empty: true, Discard: true, NoHash: true})
	b.Cleanup(s.Close)
	s.SetConduct(robin, func(c *fakegraph.Conduct) { c.MaxItems = b.N + 10 })
	token := s.Token(robin)
	before := heap()
	for i := range b.N {
		r := httptest.NewRequest("PUT", fmt.Sprintf("http://fake.example/v1.0/me/drive/root:/picture-%d.jpg:/content", i), strings.NewReader("some bytes"))
		r.Header.Set("Authorization", "Bearer "+token)
		s.ServeHTTP(null{http.Header{}}, r)
	}
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/item")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
