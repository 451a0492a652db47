package fakegraph_test

import (
	"net/http"
	"strings"
	"testing"

	"skylift/onedrive/fakegraph"
)

// What other people's clients do, found by letting them go round (testdata/clients).

func TestChildrenByNameAreAStepOfThePath(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	m.play(t, []row{
		{name: "PUT as onedrive-api does", method: "PUT", path: "/v1.0/me/drive/root/children('it''s.txt')/content", body: "text", status: 201, has: `"it's.txt"`},
		{name: "the item", method: "GET", path: "/v1.0/me/drive/root/children/it's.txt", status: 200, has: `"size":4`},
		{name: "its content", method: "GET", path: "/v1.0/me/drive/root/children/it's.txt/content", status: 302},
		{name: "no session for it on personal drives (OAD#746)", method: "POST", path: "/v1.0/me/drive/root/children('b.txt')/createUploadSession", status: 400, has: "invalidName"},
		{name: "no POST to a child", method: "POST", path: "/v1.0/me/drive/root/children/a", body: map[string]any{"name": "a", "folder": map[string]any{}}, status: 405},
	})
}

func TestApartFromGraphsHost(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Apart: true})
	if address := m.open(robin, "a.bin", nil); !strings.HasPrefix(address, "http://localhost:") {
		t.Errorf("uploadUrl of %s = %s", m.url, address)
	}
	item := m.ask(robin, "PUT", "/v1.0/me/drive/root:/a.txt:/content", "text")
	if address := item.text("@microsoft.graph.downloadUrl"); !strings.HasPrefix(address, "http://localhost:") {
		t.Errorf("downloadUrl = %s", address)
	}
	if monitor := m.native(robin, m.url+"/samples/tiles.png", "t.png").header.Get("Location"); !strings.HasPrefix(monitor, "http://localhost:") {
		t.Errorf("monitor = %s", monitor)
	}
}

// Whoever asks, and by whatever name, gets the addresses of the server.
func TestAddressesAreTheServersOwn(t *testing.T) {
	forged := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"}
	for public, want := range map[string]string{"https://graph.example:8443": "https://graph.example:8443/demo", "": ""} {
		m := startDrive(t, fakegraph.Options{URL: public})
		if want == "" {
			want = m.url
		}
		list := m.ask(robin, "GET", "/v1.0/me/drive/root/children?$top=1", nil, forged...)
		if next := list.text("@odata.nextLink"); !strings.HasPrefix(next, want+"/v1.0/") {
			t.Errorf("at %q: nextLink = %s", public, next)
		}
		about := m.ask("", "GET", "/consumers/v2.0/.well-known/openid-configuration", nil, forged...)
		for _, field := range []string{"issuer", "jwks_uri", "token_endpoint", "authorization_endpoint"} {
			if address := about.text(field); !strings.HasPrefix(address, want+"/") {
				t.Errorf("at %q: %s = %s", public, field, address)
			}
		}
	}
}

func TestABearerOnADownloadAddress(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	for _, test := range []struct {
		login  string
		direct int
	}{{robin, 401}, {alex, 200}} {
		item := m.ask(test.login, "PUT", "/v1.0/me/drive/root:/a.txt:/content", "text")
		for address, want := range map[string]int{
			item.text("@microsoft.graph.downloadUrl"):                                                   test.direct,
			m.ask(test.login, "GET", "/v1.0/me/drive/root:/a.txt:/content", nil).header.Get("Location"): 200,
		} {
			req, _ := http.NewRequest("GET", address, nil)
			req.Header.Set("Authorization", "Bearer "+m.Token(test.login))
			res, err := m.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s: %d, want %d", test.login, res.StatusCode, want)
			}
		}
	}
	if got := m.Counts()["bearerOnDownload"]; got != 4 {
		t.Errorf("bearerOnDownload = %d", got)
	}
}

func TestMissingRangesInOtherShapes(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	for shape, want := range map[string]string{"": "327680-", "closed": "327680-1638399", "pieces": "327680-655359"} {
		m.SetConduct(robin, func(c *fakegraph.Conduct) { c.Missing = shape })
		address := m.open(robin, "a"+shape+".bin", nil)
		got := m.put(address, 0, unit-1, 5*unit)
		if first, _ := got.json("nextExpectedRanges", 0).(string); first != want {
			t.Errorf("%q: %s", shape, got.body)
		}
	}
}

func TestADriveFollowsItsAccount(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	token := m.Token(robin)
	m.ask(robin, "GET", "/v1.0/me/drive", nil)
	for _, a := range m.Accounts() {
		if a.Login == robin {
			changed := *a
			changed.Name = "Robin Renamed"
			m.AddAccount(changed)
			if drive := m.ask(robin, "GET", "/v1.0/me/drive", nil); drive.json("owner", "user", "displayName") != "Robin Renamed" {
				t.Errorf("renamed: %s", drive.body)
			}
			changed.DriveType = "business"
			m.AddAccount(changed)
		}
	}
	if drive := m.ask(robin, "GET", "/v1.0/me/drive", nil, "Authorization: Bearer "+token); drive.text("driveType") != "business" {
		t.Errorf("another kind: %s", drive.body)
	}
}

// BenchmarkFirstDrive is the first look of an account at its drive.
func BenchmarkFirstDrive(b *testing.B) {
	for b.Loop() {
		s := fakegraph.New(fakegraph.Options{})
		s.Files(robin)
		s.Close()
	}
}
