package fakegraph

import (
	"testing"
	"time"
)

func TestASignInOutlivesTheProcess(t *testing.T) {
	opts := Options{Secret: []byte("kept in the data folder")}
	before := newSite(t, opts)
	token := before.tokens(before.code("alex@work.example")).text("refresh_token")

	for _, row := range []struct {
		name string
		opts Options
		do   func(*Server)
		want int
	}{
		{"the same secret knows it", opts, nil, 200},
		{"another secret does not", Options{Secret: []byte("other")}, nil, 400},
		{"no secret does not", Options{}, nil, 400},
		{"a reset ends it", opts, (*Server).Reset, 400},
		{"revoking ends it", opts, func(s *Server) { s.RevokeGrants("Alex@work.example") }, 400},
		{"revoking somebody else does not", opts, func(s *Server) { s.RevokeGrants("kim@demo.example") }, 200},
		{"its time ends it", opts, func(s *Server) { s.Advance(91 * 24 * time.Hour) }, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			after := newSite(t, row.opts)
			if row.do != nil {
				row.do(after.Server)
			}
			got := after.token(refreshForm(token))
			if got.StatusCode != row.want {
				t.Fatalf("got %d %v, want %d", got.StatusCode, got.json, row.want)
			}
			if row.want == 200 && after.me(got.text("access_token")).text("userPrincipalName") != "alex@work.example" {
				t.Error("the new access token is not alex's")
			}
		})
	}
}
