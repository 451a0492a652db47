package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skylift/auth"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer/natsd"
)

// checked runs skylift -check, and wants no secret in what it says.
func checked(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, log strings.Builder
	err := run(t.Context(), append([]string{"-check"}, args...), nil, &out, &log)
	said := out.String() + log.String()
	if err != nil {
		said += err.Error()
	}
	if strings.Contains(said, "marked") {
		t.Errorf("a secret shows: %s", said)
	}
	return said, err
}

// line is the one that begins with these two words.
func line(said, verdict, at string) string {
	for l := range strings.Lines(said) {
		if words := strings.Fields(l); len(words) > 2 && words[0] == verdict && words[1] == at {
			return l
		}
	}
	return ""
}

// nobody is an address at which nobody listens.
const nobody = "127.0.0.1:1"

func TestTheSetUpIsChecked(t *testing.T) {
	microsoft := fakegraph.New(fakegraph.Options{Apps: []fakegraph.App{
		{ID: "app", Secrets: []string{"marked-secret"}, ExpiredSecrets: []string{"marked-past"}},
		{ID: "one-org", Secrets: []string{"marked-secret"}, SignInAudience: "AzureADMyOrg"},
	}})
	t.Cleanup(microsoft.Close)
	// at is Microsoft with a clock that is off from ours.
	at := func(off time.Duration) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			microsoft.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	good, empty := at(0), filepath.Join(t.TempDir(), "data")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<h1>Hello</h1>") }))
	t.Cleanup(page.Close)
	locked := t.TempDir()
	if _, err := auth.LoadOrCreateKeyring(locked); err != nil {
		t.Fatal(err)
	}
	node, err := natsd.Start(natsd.Options{Dir: locked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close(context.Background()) })
	open := t.TempDir()
	if err := os.WriteFile(filepath.Join(open, "keys"), []byte(auth.NewKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	keyless := t.TempDir() // as a copy that was put back without its keys
	if err := os.Mkdir(filepath.Join(keyless, "jetstream"), 0o700); err != nil {
		t.Fatal(err)
	}
	nats := strings.Replace(startNATS(t), "nats://", "nats://user:marked@", 1)

	for _, tt := range []struct {
		name        string
		args        []string
		verdict, at string // of a line
		says        string // in it
	}{
		{"all is well", nil, "ok", "client", "takes the secret"},
		{"the login host speaks for the tenant", nil, "ok", "login", good},
		{"personal accounts only", []string{"-tenant", "consumers"}, "ok", "login", "consumers"},
		{"Graph answers", nil, "ok", "graph", "/v1.0 answers"},
		{"the clock goes", nil, "ok", "clock", ""},
		{"the folder will be made", nil, "ok", "data", "GiB free"},
		{"the redirect URI", []string{"-url", "https://skylift.example"}, "note", "redirect", "https://skylift.example/auth/callback"},
		{"the redirect URI of a newcomer", nil, "note", "redirect", "http://127.0.0.1:1/auth/callback"},
		{"a redirect URI that Microsoft refuses", []string{"-url", "http://skylift.example"}, "wrong", "redirect", "https"},

		{"a wrong secret", []string{"-client-secret", "marked-id-of-secret"}, "wrong", "client", "AADSTS7000215"},
		{"a secret that has run out", []string{"-client-secret", "marked-past"}, "wrong", "client", "AADSTS7000222"},
		{"an unknown client id", []string{"-client-id", "marx"}, "wrong", "client", "AADSTS700016"},
		{"an app of one organisation, for all", []string{"-client-id", "one-org"}, "wrong", "client", "AADSTS50194"},
		{"a wrong tenant", []string{"-tenant", "11111111-2222-3333-4444-555555555555"}, "wrong", "login", "knows no tenant"},
		{"a login host that does not answer", []string{"-login-url", "http://" + nobody}, "wrong", "login", "refused"},
		{"a login host that is another server", []string{"-login-url", page.URL}, "wrong", "login", "is no login host"},
		{"a login host without https", []string{"-login-url", "http://login.invalid"}, "wrong", "login", "not https"},
		{"a Graph that does not answer", []string{"-graph-url", "http://" + nobody + "/v1.0"}, "wrong", "graph", "refused"},
		{"a Graph that is another server", []string{"-graph-url", page.URL + "/v1.0"}, "wrong", "graph", "no Graph"},
		{"a Graph without its version", []string{"-graph-url", good}, "wrong", "graph", "404"},
		{"a Graph without https", []string{"-graph-url", "http://graph.invalid/v1.0"}, "wrong", "graph", "not https"},
		{"a clock ten minutes ahead", []string{"-login-url", at(-10 * time.Minute)}, "wrong", "clock", "ahead"},
		{"a clock ten minutes behind", []string{"-login-url", at(10 * time.Minute)}, "wrong", "clock", "behind"},
		{"a clock two minutes ahead", []string{"-login-url", at(-2 * time.Minute)}, "note", "clock", "ahead"},
		{"the data folder of another", []string{"-data", locked}, "wrong", "data", "another Skylift"},
		{"keys that others can read", []string{"-data", open}, "wrong", "keys", "chmod 600"},
		{"data without their keys", []string{"-data", keyless}, "wrong", "keys", "put the file keys back"},
		{"keys of the settings", []string{"-data", keyless, "-keys", auth.NewKey()}, "ok", "keys", "SKYLIFT_KEYS"},
		{"nothing is kept", []string{"-data", natsd.Memory}, "note", "data", "nothing is kept"},
		{"another program at the address", []string{"-listen", strings.TrimPrefix(page.URL, "http://")}, "wrong", "listen", "another program"},
		{"another program at the public address", []string{"-url", page.URL}, "note", "address", "something else"},
		{"a public address that is not reached", []string{"-url", "http://" + nobody}, "note", "address", "not reached"},
		{"no public address", nil, "note", "address", "SKYLIFT_URL is not set"},
		{"a proxy that is not named", []string{"-url", "https://skylift.example"}, "note", "proxies", "SKYLIFT_TRUSTED_PROXIES"},
		{"everybody a proxy", []string{"-trusted-proxies", "0.0.0.0/0"}, "wrong", "proxies", "everybody"},
		{"Office without https", []string{"-embed-origins", "office"}, "note", "frames", "Office"},
		{"a frame without https", []string{"-embed-origins", "http://intranet.example"}, "note", "frames", "http://intranet.example"},
		{"a NATS server alone", []string{"-nats", nats, "-nats-replicas", "1"}, "ok", "cluster", "JetStream"},
		{"a NATS server alone, for three copies", []string{"-nats", nats}, "wrong", "cluster", "SKYLIFT_NATS_REPLICAS=1"},
		{"a cluster that is not there", []string{"-nats", "nats://user:marked@" + nobody}, "wrong", "cluster", "SKYLIFT_NATS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := checked(t, append([]string{"-listen", nobody, "-data", empty, "-client-id", "app", "-client-secret", "marked-secret", "-login-url", good, "-graph-url", good + "/v1.0"}, tt.args...)...)
			if !strings.Contains(line(said, tt.verdict, tt.at), tt.says) || line(said, tt.verdict, tt.at) == "" {
				t.Errorf("no line %q %q with %q in\n%s", tt.verdict, tt.at, tt.says, said)
			}
			if wrongs := strings.Count("\n"+said, "\nwrong "); (err != nil) != (wrongs > 0) || (tt.verdict == "wrong") != (wrongs == 1) {
				t.Errorf("%d lines are wrong, %v:\n%s", wrongs, err, said)
			}
		})
	}
	if _, err := os.Stat(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the check made the data folder: %v", err)
	}
}

func TestACheckOfWrongSettingsSaysWhatAStartSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := checked(t, "-data", file, "-tenant", "mars")
	if err == nil || !strings.Contains(said, "SKYLIFT_DATA: "+file+" is not a folder") || !strings.Contains(said, "SKYLIFT_TENANT") {
		t.Errorf("%v: %s", err, said)
	}
}

func TestACheckBesideARunningSkylift(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	said, err := checked(t, "-data", dir, "-listen", strings.TrimPrefix(p.url, "http://"), "-url", p.url)
	for verdict, at := range map[string]string{"ok": "address", "note": "data"} {
		if !strings.Contains(said, p.url[len("http://"):]) || line(said, verdict, at) == "" {
			t.Errorf("no line %s %s in\n%s", verdict, at, said)
		}
	}
	if err != nil || !strings.Contains(line(said, "note", "settings"), "demo") || strings.Contains(said, "client  ") {
		t.Errorf("%v in the demo:\n%s", err, said)
	}
}

func TestALookHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, find := range map[string]func(context.Context) finding{
			"that minds its time":     func(ctx context.Context) finding { <-ctx.Done(); return wrong("late") },
			"that does not mind it":   func(context.Context) finding { time.Sleep(time.Hour); return fine("late") },
			"whose check is given up": nil,
		} {
			begin, ctx := time.Now(), t.Context()
			if find == nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				cancel()
				find = func(ctx context.Context) finding { <-ctx.Done(); return wrong("given up") }
			}
			if f := (look{"x", find}).within(ctx, lookTime); f.verdict != "wrong" || time.Since(begin) > lookTime+time.Second {
				t.Errorf("a look %s: %+v after %s", name, f, time.Since(begin))
			}
		}
		time.Sleep(time.Hour) // of the bubble, for the look that does not mind
	})
}
