package onedrive_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"skylift/onedrive"
	"skylift/onedrive/onedrivetest"
)

func TestGraphIsLookedAtWithoutASignIn(t *testing.T) {
	s := onedrivetest.NewServer(t)
	if err := s.Graph.Look(t.Context()); err != nil {
		t.Errorf("the stand-in: %v", err)
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"a web page", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("<h1>Hello</h1>")) }, onedrive.ErrUnavailable},
		{"another server's 401", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, onedrive.ErrUnauthenticated},
		{"nothing of that name", http.NotFound, onedrive.ErrNotFound},
		{"a portal's sign-in", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, onedrive.ErrForeignHost},
		{"a Graph that is down", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, onedrive.ErrUnavailable},
	} {
		host := httptest.NewServer(tt.answer)
		g, err := onedrive.New(onedrive.Config{GraphURL: host.URL + "/v1.0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Look(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		g.CloseIdleConnections()
		host.Close()
	}
}
