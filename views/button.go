package views

// Button is what another site's save button offers.
type Button struct {
	URL     string // whole
	Shown   string // its host, for people
	Name    string // what the site calls it, or ""
	Origin  string // of the site, by its own word; it is told what became of it, and named once it has answered. "" for nobody
	User    *User  // nil: nobody is signed in
	Login   string
	Key     string
	Folders []Folder
}
