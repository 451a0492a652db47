package fakegraph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

// refreshToken signs an account in as an app would and gives the refresh token.
func (m *microsoft) refreshToken(login string) string {
	m.t.Helper()
	m.SetConsent(login, "all")
	query := url.Values{
		"client_id": {"rclone"}, "response_type": {"code"}, "redirect_uri": {"http://localhost:53682/"}, "prompt": {"none"}, "login_hint": {login},
		"scope": {"Files.Read Files.ReadWrite Files.Read.All Files.ReadWrite.All offline_access"}, "state": {"s"},
	}
	asked := m.ask("", "GET", "/common/oauth2/v2.0/authorize?"+query.Encode(), nil)
	back, err := url.Parse(asked.header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		m.t.Fatalf("authorize: %d %s %s", asked.status, asked.header.Get("Location"), asked.body)
	}
	res, err := m.client.PostForm(m.url+"/common/oauth2/v2.0/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "client_id": {"rclone"}, "client_secret": {"secret"}, "redirect_uri": {"http://localhost:53682/"},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Refresh == "" || res.StatusCode != http.StatusOK {
		m.t.Fatalf("token: %d %v", res.StatusCode, err)
	}
	return token.Refresh
}

// rclone runs the program that stands on PATH with a configuration for this stand-in. Its
// tenant_url with tenant_api_version v1.0 is the stand-in's Graph base, so nothing of rclone is
// changed and no proxy is needed. The access token of the configuration is long expired: the
// first thing that rclone does is to refresh it.
func (m *microsoft) rclone(t *testing.T, login string) func(args ...string) string {
	program, err := exec.LookPath("rclone")
	if err != nil {
		t.Skip("rclone is not on PATH: go install github.com/rclone/rclone@v1.76.0")
	}
	drive := m.ask(login, "GET", "/v1.0/me/drive", nil)
	token, _ := json.Marshal(map[string]any{"access_token": "old", "token_type": "Bearer", "refresh_token": m.refreshToken(login), "expiry": time.Unix(0, 0)})
	config := filepath.Join(t.TempDir(), "rclone.conf")
	text := fmt.Sprintf("[od]\ntype = onedrive\nclient_id = rclone\nclient_secret = secret\nauth_url = %[1]s/common/oauth2/v2.0/authorize\ntoken_url = %[1]s/common/oauth2/v2.0/token\n"+
		"tenant_url = %[1]s\ntenant_api_version = v1.0\ntoken = %[2]s\ndrive_id = %[3]s\ndrive_type = %[4]s\n", m.url, token, drive.text("id"), drive.text("driveType"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, append([]string{"--config", config, "--retries", "1", "--low-level-retries", "3"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rclone %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

// TestRcloneGoesRound lets a client that knows nothing of this project do its whole round.
func TestRcloneGoesRound(t *testing.T) {
	for _, login := range []string{robin, alex} {
		t.Run(login, func(t *testing.T) {
			m := startDrive(t, fakegraph.Options{})
			rclone := m.rclone(t, login)
			local := t.TempDir()
			small, large := []byte("small"), bytes.Repeat([]byte("0123456789abcdef"), 25<<16) // 25 MiB: three fragments
			write := func(name string, content []byte) string {
				path := filepath.Join(local, name)
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			if list := rclone("lsf", "od:"); !strings.Contains(list, "Pictures/") || !strings.Contains(list, "Archive/") {
				t.Errorf("lsf = %s", list)
			}
			if list := rclone("lsf", "od:Archive"); strings.Count(list, "\n") != 230 {
				t.Errorf("lsf of a folder of several pages = %d lines", strings.Count(list, "\n"))
			}
			rclone("mkdir", "od:Trip/Ümläut #1 100%")
			rclone("copyto", write("small.txt", small), "od:Trip/Ümläut #1 100%/small.txt")
			rclone("copyto", write("large.bin", large), "od:Trip/large.bin")
			rclone("copyto", write("empty", nil), "od:Trip/empty")
			rclone("copyto", write("small.txt", []byte("smaller")), "od:Trip/Ümläut #1 100%/small.txt")
			if got, ok := m.Content(login, "/Trip/Ümläut #1 100%/small.txt"); !ok || string(got) != "smaller" {
				t.Errorf("overwritten = %q", got)
			}
			if got, _ := m.Content(login, "/Trip/large.bin"); !bytes.Equal(got, large) {
				t.Errorf("large = %d bytes", len(got))
			}
			rclone("copyto", "od:Trip/large.bin", filepath.Join(local, "back.bin"))
			if got, _ := os.ReadFile(filepath.Join(local, "back.bin")); !bytes.Equal(got, large) {
				t.Errorf("downloaded = %d bytes", len(got))
			}
			rclone("moveto", "od:Trip/large.bin", "od:Trip/renamed.bin")
			rclone("copyto", "od:Trip/renamed.bin", "od:Trip/copied.bin")
			if list := rclone("lsf", "od:Trip"); list != "copied.bin\nempty\nrenamed.bin\nÜmläut #1 100%/\n" && !strings.Contains(list, "copied.bin") {
				t.Errorf("lsf = %s", list)
			}
			rclone("hashsum", "quickxor", "od:Trip")
			rclone("about", "od:")
			rclone("deletefile", "od:Trip/copied.bin")
			rclone("purge", "od:Trip")
			if list := rclone("lsf", "od:"); strings.Contains(list, "Trip") {
				t.Errorf("after purge: %s", list)
			}
			if counts := m.Counts(); counts["bearerOnUpload"]+counts["bearerOnMonitor"] != 0 {
				t.Errorf("bearers where none belong: %v", counts)
			}
		})
	}
}
