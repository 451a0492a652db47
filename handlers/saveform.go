package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

// maxLines is how many addresses one form or batch may hold.
const maxLines = 1000

// order is the save form as it was sent.
type order struct {
	key      string
	field    string // as it was sent
	lines    []line
	name     string
	conflict onedrive.ConflictBehavior
	folder   string
	back     string
	blind    bool     // nobody could look at the folder
	again    bool     // one address, sent once more although it is there
	rules    *targets // find each line's folder; nil: all go into the one chosen
}

// line is one address of an order, with the number that it had in the field.
type line struct {
	number int
	text   string
}

func readOrder(c echo.Context) (order, error) {
	if err := c.Request().ParseForm(); err != nil {
		return order{}, &apiError{code: requestCode(err)}
	}
	form := c.Request().PostForm
	o := order{
		key: cut(form.Get("key"), 64), name: strings.TrimSpace(form.Get("name")), folder: form.Get("folder"),
		conflict: onedrive.ConflictBehavior(form.Get("conflict")), back: auth.LocalPath(form.Get("return")),
		field: form.Get("urls"), lines: splitLines(form.Get("urls")),
	}
	if again := form.Get("again"); again != "" {
		o.field, o.lines, o.again, o.key = again, []line{{1, again}}, true, ""
	}
	return o, nil
}

// splitLines takes the field apart, leaving out empty lines but counting them. It ends after one more
// than a form may have.
func splitLines(text string) (lines []line) {
	number := 0
	for s := range strings.SplitSeq(text, "\n") {
		number++
		if s = strings.TrimSpace(s); s != "" {
			lines = append(lines, line{number, s})
		}
		if len(lines) > maxLines {
			break
		}
	}
	return lines
}

// submitForm serves POST /transfers: each line goes its own way, and what is wrong with one is
// said beside it while the others are on their way already.
func (h *Handler) submitForm(c echo.Context) error {
	ctx, who := c.Request().Context(), owner(c)
	o, err := readOrder(c)
	if err != nil {
		return err
	}
	if err := atTop(c, o.conflict); err != nil {
		return err
	}
	form, err := h.newForm(ctx, who, o.folder)
	if err != nil {
		return err
	}
	form.Action, form.Small = o.back, o.back == panelPath
	if o.conflict != "" {
		form.Conflict = string(o.conflict)
	}
	if n := o.problem(); n != nil {
		form.FieldBad, form.Text, form.Name = n, o.field, o.name
		return h.formAgain(c, http.StatusUnprocessableEntity, form)
	}
	folder, err := h.aim(c, &o)
	if err != nil {
		w, known := folderProblem(err)
		if !known {
			return err
		}
		form.FolderBad, form.Text, form.Name = w, o.field, o.name
		return h.formAgain(c, http.StatusUnprocessableEntity, form)
	}
	results, err := h.place(ctx, who, o, folder)
	if err != nil {
		return err
	}
	return h.ordered(c, o, form, folder, results)
}

// problem says what is wrong with the field as a whole.
func (o order) problem() *views.Notice {
	switch {
	case len(o.lines) == 0:
		return &views.Notice{Tone: views.Bad, What: "There is no address in the field.", Do: "Paste one or more, each on a line of its own."}
	case len(o.lines) > maxLines:
		return &views.Notice{Tone: views.Bad, What: "That is more than a thousand addresses.", Did: "Nothing was saved.", Do: "Send them in several goes."}
	case len(o.lines) > 1 && o.name != "":
		return &views.Notice{Tone: views.Bad, What: "One name does not do for several links.", Did: "Nothing was saved.", Do: "Empty the name's field, and each gets its own; or save them one by one."}
	}
	return nil
}

// text is the field's lines of the given numbers.
func (o order) text(numbers []int) string {
	var keep []string
	for _, l := range o.lines {
		if slices.Contains(numbers, l.number) {
			keep = append(keep, l.text)
		}
	}
	return strings.Join(keep, "\n")
}

// aim finds the folder of an order. Where none was chosen, the person's rules say it of each line, and a person
// without rules means the default folder.
func (h *Handler) aim(c echo.Context, o *order) (transfer.Folder, error) {
	ctx, who := c.Request().Context(), owner(c)
	if o.folder == "" {
		t := h.targets(c)
		p, err := t.prefs(ctx)
		switch {
		case err != nil:
			return transfer.Folder{}, err
		case len(p.Rules) > 0:
			o.rules = t
			return transfer.Folder{}, nil
		case p.Folder != nil:
			o.folder = folderValue(p.Folder.Ref())
		}
	}
	folder, seen, err := h.folderOfOrder(ctx, who, o.folder)
	o.blind = !seen
	return folder, err
}

// folderOfOrder looks the folder up once for the whole order, and remembers it as used.
func (h *Handler) folderOfOrder(ctx context.Context, userID, value string) (_ transfer.Folder, seen bool, _ error) {
	ref, err := parseFolder(value)
	if err != nil {
		return transfer.Folder{}, false, err
	}
	client, err := h.o.Client(ctx, userID)
	if err != nil {
		return transfer.Folder{}, false, err
	}
	folder, unseen, err := h.target(ctx, client, userID, ref)
	if err != nil || unseen != nil {
		return folder, false, err
	}
	return folder, true, h.rememberFolder(ctx, userID, folder)
}

func (h *Handler) rememberFolder(ctx context.Context, userID string, f transfer.Folder) error {
	p, err := h.prefs(ctx, userID)
	if err != nil {
		return err
	}
	if len(p.Recent) > 0 && p.Recent[0] == f {
		return nil
	}
	p.used(f)
	return h.o.Users.SetPrefs(ctx, userID, p)
}

// folderProblem turns an error about the folder into words beside its field. Errors that are not
// about the folder are not known here.
func folderProblem(err error) (*views.Notice, bool) {
	switch code, w := judge(err); code {
	case "folderNotFound", "folderAccessDenied", "invalidRequest", "noDrive", "oneDriveDown", "oneDriveBusy":
		n := w.notice(views.Bad)
		return &n, true
	}
	return nil, false
}

// result is what became of one line.
type result struct {
	line    line
	err     error
	folder  transfer.Folder
	earlier *transfer.Transfer // it was saved into this folder before
}

// place submits the lines that can go. An address that was saved into the same folder before is
// held back and asked about.
func (h *Handler) place(request context.Context, userID string, o order, folder transfer.Folder) ([]result, error) {
	results, requests := make([]result, len(o.lines)), make([]transfer.Request, len(o.lines))
	g, ctx := errgroup.WithContext(request)
	g.SetLimit(findAtOnce)
	for i, l := range o.lines {
		results[i].line = l
		requests[i] = transfer.Request{SourceURL: l.text, Name: o.name, ConflictBehavior: o.conflict,
			FolderID: folder.ID, DriveID: folder.DriveID, Folder: folder, FindFolder: o.blind}
		if o.rules != nil {
			results[i].err = o.rules.check(request, &requests[i])
		} else {
			results[i].err = h.checkRequest(&requests[i])
		}
		results[i].folder = requests[i].Folder
		if results[i].err == nil && !o.again {
			g.Go(func() (err error) {
				results[i].earlier, err = h.earlier(ctx, userID, results[i].folder, requests[i].SourceURL)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	h.submit(request, userID, o, requests, results)
	if o.rules != nil {
		o.rules.remember(request)
	}
	return results, nil
}

// findAtOnce is how many addresses of one form are looked for in the past at a time.
const findAtOnce = 16

// earlier is the newest transfer that saved this address into this folder, if there is one.
func (h *Handler) earlier(ctx context.Context, userID string, folder transfer.Folder, address string) (*transfer.Transfer, error) {
	found, err := h.o.Store.Find(ctx, userID, folder.ID, address)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// submit sends those lines on their way that nothing holds back.
func (h *Handler) submit(ctx context.Context, userID string, o order, requests []transfer.Request, results []result) {
	var going []transfer.Request
	var keys []string
	var at []int
	for i, r := range results {
		if r.err == nil && r.earlier == nil {
			going, keys, at = append(going, requests[i]), append(keys, o.lineKey(r.line)), append(at, i)
		}
	}
	for i, s := range h.o.Store.SubmitBatch(ctx, userID, going, keys) {
		results[at[i]].err = s.Err
	}
}

// checkRequest looks at the form of a request and at whether its source may be fetched at all. The name
// becomes what OneDrive will be given, so that nobody is told another one first.
func (h *Handler) checkRequest(r *transfer.Request) error {
	err := r.Validate()
	if r.Name != "" {
		r.Name = onedrive.SafeName(r.Name)
	}
	if err == nil {
		err = h.o.Saver.Check(*r)
	}
	var field *transfer.RequestError
	if errors.As(err, &field) && field.Code == "sourceRefused" {
		return &apiError{code: field.Code, field: field.Field, said: refusedWords(r.SourceURL), cause: err}
	}
	return err
}

// lineKey makes an order that is sent twice (a reload, a double click) the same transfers.
func (o order) lineKey(l line) string {
	if o.key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(l.text))
	return "form-" + o.key + "-" + hex.EncodeToString(sum[:8])
}

// ordered answers: on to the list when all went through, else the form with a line for each.
func (h *Handler) ordered(c echo.Context, o order, form views.SaveForm, folder transfer.Folder, results []result) error {
	var keep []int
	for _, r := range results {
		v := views.Line{Number: r.line.number, Text: cut(r.line.text, 120), URL: r.line.text, Folder: folderValue(r.folder.Ref())}
		switch {
		case r.earlier != nil:
			v.Tone, v.Said, v.Again = views.Resting, "You saved this into "+folderName(r.folder)+" before.", true
			if r.earlier.Item != nil {
				v.Open = r.earlier.Item.WebURL
			}
		case r.err != nil:
			v.Tone, v.Said = views.Bad, lineWords(r.err)
			keep = append(keep, r.line.number)
		default:
			form.Started++
			if v.Said = renamedWords(o.name); v.Said == "" {
				continue
			}
			v.Tone = views.Plain
		}
		form.Lines = append(form.Lines, v)
	}
	list := formPage(form) + "?watch=1"
	if o.rules == nil {
		list += "&folder=" + url.QueryEscape(folderValue(folder.Ref()))
		form.Folders = chosenFolder(form.Folders, folder)
	}
	if len(form.Lines) == 0 {
		switch {
		case !isHTMX(c):
			return c.Redirect(http.StatusSeeOther, list)
		case onPage(c) == "/save": // which has no list of its own
			c.Response().Header().Set("HX-Redirect", list)
			return c.NoContent(http.StatusOK)
		}
	}
	if len(keep) > 0 {
		form.Text, form.Name = o.text(keep), o.name
	}
	status := http.StatusUnprocessableEntity
	if form.Started == len(results) {
		status = http.StatusOK
	}
	return h.formAgain(c, status, form)
}

// lineWords say what is wrong with one line.
func lineWords(err error) string {
	var judged *apiError
	var field *transfer.RequestError
	switch {
	case errors.As(err, &judged) && judged.said != "":
		return judged.said
	case errors.As(err, &field):
		return fieldWords(field)
	}
	_, w := judge(err)
	return join(w.what, w.do)
}

// formAgain shows the form with what there is to say: alone where a script asked, else as a page.
func (h *Handler) formAgain(c echo.Context, status int, form views.SaveForm) error {
	switch {
	case isHTMX(c):
		return h.render(c, status, views.Save(form))
	case form.Small:
		return h.renderPanel(c, status, form)
	}
	return h.renderHome(c, status, form)
}

// formPage is the page that the form stands on.
func formPage(form views.SaveForm) string {
	if form.Small {
		return panelPath
	}
	return "/"
}

// chosenFolder marks the folder that was just used.
func chosenFolder(list []views.Folder, f transfer.Folder) []views.Folder {
	value, found := folderValue(f.Ref()), false
	for i := range list {
		list[i].Chosen = list[i].Value == value
		found = found || list[i].Chosen
	}
	if !found {
		v := folderView(f)
		v.Chosen = true
		list = append([]views.Folder{v}, list...)
	}
	return list
}
