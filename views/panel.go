package views

import "encoding/json"

// PanelInfo is what the panel knows about where it may stand.
type PanelInfo struct {
	Hosts  []string // origins that may talk with it by postMessage
	Login  string   // address of the sign-in in a window of its own
	Office bool     // Office.js is on this page
}

// OfficeScript is where Office.js has to come from.
const OfficeScript = "https://appsforoffice.microsoft.com/lib/1/hosted/office.js"

// Scripts are the panel's own scripts, in the order that they need.
func (i PanelInfo) Scripts() []string {
	scripts := []string{"js/panel-bearer.js", "js/panel-host.js"}
	if i.Office {
		scripts = append(scripts, "js/office-read.js", "js/office.js")
	}
	return append(scripts, "js/panel.js")
}

// hosts is the list as the script reads it.
func (i PanelInfo) hosts() string {
	list, err := json.Marshal(append([]string{}, i.Hosts...))
	if err != nil {
		return "[]"
	}
	return string(list)
}

// RelayInfo is the window that waits for a panel's sign-in.
type RelayInfo struct {
	Challenge string
	User      *User  // who is signed in here already; nil: nobody
	Start     string // where the window to Microsoft begins
}

// Handover is a panel's one-time code on its way to the window that waits for it.
type Handover struct {
	Code      string // "": there is nothing to hand over
	Challenge string
	Office    bool // it goes to Office, not to a window of ours
}

// Question is something that a panel does not do by itself.
type Question struct {
	ID   string
	Name string
	Do   string // "undo" or "remove"
}
