package handlers

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
)

// transferJSON is the Transfer of the JSON API.
type transferJSON struct {
	ID               string          `json:"id"`
	State            transfer.State  `json:"state"`
	Route            *transfer.Route `json:"route"` // null until it is chosen
	RouteReason      *string         `json:"routeReason"`
	SourceURL        *string         `json:"sourceUrl"`
	PageURL          *string         `json:"pageUrl"`
	PageTitle        *string         `json:"pageTitle"`
	AltText          *string         `json:"altText"`
	Name             string          `json:"name"`
	Folder           folderJSON      `json:"folder"`
	ConflictBehavior string          `json:"conflictBehavior"`
	Percent          *float64        `json:"percentageComplete"`
	BytesTransferred *int64          `json:"bytesTransferred"`
	Size             *int64          `json:"size"`
	Reason           *string         `json:"reason"`
	Error            *errorJSON      `json:"error"`
	Attempts         int             `json:"attempts"`
	Item             *itemJSON       `json:"item"`
	Leftover         *string         `json:"leftover"` // of a cancelled one
	Created          time.Time       `json:"createdDateTime"`
	Modified         time.Time       `json:"lastModifiedDateTime"`
}

type folderJSON struct {
	DriveID string `json:"driveId"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Path    string `json:"path"` // empty when nobody could look
}

type itemJSON struct {
	DriveID string `json:"driveId"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	WebURL  string `json:"webUrl"`
}

type errorJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

func wire(t transfer.Transfer) transferJSON {
	j := transferJSON{
		ID: t.ID, State: t.State, Route: orNull(t.Route), RouteReason: orNull(t.RouteReason),
		SourceURL: orNull(t.SourceURL), PageURL: orNull(t.PageURL), PageTitle: orNull(t.PageTitle), AltText: orNull(t.AltText),
		Name: t.Name, Folder: folderJSON(t.Folder), ConflictBehavior: string(t.ConflictBehavior),
		Percent: t.Percent, BytesTransferred: t.BytesTransferred, Size: t.Size,
		Reason: orNull(string(t.Reason)), Leftover: orNull(string(t.Leftover)), Attempts: t.Attempts, Created: t.Created.UTC(), Modified: t.Modified.UTC(),
	}
	if t.Failure != nil {
		w := failureWords(t.Failure.Code)
		j.Error = &errorJSON{Code: t.Failure.Code, Message: join(w.what, w.did), Advice: w.do}
	}
	if t.Item != nil {
		j.Item = &itemJSON{DriveID: t.Item.DriveID, ID: t.Item.ID, Name: t.Item.Name, Size: t.Item.Size, WebURL: t.Item.WebURL}
	}
	return j
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

// orNull is s, or null for the empty string.
func orNull[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

// readJSON decodes the body, which must say that it is JSON: a form of another site cannot.
func readJSON(c echo.Context, into any) error {
	typ, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || typ != echo.MIMEApplicationJSON {
		return bad("unsupportedType")
	}
	d := json.NewDecoder(c.Request().Body)
	if err := d.Decode(into); err != nil {
		return &apiError{code: requestCode(err), cause: errJSON}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &apiError{code: requestCode(err), cause: errJSON}
	}
	return nil
}

// errJSON stands for the decoder's words, which can quote what was sent.
var errJSON = errors.New("not the JSON that is expected")

func requestCode(err error) string {
	if err != nil {
		if code := codeOf(err); code == "tooLarge" || code == "bodyTooSlow" {
			return code
		}
	}
	return "invalidRequest"
}
