// Package onedrivetest gives tests a Microsoft of their own: the stand-in on a local server, and
// Graph clients that are signed in to it. It is the only package that imports testing.
package onedrivetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// Server is a stand-in Microsoft that lives as long as its test.
type Server struct {
	*fakegraph.Server
	URL      string // of everything, the stand-in's prefix included
	LoginURL string
	GraphURL string // with the version, as SKYLIFT_GRAPH_URL has it
	Graph    *onedrive.Graph
}

// NewServer starts a stand-in with at most one Options. Without a prefix it gets one, so that a
// client that forgets part of the base address fails loudly.
func NewServer(t testing.TB, options ...fakegraph.Options) *Server {
	t.Helper()
	var o fakegraph.Options
	if len(options) > 0 {
		o = options[0]
	}
	return serve(t, o, httptest.NewUnstartedServer(nil), onedrive.Config{})
}

// NewServerOn starts a stand-in on a listener that need not be one of the network's. Way carries
// what the Graph client sends.
func NewServerOn(t testing.TB, l net.Listener, way http.RoundTripper, o fakegraph.Options) *Server {
	t.Helper()
	client := &http.Client{Transport: way}
	return serve(t, o, &httptest.Server{Listener: l, Config: &http.Server{}}, onedrive.Config{Graph: client, Bare: client})
}

func serve(t testing.TB, o fakegraph.Options, server *httptest.Server, config onedrive.Config) *Server {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = "/microsoft"
	}
	if o.URL == "" {
		o.URL = "http://" + server.Listener.Addr().String()
	}
	s := &Server{Server: fakegraph.New(o)}
	server.Config.Handler = s.Server
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(s.Server.Close)
	s.URL = server.URL + o.Prefix
	s.LoginURL, s.GraphURL = s.URL, s.URL+"/v1.0"
	config.GraphURL = s.GraphURL
	graph, err := onedrive.New(config)
	if err != nil {
		t.Fatalf("onedrive.New: %v", err)
	}
	t.Cleanup(graph.CloseIdleConnections)
	s.Graph = graph
	return s
}

// Client is a Graph client that is signed in as the account of that login name.
func (s *Server) Client(t testing.TB, login string) *onedrive.Client {
	t.Helper()
	if s.Token(login) == "" {
		t.Fatalf("no account %q on the stand-in", login)
	}
	return s.Graph.Client(s.Tokens(login))
}

// Tokens is a source of access tokens for that account: it keeps one until it is stale.
func (s *Server) Tokens(login string) onedrive.TokenSource {
	var mu sync.Mutex
	token := ""
	return func(_ context.Context, stale string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if token == "" || token == stale {
			token = s.Token(login)
		}
		if token == "" {
			return "", fmt.Errorf("%w: %s left the stand-in", onedrive.ErrUnauthenticated, login)
		}
		return token, nil
	}
}
