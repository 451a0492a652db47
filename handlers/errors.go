package handlers

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

// words is what a person reads about one code: what went wrong, what we did about it, what they
// can do. This file is the only place that has them.
type words struct {
	status int
	what   string
	did    string
	do     string
}

// failures are the codes that a transfer can fail with: Graph's where Graph gave one, else ours.
var failures = map[string]words{
	"sourceRefused":          {422, "This address cannot be saved.", "Skylift fetches from public http and https addresses only, also where a site leads on to, and never goes from https to http.", "Check the address; for a picture that only you can see, paste or drop the picture itself."},
	"sourceUnreachable":      {422, "There is no server at this address.", "Skylift looked for the name and for a server behind it, and found nobody who answers the public.", "Check the address for a slip. If it opens in your browser, download the file there and drop it here."},
	"sourceInsecure":         {422, "The site offers no safe connection.", "Its certificate or its encryption is not in order, so Skylift fetched nothing.", "Check the address. If you trust the site all the same, download the file in your browser and drop it here."},
	"sourceTooManyRedirects": {422, "The site leads from one address to the next and never to a file.", "Skylift followed a few of them, then stopped.", "Open it in your browser and copy the address that it ends at, or download the file there and drop it here."},
	"sourceNotFound":         {422, "There is nothing at this address.", "The site answered that the file does not exist.", "Check the address, or open it in the browser."},
	"sourceUnauthorized":     {422, "The site does not let Skylift have this.", "Perhaps it wants a sign-in, and Skylift never sends your passwords or cookies to other sites.", "Open it in your browser, then paste or drop the picture, or use the extension."},
	"sourceUnavailable":      {422, "The site did not answer, or not with the file.", "Skylift asked as often as made sense.", "Try again later. If it opens in your browser meanwhile, download the file there and drop it here."},
	"sourceTooSlow":          {422, "The site sends too slowly.", "Skylift stopped waiting for it.", "Try again later."},
	"sourceTooLarge":         {422, "The file is larger than this server carries.", "Nothing was saved.", "Download it and upload it to OneDrive yourself."},
	"sourceNotAFile":         {422, "A web page came instead of the file.", "It was not saved: it is often a sign-in page or a notice.", "Copy the address of the file itself, or paste or drop the picture."},
	"sourceIncomplete":       {422, "The site broke off before all of the file had come.", "Skylift asked for the rest as often as made sense. Nothing was saved.", "Try again later. If it happens again, download the file in your browser and drop it here."},
	"sourceChanged":          {422, "The file changed while it was being fetched.", "The half that had arrived was thrown away.", "Try again."},
	"emptyFile":              {422, "The file is empty.", "Nothing was saved.", "Check the address."},
	"sizeMismatch":           {422, "The file did not arrive as large as it was said to be.", "So it does not count as saved.", "Try again. If it happens again, look whether OneDrive has a part of it."},
	"hashMismatch":           {422, "What arrived in OneDrive is not what was sent.", "The check sums differ, so it does not count as saved.", "Try again; look at the file in OneDrive first."},
	"timedOut":               {422, "It took too long.", "OneDrive gave no sign of life, so Skylift stopped waiting.", "Try again."},
	"signInRequired":         {422, "Microsoft asks you to sign in again.", "", "Sign in, then try again."},
	"internal":               {500, "Something went wrong in Skylift.", "It has been noted.", "Try again."},

	"nameAlreadyExists":      {422, "A file of this name is there already.", "It was left as it is.", "Give another name, or choose to keep both or to replace."},
	"quotaLimitReached":      {422, "Your OneDrive is full.", "Nothing was saved.", "Make room, then try again."},
	"accessDenied":           {422, "OneDrive does not let you write into this folder.", "Nothing was saved.", "Choose another folder, or ask its owner."},
	"itemNotFound":           {422, "The folder, or the file in it, is gone from OneDrive.", "Somebody may have moved or removed it.", "Look into OneDrive, then try again or choose another folder."},
	"malwareDetected":        {422, "OneDrive found malware in the file.", "OneDrive refused it.", "Do not open the original either."},
	"resourceLocked":         {422, "The file is locked in OneDrive.", "Skylift waited for it.", "Close it where it is open, then try again."},
	"provisioningNotAllowed": {422, "This account has no OneDrive.", "Nothing was saved.", "Open onedrive.com once with this account, then try again."},
	"pathIsTooLong":          {422, "The folder's path and the file's name together are too long for OneDrive.", "Nothing was saved.", "Give a shorter name, or choose a folder that lies less deep."},
	"invalidName":            {422, "OneDrive does not take this name.", "Nothing was saved.", "Give another name."},
	"notSupported":           {422, "This drive cannot do that.", "Nothing was saved.", "Choose another folder."},
	"notAllowed":             {422, "OneDrive does not allow this here.", "Nothing was saved.", "Choose another folder."},
	"resourceModified":       {422, "The file changed in OneDrive meanwhile.", "It was left as it is.", "Try again."},
	"fileTooLarge":           {422, "The file is larger than OneDrive takes.", "Nothing was saved.", ""},
	"clientBytesMissing":     {422, "The file's bytes did not come, or not all of them.", "Skylift waited for the browser to send them.", "Paste, drop or share it again."},
	"serviceNotAvailable":    {422, "OneDrive could not be reached.", "Skylift tried several times.", "Try again later."},
	"activityLimitReached":   {422, "OneDrive asked for a pause.", "Skylift waited as long as it could.", "Try again later."},
	"generalException":       {422, "OneDrive had a fault.", "Skylift tried several times.", "Try again later."},
	"unauthenticated":        {422, "Microsoft asks you to sign in again.", "", "Sign in, then try again."},
	"sourceHotlinkRefused":   {422, "The site shows this picture on its own pages only.", "A stand-in picture came, which was not saved.", "Paste or drop the picture, or use the extension."},
	"sourceTooManyRequests":  {422, "The site asks for a pause.", "Skylift waited and asked as often as made sense.", "Try again later."},
}

// requests are the codes of what is wrong with a request itself.
var requests = map[string]words{
	"invalidRequest":     {400, "This request cannot be read.", "Nothing was changed.", "See the description at " + apiBase + "/openapi.yaml."},
	"unsupportedType":    {415, "This address takes JSON.", "Nothing was changed.", "Send Content-Type: application/json."},
	"tooLarge":           {413, "That is more than fits into one go.", "Nothing was saved.", "Send it in smaller pieces."},
	"unauthenticated":    {401, "You are not signed in.", "Nothing was changed.", "Sign in, then try again."},
	"notFound":           {404, "There is no such page.", "", "Perhaps the address was cut off, or the thing was removed."},
	"methodNotAllowed":   {405, "This address cannot be used that way.", "Nothing was changed.", ""},
	"otherAccount":       {409, "This page was another account's.", "Nothing was done: somebody else has signed in here since.", "Load the page again."},
	"conflict":           {409, "It is too late for that: the transfer has moved on.", "Nothing was changed.", "Load the list again."},
	"notUndoable":        {409, "This cannot be undone any more.", "The file was left as it is.", "Open it in OneDrive and remove it there."},
	"crossSite":          {403, "Another site sent this.", "Skylift did not follow it.", "Open Skylift itself and do it there."},
	"tooManyRequests":    {429, "That was too much at once.", "Skylift takes a breath.", "Wait a moment, then try again."},
	"storeUnavailable":   {503, "Skylift cannot store anything at the moment.", "Nothing was accepted, and nothing is lost.", "Try again in a minute."},
	"tooManyTransfers":   {429, "There are as many transfers as one person may have.", "Nothing was accepted, and what is on your list goes on.", "Try again when some are saved, or take finished ones off the list."},
	"tooManyBodies":      {503, "You are sending as many files at once as one person may.", "Nothing was added.", "Send this one when another has arrived."},
	"bodyTooSlow":        {503, "The file came too slowly to wait for.", "What arrived of it is kept.", "Send what is missing on a better line."},
	"lengthRequired":     {411, "The length of the file is missing.", "Nothing was saved.", "Send Content-Length."},
	"rangeInvalid":       {416, "These bytes do not go on where the last ones ended.", "Nothing was added.", "Go on from bytesTransferred."},
	"sizeMismatch":       {400, "These bytes are of a file of another size.", "Nothing was added.", "Send the file whose size was announced, or ask for a new transfer."},
	"contentBusy":        {503, "Another request is sending this file.", "Nothing was added.", "Ask for the transfer in a minute and send what is missing."},
	"nameInvalid":        {422, "OneDrive does not take this name.", "Nothing was created.", "Leave out \" * : < > ? / \\ |, a ~ at the start and a dot at the end. Names such as CON and desktop.ini are the system's own."},
	"tooManyDevices":     {422, "There are as many keys as one person may have.", "No key was made.", "Revoke one first."},
	"idempotencyKey":     {400, "This Idempotency-Key cannot be used.", "Nothing was changed.", "Send 1 to 200 visible characters without spaces."},
	"resourceLocked":     {423, "It is locked in OneDrive.", "Nothing was changed.", "Close it where it is open, then try again."},
	"oneDriveBusy":       {503, "OneDrive asked for a pause.", "", "Try again in a minute."},
	"oneDriveDown":       {502, "OneDrive could not be reached.", "", "Try again in a minute."},
	"folderNotFound":     {404, "This folder does not exist any more.", "Nothing was saved.", "Choose another folder."},
	"folderAccessDenied": {403, "OneDrive does not let you into this folder.", "", "Choose another one. A folder that is shared with you has to be opened once in Skylift's own folder list, which asks Microsoft for it."},
	"noDrive":            {404, "This account has no OneDrive.", "", "Open onedrive.com once with this account, or sign in with another."},
	"connectInvalid":     {400, "This is not how the extension asks to be connected.", "Nothing was connected.", "Open the extension's settings and press Connect there."},
	"handoffInvalid":     {400, "This is not how the panel signs in.", "Nothing was connected.", "Press “Sign in” in the panel again."},
	"notInFrame":         {403, "This is not done inside a frame.", "Nothing was changed.", "Open Skylift itself and do it there."},
	"codeInvalid":        {400, "This code cannot be used any more.", "Nothing was connected.", "Press Connect in the extension's settings again."},
	"signInRequired":     {401, "Microsoft asks you to sign in again.", "Your list is kept.", "Sign in, then go on."},
	"internal":           {500, "Something went wrong in Skylift.", "It has been noted.", "Try again; if it happens again, tell whoever runs this server."},
}

// fields are the words for what is wrong with one field of a transfer request.
var fields = map[string]string{
	"sourceUrl sourceRefused":         "Skylift does not fetch from this address: only public web addresses can be saved.",
	"sourceUrl sourceTooLarge":        "Too large to be sent as text. Paste or drop the picture itself.",
	"sourceUrl emptyFile":             "There is nothing in it.",
	"sourceUrl invalidRequest":        "This is not a web address.",
	"sourceUrl clientBytes":           "The bytes of this transfer come from a client, not from an address.",
	"size emptyFile":                  "The file is empty.",
	"size sizeMismatch":               "Another size was announced.",
	"size sourceTooLarge":             "The file is larger than OneDrive takes.",
	"name invalidRequest":             "This name cannot be used.",
	"folderId invalidRequest":         "This is not a folder.",
	"driveId invalidRequest":          "This is not a drive.",
	"size invalidRequest":             "The size is a number of bytes, 0 or more.",
	"route invalidRequest":            "Only the route upload can be asked for; Skylift finds the others by itself.",
	"conflictBehavior invalidRequest": "Send rename, replace or fail.",
	"cursor invalidRequest":           "This is not a cursor of this list.",
}

// ruleProblems are the words for what is wrong with a rule.
var ruleProblems = map[string]string{
	"site":  "This is not a site. Name its host, such as dribbble.com.",
	"kind":  "Choose one of the kinds.",
	"empty": "Name a site, or choose a kind. For everything there is the default folder.",
	"full":  "More than fifty rules do not fit. Delete one first.",
}

// Reasons why a sign-in failed, as pages.
var signIns = map[auth.Kind]words{
	auth.Declined:          {403, "You said no, and that is fine.", "Nothing was connected.", "Whenever you like, sign in again."},
	auth.Expired:           {400, "That took too long.", "For safety a sign-in ends after ten minutes.", "Start again."},
	auth.Replayed:          {400, "This sign-in was used already.", "Reloading that page signs nobody in twice.", "Go to the start page: you may be signed in already."},
	auth.WrongState:        {400, "This sign-in did not begin in this browser.", "So it was not followed.", "Start again here."},
	auth.Untrusted:         {502, "The answer was not one that Microsoft would send.", "Nobody was signed in.", "Start again; if it happens again, tell whoever runs this server."},
	auth.AdminNeeded:       {403, "Your organisation must allow Skylift first.", "Nothing was connected.", "Ask your administrator to approve it, or sign in with a personal account."},
	auth.ConsentNeeded:     {403, "Skylift was not given all that it needs.", "Nothing was connected.", "Sign in again and agree to everything that Skylift asks for: to save into your OneDrive, and to go on while you are away."},
	auth.WrongAccountType:  {403, "This kind of account cannot be used here.", "Nothing was connected.", "Sign in with another account."},
	auth.Misconfigured:     {500, "This server and its registration at Microsoft do not fit.", "Nobody can sign in until that is mended.", "Tell whoever runs this server: the app registration needs a look."},
	auth.RedirectUnknown:   {500, "Microsoft does not know this server's address.", "Nobody can sign in until that is mended.", "Tell whoever runs this server: the redirect address must be registered exactly."},
	auth.ClientUnknown:     {500, "Microsoft does not know this server.", "Nobody can sign in until that is mended.", "Tell whoever runs this server: the client id is not registered."},
	auth.SecretWrong:       {500, "Microsoft did not take this server's secret.", "Nobody can sign in until that is mended.", "Tell whoever runs this server: the client secret is wrong."},
	auth.SecretExpired:     {500, "This server's secret at Microsoft has run out.", "Nobody can sign in until that is mended.", "Tell whoever runs this server: the client secret needs renewing."},
	auth.AudienceMismatch:  {500, "This server is registered for other kinds of accounts.", "Nothing was connected.", "Tell whoever runs this server: supported account types and the tenant setting do not fit."},
	auth.SessionExpired:    {401, "Microsoft ended your session.", "Your list is kept.", "Sign in again."},
	auth.InteractionNeeded: {401, "Microsoft wants to see you for a moment.", "It may ask for a code or for your password.", "Sign in again."},
	auth.Blocked:           {403, "Your organisation does not allow this sign-in.", "Nothing was connected.", "Try from another place or device, or ask your administrator."},
	auth.AccountLocked:     {403, "This account is locked at Microsoft.", "Nothing was connected.", "Unlock it at account.microsoft.com, or ask your administrator."},
	auth.Loop:              {429, "Microsoft saw the same sign-in too often.", "It stopped to be on the safe side.", "Close other Skylift tabs, wait a minute and start again."},
	auth.TryAgain:          {502, "Microsoft could not answer.", "Nothing was connected.", "Try again in a minute."},
}

func (w words) notice(tone views.Tone) views.Notice {
	return views.Notice{Tone: tone, What: w.what, Did: w.did, Do: w.do}
}

// failureWords are the words for a failure's code. A code of Graph's that is not in the table
// gets general words.
func failureWords(code string) words {
	if w, ok := failures[code]; ok {
		return w
	}
	return words{422, "OneDrive did not take the file.", "Nothing was saved.", "Try again, or choose another folder."}
}

// codeWords say by which code the answer to a request is found in the log; "" where nobody needs that.
func codeWords(c echo.Context, status int) string {
	if !askable(c, status) {
		return ""
	}
	return "If you ask whoever runs this server, name code " + supportCode(c) + "."
}

// fieldWords say what is wrong with a field.
func fieldWords(e *transfer.RequestError) string {
	if s, ok := fields[e.Field+" "+e.Code]; ok {
		return s
	}
	if w, ok := failures[e.Code]; ok {
		return w.what
	}
	return "This cannot be used."
}

// ruleError is err about the folder of a rule: who saves has chosen none, and would not know which is meant.
func ruleError(r rule, err error) error {
	code := codeOf(err)
	if code != "folderNotFound" && code != "folderAccessDenied" {
		return err
	}
	said := "Your rule “" + r.words() + "” leads to the folder " + folderName(r.Folder) + ", which cannot be used any more. Change the rule in Skylift's settings."
	return &apiError{code: code, field: "folderId", said: said, cause: err}
}

// renamedWords say what a file will be called whose given name OneDrive does not take; "" for one that it does.
func renamedWords(given string) string {
	safe := onedrive.SafeName(given)
	if given == "" || safe == given {
		return ""
	}
	return "It will be called “" + safe + "”. OneDrive takes no name that holds \" * : < > ? / \\ |, ends in a dot, is the system's own (such as CON) or is that long."
}

// refusedWords say why an address was refused, as far as its form tells. Nothing is said about
// where it leads: that would tell the inside of a network from the outside.
func refusedWords(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	switch {
	case address == "":
		return "There is no address."
	case len(address) > transfer.MaxURL:
		return "This address is too long: at most " + strconv.Itoa(transfer.MaxURL) + " characters fit."
	case !ok && !strings.Contains(address, ":"):
		return "This is no address. It must start with https:// or http://."
	case !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http"):
		return "Only addresses that start with https:// or http:// can be saved."
	case strings.Contains(host, "@"):
		return "This address holds a name or password. Skylift does not send those to other sites."
	}
	return fields["sourceUrl sourceRefused"]
}

// apiError is an error that a handler has already judged.
type apiError struct {
	code  string
	field string // the field that is wrong, or ""
	said  string // words of the field, or ""
	next  *int64 // the byte from which a body goes on, if that is to be told
	cause error
}

func (e *apiError) Error() string {
	s := "handlers: " + e.code
	if e.field != "" {
		s += ": " + e.field
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

func (e *apiError) Unwrap() error { return e.cause }

func bad(code string) error { return &apiError{code: code} }

// judge finds the code and the words of any error that a handler returns.
func judge(err error) (code string, w words) {
	code = codeOf(err)
	switch {
	case code == "notFound" && errors.Is(err, transfer.ErrNotFound):
		return code, words{404, "There is no such transfer.", "", "Perhaps it was taken off the list, or it belongs to another account."}
	case errors.Is(err, transfer.ErrMayArrive):
		return code, words{409, "OneDrive may still finish this transfer as it was.", "So nothing was changed: there could be two files of it.", "Try it again as it is, wait until it says that its file is in the recycle bin, or save it as a new transfer."}
	case errors.Is(err, onedrive.ErrBadCursor):
		return code, words{400, "The list cannot be gone on with from here.", "Nothing was changed.", "Open the folder again from its first page."}
	case errors.Is(err, onedrive.ErrRefused):
		return code, words{422, "OneDrive refused this.", "Nothing was changed.", "Try another folder or another name."}
	}
	var source *transfer.SourceError
	w, ok := requests[code]
	if !ok || errors.As(err, &source) { // some codes are a source's and a request's
		w = failureWords(code)
	}
	return code, w
}

// codeOf maps the kinds of errors from below to the API's codes.
func codeOf(err error) string {
	var judged *apiError
	var field *transfer.RequestError
	var source *transfer.SourceError
	var misplaced *transfer.RangeError
	var http_ *echo.HTTPError
	var large *http.MaxBytesError
	var paused *transfer.PausedError
	switch {
	case errors.As(err, &judged):
		return judged.code
	case errors.As(err, &field):
		return field.Code
	case errors.As(err, &source):
		return source.Code
	case errors.As(err, &misplaced):
		return "rangeInvalid"
	case errors.As(err, &paused):
		return "oneDriveBusy"
	case errors.Is(err, errTooLarge), errors.As(err, &large):
		return "tooLarge"
	case errors.Is(err, errCrossSite):
		return "crossSite"
	case errors.Is(err, errNotInFrame):
		return "notInFrame"
	case errors.Is(err, errSignedOut):
		return "unauthenticated"
	case errors.As(err, &rateError{}):
		return "tooManyRequests"
	case errors.As(err, &http_):
		return codeOfStatus(http_.Code)
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.code
		}
	}
	return "internal"
}

// kinds are the errors of the parts below, by what the API calls them. The first that fits counts.
var kinds = []struct {
	err  error
	code string
}{
	{transfer.ErrNotFound, "notFound"},
	{transfer.ErrNotPossible, "conflict"},
	{transfer.ErrConflict, "conflict"},
	{transfer.ErrNotUndoable, "notUndoable"},
	{transfer.ErrTaken, "contentBusy"},
	{transfer.ErrBusy, "tooManyRequests"},
	{transfer.ErrClientGone, "rangeInvalid"},
	{transfer.ErrTooMany, "tooManyTransfers"},
	{transfer.ErrManyBodies, "tooManyBodies"},
	{transfer.ErrFull, "storeUnavailable"},
	{transfer.ErrUnavailable, "storeUnavailable"},
	{auth.ErrNotFound, "notFound"},
	{auth.ErrTooManyDevices, "tooManyDevices"},
	{auth.ErrBadCode, "codeInvalid"},
	{auth.ErrSignInRequired, "signInRequired"},
	{onedrive.ErrUnauthenticated, "signInRequired"},
	{onedrive.ErrBadCursor, "invalidRequest"},
	{onedrive.ErrNoDrive, "noDrive"},
	{onedrive.ErrNotFound, "folderNotFound"},
	{onedrive.ErrAccessDenied, "folderAccessDenied"},
	{onedrive.ErrBadName, "nameInvalid"},
	{onedrive.ErrNameExists, "nameAlreadyExists"},
	{onedrive.ErrModified, "resourceModified"},
	{onedrive.ErrQuota, "quotaLimitReached"},
	{onedrive.ErrLocked, "resourceLocked"},
	{onedrive.ErrNotSupported, "notSupported"},
	{onedrive.ErrTooLarge, "fileTooLarge"},
	{onedrive.ErrMalware, "malwareDetected"},
	{onedrive.ErrRefused, "invalidRequest"},
	{onedrive.ErrThrottled, "oneDriveBusy"},
	{onedrive.ErrUnavailable, "oneDriveDown"},
	{onedrive.ErrForeignHost, "oneDriveDown"},
}

func codeOfStatus(status int) string {
	switch status {
	case http.StatusNotFound:
		return "notFound"
	case http.StatusMethodNotAllowed:
		return "methodNotAllowed"
	case http.StatusRequestEntityTooLarge:
		return "tooLarge"
	case http.StatusUnsupportedMediaType:
		return "unsupportedType"
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusTooManyRequests:
		return "tooManyRequests"
	}
	if status >= 400 && status < 500 {
		return "invalidRequest"
	}
	return "internal"
}

// pageWords are the words of an error on a page. Who stands there sent a form, and has no use for the API's description.
func pageWords(err error) (code string, w words) {
	code, w = judge(err)
	var field *transfer.RequestError
	if errors.As(err, &field) {
		w.did = fieldWords(field)
	}
	if code == "invalidRequest" && w.do == requests[code].do {
		w.do = "Go back, load the page again and try once more."
	}
	return code, w
}

// retryAfter is how long to wait before the same request makes sense again: what was asked for, else a
// guess; 0 where waiting is no cure.
func retryAfter(err error) time.Duration {
	var limited rateError
	var graph *onedrive.Error
	var paused *transfer.PausedError
	code, w := judge(err)
	switch {
	case errors.As(err, &limited):
		return limited.wait
	case errors.As(err, &paused):
		return paused.Wait
	case w.status != http.StatusServiceUnavailable && w.status != http.StatusTooManyRequests:
		return 0
	case errors.As(err, &graph) && graph.RetryAfter > 0:
		return graph.RetryAfter
	case code == "contentBusy":
		return time.Minute
	}
	return 5 * time.Second
}

// onError answers every error that a handler returned: a problem on the API, a page elsewhere.
func (h *Handler) onError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if errors.As(err, &rateError{}) {
		h.metrics.limited.Inc()
	}
	sayWait(c, retryAfter(err))
	linger(c.Request())
	var answer error
	if isAPI(c.Request().URL.Path) {
		answer = h.sendProblem(c, err)
	} else {
		answer = h.errorPage(c, err)
	}
	if answer != nil && c.Request().Context().Err() == nil { // else nobody waits for it
		h.log.Warn("error page", "request", supportCode(c), "route", c.Path(), "error", answer)
	}
}

// sayWait tells in an answer when to come again; 0 needs no word.
func sayWait(c echo.Context, wait time.Duration) {
	if wait > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}
