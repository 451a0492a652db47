// Package views draws Skylift's pages with templ. It knows nothing of Graph or NATS: each
// component takes one view model whose words and numbers are ready-made.
package views

// Page is what every page has around its content.
type Page struct {
	Title   string
	Path    string // which entry of the navigation is marked
	User    *User  // nil: nobody is signed in
	Demo    bool   // shows the banner that says this Microsoft is a stand-in
	Refresh int    // seconds after which a browser without scripts loads the page again; 0: never
	Notice  *Notice
	Bare    bool     // no header and footer: the panel
	Scripts []string // extra script files of static/, such as js/save.js
}

// User is who is signed in, as the header shows them.
type User struct {
	Who      string // stands for the account
	Name     string
	Username string
	Kind     string // "Personal" or "Work or school"
	Drive    string // "12 GB of 1 TB used", or ""
}

// Initial is the letter in the header's disc.
func (u User) Initial() string {
	for _, s := range []string{u.Name, u.Username} {
		for _, r := range s {
			return string(r)
		}
	}
	return "?"
}

// Folder is a folder as people know it.
type Folder struct {
	Value  string // what forms send: drive id, a bar, item id
	Name   string
	Path   string
	Count  string // "12 items"
	URL    string // address of its page in the picker
	Shared bool
	Icon   string
	Chosen bool
}

// SaveForm is the form that starts transfers.
type SaveForm struct {
	Key       string // makes a form that is sent twice one order, not two
	Who       string // stands for the account
	Text      string // the lines that are (still) in the field
	Name      string // name for a single address
	Conflict  string
	Folders   []Folder // last, default and special folders, the chosen one marked
	FolderBad *Notice
	FieldBad  *Notice
	Lines     []Line // one for each line that was sent
	Started   int    // how many went through
	Title     string // heading; "" for the usual one
	Action    string // where to go afterwards; "" for the main page
	Browse    string // address of the folder picker
	Small     bool   // the form stands in the panel
	Again     *Again // it is about a transfer that there is already
}

// Again is the transfer that a form tries again with changes.
type Again struct {
	Name    string
	Action  string  // where the form goes
	Problem *Notice // why it failed
	Bytes   bool    // there is no address to change: somebody has sent the bytes themselves
}

// Line is what became of one line of the form.
type Line struct {
	Number int
	Text   string // shortened for people
	URL    string // whole, to send it again
	Tone   Tone
	Said   string
	Open   string // the file that is there already
	Again  bool   // offers to save it once more
	Folder string // value of the folder that it was meant for
}

// Conflicts are the three answers to "the name is taken".
func Conflicts() []Link {
	return []Link{
		{"Keep both, number the new one", "rename"},
		{"Replace the file that is there", "replace"},
		{"Do not save", "fail"},
	}
}

// Rule says where something goes that is saved without a choice of folder.
type Rule struct {
	Site   string
	Kind   string
	Words  string // "Pictures from dribbble.com"
	Folder string
}

// Kinds are the kinds of files that a rule can be for.
func Kinds() []Link {
	return []Link{
		{"Everything", ""}, {"Pictures", "picture"}, {"Videos", "video"}, {"Sound", "audio"}, {"Documents", "document"},
		{"Other files", "other"},
	}
}

// Picker is the folder picker.
type Picker struct {
	Who     string // stands for the account
	Here    Folder
	Crumbs  []Folder
	Folders []Folder
	Places  []Folder // OneDrive's top, Pictures, Documents, last ones
	Next    string
	First   string
	Query   string
	Found   bool   // Folders are what a search found
	Use     string // where "Save here" leads: an address with the folder in it
	Self    string // this page's address, to come back to after a new folder was made
	NewName string
	Problem *Notice
	Default bool   // chooses the default folder: "Save here" is a form to the settings
	Rule    *Rule  // chooses the folder of this rule: likewise
	Return  string // which page the picker was opened from
}

// FoundWords say how many folders a search has found, for those who do not see them.
func (k Picker) FoundWords() string {
	if len(k.Folders) == 0 {
		return "No folder matches."
	}
	return count(len(k.Folders), "folder matches", "folders match") + "."
}

// Settings is the settings page.
type Settings struct {
	Who          string // stands for the account
	Page         string // address of this server, for the bookmarklet
	Folder       Folder
	HasFolder    bool
	Conflict     string
	Rules        []Rule
	Rule         Rule   // what is in the fields for another one
	RuleBad      string // what is wrong with it
	Devices      []Device
	NewKey       string // shown once, right after it was made
	NewKeyName   string
	Bookmarklet  string
	MicrosoftURL string // where consent is taken back at Microsoft
	SignOutURL   string
	ConfirmBad   *Notice
}

// Device is something that holds a key.
type Device struct {
	ID       string
	Name     string
	Created  string
	LastUsed string
	Expires  string
}
