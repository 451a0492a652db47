package onedrive_test

import (
	"fmt"
	"strings"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// upload sends a file of whole units (and a rest) through a session, by our client.
func upload(s *service, name string, b onedrive.ConflictBehavior, size int64) (onedrive.FragmentAnswer, error) {
	u, err := s.client.CreateUploadSession(s.ctx, s.folder, name, b)
	if err != nil {
		return onedrive.FragmentAnswer{}, err
	}
	answer := onedrive.FragmentAnswer{}
	for answer.Next < size {
		n := min(unit, size-answer.Next)
		if answer, err = s.client.PutFragment(s.ctx, u.URL, answer.Next, size, make([]byte, n)); err != nil {
			return answer, err
		}
	}
	return answer, nil
}

func sessions() []behaviour {
	const total = 2*unit + 10
	begun := func(s *service) string {
		u := s.session("a.bin", "fail")
		if got := s.fragment(u, 0, unit-1, total); got.status != 202 {
			s.t.Fatalf("first fragment: %d %s", got.status, got.body)
		}
		return u
	}
	clientBegun := func(s *service) onedrive.SecretURL {
		u, err := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
		if err == nil {
			_, err = s.client.PutFragment(s.ctx, u.URL, 0, total, make([]byte, unit))
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return u.URL
	}
	fragment := func(offset, length int64) func(*service) error {
		return func(s *service) error {
			_, err := s.client.PutFragment(s.ctx, clientBegun(s), offset, total, make([]byte, length))
			return err
		}
	}
	return []behaviour{
		{
			name: "an upload session begins with the whole file missing", documented: "session/200-created",
			ask: func(s *service) *reply { return s.openSession("a.bin", "fail") },
			client: func(s *service) error {
				u, err := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
				return cmpErr(err, check(u.Next == 0 && !u.Expires.IsZero(), "session %+v", u))
			},
		},
		{
			name: "a fragment is answered with what is missing", documented: "session/202-next",
			ask: func(s *service) *reply { return s.fragment(s.session("a.bin", "fail"), 0, unit-1, total) },
			client: func(s *service) error {
				u, _ := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
				a, err := s.client.PutFragment(s.ctx, u.URL, 0, total, make([]byte, unit))
				return cmpErr(err, check(a.Next == unit && a.Item == nil && !a.Expires.IsZero(), "answer %+v", a))
			},
		},
		{
			name: "the last fragment is answered with the item", documented: "session/201-committed",
			ask: func(s *service) *reply { return s.fragment(begun(s), unit, total-1, total) },
			client: func(s *service) error {
				a, err := upload(s, "a.bin", onedrive.Fail, total)
				return cmpErr(err, check(a.Item != nil && a.Item.Size == total && a.Next == total, "answer %+v", a), item(s, "a.bin", total))
			},
		},
		{
			name: "a session tells how far it is",
			client: func(s *service) error {
				u, err := s.client.UploadStatus(s.ctx, clientBegun(s))
				return cmpErr(err, check(u.Next == unit, "session %+v", u))
			},
		},
		{
			name: "a fragment that is there already is 416", documented: "session/416-range",
			ask: func(s *service) *reply { return s.fragment(begun(s), 0, unit-1, total) }, client: fragment(0, unit), want: []error{onedrive.ErrRange},
		},
		{
			name: "a fragment out of order is 416", documented: "session/416-range",
			ask:    func(s *service) *reply { return s.fragment(s.session("a.bin", "fail"), unit, 2*unit-1, 3*unit) },
			client: fragment(2*unit, 10), want: []error{onedrive.ErrRange},
		},
		{
			name: "a fragment of an odd length is refused", documented: "error/400-general",
			ask: func(s *service) *reply { return s.fragment(s.session("a.bin", "fail"), 0, unit-2, total) },
		},
		{
			name: "a total that changes is refused", documented: "error/400-general",
			ask: func(s *service) *reply { return s.fragment(begun(s), unit, 2*unit-1, total+1) },
		},
		{
			name: "DELETE ends a session with 204", documented: "session/204-cancelled",
			ask:    func(s *service) *reply { return s.wire("DELETE", begun(s), "") },
			client: func(s *service) error { return s.client.CancelUpload(s.ctx, clientBegun(s)) },
		},
		{
			name: "a session that has ended is 404", documented: "session/404-gone",
			ask: func(s *service) *reply { u := begun(s); s.wire("DELETE", u, ""); return s.wire("GET", u, "") },
			client: func(s *service) error {
				u := clientBegun(s)
				_, err := s.client.UploadStatus(s.ctx, u)
				if err := cmpErr(err, s.client.CancelUpload(s.ctx, u), s.client.CancelUpload(s.ctx, u)); err != nil {
					return fmt.Errorf("before the end: %w", err)
				}
				_, err = s.client.PutFragment(s.ctx, u, unit, total, make([]byte, unit))
				return err
			},
			want: []error{onedrive.ErrSessionGone},
		},
		{
			name: "a session that is complete is gone",
			client: func(s *service) error {
				u, err := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
				if err == nil {
					_, err = s.client.PutFragment(s.ctx, u.URL, 0, 10, make([]byte, 10))
				}
				if err != nil {
					return fmt.Errorf("before the end: %w", err)
				}
				_, err = s.client.UploadStatus(s.ctx, u.URL)
				return err
			},
			want: []error{onedrive.ErrSessionGone},
		},
		{
			name: "a session expires", order: func(*service) {},
			client: func(s *service) error {
				u := clientBegun(s)
				s.stand.Advance(25 * 60 * 60 * 1e9)
				_, err := s.client.UploadStatus(s.ctx, u)
				return err
			},
			want: []error{onedrive.ErrSessionGone},
		},
		{
			name: "the key in an upload URL can die before its session", documented: "session/403-tempauth-expired",
			order: conduct(func(c *fakegraph.Conduct) { c.TokenExpires = 60 * 1e9 }),
			ask:   func(s *service) *reply { u := begun(s); s.stand.Advance(61 * 1e9); return s.wire("GET", u, "") },
			client: func(s *service) error {
				u := clientBegun(s)
				s.stand.Advance(61 * 1e9)
				_, err := s.client.UploadStatus(s.ctx, u)
				return err
			},
			want: []error{onedrive.ErrSessionGone},
		},
		{
			name: "a bearer on an upload URL is refused", documented: "session/401-bearer-or-dead",
			ask: func(s *service) *reply {
				return s.fragment(s.session("a.bin", "fail"), 0, unit-1, total, "Authorization", "Bearer "+s.token)
			},
		},
		{
			name: "our client brings no bearer to upload URLs", order: func(*service) {},
			client: func(s *service) error {
				_, err := upload(s, "a.bin", onedrive.Fail, total)
				u, err2 := s.client.CreateUploadSession(s.ctx, s.folder, "b.bin", onedrive.Fail)
				_, err3 := s.client.UploadStatus(s.ctx, u.URL)
				counts := s.stand.Counts()
				return cmpErr(err, err2, err3, s.client.CancelUpload(s.ctx, u.URL), check(counts["bearerOnUpload"] == 0, "counts %v", counts))
			},
		},
		{
			name: "a taken name shows when the session is made with fail", documented: "session/409-name-exists",
			ask: func(s *service) *reply { s.put("A.BIN", meow); return s.openSession("a.bin", "fail") },
			client: func(s *service) error {
				s.put("A.BIN", meow)
				_, err := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
				return err
			},
			want: []error{onedrive.ErrNameExists},
		},
		{
			name: "a taken name can show at the last fragment", documented: "session/409-name-exists",
			order: conduct(func(c *fakegraph.Conduct) { c.Conflict = "last" }),
			ask:   func(s *service) *reply { s.put("A.BIN", meow); return s.fragment(begun(s), unit, total-1, total) },
			client: func(s *service) error {
				s.put("A.BIN", meow)
				_, err := upload(s, "a.bin", onedrive.Fail, total)
				return err
			},
			want: []error{onedrive.ErrNameExists},
		},
		{
			name: "a taken name can show at the first fragment", documented: "session/409-name-exists",
			order: func(s *service) {
				conduct(func(c *fakegraph.Conduct) { c.Conflict = "first" })(s)
				s.put("a.bin", meow)
			},
			ask:    func(s *service) *reply { return s.fragment(s.session("a.bin", "fail"), 0, unit-1, total) },
			client: func(s *service) error { _, err := upload(s, "a.bin", onedrive.Fail, total); return err },
			want:   []error{onedrive.ErrNameExists},
		},
		{
			name: "a session with rename keeps both",
			client: func(s *service) error {
				s.put("a.bin", meow)
				a, err := upload(s, "a.bin", onedrive.Rename, total)
				return cmpErr(err, check(a.Item != nil && a.Item.Name == "a 1.bin", "answer %+v", a), item(s, "a.bin", int64(len(meow))))
			},
		},
		{
			name: "a session with replace changes the file that is there",
			client: func(s *service) error {
				id := s.put("a.bin", meow).text("id")
				a, err := upload(s, "a.bin", onedrive.Replace, total)
				return cmpErr(err, check(a.Item != nil && a.Item.ID == id && a.Item.Size == total, "answer %+v", a))
			},
		},
		{
			name: "a work drive has one session for one name", documented: "session/409-name-exists", account: "alex@work.example",
			ask: func(s *service) *reply { s.session("a.bin", "fail"); return s.openSession("a.bin", "fail") },
			client: func(s *service) error {
				s.session("a.bin", "fail")
				_, err := s.client.CreateUploadSession(s.ctx, s.folder, "a.bin", onedrive.Fail)
				return err
			},
			want: []error{onedrive.ErrNameExists},
		},
		{
			name: "a file that is locked is 423", documented: "session/423-access-denied",
			order:  func(s *service) { s.put("a.bin", meow); conduct(func(c *fakegraph.Conduct) { c.Locked = "a.bin" })(s) },
			ask:    func(s *service) *reply { return s.openSession("a.bin", "replace") },
			client: func(s *service) error { _, err := upload(s, "a.bin", onedrive.Replace, total); return err },
			want:   []error{onedrive.ErrLocked},
		},
		{
			name: "an upload into a full drive is quotaLimitReached", documented: "session/507-full",
			order:  conduct(func(c *fakegraph.Conduct) { c.Full = true }),
			ask:    func(s *service) *reply { return s.fragment(s.session("a.bin", "fail"), 0, unit-1, total) },
			client: func(s *service) error { _, err := upload(s, "a.bin", onedrive.Fail, total); return err },
			want:   []error{onedrive.ErrQuota},
		},
		{
			name: "a file that the scanner dislikes is blocked", documented: "error/403-malware", order: func(*service) {},
			ask: func(s *service) *reply { return s.graph("PUT", "{folder}:/a.com.txt:/content", eicar()) },
			client: func(s *service) error {
				_, err := s.client.PutContent(s.ctx, s.folder, "a.txt", "", "", int64(len(eicar())), strings.NewReader(eicar()))
				return err
			},
			want: []error{onedrive.ErrMalware},
		},
	}
}

// eicar is the harmless file that every scanner calls malware, in two parts so that none takes this file for it.
func eicar() string {
	return `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`
}

// natives are the tempers of upload-from-URL.
func natives() []behaviour {
	temper := func(name string) func(*service) {
		return conduct(func(c *fakegraph.Conduct) { c.Temper = name })
	}
	save := func(s *service) error { _, err := s.save("a.png"); return err }
	post := func(s *service) *reply { return s.saveFromURL("a.png") }
	native := onedrive.ErrNativeUnavailable
	return []behaviour{
		{
			name: "upload from URL is accepted with a monitor and no more", documented: "native/202-monitor", order: temper("legacy"),
			ask: post,
			client: func(s *service) error {
				job, err := s.save("a.png")
				counts := s.stand.Counts()
				return cmpErr(err, check(job.State == onedrive.JobCompleted && job.ItemID != "", "job %+v", job),
					check(counts["bearerOnMonitor"] == 0 && counts["postSourceUrl"] == 1, "counts %v", counts))
			},
		},
		{
			name: "upload from URL is refused where it is retired", documented: "native/400-not-supported", order: temper("retired"),
			ask: post, client: save, want: []error{native, onedrive.ErrNotSupported},
		},
		{
			name: "upload from URL is refused for work accounts", documented: "native/409-business", account: "alex@work.example",
			ask:    func(s *service) *reply { r := post(s); r.json = nil; return withCode(r, "generalException") },
			client: save, want: []error{native, onedrive.ErrNotSupported},
		},
		{
			name: "upload from URL without Prefer: respond-async makes no file", order: temper("legacy"),
			client: func(s *service) error {
				s.saveFromURL("a.png", "Prefer", "")
				return item(s, "a.png", 1)
			},
			want: []error{onedrive.ErrNotFound},
		},
		{
			name: "upload from URL can make an empty file instead", documented: "native/201-empty-item", order: temper("retired201"),
			ask: post, client: save, want: []error{native},
		},
		{
			name: "upload from URL can be accepted without a monitor", documented: "native/202-without-location", order: temper("retiredNoLocation"),
			ask: post, client: save, want: []error{native, onedrive.ErrNoMonitor},
		},
		{
			name: "upload from URL can be accepted and fail at once", documented: "monitor/500-failed", order: temper("retired202"),
			ask: func(s *service) *reply { return s.lastAnswer(s.monitorOf("a.png")) },
			client: func(s *service) error {
				job, err := s.save("a.png")
				return cmpErr(err, check(job.State == onedrive.JobFailed, "job %+v", job))
			},
		},
		{
			name: "upload from URL of a source that is not there fails later", order: temper("legacy"),
			client: func(s *service) error {
				s.stand.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseSource, Status: 404})
				job, err := s.save("a.png")
				return cmpErr(err, check(job.State == onedrive.JobFailed, "job %+v", job))
			},
		},
		{
			name: "upload from URL replaces whatever was asked", order: temper("legacy"),
			client: func(s *service) error {
				s.put("a.png", meow)
				_, err := s.save("a.png") // asks for fail
				got, err2 := s.client.Child(s.ctx, s.folder, "a.png")
				return cmpErr(err, err2, check(got.Size != int64(len(meow)), "the old file is there"))
			},
		},
		{
			name: "accepted is not saved: a job can complete without a file", order: conduct(func(c *fakegraph.Conduct) { c.Vanish = true }),
			client: func(s *service) error {
				job, err := s.save("a.png")
				if err = cmpErr(err, check(job.State == onedrive.JobCompleted, "job %+v", job)); err != nil {
					return err
				}
				_, err = s.client.Item(s.ctx, onedrive.Ref{ID: job.ItemID})
				return err
			},
			want: []error{onedrive.ErrNotFound},
		},
		{
			name: "a POST whose answer is lost has happened all the same", order: fault(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Reset, After: true}),
			client: func(s *service) error {
				_, err := s.save("a.png")
				if n := s.stand.Counts()["postSourceUrl"]; n != 1 {
					return fmt.Errorf("%d POSTs", n)
				}
				return err
			},
			want: []error{onedrive.ErrUnavailable},
		},
	}
}

// withCode reads the answer again with another code: the documented refusal of work accounts has none that is sure.
func withCode(r *reply, code string) *reply {
	r.json = map[string]any{"error": map[string]any{"code": code, "message": ""}}
	return r
}

// monitors are the shapes in which the stand-in can tell how a job stands.
func monitors() []behaviour {
	var rows []behaviour
	for shape, file := range map[string]string{
		"303": "303-location", "303body": "303-body-without-location", "303empty": "303-location-without-an-id", "302": "302-location-pre-authenticated",
		"202": "202-completed", "200": "200-completed", "200upper": "200-completed-without-an-id", "200item": "200-item",
	} {
		rows = append(rows, behaviour{
			name: "a job can complete as " + file, documented: "monitor/" + file,
			order: conduct(func(c *fakegraph.Conduct) { c.Completion = shape }),
			ask:   func(s *service) *reply { return s.lastAnswer(s.monitorOf("a.png")) },
			client: func(s *service) error {
				job, err := s.save("a.png")
				if err = cmpErr(err, check(job.State == onedrive.JobCompleted && (job.ItemID == "") == (shape == "303empty"), "job %+v", job)); err != nil {
					return err
				}
				got, err := s.client.Child(s.ctx, s.folder, "a.png")
				return cmpErr(err, check(job.ItemID == "" || job.ItemID == got.ID, "job %+v made %+v", job, got))
			},
		})
	}
	ends := map[string]struct {
		file  string
		state onedrive.JobState
		err   []error
	}{
		"500":                  {"500-failed", failed, nil},
		"202operation":         {"202-failed-operation", failed, nil},
		"errorCode":            {"200-failed-access-denied", failed, nil},
		"deleteFailed":         {"200-delete-failed", failed, nil},
		"cancelled":            {"200-cancelled", cancelled, nil},
		"500operationNotFound": {"500-operation-not-found", forgotten, nil},
		"404operationNotFound": {"404-operation-not-found", forgotten, nil},
		"500empty":             {"500-empty", nothing, []error{onedrive.ErrUnavailable}},
		"500html":              {"502-html", nothing, []error{onedrive.ErrUnavailable}},
		"envelope":             {"500-general-exception", nothing, []error{onedrive.ErrUnavailable}},
	}
	for shape, end := range ends {
		row := behaviour{
			name: "a job can fail as " + end.file, documented: "monitor/" + end.file, want: end.err,
			order: func(s *service) {
				conduct(func(c *fakegraph.Conduct) { c.Failure = shape })(s)
				s.stand.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseSource, Status: 404, Times: -1})
			},
			ask: func(s *service) *reply { return s.lastAnswer(s.monitorOf("a.png")) },
			client: func(s *service) error {
				job, err := s.save("a.png")
				return cmpErr(err, check(job.State == end.state, "job %+v", job))
			},
		}
		if shape == "500html" {
			row.ask = nil // the file says 502
		}
		rows = append(rows, row)
	}
	return append(rows,
		behaviour{
			name: "a monitor begins with notStarted", documented: "monitor/202-not-started", order: conduct(func(c *fakegraph.Conduct) { c.Stuck = true }),
			ask: func(s *service) *reply { return s.wire("GET", s.monitorOf("a.png"), "") },
		},
		behaviour{
			name: "a monitor refuses a bearer", documented: "monitor/401-unauthenticated", order: func(*service) {},
			ask: func(s *service) *reply {
				return s.wire("GET", s.monitorOf("a.png"), "", "Authorization", "Bearer "+s.token)
			},
			also: func(s *service, _ *reply) {
				if n := s.stand.Counts()["bearerOnMonitor"]; n != 1 {
					s.t.Errorf("the stand-in counted %d bearers", n)
				}
			},
		},
		behaviour{
			name: "a monitor can be lost", documented: "monitor/404-operation-not-found", order: conduct(func(c *fakegraph.Conduct) { c.MonitorLost = true }),
			ask: func(s *service) *reply { return s.lastAnswer(s.monitorOf("a.png")) },
			client: func(s *service) error {
				job, err := s.save("a.png")
				return cmpErr(err, check(job.State == onedrive.JobForgotten, "job %+v", job))
			},
		},
		behaviour{
			name: "a monitor is forgotten some hours after its end", documented: "monitor/404-operation-not-found", order: func(*service) {},
			ask: func(s *service) *reply {
				monitor := s.monitorOf("a.png")
				s.lastAnswer(monitor)
				s.stand.Advance(5 * 60 * 60 * 1e9)
				return s.wire("GET", monitor, "")
			},
		},
		behaviour{
			name: "a work drive's job answers 200 while it runs", account: "alex@work.example", documented: "monitor/200-in-progress",
			order: conduct(func(c *fakegraph.Conduct) { c.Temper, c.Slow = "legacy", 1 }), // one byte a second
			ask: func(s *service) *reply {
				monitor := s.monitorOf("a.png")
				got := s.wire("GET", monitor, "")
				for range 1000 {
					if got.text("status") == "inProgress" {
						break
					}
					got = s.wire("GET", monitor, "")
				}
				return got
			},
		},
	)
}

// refusals are answers that any call can meet.
func refusals() []behaviour {
	read := func(s *service) *reply { return s.graph("GET", "/me/drive", "") }
	readBy := func(s *service) error { _, err := s.client.Item(s.ctx, s.folder); return err }
	return []behaviour{
		{
			name: "a call too many is 429 with Retry-After", documented: "error/429-seconds",
			order: conduct(func(c *fakegraph.Conduct) { c.Throttled = true }), ask: read, client: readBy, want: []error{onedrive.ErrThrottled},
		},
		{
			name: "near the limit RateLimit headers appear, and tell the wait when it is reached", documented: "error/429-rate-limit",
			order: conduct(func(c *fakegraph.Conduct) { c.UnitsPerMinute = 3 }),
			ask:   func(s *service) *reply { read(s); read(s); read(s); return read(s) },
		},
		{
			name: "503 comes as a page", documented: "error/503-retry-after",
			order: fault(fakegraph.Fault{Status: 503, Times: -1, Body: "<html>", Header: map[string]string{"Content-Type": "text/html", "Retry-After": "30"}}),
			ask:   read, client: readBy, want: []error{onedrive.ErrThrottled},
		},
		{
			name: "a token that ran out is refused once and refreshed", order: func(*service) {},
			client: func(s *service) error {
				_, err := s.client.Item(s.ctx, s.folder)
				s.stand.ExpireTokens(s.login)
				return cmpErr(err, readBy(s))
			},
		},
		{
			name: "another's drive is not found", documented: "error/404-item", order: func(*service) {},
			ask: func(s *service) *reply {
				other, err := s.stand.Client(s.t, "kim@demo.example").Drive(s.ctx, "")
				if err != nil {
					s.t.Fatal(err)
				}
				return s.graph("GET", "/drives/"+other.ID+"/root", "")
			},
		},
	}
}
