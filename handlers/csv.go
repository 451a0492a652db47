package handlers

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
)

// csvPage is how many transfers of an export are in memory at a time.
const csvPage = 200

// errCutShort is of an answer that fails after it has begun. The line is broken off, so that nobody takes
// what came for the whole.
var errCutShort = errors.New("handlers: the answer is not whole")

// historyCSV serves GET /transfers.csv: the history for spreadsheets, narrowed as the page is. It is for
// nobody's frame: what a page may be framed by, browsers do not ask of a download.
func (h *Handler) historyCSV(c echo.Context) error {
	if framed(c) {
		return errNotInFrame
	}
	o := narrowed(c)
	o.Top = csvPage
	page, err := h.o.Store.List(c.Request().Context(), owner(c), o)
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "text/csv; charset=utf-8; header=present")
	header.Set(echo.HeaderContentDisposition, `attachment; filename="skylift-`+h.now().Format(time.DateOnly)+`.csv"`)
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	table := newTable(c.Response())
	for {
		if err := table.add(page.Value); err != nil {
			return err // who asked is gone
		}
		if page.Cursor == "" {
			return nil
		}
		o.Cursor = page.Cursor
		if page, err = h.o.Store.List(c.Request().Context(), owner(c), o); err != nil {
			return fmt.Errorf("%w: %w", errCutShort, err)
		}
	}
}

// table writes transfers as RFC 4180 has it.
type table struct{ csv *csv.Writer }

// newTable begins with a byte order mark: without one Excel reads the letters in the code page of the
// computer, and what others make of it is nothing.
func newTable(w io.Writer) table {
	_, _ = io.WriteString(w, "\ufeff") // whoever is gone is noticed with the first rows
	t := table{csv.NewWriter(w)}
	t.csv.UseCRLF = true
	_ = t.csv.Write(csvColumns)
	return t
}

// csvColumns are a promise to scripts, as the JSON is: add at the end.
var csvColumns = []string{
	"Date", "Name", "Folder", "Source address", "Page address", "Page title", "Alternative text",
	"Size in bytes", "Type", "Route", "State", "Error code", "Link in OneDrive",
}

func (t table) add(ts []transfer.Transfer) error {
	for _, one := range ts {
		_ = t.csv.Write(csvRow(one)) // Error below has it
	}
	t.csv.Flush()
	return t.csv.Error()
}

func csvRow(t transfer.Transfer) []string {
	name, size, code, link := t.Name, "", "", ""
	if t.Size != nil {
		size = strconv.FormatInt(*t.Size, 10)
	}
	if t.Item != nil {
		name, size, link = cmp.Or(t.Item.Name, name), strconv.FormatInt(t.Item.Size, 10), t.Item.WebURL
	}
	if t.Failure != nil {
		code = t.Failure.Code
	}
	row := []string{
		t.Created.UTC().Format(time.RFC3339), name, folderName(t.Folder), t.SourceURL, t.PageURL, t.PageTitle, t.AltText,
		size, t.ContentType, string(t.Route), string(t.State), code, link,
	}
	for i := range row {
		row[i] = harmless(row[i])
	}
	return row
}

// harmless puts an apostrophe before what a spreadsheet would take for a formula: pages give titles and
// names. One can begin behind a semicolon, too, where Excel ends cells with that and not with commas.
// https://owasp.org/www-community/attacks/CSV_Injection
func harmless(cell string) string {
	var b strings.Builder
	begins := true
	for i, r := range cell {
		ends := strings.ContainsRune(";\t\r\n", r)
		if begins && strings.ContainsRune("=+-@＝＋－＠", r) || i == 0 && ends {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = ends || begins && r == ' '
	}
	return b.String()
}
