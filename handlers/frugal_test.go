package handlers

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// A body that is all lines costs about what it weighs, not what its lines would. No other test runs beside.
func TestAMillionLinesCostLittle(t *testing.T) {
	h := &Handler{}
	for name, try := range map[string]struct {
		typ, body string
		serve     func(echo.Context) error
		want      string
	}{
		"a batch of zeros": {echo.MIMEApplicationJSON, `{"transfers":[0` + strings.Repeat(",0", listBody/2-20) + `]}`, h.apiBatch, "invalidRequest"},
		"a form of ones": {echo.MIMEApplicationForm, "urls=" + strings.Repeat("1%0A", listBody/4-20), func(c echo.Context) error {
			o, err := readOrder(c)
			if err == nil && o.problem() != nil {
				err = bad("invalidRequest")
			}
			return err
		}, "invalidRequest"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(try.body))
		r.Header.Set(echo.HeaderContentType, try.typ)
		c := echo.New().NewContext(r, httptest.NewRecorder())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := try.serve(c)
		runtime.ReadMemStats(&after)
		if code, w := judge(err); code != try.want || w.status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: %d MiB were allocated for %d", name, took>>20, len(try.body)>>20)
		}
	}
}

func TestAFormsLinesKeepTheirNumbers(t *testing.T) {
	o := order{field: "\r\n a \r\n\r\nb\n"}
	if got := splitLines(o.field); len(got) != 2 || got[0] != (line{2, "a"}) || got[1] != (line{4, "b"}) {
		t.Errorf("%q: %v", o.field, got)
	}
	if n := len(splitLines(strings.Repeat("x\n", 2*maxLines))); n != maxLines+1 {
		t.Errorf("%d lines of too many, want %d", n, maxLines+1)
	}
}
