package views

import "github.com/a-h/templ"

// Sample is one component in one state.
type Sample struct {
	Name string // of its golden file
	View templ.Component
}

// Gallery is every component in every state: shown at /gallery in the demo, and the table of the
// golden tests.
func Gallery() []Sample {
	var list []Sample
	add := func(name string, view templ.Component) { list = append(list, Sample{name, view}) }
	for _, r := range galleryRows() {
		add("row-"+r.ID, Transfers(List{Rows: []Row{r}}))
	}
	for _, tone := range []Tone{Plain, Running, Resting, Good, Bad, Off} {
		add("notice-"+string(tone), NoticeBox(Notice{
			Tone: tone, What: "What happened.", Did: "What Skylift did about it.", Do: "What you can do.",
			Link: &Link{"The next step", "/"},
		}))
	}
	add("save-empty", Save(gallerySave()))
	add("save-lines", Save(gallerySaveLines()))
	add("save-folder-gone", Save(gallerySaveFolder()))
	add("save-nothing", Save(gallerySaveNothing()))
	add("save-again", AgainForm(galleryAgain()))
	add("picker", PickerBody(galleryPicker()))
	add("picker-empty", PickerBody(Picker{Here: Folder{Value: "d|x", Name: "New", Path: "New"}, Crumbs: []Folder{{Name: "OneDrive", URL: "/folders"}, {Name: "New"}}, Use: "/?folder=d%7Cx"}))
	add("picker-search", PickerBody(Picker{Query: "cats", Found: true, Folders: []Folder{{Name: "Cats", Count: "Pictures/Cats", URL: "/folders?id=c", Icon: "folder"}}}))
	add("picker-none", PickerBody(Picker{Query: "xyz", Found: true}))
	add("picker-bad-name", PickerBody(Picker{Here: Folder{Value: "d|x"}, NewName: "a/b", Problem: &Notice{Tone: Bad, What: "OneDrive does not take this name.", Do: "Leave out / and its like."}}))
	add("picker-rule", PickerBody(galleryPickerRule()))
	add("rules", SettingsRules(galleryRules()))
	add("empty", NoTransfers("Nothing here yet. Paste a link above, and its way into OneDrive shows here, live."))
	add("retry-failed", RetryFailed(List{Failed: 12}))
	add("retry-failed-none", RetryFailed(List{}))
	return list
}

func galleryRows() []Row {
	row := func(id, name, state, words string, tone Tone) Row {
		return Row{ID: id, Name: name, State: state, Words: words, Tone: tone, Icon: "image", Source: "images.example",
			Link: "https://images.example/cats/tabby.jpg", Folder: "Pictures", When: "14:02", WhenISO: "2026-11-22T14:02:00Z"}
	}
	queued := row("queued", "tabby.jpg", "notStarted", "Queued", Resting)
	queued.Cancel = true

	native := row("native", "tabby.jpg", "inProgress", "OneDrive is fetching", Running)
	native.Route, native.Cancel = "OneDrive fetches it itself", true
	native.Progress = &Progress{Percent: "41.5"}

	unknown := row("unknown", "tabby.jpg", "inProgress", "OneDrive is fetching", Running)
	unknown.Route, unknown.Cancel = "OneDrive fetches it itself", true
	unknown.Progress = &Progress{Amount: "OneDrive gives no percentage"}

	relay := row("relay", "a film with a name that is so long that it has to be broken somewhere in the middle of it.mp4", "inProgress", "Saving", Running)
	relay.Icon, relay.Cancel = "film", true
	relay.Route, relay.Why = "This server carries it", "because OneDrive does not fetch for work accounts"
	relay.Progress = &Progress{Percent: "62.3", Amount: "640 MB of 1.0 GB", Speed: "12 MB/s", Left: "about 32 seconds left"}

	checking := row("checking", "tabby.jpg", "inProgress", "Checking", Running)
	checking.Route, checking.Cancel, checking.Progress = "This server carries it", true, &Progress{Percent: "100", Amount: "183 kB of 183 kB"}

	throttled := row("throttled", "tabby.jpg", "waiting", "Waiting", Resting)
	throttled.Cancel = true
	throttled.Problem = &Notice{What: "OneDrive asked for a pause.", Did: "Next try in 2 minutes.", Do: "It goes on by itself."}

	signIn := row("sign-in", "tabby.jpg", "waiting", "Waiting", Resting)
	signIn.Cancel = true
	signIn.Problem = &Notice{What: "Microsoft asks you to sign in again.", Do: "Then it goes on by itself.", Link: &Link{"Sign in", "/auth/login"}}

	saved := row("saved", "tabby.jpg", "completed", "Saved", Good)
	saved.Size, saved.Route, saved.Open = "183 kB", "OneDrive fetched it itself", "https://onedrive.example/tabby"
	saved.Page, saved.PageLink = "A page about cats", "https://cats.example/"
	saved.Undo, saved.Remove = true, true

	failed := row("failed", "missing.jpg", "failed", "Failed", Bad)
	failed.Retry, failed.Remove, failed.Change = true, true, "/save?again=failed"
	failed.Route = "Carried by this server"
	failed.Problem = &Notice{What: "There is nothing at this address.", Did: "The site answered that the file does not exist.", Do: "Check the address, or open it in the browser."}

	cancelled := row("cancelled", "tabby.jpg", "cancelled", "Cancelled", Off)
	cancelled.Retry, cancelled.Remove = true, true

	upload := row("upload", "Picture 2026-11-22 14-02-11.png", "completed", "Saved", Good)
	upload.Source, upload.Link, upload.Route = "From your browser", "", "Handed over by your browser"
	upload.Size, upload.Open, upload.Remove = "1.2 MB", "https://onedrive.example/picture", true

	hostile := row("hostile", `"><script>alert(1)</script>.jpg`, "failed", "Failed", Bad)
	hostile.Source, hostile.Link, hostile.Page = "javascript.example", "javascript:alert(1)", "<b>bold</b>"
	hostile.Remove = true
	return []Row{queued, native, unknown, relay, checking, throttled, signIn, saved, failed, cancelled, upload, hostile}
}

func gallerySave() SaveForm {
	return SaveForm{Key: "key", Conflict: "rename", Browse: "/folders", Folders: []Folder{
		{Value: "d|p", Path: "Pictures"}, {Value: "d|c", Path: "Pictures/Cats", Chosen: true}, {Value: "|", Path: "OneDrive"},
	}}
}

func gallerySaveLines() SaveForm {
	f := gallerySave()
	f.Started, f.Text = 2, "javascript:alert(1)"
	f.Lines = []Line{
		{Number: 2, Text: "javascript:alert(1)", URL: "javascript:alert(1)", Tone: Bad, Said: "Not an address that can be saved: it must start with https:// or http:// and be public."},
		{Number: 4, Text: "https://images.example/cats/tabby.jpg", URL: "https://images.example/cats/tabby.jpg", Tone: Resting, Said: "You saved this into Pictures/Cats before.", Open: "https://onedrive.example/tabby", Again: true},
	}
	return f
}

func gallerySaveFolder() SaveForm {
	f := gallerySave()
	f.Text = "https://images.example/cats/tabby.jpg"
	f.FolderBad = &Notice{What: "This folder does not exist any more.", Do: "Choose another folder."}
	return f
}

func gallerySaveNothing() SaveForm {
	f := gallerySave()
	f.FieldBad = &Notice{Tone: Bad, What: "There is no address in the field.", Do: "Paste one or more, each on a line of its own."}
	return f
}

func galleryAgain() SaveForm {
	f := gallerySave()
	f.Text, f.Name, f.Conflict, f.Browse = "https://images.example/cats/tabby.jpg?size=large", "tabby.jpg", "fail", "/folders?return=%2Fsave%3Fagain%3Dfailed"
	f.FieldBad = &Notice{Tone: Bad, What: "There is no address."}
	f.Again = &Again{Name: "tabby.jpg", Action: "/transfers/failed/change", Problem: &Notice{
		Tone: Bad, What: "A file of this name is there already.", Did: "It was left as it is.", Do: "Give another name, or choose to keep both or to replace."}}
	return f
}

func galleryRules() Settings {
	return Settings{Who: "who", RuleBad: "This is not a site.", Rule: Rule{Site: "not a site", Kind: "video"}, Rules: []Rule{
		{Site: "dribbble.com", Kind: "picture", Words: "Pictures from dribbble.com", Folder: "Inspiration"},
		{Kind: "document", Words: "Documents", Folder: "Papers"},
	}}
}

func galleryPickerRule() Picker {
	return Picker{Here: Folder{Value: "d|i", Name: "Inspiration", Path: "Inspiration"}, Return: "/settings?kind=picture&site=dribbble.com",
		Crumbs: []Folder{{Name: "OneDrive", URL: "/folders"}, {Name: "Inspiration"}}, Rule: &Rule{Site: "dribbble.com", Kind: "picture", Words: "Pictures from dribbble.com"}}
}

func galleryPicker() Picker {
	return Picker{
		Here: Folder{Value: "d|p", Name: "Pictures", Path: "Pictures"}, Use: "/?folder=d%7Cp", Next: "/folders?id=p&cursor=2",
		Crumbs: []Folder{{Name: "OneDrive", URL: "/folders"}, {Name: "Pictures", URL: "/folders?id=p"}},
		Places: []Folder{{Name: "OneDrive", URL: "/folders", Icon: "home"}, {Name: "Pictures", URL: "/folders?id=p", Icon: "image"}, {Name: "Cats", URL: "/folders?id=c", Icon: "clock"}},
		Folders: []Folder{
			{Name: "Cats", Count: "12 items", URL: "/folders?id=c", Icon: "folder"},
			{Name: "Holiday of a family with a very long name for a folder", Count: "1 item", URL: "/folders?id=h", Icon: "folder"},
			{Name: "Team", Count: "shared with you", URL: "/folders?drive=b&id=t", Icon: "folder-shared", Shared: true},
		},
	}
}
