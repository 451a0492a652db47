package views

import "strings"

// Row is one transfer as the page shows it: every word and number is ready-made, so the
// template only places them.
type Row struct {
	ID       string
	Event    uint64 // newest event that the row shows; an older drawing never takes its place
	Name     string
	State    string // the API's word, for data-state and tests
	Words    string // the state for people: "Saving", "Saved" …
	Tone     Tone
	Icon     string // symbol of static/icons.svg for the kind of file
	Thumb    string // address of a small picture, or ""
	Source   string // host of the source, or where else the bytes came from
	Link     string // the source's address when a person can open it
	Page     string // title of the page that it was found on
	PageLink string
	Alt      string // what the page says is on the picture
	Folder   string
	Size     string
	Route    string // who moves the bytes, in words
	Why      string // why the first route was left, or ""
	When     string // "14:02" or "3 Nov, 14:02"
	WhenISO  string
	Progress *Progress
	Problem  *Notice
	Open     string // address of the file in OneDrive
	Retry    bool
	Change   string // address of the form that tries it again with changes, or ""
	Cancel   bool
	Undo     bool
	Remove   bool
	Return   string // page that its forms come back to without scripts; "" is the main page
}

// Say is what a screen reader hears when the row's state changes.
func (r Row) Say() string {
	s := r.Name + ": " + r.Words
	if r.Problem != nil && r.Problem.What != "" {
		s += ". " + r.Problem.What
	}
	return s
}

// Progress is how far a running transfer has come.
type Progress struct {
	Percent string // "41.5"; "" when nobody knows
	Amount  string // "12 MB of 40 MB", or "OneDrive gives no percentage"
	Speed   string // "3.1 MB/s"
	Left    string // "about 9 seconds left"
}

// Text joins what is known, for sighted people beside the bar and for the bar's own label.
func (p Progress) Text() string {
	var parts []string
	if p.Percent != "" {
		whole, _, _ := strings.Cut(p.Percent, ".")
		parts = append(parts, whole+" %")
	}
	for _, s := range []string{p.Amount, p.Speed, p.Left} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " · ")
}

// Tone colours a state or a notice. It is never the only sign: words and an icon say it too.
type Tone string

// The tones.
const (
	Plain   Tone = "plain"
	Running Tone = "run"
	Resting Tone = "wait"
	Good    Tone = "good"
	Bad     Tone = "bad"
	Off     Tone = "off"
)

// Icon is the symbol that goes with the tone.
func (t Tone) Icon() string {
	switch t {
	case Running:
		return "arrow-up"
	case Resting:
		return "clock"
	case Good:
		return "check"
	case Bad:
		return "alert"
	case Off:
		return "stop"
	}
	return "info"
}

// Notice is a message in three short parts: what happened, what we did about it, what the
// person can do. Each may be empty.
type Notice struct {
	Tone Tone
	What string
	Did  string
	Do   string
	Link *Link // the next step, when it is a page
}

// Link is a labelled address.
type Link struct {
	Text string
	URL  string
}

// List is a list of rows with what stands around it.
type List struct {
	Rows    []Row
	Who     string // stands for the account in the address of the event stream
	Live    bool   // rows follow the event stream and new ones are put on top
	Fixed   bool   // a part of the list: rows change, but new ones do not come in
	Since   uint64 // newest event that the rows already show
	Running int
	Failed  int
	State   string // filter, the API's word or ""
	Query   string
	Next    string // address of the next page, or ""
	First   string // address of the first page when this is not it, or ""
}

// Filters are the states that the history can be narrowed to.
func (List) Filters() []Link {
	return []Link{
		{"All", ""}, {"Queued", "notStarted"}, {"Running", "inProgress"}, {"Waiting", "waiting"},
		{"Saved", "completed"}, {"Failed", "failed"}, {"Cancelled", "cancelled"},
	}
}
