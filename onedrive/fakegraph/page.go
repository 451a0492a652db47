package fakegraph

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

//go:embed pages
var pageFiles embed.FS

// loginPages are the sign-in pages; every one works without script.
var loginPages = template.Must(template.ParseFS(pageFiles, "pages/login.html"))

// page is what the sign-in pages show.
type page struct {
	Title string
	Lead  string
	Kind  string // which part of login.html: accounts, other, consent, admin, code, post, message
	Base  string // prefix of the server's own addresses
	App   string
	Form  form

	Accounts []tile
	Typed    string
	Problem  string
	Detail   []string

	Permissions []string
	Account     *tile
}

// form is where the buttons of a page lead and what they carry along.
type form struct {
	Action string
	Fields []field
}

type field struct{ Name, Value string }

// tile is an account to press.
type tile struct {
	Login, Name, Note, Initials string
	Hue                         int // one of the avatar colours
	SignedIn                    bool
}

// pageNote is what a page of accounts says besides the accounts.
type pageNote struct {
	other bool   // ask for a name instead of showing tiles
	typed string // the name that was typed
	e     *stsError
}

// show answers with a page. The headers are Microsoft's (security: no framing, no opener) and a
// strict policy. form-action is left to the browser's default because Chromium applies it to
// redirects too, and these forms end at an app's address.
func (s *Server) show(w http.ResponseWriter, status int, p page) {
	p.Base = s.opts.Prefix
	var body bytes.Buffer
	if err := loginPages.ExecuteTemplate(&body, "page", p); err != nil {
		http.Error(w, "the sign-in page can't be drawn", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // the reader has gone; nothing to do about it
}

// pageFile serves the style sheet and the script of the pages.
func (s *Server) pageFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, pageFiles, "pages/"+path.Base(r.URL.Path))
}

// tileOf draws an account.
func tileOf(a *Account, signedIn bool) tile {
	t := tile{Login: a.Login, Name: a.Name, Note: a.Note, SignedIn: signedIn}
	for word := range strings.FieldsSeq(a.Name) {
		if first := []rune(word)[0]; len(t.Initials) < 2 && unicode.IsLetter(first) {
			t.Initials += string(unicode.ToUpper(first))
		}
	}
	for _, c := range a.Login {
		t.Hue = (t.Hue*31 + int(c)) % 6
	}
	return t
}

// tiles are the accounts to choose from; a domain_hint leaves out those of another kind.
func (s *Server) tiles(r *http.Request, domain, hint string) []tile {
	in := s.signedIn(r)
	var out []tile
	for _, a := range s.Accounts() {
		switch {
		case domain == "consumers" && !a.Personal(), domain == "organizations" && a.Personal():
			continue
		}
		t := tileOf(a, slices.Contains(in, a))
		if hint != "" && strings.EqualFold(a.Login, hint) {
			out = append([]tile{t}, out...)
			continue
		}
		out = append(out, t)
	}
	return out
}

// accountsPage draws a page of accounts.
func (s *Server) accountsPage(w http.ResponseWriter, p page, note pageNote) {
	p.Kind, p.Title = "accounts", "Pick an account"
	if note.other {
		p.Kind, p.Title, p.Typed = "other", "Sign in", clip(note.typed, 80)
	}
	status := http.StatusOK
	if note.e != nil {
		status = http.StatusBadRequest
		p.Problem, p.Detail = problemText(note.e), []string{note.e.description()}
	}
	s.show(w, status, p)
}

// problemText says in plain words why an account can't be taken.
func problemText(e *stsError) string {
	switch e.number {
	case 50034:
		return "We couldn't find an account with that username."
	case 500208:
		return "You can't sign in here with this kind of account. Use another account."
	case 50020:
		return "This account doesn't exist in the organization that the app belongs to. Use another account."
	}
	return "Sorry, but we're having trouble signing you in."
}

func (s *Server) accountPage(w http.ResponseWriter, r *http.Request, req *authRequest, note pageNote) {
	hint := req.hint
	if req.prompt == "select_account" {
		hint = "" // Microsoft: the two don't go together
	}
	p := page{App: req.appName(), Form: s.chooseForm(req), Accounts: s.tiles(r, req.domain, hint)}
	s.accountsPage(w, p, note)
}

func (s *Server) chooseForm(req *authRequest) form {
	return form{s.opts.Prefix + "/" + req.tenant.name + "/oauth2/login", []field{{"request", req.raw}}}
}

func (s *Server) deviceAccounts(w http.ResponseWriter, r *http.Request, d *device, note pageNote) {
	p := page{App: d.client, Lead: "You are signing in on another device.", Form: s.deviceForm(d), Accounts: s.tiles(r, "", "")}
	s.accountsPage(w, p, note)
}

func (s *Server) deviceForm(d *device) form {
	return form{s.opts.Prefix + "/common/oauth2/deviceauth", []field{{"otc", d.word}}}
}

// codePage asks for the code that a device shows.
func (s *Server) codePage(w http.ResponseWriter, r *http.Request, typed, problem string) {
	status := http.StatusOK
	if problem != "" {
		status = http.StatusBadRequest
	}
	s.show(w, status, page{
		Title: "Enter code", Kind: "code", Lead: "Enter the code displayed on your app or device.",
		Form: form{Action: s.opts.Prefix + "/common/oauth2/deviceauth"}, Typed: typed, Problem: problem,
	})
}

// consentPage asks for consent, or says that an administrator must give it.
func (s *Server) consentPage(w http.ResponseWriter, r *http.Request, a *Account, state consentState, app string, asked scopes, f form) {
	t := tileOf(a, true)
	f.Fields = append(f.Fields, field{"login", a.Login})
	p := page{Title: "Let this app access your info?", Kind: "consent", App: app, Account: &t, Form: f}
	if state == consentAdmin {
		p.Title, p.Kind = "Need admin approval", "admin"
	}
	for _, scope := range asked.list {
		p.Permissions = append(p.Permissions, permissionText(scope))
	}
	s.show(w, http.StatusOK, p)
}

// formPost answers an authorize request with response_mode=form_post: a form that sends itself,
// with a button for browsers without script.
func (s *Server) formPost(w http.ResponseWriter, _ *http.Request, a *authRequest, params url.Values) {
	p := page{Title: "Signing in", Kind: "post", App: a.appName(), Form: form{Action: a.literal}}
	for name, values := range params {
		p.Form.Fields = append(p.Form.Fields, field{name, values[0]})
	}
	slices.SortFunc(p.Form.Fields, func(x, y field) int { return strings.Compare(x.Name, y.Name) })
	s.show(w, http.StatusOK, p)
}

// messagePage says one thing.
func (s *Server) messagePage(w http.ResponseWriter, _ *http.Request, status int, title, lead string) {
	s.show(w, status, page{Title: title, Lead: lead, Kind: "message"})
}

// errorPage tells the person of a request that can't be answered to the app.
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, e *stsError) {
	body := s.stsBody(w, r, e)
	s.show(w, e.status, page{
		Title: "Sign in", Kind: "message", Problem: problemText(e), Lead: e.description(),
		Detail: []string{
			"Request Id: " + body["trace_id"].(string),
			"Correlation Id: " + body["correlation_id"].(string),
			"Timestamp: " + body["timestamp"].(string),
		},
	})
}

// errorLookup serves the error_uri of refusals.
func (s *Server) errorLookup(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.URL.Query().Get("code"))
	kind, ok := stsKinds[number]
	if !ok {
		s.messagePage(w, r, http.StatusNotFound, "Error code", "This code isn't known here.")
		return
	}
	s.messagePage(w, r, http.StatusOK, "AADSTS"+strconv.Itoa(number), strings.ReplaceAll(kind.text, "'%s'", "…"))
}

// ownSignIn serves the sign-in to the server's own pages, such as the drive page. The query's
// return is a path below the prefix.
func (s *Server) ownSignIn(w http.ResponseWriter, r *http.Request) {
	s.ownAccounts(w, r, r.URL.Query().Get("return"), pageNote{})
}

func (s *Server) ownAccounts(w http.ResponseWriter, r *http.Request, to string, note pageNote) {
	p := page{
		Lead: "Look into an account's drive.", Accounts: s.tiles(r, "", ""),
		Form: form{s.opts.Prefix + "/login", []field{{"return", localPath(to)}}},
	}
	s.accountsPage(w, p, note)
}

// ownChoose serves what a person pressed there.
func (s *Server) ownChoose(w http.ResponseWriter, r *http.Request) {
	if !s.ownForm(w, r) {
		return
	}
	to, login := localPath(r.PostForm.Get("return")), strings.TrimSpace(r.PostForm.Get("login"))
	a := s.account(login)
	switch {
	case r.PostForm.Has("other"):
		s.ownAccounts(w, r, to, pageNote{other: true})
		return
	case r.PostForm.Has("cancel"):
	case a == nil:
		s.ownAccounts(w, r, to, pageNote{other: true, typed: login, e: sts(50034, clip(login, 80))})
		return
	default:
		s.signIn(w, r, a)
	}
	w.Header().Set("Location", s.opts.Prefix+to)
	w.WriteHeader(http.StatusSeeOther)
}

// localPath is a path on this server, or the drive page when it would lead elsewhere.
func localPath(to string) string {
	if u, err := url.Parse(to); err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(to, "/") &&
		!strings.HasPrefix(to, "//") && !strings.ContainsAny(to, "\\\t\r\n") {
		return to
	}
	return "/drive"
}
