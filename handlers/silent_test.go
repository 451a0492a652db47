package handlers_test

import (
	"strings"
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

// A OneDrive that asks for a pause, or is down, refuses no save: what is asked for is stored, waits
// with its reason, and arrives where it was meant to.
func TestASaveIsTakenWhileOneDriveIsSilent(t *testing.T) {
	for _, silent := range []struct {
		name string
		hush func(*site) (end func())
		want string // the reason, when there is time to see it
	}{
		{"throttled", func(s *site) func() {
			s.microsoft.SetConduct(robin, func(c *fakegraph.Conduct) { c.Throttled, c.RetryAfter = true, time.Second })
			return func() { s.microsoft.SetConduct(robin, func(c *fakegraph.Conduct) { c.Throttled = false }) }
		}, "throttled"},
		{"down", func(s *site) func() {
			return s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseGraph, Status: 503, Times: -1}).Remove
		}, ""},
		{"mute", func(s *site) func() {
			return s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseGraph, Action: fakegraph.Stall, Times: -1}).Remove
		}, ""},
	} {
		t.Run(silent.name, func(t *testing.T) {
			if testing.Short() && silent.name == "mute" {
				t.SkipNow() // it waits several times
			}
			s := setup(t)
			b := s.signIn(robin)
			cats := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()
			end := silent.hush(s)
			began := time.Now()
			one := b.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("meadow.jpg"), "folderId": cats["id"].(string)}).want(202).json()
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("accepted after %v", took)
			}
			b.form("/transfers", "urls", s.sample("harbour.png"), "folder", cats["driveId"].(string)+"|"+cats["id"].(string)).want(303)
			gone := b.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("meadow.jpg"), "folderId": "NOSUCH!17"}).want(202).json()
			batch := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []map[string]string{{"sourceUrl": s.sample("meadow.jpg"), "name": "top.jpg"}}}).want(202).json()
			if silent.want != "" {
				b.waits(one["id"].(string), silent.want)
			}
			end()
			if got := b.final(one["id"].(string)); got["state"] != "completed" || got["folder"].(map[string]any)["path"] != "/Cats" {
				t.Errorf("ended as %v", got)
			}
			if got := b.final(gone["id"].(string)); got["state"] != "failed" || got["error"].(map[string]any)["code"] != "itemNotFound" {
				t.Errorf("into a folder that is not there: %v", got)
			}
			if got := b.final(batch["value"].([]any)[0].(map[string]any)["id"].(string)); got["state"] != "completed" || got["folder"].(map[string]any)["path"] != "/" {
				t.Errorf("of the batch: %v", got)
			}
			for _, row := range b.get("/api/v1/transfers").want(200).json()["value"].([]any) {
				b.final(row.(map[string]any)["id"].(string))
			}
			for _, path := range []string{"/Cats/meadow.jpg", "/Cats/harbour.png", "/top.jpg"} {
				if _, ok := s.microsoft.Content(robin, path); !ok {
					t.Errorf("%s is not there", path)
				}
			}
			hint := b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", cats["driveId"].(string)+"|"+cats["id"].(string))
			if !strings.Contains(hint.body, "You saved this into Cats before.") {
				t.Errorf("saved once more: %d\n%s", hint.status, hint.body)
			}
		})
	}
}

// A sign-in of Microsoft's that is gone refuses no save either: it waits for the person, and goes on when they are
// back. What needs OneDrive at once says why it cannot be, and does not ask for another key.
func TestASaveIsTakenWhileTheSignInIsGone(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	cats := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()
	s.microsoft.RevokeGrants(robin)
	s.microsoft.ExpireTokens(robin)
	if got := b.get("/api/v1/folders").want(401); got.code() != "signInRequired" || got.header("WWW-Authenticate") != "" {
		t.Errorf("%s, and asks for %q", got.body, got.header("WWW-Authenticate"))
	}
	one := b.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("meadow.jpg"), "folderId": cats["id"].(string)}).want(202).json()["id"].(string)
	two := b.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("harbour.png")}).want(202).json()
	if folder := two["folder"].(map[string]any); folder["name"] != "OneDrive" || folder["path"] != "/" {
		t.Errorf("into %v", folder)
	}
	b.form("/transfers", "urls", s.sample("tiles.png")).want(303)
	// Bytes that a client holds could not be taken: it is told at once.
	if got := b.json("POST", "/api/v1/transfers", map[string]string{"route": "upload", "name": "a.bin"}).want(401); got.code() != "signInRequired" {
		t.Errorf("an upload: %s", got.body)
	}
	b.waits(one, "signInRequired")
	s.signIn(robin)
	if got := b.final(one); got["state"] != "completed" || got["folder"].(map[string]any)["path"] != "/Cats" {
		t.Errorf("ended as %v", got)
	}
	if got := b.final(two["id"].(string)); got["state"] != "completed" {
		t.Errorf("ended as %v", got)
	}
	if got := s.browser().get("/api/v1/me").want(401); got.code() != "unauthenticated" || got.header("WWW-Authenticate") == "" {
		t.Errorf("a stranger: %s, and is asked for %q", got.body, got.header("WWW-Authenticate"))
	}
}

// A folder that nobody could look at is named as far as it is known: a path is always there.
func TestAnUnseenFolderHasAPath(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	s.microsoft.SetConduct(robin, func(c *fakegraph.Conduct) { c.Throttled, c.RetryAfter = true, 7*time.Second })
	for id, want := range map[string]any{"": "/", "NOSUCH!17": ""} {
		folder := b.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("meadow.jpg"), "folderId": id}).want(202).json()["folder"].(map[string]any)
		if folder["path"] != want {
			t.Errorf("folder %q: %v, want the path %q", id, folder, want)
		}
	}
	if got := b.get("/api/v1/me").want(503); got.code() != "oneDriveBusy" || got.header("Retry-After") != "7" {
		t.Errorf("OneDrive asks for 7 seconds, we for %q: %s", got.header("Retry-After"), got.body)
	}
}

// waits follows the transfer until it waits for the reason.
func (b *browser) waits(id, reason string) {
	b.s.t.Helper()
	events := b.events("/api/v1/events")
	for !strings.Contains(events.until(id).data, `"reason":"`+reason+`"`) {
	}
}

func TestACursorThatIsNoneIsABadRequest(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, cursor := range []string{"nonsense!", "bm9uc2Vuc2U", "aHR0cHM6Ly9ldmlsLmV4YW1wbGUvY2hpbGRyZW4"} {
		if got := b.get("/api/v1/folders?cursor=" + cursor).want(400).json(); got["code"] != "invalidRequest" {
			t.Errorf("%s: %v", cursor, got)
		}
		if got := b.get("/folders?cursor=" + cursor).want(400); !strings.Contains(got.body, "Open the folder again") {
			t.Errorf("%s: %s", cursor, got.body)
		}
	}
}

func TestAMissingTransferIsCalledOne(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	if got := b.get("/api/v1/transfers/01JD0000000000000000000000").want(404).json(); got["code"] != "notFound" || got["title"] != "There is no such transfer." {
		t.Errorf("%v", got)
	}
	if got := b.form("/transfers/01JD0000000000000000000000/retry").want(404); !strings.Contains(got.body, "There is no such transfer.") {
		t.Errorf("%s", got.body)
	}
}

// A reader that says that it has seen nothing hears of everything.
func TestAStreamFromZeroTellsOfEverything(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.submit(s.sample("meadow.jpg"))
	b.final(id)
	for _, stream := range []*eventStream{b.events("/api/v1/events", "Last-Event-ID", "0"), b.events("/api/v1/events?since=0")} {
		stream.until(id, `"state":"completed"`)
	}
}
