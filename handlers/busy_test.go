package handlers

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
)

// TestWhatOnePersonMayNotTakeIsAProblem: clients try again by its code and status.
func TestWhatOnePersonMayNotTakeIsAProblem(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{transfer.ErrTooMany, 429, "tooManyTransfers"},
		{fmt.Errorf("%w: of 10 GiB", transfer.ErrFull), 503, "storeUnavailable"},
	} {
		w := httptest.NewRecorder()
		(&Handler{}).onError(tt.err, echo.New().NewContext(httptest.NewRequest("POST", apiBase+"/transfers", nil), w))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), `"`+tt.code+`"`) {
			t.Errorf("%v: %d %s, want %d %s", tt.err, w.Code, w.Body, tt.status, tt.code)
		}
	}
}
