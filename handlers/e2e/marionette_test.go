package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// firefox is a headless Firefox of its own, driven by Marionette, the protocol that it speaks
// itself: each message is its length, a colon and JSON.
// https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
type firefox struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	id   int
}

// geckoOrigin is where the extension's pages are in tests; Firefox would choose it at random.
const (
	geckoUUID   = "3f2a1c7e-5b8d-4a6f-9c0e-7d1b2e3f4a5c"
	geckoOrigin = "moz-extension://" + geckoUUID + "/"
)

// newFirefox starts one. Each of prepare may put files into its profile and gives more settings.
func newFirefox(t testing.TB, prepare ...func(profile string) string) *firefox {
	t.Helper()
	profile := newProfile(t)
	prefs := `user_pref("marionette.port", 0);
user_pref("extensions.webextensions.uuids", "{\"extension@skylift\":\"` + geckoUUID + `\"}");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("app.update.disabledForTesting", true);
user_pref("ui.prefersReducedMotion", 1);
`
	for _, p := range prepare {
		prefs += p(profile)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(firefoxPath, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile)
	cmd.Env = append(os.Environ(), "MOZ_HEADLESS_WIDTH=1200", "MOZ_HEADLESS_HEIGHT=900", "HOME="+profile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	f := &firefox{t: t}
	eventually(t, "Firefox to say its port", func() bool {
		port, err := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if err != nil || len(port) == 0 {
			return false
		}
		f.conn, err = net.Dial("tcp", "localhost:"+strings.TrimSpace(string(port)))
		return err == nil
	})
	t.Cleanup(func() { f.conn.Close() })
	f.in = bufio.NewReader(f.conn)
	f.read() // the greeting
	f.Do("WebDriver:NewSession", map[string]any{})
	f.Do("WebDriver:SetTimeouts", map[string]any{"script": 20000, "pageLoad": 30000, "implicit": 0})
	return f
}

func (f *firefox) read() []byte {
	f.t.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(patience))
	length, err := f.in.ReadString(':')
	if err != nil {
		f.t.Fatalf("Firefox went silent: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		f.t.Fatal(err)
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(f.in, message); err != nil {
		f.t.Fatal(err)
	}
	return message
}

// try sends a command and returns its result.
func (f *firefox) try(command string, params any) (json.RawMessage, error) {
	f.t.Helper()
	f.id++
	message, err := json.Marshal([]any{0, f.id, command, params})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(f.conn, "%d:%s", len(message), message); err != nil {
		f.t.Fatal(err)
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(f.read(), &answer); err != nil {
		f.t.Fatal(err)
	}
	if string(answer[2]) != "null" {
		return nil, fmt.Errorf("%s: %.600s", command, answer[2])
	}
	return answer[3], nil
}

// Do sends a command that must work.
func (f *firefox) Do(command string, params any) json.RawMessage {
	f.t.Helper()
	result, err := f.try(command, params)
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

// script runs the body of a function, in the page or (chrome) in the browser itself, with what
// its promise gives.
func script[T any](f *firefox, chrome bool, body string, args ...any) (T, error) {
	f.t.Helper()
	var answer struct{ Value T }
	where := "content"
	if chrome {
		where = "chrome"
	}
	if args == nil {
		args = []any{}
	}
	f.Do("Marionette:SetContext", map[string]any{"value": where})
	params := map[string]any{"script": "const done = arguments[arguments.length - 1]; (async (...args) => {" + body + "})(...arguments).then(v => done({ v }), e => done({ e: String(e) }))", "args": args, "newSandbox": true, "sandbox": nil}
	raw, err := f.try("WebDriver:ExecuteAsyncScript", params)
	f.Do("Marionette:SetContext", map[string]any{"value": "content"})
	if err != nil {
		return answer.Value, err
	}
	var wrapped struct {
		Value struct {
			V T      `json:"v"`
			E string `json:"e"`
		}
	}
	if err := json.Unmarshal(raw, &wrapped); err != nil {
		return answer.Value, fmt.Errorf("%w in %s", err, raw)
	}
	if wrapped.Value.E != "" {
		return wrapped.Value.V, fmt.Errorf("script: %s", wrapped.Value.E)
	}
	return wrapped.Value.V, nil
}

// WaitScript runs a script until it gives true.
func (f *firefox) WaitScript(what string, chrome bool, body string, args ...any) {
	f.t.Helper()
	var last error
	end := time.Now().Add(patience)
	for ok := false; !ok; {
		if ok, last = script[bool](f, chrome, body, args...); !ok && time.Now().After(end) {
			f.t.Fatalf("gave up waiting for %s: %v", what, last)
		}
	}
}

// Click clicks the element with that data-testid, once it is there.
func (f *firefox) Click(id string) {
	f.t.Helper()
	f.WaitScript(id, false, `return !!document.querySelector('[data-testid="' + args[0] + '"]')`, id)
	var found struct{ Value map[string]string }
	raw := f.Do("WebDriver:FindElement", map[string]any{"using": "css selector", "value": `[data-testid="` + id + `"]`})
	if err := json.Unmarshal(raw, &found); err != nil {
		f.t.Fatal(err)
	}
	for _, element := range found.Value {
		f.Do("WebDriver:ElementClick", map[string]any{"id": element})
	}
}

// SwitchTo goes to the window or tab whose address contains part, once there is one.
func (f *firefox) SwitchTo(part string) {
	f.t.Helper()
	eventually(f.t, "a window with "+part, func() bool {
		var handles []string
		if err := json.Unmarshal(f.Do("WebDriver:GetWindowHandles", map[string]any{}), &handles); err != nil {
			f.t.Fatal(err)
		}
		for _, h := range handles {
			if _, err := f.try("WebDriver:SwitchToWindow", map[string]any{"handle": h, "focus": true}); err != nil {
				continue
			}
			if at, err := script[string](f, false, `return location.href`); err == nil && strings.Contains(at, part) {
				return true
			}
		}
		return false
	})
}

// Window is the window or tab that is driven.
func (f *firefox) Window() string {
	f.t.Helper()
	var answer struct{ Value string }
	if err := json.Unmarshal(f.Do("WebDriver:GetWindowHandle", map[string]any{}), &answer); err != nil {
		f.t.Fatal(err)
	}
	return answer.Value
}

// SwitchToWindow goes to a window or tab that is known.
func (f *firefox) SwitchToWindow(handle string) {
	f.t.Helper()
	f.Do("WebDriver:SwitchToWindow", map[string]any{"handle": handle, "focus": true})
}

// WaitClosed waits until a window or tab is gone.
func (f *firefox) WaitClosed(handle string) {
	f.t.Helper()
	eventually(f.t, "the window to close", func() bool {
		var handles []string
		if err := json.Unmarshal(f.Do("WebDriver:GetWindowHandles", map[string]any{}), &handles); err != nil {
			f.t.Fatal(err)
		}
		return !slices.Contains(handles, handle)
	})
}

// Frame goes into the page's first frame.
func (f *firefox) Frame() {
	f.t.Helper()
	f.Do("WebDriver:SwitchToFrame", map[string]any{"id": 0})
}

// Shot keeps a picture of the browser's window.
func (f *firefox) Shot(name string) {
	f.t.Helper()
	if !shots() {
		return
	}
	f.Do("Marionette:SetContext", map[string]any{"value": "chrome"})
	var answer struct{ Value string }
	err := json.Unmarshal(f.Do("WebDriver:TakeScreenshot", map[string]any{"full": true, "hash": false}), &answer)
	f.Do("Marionette:SetContext", map[string]any{"value": "content"})
	png, err2 := base64.StdEncoding.DecodeString(answer.Value)
	if err != nil || err2 != nil {
		f.t.Fatal(err, err2)
	}
	shot(f.t, name, png)
}

// policy prepares what an organisation sets for the extension.
func policy(t testing.TB, settings map[string]any) func(profile string) string {
	return func(profile string) string {
		managed := need(json.Marshal(map[string]any{"name": "extension@skylift", "description": "tests", "type": "storage", "data": settings}))(t)
		for _, home := range []string{".mozilla", ".config/mozilla"} { // where Firefox looks depends on its age
			dir := filepath.Join(profile, home, "managed-storage")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "extension@skylift.json"), managed, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return ""
	}
}
