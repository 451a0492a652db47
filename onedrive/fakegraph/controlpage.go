package fakegraph

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// controlPage is what /control shows: an account's dials.
type controlPage struct {
	Title, Base, Login, Owner, Done string
	Accounts                        []tab
	Choices                         []choice
	Switches                        []toggle
	Consent                         choice
	Strict                          bool
	Phases                          []Phase
	Faults                          []string
	Orders                          []string
	Samples                         []source
}

type tab struct {
	Name, Link string
	Current    bool
}

// choice is a dial with several values.
type choice struct {
	Name, Label, Value string
	Options            []option
}

type option struct{ Value, Name string }

// toggle is a dial that is on or off.
type toggle struct {
	Name, Label string
	On          bool
}

type source struct{ Link, Note string }

// switches are the dials that are on or off.
var switches = []struct {
	name, label string
	field       func(*Conduct) *bool
}{
	{"stuck", "Transfers stay at 0 %", func(c *Conduct) *bool { return &c.Stuck }},
	{"lost", "Monitors get lost (404)", func(c *Conduct) *bool { return &c.MonitorLost }},
	{"vanish", "Reported as saved, never arrives", func(c *Conduct) *bool { return &c.Vanish }},
	{"throttled", "Throttled: every call is refused for now (429)", func(c *Conduct) *bool { return &c.Throttled }},
	{"full", "The drive is full (507)", func(c *Conduct) *bool { return &c.Full }},
	{"enrich", "Office, PDF and HTML files are changed as they are stored (work or school)", func(c *Conduct) *bool { return &c.Enrich }},
	{"foreignid", "Uploads are answered with an id that Graph refuses (400)", func(c *Conduct) *bool { return &c.ForeignID }},
	{"partial", "What came of a broken fragment is kept", func(c *Conduct) *bool { return &c.KeepPartial }},
	{"nodrive", "The account has no OneDrive", func(c *Conduct) *bool { return &c.NoDrive }},
}

// shapes are the dials with several values that are plain words.
var shapes = []struct {
	name, label, usual string
	values             []string
	field              func(*Conduct) *string
}{
	{"temper", "Upload from URL", "", Tempers, func(c *Conduct) *string { return &c.Temper }},
	{"completion", "A finished monitor answers", "as usual", Completions, func(c *Conduct) *string { return &c.Completion }},
	{"failure", "A failed monitor answers", "as usual", Failures, func(c *Conduct) *string { return &c.Failure }},
	{"alive", "A running monitor answers", "as usual", Alives, func(c *Conduct) *string { return &c.Alive }},
	{"conflict", "Upload from URL to a taken name", "", []string{"replace", "fail", "honour"}, func(c *Conduct) *string { return &c.NativeConflict }},
	{"quota", "The quota is", "told", HiddenQuotas, func(c *Conduct) *string { return &c.HideQuota }},
	{"clash", "An upload session tells that its name is taken", "", Conflicts, func(c *Conduct) *string { return &c.Conflict }},
	{"missing", "An upload session wants", "", Missings, func(c *Conduct) *string { return &c.Missing }},
}

// words say what a value of a dial means, where the value alone doesn't.
var words = map[string]string{
	"legacy": "works (legacy)", "retired": "refused at once (retired)", "retired202": "accepted, then fails (retired202)",
	"retired201": "ignored: an empty file appears (retired201)", "retiredNoLocation": "accepted without a monitor (retiredNoLocation)",
	"unsupported": "not supported, as for work or school", "replace": "replaces it, whatever was asked", "fail": "fails", "honour": "does what was asked",
	"creation": "when it is made", "first": "at the first fragment", "last": "at the last fragment",
	"open": "the rest, open at its end", "closed": "the rest, with its end", "pieces": "some pieces of the rest",
	"absent": "left out", "zeros": "told as zeros", "noRemaining": "told without what remains",
}

// numbers are the dials of amounts. The first option is the usual one.
var numbers = []struct {
	name, label string
	options     []option
	get         func(*Conduct) int64
	set         func(*Conduct, int64)
}{
	{"slow", "Upload from URL runs", []option{{"0", "as fast as it can"}, {"262144", "256 KB a second"}, {"32768", "32 KB a second"}, {"4096", "4 KB a second"}},
		func(c *Conduct) int64 { return c.Slow }, func(c *Conduct, n int64) { c.Slow = n }},
	{"cut", "Upload from URL saves", []option{{"0", "the whole file"}, {"52428800", "the first 50 MiB, and says that it is done"}, {"1024", "the first kilobyte, and says that it is done"}},
		func(c *Conduct) int64 { return c.NativeCut }, func(c *Conduct, n int64) { c.NativeCut = n }},
	{"refusal", "Upload from URL is refused with", []option{{"0", "as usual"}, {"400", "400"}, {"403", "403"}, {"404", "404"}, {"405", "405"}, {"409", "409"}, {"410", "410"}, {"501", "501"}},
		func(c *Conduct) int64 { return int64(c.RefusalStatus) }, func(c *Conduct, n int64) { c.RefusalStatus = int(n) }},
	{"scope", "Folders of others without the permission are", []option{{"0", "denied (403)"}, {"404", "not found (404)"}, {"401", "behind a sign-in (401)"}},
		func(c *Conduct) int64 { return int64(c.ScopeRefusal) }, func(c *Conduct, n int64) { c.ScopeRefusal = int(n) }},
	{"put", "The largest simple upload", []option{{"0", "250 MB"}, {"4194304", "4 MB, as for years"}},
		func(c *Conduct) int64 { return c.PutLimit }, func(c *Conduct, n int64) { c.PutLimit = n }},
	{"late", "The metadata of a picture comes", []option{{"5", "5 seconds later"}, {"0", "at once"}, {"60", "a minute later"}},
		func(c *Conduct) int64 { return int64(c.LateMetadata / time.Second) }, func(c *Conduct, n int64) { c.LateMetadata = time.Duration(n) * time.Second }},
	{"lag", "Reads show the drive", []option{{"0", "as it is"}, {"5", "as it was 5 seconds ago"}, {"60", "as it was a minute ago"}},
		func(c *Conduct) int64 { return int64(c.Lag / time.Second) }, func(c *Conduct, n int64) { c.Lag = time.Duration(n) * time.Second }},
	{"commit", "A complete upload session becomes a file", []option{{"0", "at once"}, {"10", "10 seconds later, after a 504"}, {"300", "5 minutes later, after a 504"}},
		func(c *Conduct) int64 { return int64(c.CommitTakes / time.Second) }, func(c *Conduct, n int64) { c.CommitTakes = time.Duration(n) * time.Second }},
	{"units", "Requests a minute before a 429", []option{{"0", "no limit"}, {"120", "about 100"}, {"20", "about 15"}},
		func(c *Conduct) int64 { return int64(c.UnitsPerMinute) }, func(c *Conduct, n int64) { c.UnitsPerMinute = int(n) }},
}

// consents are what the sign-in knows of an account's consent.
var consents = []option{{"", "was given before, for the own files"}, {"all", "was given before, for all files"}, {"ask", "is asked for"}, {"admin", "must come from an administrator"}}

// serveControl serves GET /control?account=&done=.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	account := s.account(r.URL.Query().Get("account"))
	if account == nil {
		if account = s.pageAccount(r); account == nil {
			account = s.Accounts()[0]
		}
	}
	page := controlPage{Title: "Control", Base: s.opts.Prefix, Login: account.Login, Owner: account.Name, Done: doneTexts[r.URL.Query().Get("done")], Phases: phases()}
	for _, a := range s.Accounts() {
		page.Accounts = append(page.Accounts, tab{a.Name, s.controlLink(a.Login, ""), a == account})
	}
	page.dials(s.ConductOf(account.Login))
	page.Consent = choice{Name: "consent", Label: "Consent", Value: account.Consent, Options: consents}
	page.Strict = s.strictRefresh()
	for name := range Matrix() {
		page.Faults = append(page.Faults, name)
	}
	slices.Sort(page.Faults)
	page.Orders = s.cloud.faults.words(account.Login)
	for _, sample := range Samples() {
		page.Samples = append(page.Samples, source{s.base(r) + "/samples/" + sample.Name, sample.Note})
	}
	s.showDrive(w, http.StatusOK, "control", page)
}

// dials are the account's conduct as form fields.
func (p *controlPage) dials(conduct Conduct) {
	for _, shape := range shapes {
		value := *shape.field(&conduct)
		c := choice{Name: shape.name, Label: shape.label, Value: value}
		if shape.usual != "" {
			c.Options = append(c.Options, option{"", shape.usual})
		} else if value == "" {
			c.Value = shape.values[0]
		}
		for _, v := range shape.values {
			c.Options = append(c.Options, option{v, cmp.Or(words[v], v)})
		}
		p.Choices = append(p.Choices, c)
	}
	for _, n := range numbers {
		p.Choices = append(p.Choices, choice{Name: n.name, Label: n.label, Value: strconv.FormatInt(n.get(&conduct), 10), Options: n.options})
	}
	for _, sw := range switches {
		p.Switches = append(p.Switches, toggle{sw.name, sw.label, *sw.field(&conduct)})
	}
}

// phases are the requests that a person can spoil.
func phases() []Phase {
	return []Phase{PhaseGraph, PhaseDrive, PhaseItem, PhaseChildren, PhaseFolder, PhaseNative, PhaseMonitor, PhaseSource, PhasePut, PhaseSession,
		PhaseFragment, PhaseFragmentFirst, PhaseFragmentMiddle, PhaseFragmentLast, PhaseUploadStatus, PhaseContent, PhaseThumbnails, PhaseDelete,
		PhaseDiscover, PhaseKeys, PhaseAuthorize, PhaseToken, PhaseRefresh, PhaseMe}
}

// words says which orders touch an account.
func (f *Faults) words(login string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, o := range f.orders {
		if !o.fault.touches(login) {
			continue
		}
		what := cmp.Or(string(o.fault.Action), strconv.Itoa(o.fault.Status))
		times := "until it is taken back"
		if o.fault.Times >= 0 {
			times = fmt.Sprintf("%d times", max(1, o.fault.Times))
		}
		list = append(list, fmt.Sprintf("%s: %s, %s; happened %d times", cmp.Or(o.fault.Phase, "every request"), what, times, o.Hits()))
	}
	return list
}

// doneTexts say what a press of a button did.
var doneTexts = map[string]string{
	"dials": "The dials are set.", "fault": "The fault is ordered.", "clear": "All orders are taken back.", "expire": "The access tokens have expired.",
	"revoke": "The sign-in has expired: the account must sign in again.", "hour": "The clock is an hour further on.",
	"signin": "The sign-in is set.", "keys": "The sign-in signs with a new key.",
	"healthy": "All dials are back to normal, and the orders that touched this account are taken back.", "reset": "Everything is as at the start.",
}

func (s *Server) controlLink(login, done string) string {
	link := s.opts.Prefix + "/control?account=" + url.QueryEscape(login)
	if done != "" {
		link += "&done=" + done
	}
	return link
}

// setControl serves POST /control.
func (s *Server) setControl(w http.ResponseWriter, r *http.Request) {
	if !s.ownForm(w, r) {
		return
	}
	account, do := s.account(r.PostForm.Get("account")), r.PostForm.Get("do")
	if _, known := doneTexts[do]; account == nil || !known {
		s.messagePage(w, r, http.StatusBadRequest, "Control", "This button isn't known here.")
		return
	}
	switch login := account.Login; do {
	case "dials":
		s.SetConduct(login, func(c *Conduct) { setDials(c, r.PostForm) })
	case "fault":
		s.orderFault(login, r.PostForm)
	case "clear":
		s.cloud.faults.Clear()
	case "expire":
		s.ExpireTokens(login)
	case "revoke":
		s.ExpireTokens(login)
		s.RevokeGrants(login)
	case "signin":
		s.setSignIn(login, r.PostForm)
	case "keys":
		s.RotateKeys()
	case "hour":
		s.Advance(time.Hour)
	case "healthy":
		s.SetConduct(login, func(c *Conduct) { *c = conductOf(account) })
		s.cloud.faults.clear(func(f Fault) bool { return f.touches(login) })
	case "reset":
		s.Reset()
	}
	http.Redirect(w, r, s.controlLink(account.Login, do), http.StatusSeeOther)
}

// setDials takes a form's dials over; values that no dial has are left alone.
func setDials(c *Conduct, form url.Values) {
	for _, shape := range shapes {
		value := form.Get(shape.name)
		if slices.Contains(shape.values, value) || value == "" && shape.usual != "" {
			*shape.field(c) = value
		}
	}
	for _, n := range numbers {
		if slices.ContainsFunc(n.options, func(o option) bool { return o.Value == form.Get(n.name) }) {
			amount, _ := strconv.ParseInt(form.Get(n.name), 10, 64) // one of the options is a number
			n.set(c, amount)
		}
	}
	for _, sw := range switches {
		*sw.field(c) = form.Get(sw.name) == "on"
	}
}

// setSignIn takes the sign-in's dials over. The strict mode is one for all accounts.
func (s *Server) setSignIn(login string, form url.Values) {
	consent := form.Get("consent")
	if slices.ContainsFunc(consents, func(o option) bool { return o.Value == consent }) {
		s.SetConsent(login, consent)
	}
	s.StrictRefresh(form.Get("strict") == "on")
}

// maxOrders bounds what a page can order.
const maxOrders = 200

func (s *Server) orderFault(login string, form url.Values) {
	fault, known := Matrix()[form.Get("fault")]
	if !known || s.cloud.faults.active.Load() >= maxOrders {
		return
	}
	fault.Phase, fault.Account = Phase(form.Get("phase")), login
	switch fault.Phase {
	case PhaseDiscover, PhaseKeys, PhaseAuthorize, PhaseToken, PhaseRefresh:
		fault.Account = "" // these calls don't say whose they are
	}
	fault.Times, _ = strconv.Atoi(form.Get("times"))
	s.cloud.faults.Add(fault)
}
