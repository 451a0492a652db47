package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"

	"skylift/handlers"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// order asks for an upload of size bytes and returns its id.
func (b *browser) order(fields map[string]any) string {
	b.s.t.Helper()
	fields["route"] = "upload"
	id, _ := b.json("POST", "/api/v1/transfers", fields).want(202).json()["id"].(string)
	return id
}

func (b *browser) putContent(id, body string, head http.Header) answer {
	b.s.t.Helper()
	return b.do("PUT", "/api/v1/transfers/"+id+"/content", body, head)
}

// What is wrong with a request that brings bytes is a problem with a code; the transfer stays as it is.
func TestBytesThatCannotBeTakenAreAProblem(t *testing.T) {
	s := setup(t)
	b, stranger := s.signIn(robin), s.signIn(kim)
	done, cancelled := b.order(map[string]any{"name": "done.bin"}), b.order(map[string]any{"name": "cancelled.bin"})
	b.putContent(done, "bytes", nil).want(202)
	b.final(done)
	b.json("POST", "/api/v1/transfers/"+cancelled+"/cancel", nil).want(202)
	fetched := b.submit(s.sample("slow.jpg"))
	sized := b.order(map[string]any{"name": "sized.bin", "size": 5})
	begun := b.order(map[string]any{"name": "begun.bin"})
	b.putContent(begun, "01234", http.Header{"Content-Range": {"bytes 0-4/10"}}).want(202)
	for _, tt := range []struct {
		name, id, body, at string
		who                *browser
		status             int
		code               string
	}{
		{"to a transfer that is there", done, "bytes", "", b, 409, "conflict"},
		{"to a cancelled one", cancelled, "bytes", "", b, 409, "conflict"},
		{"to one whose bytes we fetch", fetched, "bytes", "", b, 409, "conflict"},
		{"to somebody else's", sized, "bytes", "", stranger, 404, "notFound"},
		{"to none", "01K0000000000000000000000A", "bytes", "", b, 404, "notFound"},
		{"more than was announced", sized, "six by", "", b, 400, "sizeMismatch"},
		{"none", sized, "", "", b, 400, "emptyFile"},
		{"too far on", begun, "89", "bytes 8-9/10", b, 416, "rangeInvalid"},
		{"from the middle of what is there", begun, "34", "bytes 3-4/10", b, 416, "rangeInvalid"},
		{"of no range", begun, "56789", "5-9", b, 416, "rangeInvalid"},
		{"of another total", begun, "56789", "bytes 5-9/11", b, 400, "sizeMismatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := http.Header{}
			if tt.at != "" {
				head.Set("Content-Range", tt.at)
			}
			look := func() string { // each answer has a code of its own
				got := b.get("/api/v1/transfers/" + tt.id)
				return strings.ReplaceAll(got.body, got.header("X-Request-Id"), "")
			}
			before := look()
			got := tt.who.putContent(tt.id, tt.body, head)
			if got.status != tt.status || got.code() != tt.code {
				t.Errorf("%d %s, want %d %s", got.status, got.body, tt.status, tt.code)
			}
			if next, told := got.json()["bytesTransferred"]; told != (tt.status == 416) || told && next != 5.0 {
				t.Errorf("goes on at %v: %s", next, got.body)
			}
			if after := look(); after != before && tt.id != fetched {
				t.Errorf("was %s, is %s", before, after)
			}
		})
	}
	b.putContent(begun, "56789", http.Header{"Content-Range": {"bytes 5-9/10"}}).want(202)
	if got, _ := s.microsoft.Content(robin, "/begun.bin"); b.final(begun)["state"] != "completed" || string(got) != "0123456789" {
		t.Errorf("begun.bin has %q", got)
	}
}

// What is announced as too large is refused before its bytes are sent.
func TestATooLargeUploadIsRefusedAtOnce(t *testing.T) {
	b := setup(t).signIn(robin)
	got := b.json("POST", "/api/v1/transfers", map[string]any{"route": "upload", "name": "film.bin", "size": int64(11 << 30)}).want(400)
	if got.code() != "sourceTooLarge" {
		t.Errorf("%s", got.body)
	}
}

// Without a Content-Length nobody knows what is meant, also when nothing comes.
func TestBytesNeedALength(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.order(map[string]any{"name": "a.bin"})
	at := must(url.Parse(s.url))(t)
	cookie := b.http.Jar.Cookies(at)[0].String()
	for rest, want := range map[string]string{
		"\r\n": "411 Length Required", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "411 Length Required", "Content-Length: 0\r\n\r\n": "400 Bad Request",
	} {
		conn := must(net.Dial("tcp", at.Host))(t)
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "PUT /api/v1/transfers/%s/content HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n%s", id, at.Host, cookie, rest)
		resp := must(http.ReadResponse(bufio.NewReader(conn), nil))(t)
		defer resp.Body.Close()
		if resp.Status != want || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %s, want %s", rest, resp.Status, want)
		}
	}
}

// A client whose bytes stop coming is told where to go on, if it still listens; it is no fault of ours.
func TestBytesThatStopComing(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.order(map[string]any{"name": "stopped.bin", "size": 10})
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/transfers/"+id+"/content", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nContent-Length: 10\r\n\r\n01234", r.URL.Path, r.URL.Host, r.Header.Get("Cookie"))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 416 || !strings.Contains(string(body), `"rangeInvalid"`) || !strings.Contains(string(body), `"bytesTransferred":0`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	b.putContent(id, "0123456789", nil).want(202)
	if b.final(id)["state"] != "completed" {
		t.Errorf("%v", b.final(id))
	}
}

// A second request that brings bytes while one does is turned away, and the first one's arrive.
func TestTwoRequestsBringBytesAtOnce(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.order(map[string]any{"name": "once.bin", "size": 10})
	var write *io.PipeWriter
	first := make(chan int, 1)
	refused := false
	for try := 0; try < 5 && !refused; try++ { // the first may come just while the second is looked at, and be turned away itself
		if write != nil {
			_ = write.CloseWithError(io.ErrUnexpectedEOF)
			<-first
		}
		var body *io.PipeReader
		body, write = io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/transfers/"+id+"/content", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 10
		go func() { // ends with the request
			resp, err := b.http.Do(r)
			if err != nil {
				first <- 0
				return
			}
			resp.Body.Close()
			first <- resp.StatusCode
		}()
		if _, err := write.Write([]byte("01234")); err != nil {
			t.Fatal(err)
		}
		for probe := 0; probe < 50 && !refused; probe++ { // the first one's may not have come to it yet
			got := b.putContent(id, "x", http.Header{"Content-Range": {"bytes 9-9/10"}})
			if refused = got.status == 409 && got.code() == "conflict"; !refused && got.status != 416 {
				t.Fatalf("the second: %d %s", got.status, got.body)
			}
		}
	}
	if !refused {
		t.Error("the second was never turned away")
	}
	_, _ = write.Write([]byte("56789"))
	write.Close()
	if status := <-first; status != 202 {
		t.Errorf("the first: %d", status)
	}
	if got, _ := s.microsoft.Content(robin, "/once.bin"); b.final(id)["state"] != "completed" || string(got) != "0123456789" {
		t.Errorf("once.bin has %q", got)
	}
}

// What OneDrive answers to bytes is the transfer's state and code, not the request's status: the bytes
// were taken, and what becomes of them is on the row. What may pass waits for them to be sent again.
func TestOneDrivesAnswersToBytes(t *testing.T) {
	small, large := strings.Repeat("small", 1000), strings.Repeat("large!!!", 600<<10)
	for _, tt := range []struct {
		name     string
		behavior string
		taken    bool // the name is
		fault    fakegraph.Fault
		locked   bool
		state    string
		code     string
	}{
		{name: "nothing", behavior: "fail", state: "completed"},
		{name: "a name that is taken and must not be", behavior: "fail", taken: true, state: "failed", code: "nameAlreadyExists"},
		{name: "a name that is taken", behavior: "rename", taken: true, state: "completed"},
		{name: "409 once", behavior: "rename", fault: fakegraph.Fault{Status: 409}, state: "completed"},
		{name: "423 of the file that is to go", behavior: "replace", taken: true, locked: true, state: "waiting"},
		{name: "423 once", behavior: "rename", fault: fakegraph.Fault{Status: 423}, state: "waiting"},
		{name: "429 for a moment", behavior: "rename", fault: fakegraph.Fault{Status: 429, Header: map[string]string{"Retry-After": "0.1"}}, state: "completed"},
		{name: "507", behavior: "rename", fault: fakegraph.Fault{Status: 507}, state: "waiting"},
		{name: "403", behavior: "rename", fault: fakegraph.Fault{Status: 403}, state: "failed", code: "accessDenied"},
		{name: "malware", behavior: "rename", fault: fakegraph.Fault{Status: 403, Code: "malwareDetected"}, state: "failed", code: "malwareDetected"},
		{name: "400", behavior: "rename", fault: fakegraph.Fault{Status: 400}, state: "failed", code: "invalidRequest"},
	} {
		for size, content := range map[string]string{"in one PUT": small, "by a session": large} {
			t.Run(tt.name+" "+size, func(t *testing.T) {
				s := setup(t)
				b := s.signIn(alex)
				if tt.taken {
					s.microsoft.PutFile(alex, "/a.bin", []byte("older"))
				}
				if tt.locked {
					s.microsoft.SetConduct(alex, func(c *fakegraph.Conduct) { c.Locked = "a.bin" })
				}
				if tt.fault.Status != 0 {
					tt.fault.Phase = fakegraph.PhasePut
					if size == "by a session" {
						tt.fault.Phase = fakegraph.PhaseSession
					}
					s.microsoft.Faults().Add(tt.fault)
				}
				id := b.order(map[string]any{"name": "a.bin", "conflictBehavior": tt.behavior})
				got := b.putContent(id, content, nil).want(202).json()
				code := ""
				if problem, ok := got["error"].(map[string]any); ok {
					code, _ = problem["code"].(string)
				}
				if got["state"] != tt.state || code != tt.code {
					t.Errorf("%v %q, want %s %q", got["state"], code, tt.state, tt.code)
				}
				if old, _ := s.microsoft.Content(alex, "/a.bin"); tt.taken && tt.behavior != "replace" && string(old) != "older" {
					t.Error("the older file is gone")
				}
				if tt.state != "waiting" {
					return
				}
				if got["reason"] != "clientBytes" || got["bytesTransferred"] != 0.0 {
					t.Errorf("waits for %v from byte %v on", got["reason"], got["bytesTransferred"])
				}
				s.microsoft.Faults().Clear()
				s.microsoft.SetConduct(alex, func(c *fakegraph.Conduct) { c.Locked = "" })
				if b.putContent(id, content, nil).want(202); b.final(id)["state"] != "completed" {
					t.Errorf("sent again: %v", b.get("/api/v1/transfers/"+id).body)
				}
				if now, _ := s.microsoft.Content(alex, "/a.bin"); string(now) != content {
					t.Errorf("%d bytes are there, want %d", len(now), len(content))
				}
			})
		}
	}
}

// A OneDrive that asks for a long pause is not asked before it is over: the answer says how long, and so
// does the one to bytes that come too early. What has arrived stays.
func TestBytesWaitAsLongAsOneDriveAsks(t *testing.T) {
	for phase, kept := range map[fakegraph.Phase]bool{fakegraph.PhasePut: false, fakegraph.PhaseSession: false, fakegraph.PhaseFragmentLast: true} {
		t.Run(string(phase), func(t *testing.T) {
			content := strings.Repeat("small", 1000)
			if phase != fakegraph.PhasePut {
				content = strings.Repeat("large!!!", 3<<19)
			}
			s := setup(t)
			b := s.signIn(alex)
			order := s.microsoft.Faults().Add(fakegraph.Fault{Phase: phase, Status: 429, Header: map[string]string{"Retry-After": "60"}})
			id := b.order(map[string]any{"name": "a.bin"})
			got := b.putContent(id, content, nil).want(202)
			now := got.json()
			if wait := got.header("Retry-After"); now["state"] != "waiting" || now["reason"] != "clientBytes" || wait != "60" {
				t.Errorf("%v for %v, to come again in %q", now["state"], now["reason"], wait)
			}
			at, _ := now["bytesTransferred"].(float64)
			if (at > 0) != kept {
				t.Errorf("goes on at byte %v", at)
			}
			head := http.Header{}
			if at > 0 {
				head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", int(at), len(content)-1, len(content)))
			}
			early := b.putContent(id, content[int(at):], head)
			if wait := early.header("Retry-After"); early.status != 503 || early.code() != "oneDriveBusy" || wait != "60" {
				t.Errorf("too early: %d %s, to come again in %q", early.status, early.body, wait)
			}
			if again := b.get("/api/v1/transfers/" + id).json(); again["bytesTransferred"] != at || order.Hits() != 1 {
				t.Errorf("after that %v bytes are there, %d requests were turned away", again["bytesTransferred"], order.Hits())
			}
		})
	}
}

// drip begins a request that brings bytes and sends no more of them until the test ends.
func (b *browser) drip(method, path, contentType string, length int64, first string) {
	t := b.s.t
	t.Helper()
	body, write := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), method, b.s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	ended := make(chan struct{})
	go func() { // ends with the body
		defer close(ended)
		if resp, err := b.http.Do(r); err == nil {
			resp.Body.Close()
		}
	}()
	if _, err := write.Write([]byte(first)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = write.CloseWithError(io.ErrUnexpectedEOF)
		<-ended
	})
}

// TestOnePersonsFilesComeInAFewAtATime: who keeps more bodies open waits, and other people do not.
func TestOnePersonsFilesComeInAFewAtATime(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(kim)
	for range 4 {
		id := b.order(map[string]any{"name": "drip.bin", "size": 4<<20 - 1})
		b.drip("PUT", "/api/v1/transfers/"+id+"/content", "", 4<<20-1, "drop")
	}
	got := b.putContent(b.order(map[string]any{"name": "fifth.bin"}), "bytes", nil)
	for range 200 { // one of the four may not have come in yet
		if got.status != 202 {
			break
		}
		got = b.putContent(b.order(map[string]any{"name": "fifth.bin"}), "bytes", nil)
	}
	if got.status != 503 || got.code() != "tooManyBodies" {
		t.Errorf("the fifth: %d %s", got.status, got.body)
	}
	if got := b.share(fromTheSystem, nil, map[string]string{"one.txt": "the first file"}); got.status != 503 {
		t.Errorf("a share beside them: %d", got.status)
	}
	other.putContent(other.order(map[string]any{"name": "other.bin"}), "bytes", nil).want(202)
}

// TestOnePersonsSharesLeaveRoomForOthers.
func TestOnePersonsSharesLeaveRoomForOthers(t *testing.T) {
	dir := t.TempDir()
	s := setup(t, func(o *handlers.Options) {
		o.Saver = transfer.NewSaver(transfer.SaverOptions{Client: o.Client, MaxSpool: 1 << 20, SpoolDir: dir})
	})
	b, other := s.signIn(robin), s.signIn(kim)
	head := "--cut\r\nContent-Disposition: form-data; name=\"files\"; filename=\"drip.bin\"\r\n\r\n"
	b.drip("POST", "/save", "multipart/form-data; boundary=cut", 2<<20, head+strings.Repeat("x", 500<<10))
	for spooledIn(t, dir) < 490<<10 { // the rest waits for the end of the part
		runtime.Gosched()
	}
	other.share(fromTheSystem, nil, map[string]string{"one.txt": strings.Repeat("a file\n", 10_000)}).want(303)
	if got, ok := s.microsoft.Content(kim, "/one.txt"); !ok || len(got) != 70_000 {
		t.Errorf("the other's file: there %v, %d bytes", ok, len(got))
	}
	if got := b.share(fromTheSystem, nil, map[string]string{"more.txt": strings.Repeat("a file\n", 50_000)}); got.status != 503 {
		t.Errorf("more than one's part: %d", got.status)
	}
}

// spooledIn is how many bytes the open files of dir hold that have no name.
func spooledIn(t *testing.T, dir string) (n int64) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not say which files are open")
	}
	for _, fd := range fds {
		if at, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(at, dir) {
			if info, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil {
				n += info.Size()
			}
		}
	}
	return n
}
