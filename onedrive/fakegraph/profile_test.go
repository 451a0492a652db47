package fakegraph

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestGraphAsksForABearer(t *testing.T) {
	s := New(Options{Prefix: "/demo"})
	expired := s.Token("robin@demo.example")
	s.Advance(2 * time.Hour)
	killed := s.Token("alex@work.example")
	s.ExpireTokens("ALEX@work.example")
	for _, row := range []struct {
		name, header string
		status       int
		message      string
	}{
		{"no token", "", 401, "Access token is empty."},
		{"another scheme", "Basic cm9iaW46eA==", 401, "Bearer access token is required."},
		{"a token that nobody issued", "Bearer abc", 401, "IDX14100"},
		{"an expired token", "Bearer " + expired, 401, "the token is expired"},
		{"a token that was expired by order", "Bearer " + killed, 401, "the token is expired"},
		{"a good token", "Bearer " + s.Token("robin@demo.example"), 200, "Robin Demo"},
		{"a good token under a lower-case scheme", "bearer " + s.Token("Robin@Demo.example"), 200, "Robin Demo"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://fake.example/demo/v1.0/me", nil)
			r.Header.Set("Authorization", row.header)
			r.Header.Set("client-request-id", "mine")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.message) {
				t.Fatalf("got %d %s, want %d with %q", w.Code, w.Body, row.status, row.message)
			}
			if w.Header().Get("client-request-id") != "mine" || w.Header().Get("request-id") == "" {
				t.Errorf("headers %v lack the request ids", w.Header())
			}
			if row.status == http.StatusOK {
				return
			}
			var body struct {
				Error struct {
					Code       string
					InnerError map[string]string
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if body.Error.Code != "InvalidAuthenticationToken" || body.Error.InnerError["client-request-id"] != "mine" {
				t.Errorf("got %s, want Graph's envelope", w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, `authorization_uri="http://fake.example/demo/common/oauth2/`) {
				t.Errorf("WWW-Authenticate %q names no authorization_uri", got)
			}
		})
	}
}
