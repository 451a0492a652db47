package transfer_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// outside is all that outlives the killed processes: Microsoft, the web, and what was promised to whom.
type outside struct {
	Graph, Web, Host, Note string
	People                 []person
	Buffers                int64 // of the child's saver; 0: the product's
	Film                   *film // what else can be asked for; nil: nothing

	ms *fakegraph.Server
	mu sync.Mutex

	fetched   map[string]bool          // by key: its source was read to the end
	recovered map[int]time.Duration    // by child: from its birth until all that was not final ran again
	deaths    map[string]int           // by named point
	children  map[int]func() time.Time // by child: its birth
}

// person is an account with its drive and a key to it.
type person struct{ Owner, Login, Drive, Token string }

// killPeople show both routes: OneDrive fetches for the first two, and the relay serves the others.
var killPeople = []person{
	{Owner: "robin", Login: "robin@demo.example"}, {Owner: "noor", Login: "noor@demo.example"},
	{Owner: "kim", Login: "kim@demo.example"}, {Owner: "alex", Login: "alex@work.example"},
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	o := &outside{
		Buffers: 2 << 20,
		ms:      fakegraph.New(fakegraph.Options{Discard: true, Empty: true, Fetch: transport}),
		fetched: map[string]bool{}, recovered: map[int]time.Duration{}, deaths: map[string]int{}, children: map[int]func() time.Time{},
	}
	t.Cleanup(o.ms.Close)
	web := http.NewServeMux()
	web.HandleFunc("/file/{key}/{name}", o.file)
	web.HandleFunc("/note", o.note)
	o.Graph, o.Web = serveUntilEnd(t, o.ms), serveUntilEnd(t, web)
	o.Host, o.Note = strings.TrimPrefix(o.Web, "http://"), o.Web+"/note"
	graph := must(onedrive.New(onedrive.Config{GraphURL: o.Graph + "/v1.0"}))
	t.Cleanup(graph.CloseIdleConnections)
	for _, p := range killPeople {
		p.Token = o.ms.Token(p.Login)
		drive, err := graph.Client(func(context.Context, string) (string, error) { return p.Token, nil }).Drive(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if p.Owner != "noor" && p.Owner != "alex" { // these save into "my drive", whatever its id
			p.Drive = drive.ID
		}
		o.People = append(o.People, p)
	}
	for _, p := range o.People[:2] { // a job of OneDrive takes a moment, or none would be met in flight
		o.ms.SetConduct(p.Login, func(c *fakegraph.Conduct) { c.Slow = 2 << 20 })
	}
	return o
}

func serveUntilEnd(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l) // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}

// What a file is follows from its key, so that parent and child need not tell each other: whose it
// is, and that it is of a size and name which many others have. The last of each fifty is large and
// goes in fragments.
func ownerOfKey(key string) person {
	if strings.HasSuffix(key, "-49") {
		return killPeople[2+keyHash(key)%2]
	}
	return killPeople[keyHash(key)%4]
}

func nameOfKey(key string) string { return fmt.Sprintf("holiday %d.jpg", keyHash(key)%7) }

func keyHash(key string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	return h.Sum32() >> 3
}

func contentOf(key string) []byte {
	size := 12 << 10
	if strings.HasSuffix(key, "-49") {
		size = 5 << 20
	}
	b := make([]byte, size)
	seed := sha256.Sum256([]byte(key))
	_, _ = rand.NewChaCha8(seed).Read(b)
	copy(b, "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01")
	return b
}

func sumOf(key string) string {
	sum := sha256.Sum256(contentOf(key))
	return hex.EncodeToString(sum[:])
}

// file is a source that takes its time, so that there is something to interrupt.
func (o *outside) file(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	content := contentOf(key)
	w.Header().Set("ETag", `"`+key+`"`)
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method == http.MethodHead {
		return
	}
	half := len(content) / 2
	if _, err := w.Write(content[:half]); err != nil {
		return
	}
	_ = http.NewResponseController(w).Flush()
	time.Sleep(rand.N(100 * time.Millisecond))
	if _, err := w.Write(content[half:]); err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetched[key] = true
}

// note is where a child reports before it does what may be its last.
func (o *outside) note(_ http.ResponseWriter, r *http.Request) {
	var n childNote
	if json.NewDecoder(r.Body).Decode(&n) != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch birth := o.children[n.Child]; {
	case n.Death != "":
		o.deaths[n.Death]++
	case birth != nil:
		o.recovered[n.Child] = time.Since(birth())
	}
}

type childNote struct {
	Child int
	Death string // the named point at which the child dies
}

// open is how many of keys OneDrive or we have not fetched yet.
func (o *outside) open(keys map[string]bool) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range keys {
		if !o.fetched[key] {
			n++
		}
	}
	return n
}

// files is what lies in everybody's drive: the paths of each content, by hash, and what each item is.
func (o *outside) files() (copies map[string][]string, contentOfItem map[string]string) {
	copies, contentOfItem = map[string][]string{}, map[string]string{}
	for _, p := range o.People {
		for _, f := range o.ms.Files(p.Login) {
			copies[f.SHA256] = append(copies[f.SHA256], f.Path)
			contentOfItem[f.ID] = f.SHA256
		}
	}
	return copies, contentOfItem
}

// request is what is asked for by a key.
func (o *outside) request(key string) (person, transfer.Request) {
	if o.Film != nil {
		return o.Film.Person, transfer.Request{SourceURL: o.Film.URL, DriveID: o.Film.Person.Drive}
	}
	for _, p := range o.People {
		if p.Owner == ownerOfKey(key).Owner {
			return p, transfer.Request{
				SourceURL: o.Web + "/file/" + key + "/" + strings.ReplaceAll(nameOfKey(key), " ", "%20"),
				DriveID:   p.Drive, ConflictBehavior: onedrive.Rename,
			}
		}
	}
	panic("nobody")
}
