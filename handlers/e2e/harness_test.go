package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// site serves fixed pages by path, with headers.
func site(t *testing.T, pages map[string]string, headers ...string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

// A harness that overlooks problems makes every test that leans on it worthless.
func TestHarnessNoticesWhatIsWrong(t *testing.T) {
	const head = `<!doctype html><html lang="en"><title>x</title><main><h1>x</h1>`
	cases := map[string]struct{ body, want string }{
		"an error on the console":   {`<script>console.error('broken', 3)</script>`, "console: \"broken\" 3"},
		"an exception":              {`<script>throw new Error('oh no')</script>`, "oh no"},
		"a rejected promise":        {`<script>Promise.reject(new Error('nobody cares'))</script>`, "nobody cares"},
		"a picture that is missing": {`<img src="/no/such" alt="x"><script src="http://localhost:1/x.js"></script>`, "ERR_"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := open(t, site(t, map[string]string{"/": head + c.body}).URL)
			eventually(t, "the problem to be noticed", func() bool { return strings.Contains(strings.Join(p.Problems(), "\n"), c.want) })
			p.Allow(".")
		})
	}
	t.Run("a violation of the CSP", func(t *testing.T) {
		s := site(t, map[string]string{"/": head + `<p style="color:red">x</p><script>1</script>`}, "Content-Security-Policy", "default-src 'none'")
		p := open(t, s.URL)
		for _, want := range []string{"style-src", "script-src"} {
			eventually(t, want, func() bool { return strings.Contains(strings.Join(p.Problems(), "\n"), "CSP: "+want) })
		}
		p.Allow(".")
	})
	t.Run("a page that some people cannot use", func(t *testing.T) {
		p := open(t, site(t, map[string]string{"/": head + `<input><p style="color:#ccc;background:#fff">pale</p></main>`}).URL)
		var ids []string
		for _, v := range p.axeViolations() {
			ids = append(ids, v.ID)
		}
		for _, want := range []string{"label", "color-contrast"} {
			if !slices.Contains(ids, want) {
				t.Errorf("axe found %v, want %s among them", ids, want)
			}
		}
	})
}

func TestHarnessShowsAPageAsAsked(t *testing.T) {
	s := site(t, map[string]string{"/": `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
		<title>x</title><style>#d{display:none}@media(prefers-color-scheme:dark){#d{display:block}}</style>
		<main><h1>x</h1><p id="d" data-testid="dark">it is dark</p><p data-testid="js">no script</p>
		<form action="/next"><label>word <input name="w" data-testid="word"></label><button data-testid="go">go</button></form></main>
		<script>document.querySelector('[data-testid=js]').textContent='script'</script>`,
		"/next": `<!doctype html><title>y</title><p data-testid="arrived">arrived</p>`})
	p := open(t, s.URL, dark(), phone())
	p.WaitText("dark", "it is dark")
	p.WaitText("js", "script")
	if got := eval[int](p, `innerWidth`); got != 360 {
		t.Errorf("a phone's page is %d pixels wide, want 360", got)
	}
	p.Axe()
	p.Shot("phone")

	p = open(t, s.URL, noScript())
	p.WaitText("js", "no script")
	p.Fill("word", "lift")
	p.Click("go")
	p.WaitText("arrived", "arrived")
	if got := p.URL(); !strings.HasSuffix(got, "/next?w=lift") {
		t.Errorf("the form went to %s", got)
	}
}

func TestHarnessProfilesAreIsolated(t *testing.T) {
	s := site(t, map[string]string{"/": `<!doctype html><title>x</title>`})
	a := open(t, s.URL)
	eval[string](a, `document.cookie = 'a=1'`)
	if got := eval[string](a.Tab(s.URL), `document.cookie`); got != "a=1" {
		t.Errorf("another tab of the same profile has the cookies %q", got)
	}
	if got := eval[string](open(t, s.URL), `document.cookie`); got != "" {
		t.Errorf("another profile has the cookies %q", got)
	}
}
