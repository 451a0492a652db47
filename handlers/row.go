package handlers

import (
	"fmt"
	"math"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"skylift/onedrive/transfer"
	"skylift/views"
)

// UndoFor is how long a completed transfer can be undone.
const UndoFor = time.Hour

// row makes the words and numbers of a transfer ready to be drawn. speed is bytes a second, 0
// when it is not known.
func (h *Handler) row(t transfer.Transfer, speed float64) views.Row {
	now := h.now()
	r := views.Row{
		ID: t.ID, Event: t.EventID(), Name: rowName(t), State: string(t.State), Icon: kindIcon(t),
		Source: sourceName(t), Link: sourceLink(t), Page: t.PageTitle, PageLink: t.PageURL, Alt: t.AltText,
		Folder: folderName(t.Folder), When: clock(t.Created, now), WhenISO: t.Created.UTC().Format(time.RFC3339),
		Remove: t.State.Final(), Cancel: !t.State.Final(),
		Retry: t.State == transfer.Failed && canRetry(t) || t.State == transfer.Cancelled && canRetry(t),
	}
	if t.State == transfer.Failed && canChange(t) {
		r.Change = views.ChangeURL(t.ID)
	}
	if r.Page == "" && t.PageURL != "" {
		r.Page = hostOf(t.PageURL)
	}
	if t.Size != nil && t.State != transfer.InProgress {
		r.Size = bytesText(*t.Size)
	}
	r.Words, r.Tone = stateWords(t)
	r.Route, r.Why = routeWords(t)
	switch t.State {
	case transfer.Completed:
		completed(&r, t, now)
	case transfer.InProgress:
		r.Progress = progressOf(t, speed)
	case transfer.Waiting:
		r.Problem = waitingNotice(t, now)
	case transfer.Failed:
		r.Problem = failureNotice(t)
	}
	return r
}

// canRetry reports whether there is something to fetch again: an upload's bytes are the client's.
func canRetry(t transfer.Transfer) bool {
	return (t.Route != transfer.Upload || t.SourceURL != "") && !t.Work.Spent
}

// canChange reports whether it can be tried again as something else.
func canChange(t transfer.Transfer) bool {
	return (t.State == transfer.Failed || t.State == transfer.Cancelled) && canRetry(t) && !t.MayArrive()
}

func completed(r *views.Row, t transfer.Transfer, now time.Time) {
	if t.Item == nil {
		return
	}
	r.Open, r.Size = t.Item.WebURL, bytesText(t.Item.Size)
	r.Undo = now.Sub(t.Modified) < UndoFor && t.Item.ETag != ""
	if r.Icon == "image" {
		r.Thumb = "/transfers/" + t.ID + "/thumbnail"
	}
}

func rowName(t transfer.Transfer) string {
	switch {
	case t.Item != nil && t.Item.Name != "":
		return t.Item.Name
	case t.Name != "":
		return t.Name
	case t.SourceURL != "":
		return hostOf(t.SourceURL)
	}
	return "Picture"
}

// stateWords are the state in words, and its tone.
func stateWords(t transfer.Transfer) (string, views.Tone) {
	switch t.State {
	case transfer.NotStarted:
		return "Queued", views.Resting
	case transfer.InProgress:
		switch {
		case t.Work.Phase == transfer.Verifying:
			return "Checking", views.Running
		case t.Route == transfer.Native:
			return "OneDrive is fetching", views.Running
		case t.Work.Phase == transfer.Choosing && t.BytesTransferred == nil:
			return "Starting", views.Running
		}
		return "Saving", views.Running
	case transfer.Waiting:
		return "Waiting", views.Resting
	case transfer.Completed:
		return "Saved", views.Good
	case transfer.Failed:
		return "Failed", views.Bad
	case transfer.Cancelled:
		return "Cancelled", views.Off
	}
	return string(t.State), views.Plain
}

// routes and whys say who moves the bytes, and why the first way was left.
var (
	routeText = map[transfer.Route]string{ // while it runs
		transfer.Native: "OneDrive fetches it itself",
		transfer.Relay:  "This server carries it",
		transfer.Upload: "Your browser hands it over",
	}
	routeDone = map[transfer.Route]string{
		transfer.Native: "OneDrive fetched it itself",
		transfer.Relay:  "Carried by this server",
		transfer.Upload: "Handed over by your browser",
	}
	routeTried = map[transfer.Route]string{ // it was begun, and came to nothing
		transfer.Native: "OneDrive was to fetch it itself",
		transfer.Relay:  "This server was to carry it",
		transfer.Upload: "Your browser was to hand it over",
	}
	leftoverText = map[transfer.Leftover]string{ // of a cancelled one
		transfer.MayArrive: "OneDrive had begun to fetch it, and may still finish",
		transfer.Recycled:  "The file is in OneDrive’s recycle bin",
		transfer.Kept:      "OneDrive had fetched it before it could be stopped, and the file is there",
	}
	whyText = map[string]string{
		"nativeOff":       "this server is set to carry everything",
		"workAccount":     "OneDrive does not fetch for work accounts",
		"nativeRefused":   "OneDrive does not fetch for this account",
		"nativeHost":      "OneDrive could not fetch from this site lately",
		"tooLargeNative":  "it is larger than OneDrive fetches",
		"sizeUnknown":     "the site does not say how large it is",
		"needsReferer":    "the site wants to know the page it is on",
		"looksLikeAPage":  "the address may be a page and not a file",
		"dataUrl":         "the picture was in the address itself",
		"nativeFailed":    "OneDrive could not fetch it",
		"nativeStalled":   "OneDrive did not get going",
		"nativeEmpty":     "what OneDrive fetched was empty",
		"nativeMismatch":  "what OneDrive fetched was something else",
		"nativeForgotten": "OneDrive lost track of it",
	}
)

// routeWords say which way it goes or went. Why the first way was left is not said of one that failed: that
// was a guess then, such as a site that wants to know the page, and the failure knows better.
func routeWords(t transfer.Transfer) (route, why string) {
	if t.State == transfer.NotStarted || t.Route == "" {
		return "", ""
	}
	if w, ok := whyText[t.RouteReason]; ok && t.State != transfer.Failed {
		why = "because " + w
	}
	switch {
	case t.State == transfer.Completed:
		return routeDone[t.Route], why
	case t.State == transfer.Cancelled: // perhaps it was saved, and its file taken away again
		return leftoverText[t.Leftover], ""
	case t.State.Final():
		return routeTried[t.Route], why
	}
	return routeText[t.Route], why
}

// waitingNotice says what a waiting transfer waits for.
func waitingNotice(t transfer.Transfer, now time.Time) *views.Notice {
	n := views.Notice{Tone: views.Resting, Do: "It goes on by itself."}
	switch t.Reason {
	case transfer.Throttled:
		n.What = "OneDrive asked for a pause."
	case transfer.SignInRequired:
		n.What, n.Do = "Microsoft asks you to sign in again.", "Then it goes on by itself."
		n.Link = &views.Link{Text: "Sign in", URL: loginURL("/")}
	case transfer.OneDriveFull:
		n.What, n.Do = "Your OneDrive is full.", "Make room, and it goes on by itself."
	case transfer.Offline:
		n.What = "OneDrive or the site does not answer at the moment, or asked for a pause."
	case transfer.ClientBytes:
		n.What, n.Do = "Waiting for the bytes from your browser.", "Keep the page open that sends them."
	case transfer.Locked:
		n.What = "The file is open somewhere in OneDrive."
	default:
		n.What = "Waiting its turn."
	}
	if d := t.Due.Sub(now); d > 5*time.Second && t.Reason != transfer.ClientBytes { // that is when it is given up
		n.Did = "Next try in " + durationText(d) + "."
	}
	return &n
}

func failureNotice(t transfer.Transfer) *views.Notice {
	code := ""
	if t.Failure != nil {
		code = t.Failure.Code
	}
	n := failureWords(code).notice(views.Bad)
	if code == "signInRequired" || code == "unauthenticated" {
		n.Link = &views.Link{Text: "Sign in", URL: loginURL("/")}
	}
	return &n
}

// progressOf says how far it is. Where nobody knows, it says that and not 0 %.
func progressOf(t transfer.Transfer, speed float64) *views.Progress {
	p := &views.Progress{}
	if t.Percent != nil {
		p.Percent = strconv.FormatFloat(math.Round(*t.Percent*10)/10, 'f', -1, 64)
	}
	var done int64 = -1
	if t.BytesTransferred != nil {
		done = *t.BytesTransferred
	}
	switch {
	case done >= 0 && t.Size != nil && *t.Size > 0:
		p.Amount = bytesText(done) + " of " + bytesText(*t.Size)
		if p.Percent == "" {
			p.Percent = strconv.FormatFloat(math.Round(1000*float64(done)/float64(*t.Size))/10, 'f', -1, 64)
		}
	case done >= 0:
		p.Amount = bytesText(done) + ", the whole size is not known"
	case p.Percent == "" && t.Route == transfer.Native:
		p.Amount = "OneDrive gives no percentage"
	}
	if speed > 0 && done >= 0 {
		p.Speed = bytesText(int64(speed)) + "/s"
		if t.Size != nil && *t.Size > done {
			p.Left = "about " + durationText(time.Duration(float64(*t.Size-done)/speed*float64(time.Second))) + " left"
		}
	}
	return p
}

// sourceName is where the bytes come from, short: the host, or who holds them.
func sourceName(t transfer.Transfer) string {
	if h := hostOf(t.SourceURL); h != "" {
		return h
	}
	return "From your browser"
}

// sourceLink leads to where the bytes came from. An address with a query may be signed, which
// makes it a secret: it stays out of the page, and the link goes through us.
func sourceLink(t transfer.Transfer) string {
	u, err := url.Parse(t.SourceURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return ""
	case u.RawQuery != "" || u.Fragment != "":
		return "/transfers/" + t.ID + "/source"
	}
	return t.SourceURL
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Host, "www.")
}

func folderName(f transfer.Folder) string {
	switch {
	case f.Path != "" && f.Path != "/":
		return strings.TrimPrefix(f.Path, "/")
	case f.Name != "" && f.Name != "root":
		return f.Name
	}
	return "OneDrive"
}

// kinds of files by extension, and the icon that each gets.
var iconsByExtension = map[string]string{
	".jpg": "image", ".jpeg": "image", ".png": "image", ".gif": "image", ".webp": "image", ".avif": "image", ".heic": "image",
	".svg": "image", ".bmp": "image", ".tif": "image", ".tiff": "image", ".ico": "image", ".jxl": "image",
	".mp4": "film", ".mov": "film", ".webm": "film", ".mkv": "film", ".avi": "film", ".m4v": "film",
	".mp3": "music", ".flac": "music", ".wav": "music", ".ogg": "music", ".m4a": "music", ".opus": "music",
	".pdf": "doc", ".doc": "doc", ".docx": "doc", ".odt": "doc", ".txt": "doc", ".md": "doc", ".xls": "doc", ".xlsx": "doc",
	".ppt": "doc", ".pptx": "doc", ".csv": "doc", ".epub": "doc",
	".zip": "archive", ".gz": "archive", ".tar": "archive", ".7z": "archive", ".rar": "archive", ".xz": "archive", ".zst": "archive",
}

func kindIcon(t transfer.Transfer) string {
	if icon, ok := iconsByExtension[strings.ToLower(path.Ext(rowName(t)))]; ok {
		return icon
	}
	typ, _, _ := strings.Cut(t.ContentType, "/")
	switch typ {
	case "image":
		return "image"
	case "video":
		return "film"
	case "audio":
		return "music"
	}
	return "file"
}

// bytesText is a size as people read it: 1,000 bytes are a kB, as OneDrive counts.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, unit := float64(n)/1000, "kB"
	for _, u := range []string{"MB", "GB", "TB"} {
		if v < 999.5 {
			break
		}
		v, unit = v/1000, u
	}
	if v < 10 && unit != "kB" {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}

func durationText(d time.Duration) string {
	switch {
	case d < time.Second:
		return "a second"
	case d < 90*time.Second:
		return plural(int(d.Seconds()+.5), "second")
	case d < 90*time.Minute:
		return plural(int(d.Minutes()+.5), "minute")
	}
	return plural(int(d.Hours()+.5), "hour")
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

// clock is a time as people say it. The server's zone is used; the element carries the exact one.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan, 15:04")
	}
	return t.Format("2 Jan 2006")
}
