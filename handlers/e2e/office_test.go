package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// officeStub serves a stub of Office.js in Microsoft's place and carries what a dialog tells its
// pane. It returns the port.
func officeStub(t testing.TB, ca *authority, host, picture, html string) string {
	t.Helper()
	source := string(need(os.ReadFile("testdata/office-stub.js"))(t))
	for name, value := range map[string]string{"$HOST": host, "$PICTURE": picture, "$HTML": strings.ReplaceAll(html, "'", `\'`)} {
		source = strings.ReplaceAll(source, name, value)
	}
	var mu sync.Mutex
	told := []string{}
	mux := http.NewServeMux()
	mux.HandleFunc("/lib/1/hosted/office.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, source)
	})
	mux.HandleFunc("/tell", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r.URL.Query().Get("m"))
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`)
	})
	mux.HandleFunc("/poll.js", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		list, _ := json.Marshal(told)
		told = []string{}
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "officeStub.deliver(%s)", list)
	})
	origin := ca.Serve("appsforoffice.microsoft.com", mux)
	return origin[strings.LastIndexByte(origin, ':')+1:]
}

func TestOfficePaneTakesWhatIsSelected(t *testing.T) {
	picture := need(os.ReadFile("../../static/icons/app-80.png"))(t)
	encoded := base64.StdEncoding.EncodeToString(picture)
	for name, c := range map[string]struct {
		host, picture, html string
		file                string // arrives with the picture's bytes
		address             bool   // the sample's address stands in the field
	}{
		"a picture in Word":             {"Word", encoded, "", "Chart.png", false},
		"a picture in PowerPoint":       {"PowerPoint", encoded, "", "Picture 4.png", false},
		"a link in Word":                {"Word", "", "<p><a href='$SAMPLE'>see</a></p>", "", true},
		"a linked picture in Excel":     {"Excel", "", "<table><tr><td><img src='$SAMPLE'></td></tr></table>", "", true},
		"pictures of a mail in Outlook": {"Outlook", encoded, "<p><img src='$SAMPLE'><img src='cid:1'></p>", "photo.png", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFramedSite(t, strings.ReplaceAll(plainFrame, "$PANEL", "$PANEL/office"), nil)
			sample := s.microsoft.sample("meadow.jpg")
			port := officeStub(t, s.ca, c.host, c.picture, strings.ReplaceAll(c.html, "$SAMPLE", sample))
			browser := s.ca.ownBrowser(cookiesBlocked, chromedp.Flag("host-resolver-rules", "MAP appsforoffice.microsoft.com 127.0.0.1:"+port+", MAP *.test 127.0.0.1"))
			outer, panel := s.open(browser)
			panel.ready()
			panel.Click("panel-sign-in")
			microsoft := waitTarget(t, browser, "page", s.microsoft.URL+"/demo/")
			microsoft.Allow(".")
			microsoft.Click("account-" + robin)
			panel.WaitText("panel-who", robin)
			panel.Click("office-take")
			if c.file != "" {
				panel.WaitFinal(c.file, "completed")
				if got := s.microsoft.Drive(robin).WaitFile("/" + c.file); !bytes.Equal(got, picture) {
					t.Errorf("%s has other bytes than the picture", c.file)
				}
			}
			if c.address {
				eventually(t, "the address in the field", func() bool { return eval[string](panel, `document.getElementById('urls').value`) == sample })
				panel.Click("submit")
				panel.WaitFinal("meadow.jpg", "completed")
			}
			panel.Axe()
			outer.Shot("office")
		})
	}
}

// What reaches the pane as a message of its dialog need not be one.
func TestOfficeDialogIsBelievedForItsOwnSignInOnly(t *testing.T) {
	s := newFramedSite(t, strings.ReplaceAll(plainFrame, "$PANEL", "$PANEL/office"), nil)
	port := officeStub(t, s.ca, "Word", "", "")
	browser := s.ca.ownBrowser(cookiesBlocked, chromedp.Flag("host-resolver-rules", "MAP appsforoffice.microsoft.com 127.0.0.1:"+port+", MAP *.test 127.0.0.1"))
	_, panel := s.open(browser)
	panel.ready()
	eval[bool](panel, `(window.codes = [], skyliftDialog('`+challenge+`').then((code) => codes.push(code)), true)`)
	deliver := func(challenge, code, origin string) {
		t.Helper()
		eval[bool](panel, `(officeStub.deliver([JSON.stringify({ challenge: '`+challenge+`', code: '`+code+`' })], '`+origin+`'), true)`)
	}
	deliver(challenge, "of another page", "https://evil.test")
	deliver(strings.Repeat("B", 43), "of another sign-in", s.origin)
	deliver(challenge, "good", s.origin)
	eventually(t, "the code", func() bool { return eval[string](panel, `codes.join()`) != "" })
	if got := eval[string](panel, `codes.join()`); got != "good" {
		t.Errorf("the pane took the code %q", got)
	}
}
