package views

// Button is what another site's save button offers.
type Button struct {
	URL     string // whole
	Shown   string // its host, for people
	Name    string // what the site calls it, or ""
	Origin  string // of the site, which is told what became of it; "" for nobody
	Host    string // of the site, for people
	User    *User  // nil: nobody is signed in
	Login   string
	Key     string
	Folders []Folder
}
