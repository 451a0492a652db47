package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The accounts of the demo's stand-in.
const (
	robin = "robin@demo.example" // personal: OneDrive fetches addresses itself
	kim   = "kim@demo.example"   // personal: OneDrive refuses to
	alex  = "alex@work.example"  // work or school
)

// signedIn starts the demo and a browser profile in which login is signed in.
func signedIn(t testing.TB, login string, env ...string) (*app, *Page) {
	t.Helper()
	a := start(t, env...)
	p := open(t, "")
	p.SignIn(a, login)
	return a, p
}

// SignIn signs in at the demo's stand-in by the pages that a person would use, and comes back
// to the start page.
func (p *Page) SignIn(a *app, login string) {
	p.t.Helper()
	p.Open(a.URL + "/auth/login")
	p.Front() // an extension may have opened a tab of its own meanwhile
	p.Click("account-" + login)
	p.WaitVisible("who")
	p.WaitLoaded()
}

// drive looks into what somebody keeps at the stand-in, past Skylift.
type drive struct {
	app   *app
	token string
}

// Drive opens the drive of login, as another app of that person would.
func (a *app) Drive(login string) *drive {
	a.t.Helper()
	const redirect = "http://localhost:1/callback"
	base := a.URL + "/demo/common/oauth2/v2.0"
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patience}
	res, err := client.Get(base + "/authorize?" + url.Values{
		"client_id": {"e2e"}, "response_type": {"code"}, "redirect_uri": {redirect}, "scope": {"Files.ReadWrite offline_access"},
		"prompt": {"none"}, "login_hint": {login}, "state": {"s"},
	}.Encode())
	if err != nil {
		a.t.Fatal(err)
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		a.t.Fatalf("the stand-in answers %d without a redirect", res.StatusCode)
	}
	res, err = client.PostForm(base+"/token", url.Values{
		"client_id": {"e2e"}, "client_secret": {"e2e"}, "grant_type": {"authorization_code"}, "redirect_uri": {redirect}, "code": {to.Query().Get("code")},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Access == "" {
		a.t.Fatalf("no token for %s: %d, %v, sent to %s", login, res.StatusCode, err, to)
	}
	return &drive{a, token.Access}
}

func (d *drive) get(path string) (int, []byte) {
	d.app.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.app.URL+"/demo/v1.0/me/drive"+path, nil)
	if err != nil {
		d.app.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.app.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.app.t.Fatal(err)
	}
	return res.StatusCode, body
}

// Names are the names in a folder such as "/Pictures" ("" is the top), sorted.
func (d *drive) Names(folder string) []string {
	d.app.t.Helper()
	at := "/root/children"
	if folder != "" {
		at = "/root:" + (&url.URL{Path: folder}).EscapedPath() + ":/children"
	}
	var list struct {
		Value []struct{ Name string }
	}
	status, body := d.get(at)
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK {
		d.app.t.Fatalf("children of %q: %d %s", folder, status, body)
	}
	var names []string
	for _, item := range list.Value {
		names = append(names, item.Name)
	}
	slices.Sort(names)
	return names
}

// Content is the bytes of a file such as "/Pictures/tabby.jpg"; ok is false if there is none.
func (d *drive) Content(path string) (content []byte, ok bool) {
	d.app.t.Helper()
	status, body := d.get("/root:" + (&url.URL{Path: path}).EscapedPath() + ":/content")
	return body, status == http.StatusOK
}

// WaitFile waits until a file is there and returns its bytes.
func (d *drive) WaitFile(path string) []byte {
	d.app.t.Helper()
	var content []byte
	eventually(d.app.t, path+" in the drive", func() (ok bool) {
		content, ok = d.Content(path)
		return ok && len(content) > 0
	})
	return content
}

// sample is the address of one of the stand-in's pictures.
func (a *app) sample(name string) string {
	return a.URL + "/demo/samples/" + strings.TrimPrefix(name, "/")
}
