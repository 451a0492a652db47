package onedrive_test

// The contract suite: how OneDrive behaves, one row a behaviour. Each row is played
//
//   - on the wire against the stand-in: its answer must have the shape of the documented answer in
//     testdata (status, headers, JSON keys and types, and the values of the words that programs
//     branch on: error codes, statuses, ranges);
//   - by our client against the stand-in: it must make of the answer what its callers rely on;
//   - with -live both against a real account, which shows where Microsoft does otherwise than it
//     says. The rows work in a folder of their own, which goes to the recycle bin afterwards:
//
//     SKYLIFT_LIVE_TOKEN='eyJ0…' go test ./onedrive -run Contract -live -v
//
// The token is an access token for Graph with Files.ReadWrite, such as the one that
// https://developer.microsoft.com/graph/graph-explorer shows under "Access token"; use an account
// that may lose a file. SKYLIFT_LIVE_GRAPH is another Graph than https://graph.microsoft.com/v1.0.
// Rows that order a fault, which no real service takes orders for, are skipped there.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

var live = flag.Bool("live", false, "play the contract against the real account of SKYLIFT_LIVE_TOKEN too")

// behaviour is one row.
type behaviour struct {
	name       string
	documented string // the answer in testdata; "" when only the client's view is told
	account    string // of the stand-in; "" is robin's personal drive

	// order brings the stand-in into position. Rows with one are not played live.
	order func(*service)
	// ask makes the request on the wire; the answer is held against the documented one.
	ask func(*service) *reply
	// also checks what no file can say of that answer.
	also func(*service, *reply)

	// client does the same through our client; want is what it must come to (nil: no error).
	client func(*service) error
	want   []error
}

func TestContractOfTheStandIn(t *testing.T) {
	for _, row := range contract() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.play(t, func(t *testing.T) *service { return standIn(t, row) })
		})
	}
}

func TestContractOfMicrosoft(t *testing.T) {
	if !*live {
		t.Skip("needs -live and an account")
	}
	for _, row := range contract() {
		t.Run(row.name, func(t *testing.T) {
			if row.order != nil || row.account != "" {
				t.Skip("Microsoft takes no orders")
			}
			row.play(t, realService)
		})
	}
}

func (row behaviour) play(t *testing.T, open func(*testing.T) *service) {
	if row.ask != nil {
		t.Run("on the wire", func(t *testing.T) {
			s := open(t)
			got := row.ask(s)
			got.matches(t, readAnswer(t, row.documented))
			if row.also != nil {
				row.also(s, got)
			}
		})
	}
	if row.client != nil {
		t.Run("by our client", func(t *testing.T) {
			err := row.client(open(t))
			isOnly(t, err, row.want...)
			if (err == nil) != (row.want == nil) {
				t.Errorf("error = %v, want %v", err, row.want)
			}
		})
	}
}

// service is a Graph that rows are played against, with a folder of their own.
type service struct {
	t      *testing.T
	ctx    context.Context
	base   string // with the version
	token  string
	client *onedrive.Client
	folder onedrive.Ref
	// Of the stand-in only:
	stand *onedrivetest.Server
	login string
}

func standIn(t *testing.T, row behaviour) *service {
	login := row.account
	if login == "" {
		login = "robin@demo.example"
	}
	stand := onedrivetest.NewServer(t)
	s := &service{t: t, ctx: t.Context(), base: stand.GraphURL, token: stand.Token(login), client: stand.Client(t, login), stand: stand, login: login}
	s.makeFolder()
	if row.order != nil {
		row.order(s)
	}
	return s
}

// realService speaks to Microsoft.
func realService(t *testing.T) *service {
	base, token := os.Getenv("SKYLIFT_LIVE_GRAPH"), os.Getenv("SKYLIFT_LIVE_TOKEN")
	if base == "" {
		base = "https://graph.microsoft.com/v1.0"
	}
	if token == "" {
		t.Fatal("-live needs SKYLIFT_LIVE_TOKEN")
	}
	g, err := onedrive.New(onedrive.Config{GraphURL: base})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, ctx: t.Context(), base: base, token: token}
	s.client = g.Client(func(context.Context, string) (string, error) { return token, nil })
	s.makeFolder()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.client.Delete(ctx, s.folder, ""); err != nil {
			t.Errorf("the row's folder stays: %v", err)
		}
	})
	return s
}

func (s *service) makeFolder() {
	s.t.Helper()
	item, _, err := s.client.CreateFolder(s.ctx, onedrive.Ref{}, fmt.Sprintf("Contract %d", time.Now().UnixNano()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.folder = item.Ref()
	s.folder.DriveID = "" // the person's own drive
}

// reply is an answer on the wire.
type reply struct {
	answerFile
	json any
}

// graph makes a request to Graph with the bearer. {folder} in the path is the row's own folder.
func (s *service) graph(method, path, body string, header ...string) *reply {
	s.t.Helper()
	path = strings.ReplaceAll(path, "{folder}", "/me/drive/items/"+url.PathEscape(s.folder.ID))
	return s.wire(method, s.base+path, body, append([]string{"Authorization", "Bearer " + s.token}, header...)...)
}

// wire makes any request, with nothing added.
func (s *service) wire(method, address, body string, header ...string) *reply {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	for try := 0; errors.Is(err, syscall.ECONNRESET) && try < 9; try++ {
		// Who refuses before all of the body has come may close the line, and the answer is lost with it.
		r.Body, _ = r.GetBody()
		response, err = transport.RoundTrip(r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		s.t.Fatal(err)
	}
	got := &reply{answerFile: answerFile{response.StatusCode, response.Header, string(text)}}
	if json.Unmarshal(text, &got.json) != nil {
		got.json = nil
	}
	return got
}

// text is a string of the answer, at the keys.
func (r *reply) text(keys ...string) string {
	value := r.json
	for _, key := range keys {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	text, _ := value.(string)
	return text
}

// matches holds the answer against the documented one.
func (r *reply) matches(t *testing.T, want *answerFile) {
	t.Helper()
	if r.status != want.status {
		t.Errorf("status %d, want %d: %s", r.status, want.status, r.body)
	}
	for name := range want.header {
		if r.header.Get(name) == "" && (name != "Content-Type" || want.body != "") {
			t.Errorf("no %s header", name)
		}
	}
	var documented any
	if json.Unmarshal([]byte(want.body), &documented) != nil {
		return // empty or HTML
	}
	if r.json == nil {
		t.Fatalf("no JSON: %q", r.body)
	}
	for _, difference := range differences("", documented, r.json) {
		t.Errorf("%s\n%s", difference, r.body)
	}
}

// words are the keys whose values programs branch on.
var words = map[string]bool{"code": true, "status": true, "driveType": true, "nextExpectedRanges": true}

// loose are the keys that services leave out or nest as they like.
var loose = map[string]bool{
	"innerError": true, "innererror": true, "statusDescription": true, "deleted": true, "hashes": true, "remoteItem": true, "package": true,
	"operation": true, "path": true, "@odata.context": true, "message": true,
}

// differences lists where an answer has not the documented shape. More than documented is fine.
func differences(at string, want, got any) (found []string) {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return []string{at + " is no object"}
		}
		for key, value := range want {
			have, ok := object[key]
			switch {
			case !ok && loose[key]:
			case !ok:
				found = append(found, at+"."+key+" is missing")
			case words[key] && !strings.HasSuffix(strings.ToLower(at), ".innererror") && !strings.EqualFold(fmt.Sprint(value), fmt.Sprint(have)):
				found = append(found, fmt.Sprintf("%s.%s is %v, want %v", at, key, have, value))
			default:
				found = append(found, differences(at+"."+key, value, have)...)
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) == 0 && len(want) > 0 {
			return []string{at + " is no list with something in it"}
		}
		if len(want) > 0 {
			return differences(at+"[0]", want[0], list[0])
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			return []string{fmt.Sprintf("%s is a %T, want a %T", at, got, want)}
		}
	}
	return found
}

const meow = "meow! this is no picture\n"

// put makes a file by simple PUT and gives the item.
func (s *service) put(name, content string) *reply {
	s.t.Helper()
	got := s.graph("PUT", "{folder}:/"+url.PathEscape(name)+":/content", content, "Content-Type", "text/plain")
	if got.status != 201 && got.status != 200 {
		s.t.Fatalf("PUT %s: %d %s", name, got.status, got.body)
	}
	return got
}

// session opens an upload session and gives its address.
func (s *service) session(name, conflict string) (uploadURL string) {
	s.t.Helper()
	got := s.openSession(name, conflict)
	if got.status != 200 {
		s.t.Fatalf("createUploadSession: %d %s", got.status, got.body)
	}
	return got.text("uploadUrl")
}

func (s *service) openSession(name, conflict string) *reply {
	return s.graph("POST", "{folder}:/"+url.PathEscape(name)+":/createUploadSession", `{"item":{"@microsoft.graph.conflictBehavior":"`+conflict+`","name":"`+name+`"}}`)
}

// fragment sends bytes first to last of total.
func (s *service) fragment(uploadURL string, first, last, total int64, header ...string) *reply {
	body := strings.Repeat("x", int(last-first+1))
	return s.wire("PUT", uploadURL, body, append([]string{"Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, total)}, header...)...)
}

// saveFromURL asks for upload-from-URL of one of the stand-in's sample pictures.
func (s *service) saveFromURL(name string, header ...string) *reply {
	source := "https://www.gstatic.com/webp/gallery/1.sm.jpg" // live: any small public picture
	if s.stand != nil {
		source = s.stand.URL + "/samples/tiles.png"
	}
	header = append([]string{"Prefer", "respond-async"}, header...)
	return s.graph("POST", "{folder}/children", `{"@microsoft.graph.sourceUrl":"`+source+`","name":"`+name+`","file":{},"@microsoft.graph.conflictBehavior":"fail"}`, header...)
}

// monitorOf asks for upload-from-URL and gives the monitor.
func (s *service) monitorOf(name string) string {
	s.t.Helper()
	got := s.saveFromURL(name)
	if got.status != 202 {
		s.t.Fatalf("upload from URL: %d %s", got.status, got.body)
	}
	return got.header.Get("Location")
}

// lastAnswer asks a monitor until its job has ended.
func (s *service) lastAnswer(monitor string) *reply {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		got := s.wire("GET", monitor, "")
		switch status := strings.ToLower(got.text("status")); {
		case got.status == 202 && status != "completed" && status != "failed", status == "notstarted", status == "inprogress":
		default:
			return got
		}
	}
	s.t.Fatal("the job does not end")
	return nil
}

// save has our client save from a URL and follow the job to its end.
func (s *service) save(name string) (onedrive.AsyncJobStatus, error) {
	source, err := url.Parse(s.stand.URL + "/samples/tiles.png")
	if err != nil {
		s.t.Fatal(err)
	}
	monitor, err := s.client.CreateFromURL(s.ctx, s.folder, name, source, onedrive.Fail)
	if err != nil {
		return onedrive.AsyncJobStatus{}, err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		job, err := s.client.MonitorStatus(s.ctx, monitor)
		if err != nil || job.State != onedrive.JobAlive {
			return job, err
		}
	}
	return onedrive.AsyncJobStatus{}, errors.New("the job does not end")
}

// conduct orders how the account's drive behaves.
func conduct(change func(*fakegraph.Conduct)) func(*service) {
	return func(s *service) { s.stand.SetConduct(s.login, change) }
}

func fault(f fakegraph.Fault) func(*service) {
	return func(s *service) { s.stand.Faults().Add(f) }
}

// check gives an error for the client's side of a row unless ok.
func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func item(s *service, name string, size int64) error {
	got, err := s.client.Child(s.ctx, s.folder, name)
	if err != nil {
		return err
	}
	return check(got.Size == size, "%s has %d bytes, want %d", name, got.Size, size)
}

func zeros(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
