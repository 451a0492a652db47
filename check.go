package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer/natsd"
)

const (
	lookTime   = 10 * time.Second // for each look
	clockNote  = time.Minute      // further from Microsoft's time than this deserves a word
	clockOff   = 5 * time.Minute  // and further than this ends sign-ins
	littleRoom = 1 << 30          // bytes free
)

// look is one thing to find out before people come.
type look struct {
	at   string
	find func(context.Context) finding
}

// finding is a line of what came of it: what is so, and what to do about it.
type finding struct{ verdict, says string }

func fine(format string, a ...any) finding  { return finding{"ok", fmt.Sprintf(format, a...)} }
func note(format string, a ...any) finding  { return finding{"note", fmt.Sprintf(format, a...)} }
func wrong(format string, a ...any) finding { return finding{"wrong", fmt.Sprintf(format, a...)} }

// check looks at all that a start will need, at once, and prints a line of each. It opens nothing for people,
// and makes and changes nothing. The error says that something is wrong.
func (s *settings) check(ctx context.Context, out io.Writer) error {
	looks := s.looks(ctx)
	found := make([]chan finding, len(looks))
	for i, l := range looks {
		found[i] = make(chan finding, 1)
		go func() { found[i] <- l.within(ctx, lookTime) }() // ends with its time
	}
	bad := 0
	for i, l := range looks {
		f := <-found[i]
		if f.verdict == "wrong" {
			bad++
		}
		fmt.Fprintf(out, "%-5s  %-10s  %s\n", f.verdict, l.at, f.says)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bad > 0:
		return fmt.Errorf("%d of %d looks found something that is wrong", bad, len(looks))
	}
	return nil
}

// within gives up what does not mind the end of its time.
func (l look) within(ctx context.Context, limit time.Duration) finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan finding, 1)
	go func() { done <- l.find(ctx) }() // ends with ctx, or with the program
	select {
	case f := <-done:
		return f
	case <-time.After(limit + time.Second):
		return wrong("no end of it within %s", limit)
	}
}

// looks are the table of what to look at: of Microsoft nothing in the demo.
func (s *settings) looks(ctx context.Context) []look {
	listening := publicHost(s.Listen, listenPort(s.Listen))
	if s.URL == "" {
		s.URL = "http://" + listening
	}
	runs := sync.OnceValues(func() (answerer, error) { return whoAnswers(ctx, "http://"+listening) })
	list := []look{
		{"settings", func(context.Context) finding { return s.lookAtMode() }},
		{"listen", func(context.Context) finding { return s.lookAtListener(listening, runs) }},
		{"address", func(ctx context.Context) finding { return s.lookAtURL(ctx) }},
		{"proxies", func(context.Context) finding { return s.lookAtProxies() }},
		{"frames", func(context.Context) finding { return s.lookAtFrames() }},
		{"keys", func(context.Context) finding { return s.lookAtKeys() }},
	}
	if s.NATS != "" {
		list = append(list, look{"cluster", s.lookAtCluster})
	} else {
		list = append(list, look{"data", func(context.Context) finding { return s.lookAtData(listening, runs) }})
	}
	if s.demo() {
		return list
	}
	provider := auth.NewProvider(s.registration())
	host := sync.OnceValues(func() (auth.Host, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		return provider.LookAtHost(ctx)
	})
	return append(list,
		look{"login", func(context.Context) finding { return s.lookAtLogin(host()) }},
		look{"clock", func(context.Context) finding { h, _ := host(); return lookAtClock(h) }},
		look{"client", func(ctx context.Context) finding {
			if _, err := host(); err != nil || !encrypted(s.LoginURL) {
				return note("not tried: the login host comes first")
			}
			return s.lookAtClient(provider.TryClient(ctx))
		}},
		look{"redirect", func(context.Context) finding { return s.lookAtRedirect() }},
		look{"graph", s.lookAtGraph},
	)
}

func (s *settings) lookAtMode() finding {
	if s.demo() {
		return note("they are valid. No client id is set, so this is the demo: a stand-in plays Microsoft, and nothing of Microsoft's is looked at")
	}
	return fine("they are valid")
}

// listenPort is the port of a listen address as its listener would tell it.
func listenPort(listen string) net.Addr {
	_, port, _ := net.SplitHostPort(listen)
	n, _ := strconv.Atoi(port)
	return &net.TCPAddr{Port: n}
}

// freePort reports whether the port is picked at the start, so that nobody knows it before.
func (s *settings) freePort() bool { return strings.HasSuffix(s.Listen, ":0") }

// lookAtListener does not listen: whoever comes meanwhile would be let down.
func (s *settings) lookAtListener(listening string, runs func() (answerer, error)) finding {
	if s.freePort() {
		return fine("a free port is picked at the start")
	}
	who, err := runs()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fine("nobody listens on %s yet", listening)
	case err != nil:
		return note("not sure whether %s is free: %v", listening, err)
	case who.mode != "":
		return note("a Skylift (%s) listens on %s: fine if it is this one", who.mode, listening)
	}
	return wrong("another program listens on %s: end it, or set %sLISTEN to another address", listening, prefix)
}

// lookAtURL finds nothing wrong: this machine may not reach the address that the world does.
func (s *settings) lookAtURL(ctx context.Context) finding {
	if !s.set["URL"] {
		return note("%sURL is not set, so people reach it at %s, on this machine only", prefix, s.URL)
	}
	who, err := whoAnswers(ctx, s.URL)
	untrusted, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case who.mode != "":
		return fine("a Skylift (%s) answers at %s", who.mode, s.URL)
	case badCertificate:
		return note("the certificate of %s is not trusted here: %v", s.URL, untrusted.Err)
	case err != nil:
		return note("%s is not reached from here, which need not mean that others do not reach it: %v", s.URL, err)
	case who.status == http.StatusBadGateway || who.status == http.StatusServiceUnavailable || who.status == http.StatusGatewayTimeout:
		return note("at %s a proxy answers %d: fine as long as Skylift does not run behind it", s.URL, who.status)
	case who.status >= 300 && who.status < 400:
		return note("%s sends programs elsewhere (%d): the extension and scripts do not follow", s.URL, who.status)
	}
	return note("something else than Skylift answers at %s (%d): is the name right, and does the proxy lead here?", s.URL, who.status)
}

// answerer is what answers at an address: a Skylift has a mode, live or demo.
type answerer struct {
	mode   string
	status int
}

// whoAnswers asks a web address whether a Skylift is there.
func whoAnswers(ctx context.Context, base string) (answerer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return answerer{}, err
	}
	client := onedrive.NewHTTPClient()
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return answerer{}, errors.Unwrap(err) // what is around it tells the address once more
	}
	defer res.Body.Close()
	var ready struct{ Status, Mode string }
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<10)).Decode(&ready)
	if err != nil || ready.Status == "" || ready.Mode != "live" && ready.Mode != "demo" {
		return answerer{status: res.StatusCode}, nil
	}
	return answerer{ready.Mode, res.StatusCode}, nil
}

func (s *settings) lookAtProxies() finding {
	for _, n := range networks(s.TrustedProxies) {
		if n.Bits() == 0 {
			return wrong("%sTRUSTED_PROXIES has %s, so everybody may say who they are: name the proxy's own address", prefix, n)
		}
	}
	switch {
	case s.secure() && len(s.TrustedProxies) == 0:
		return note("%sURL is https, so a proxy stands in front; without its address in %sTRUSTED_PROXIES all people share one limit of requests", prefix, prefix)
	case len(s.TrustedProxies) == 0:
		return fine("none is trusted")
	}
	return fine("%s may say for whom they ask", strings.Join(s.TrustedProxies, ", "))
}

func (s *settings) lookAtFrames() finding {
	if len(s.EmbedOrigins) > 0 && !s.secure() && !s.loopback() {
		return note("%sEMBED_ORIGINS is set, but browsers keep no cookie of a frame without https: people cannot stay signed in there", prefix)
	}
	for _, o := range s.EmbedOrigins {
		switch {
		case o == "office" && !s.secure():
			return note("office is in %sEMBED_ORIGINS, but Office loads panels from https addresses only", prefix)
		case o == s.URL:
			return note("%sEMBED_ORIGINS need not name Skylift itself", prefix)
		case o != "office" && !encrypted(o):
			return note("%s in %sEMBED_ORIGINS is not https: whoever is on the way may put a page of theirs around the panel", o, prefix)
		}
	}
	if len(s.EmbedOrigins) == 0 {
		return fine("no other site may frame the panel")
	}
	return fine("%s may frame the panel", strings.Join(s.EmbedOrigins, ", "))
}

func (s *settings) lookAtKeys() finding {
	switch {
	case s.Keys != "":
		return fine("%sKEYS can be read; whether they fit what is stored shows at the start", prefix)
	case s.NATS != "":
		return note("they are kept on the cluster, beside what they seal: %sKEYS keeps them apart", prefix)
	case s.Data == natsd.Memory:
		return fine("made at each start; nothing is kept")
	}
	_, unstored := os.Stat(filepath.Join(s.Data, "jetstream"))
	switch _, err := auth.LoadKeyring(s.Data); {
	case errors.Is(err, fs.ErrNotExist) && unstored == nil:
		return wrong("%s holds what was stored, but not the keys that sealed it: put the file keys back, or set %sKEYS", s.Data, prefix)
	case errors.Is(err, fs.ErrNotExist):
		return fine("made at the first start, in the data folder")
	case err != nil:
		return wrong("%v", err)
	case s.demo():
		return fine("those of the data folder can be read")
	}
	return note("those of the data folder can be read, but lie beside what they seal: %sKEYS keeps them apart", prefix)
}

func (s *settings) lookAtData(listening string, runs func() (answerer, error)) finding {
	if s.Data == natsd.Memory {
		return note("nothing is kept: a stop forgets all sign-ins and transfers")
	}
	free, err := natsd.LookAtFolder(s.Data)
	switch {
	case errors.Is(err, natsd.ErrLocked):
		if who, _ := runs(); who.mode != "" && !s.freePort() {
			return note("%s is in use, and a Skylift listens on %s: fine if it is this one", s.Data, listening)
		}
		return wrong("another Skylift uses the folder %s: end it, or set %sDATA to another folder", s.Data, prefix)
	case errors.Is(err, natsd.ErrNoSpace):
		return wrong("only %d MiB are free for %s: make room", free>>20, s.Data)
	case err != nil:
		return wrong("%s: %v", s.Data, err)
	case free < littleRoom:
		return note("only %d MiB are free for %s, where files rest on their way, too", free>>20, s.Data)
	}
	return fine("%s can be written to by this user, %d GiB free", s.Data, free>>30)
}

func (s *settings) lookAtCluster(ctx context.Context) finding {
	c, err := natsd.LookAtCluster(ctx, natsd.Options{URL: s.NATS, Replicas: s.NATSReplicas})
	switch {
	case errors.Is(err, natsd.ErrNoJetStream):
		return wrong("NATS answers, but without JetStream: switch it on for this account")
	case err != nil:
		return wrong("%v: are the addresses in %sNATS right, and may this machine reach them?", err, prefix)
	case c.Name == "" && c.Replicas > 1:
		return wrong("one NATS server alone cannot keep %d copies: name a cluster in %sNATS, or set %sNATS_REPLICAS=1", c.Replicas, prefix, prefix)
	case c.Addresses < c.Replicas:
		return note("not sure that %d copies can be kept: %d server(s) of the cluster are known", c.Replicas, c.Addresses)
	}
	return fine("JetStream of NATS %s answers, %d copies can be kept; that its sync_interval is always cannot be seen from here", c.Version, c.Replicas)
}

// encrypted reports whether nobody on the way can read along: https, or this machine.
func encrypted(base string) bool { return strings.HasPrefix(base, "https://") || isLoopback(base) }

func (s *settings) lookAtLogin(h auth.Host, err error) finding {
	e, refused := errors.AsType[*auth.SignInError](err)
	_, graph, _ := strings.Cut(s.GraphURL, "://")
	graph, _, _ = strings.Cut(graph, "/")
	switch {
	case !encrypted(s.LoginURL):
		return wrong("%sLOGIN_URL is not https: the client secret would be sent for all to read", prefix)
	case refused && (e.AADSTS == "90002" || e.Code == "invalid_tenant"):
		return wrong("%s knows no tenant %s: copy the Directory (tenant) ID of the registration into %sTENANT, or is this another cloud's login host?", s.LoginURL, s.Tenant, prefix)
	case refused && e.Unwrap() != nil:
		return wrong("%s is not reached (%v); without it nobody can sign in", s.LoginURL, e.Unwrap())
	case err != nil:
		return wrong("%s is no login host for %s: %v", s.LoginURL, s.Tenant, err)
	case h.Graph != "" && !strings.EqualFold(h.Graph, graph):
		return note("%s goes with the Graph at %s, but %sGRAPH_URL is at %s: are they of the same cloud?", s.LoginURL, h.Graph, prefix, graph)
	}
	return fine("%s speaks for %s", s.LoginURL, s.Tenant)
}

func lookAtClock(h auth.Host) finding {
	if h.Clock.IsZero() {
		return note("not sure: the login host told no time")
	}
	ahead := h.Seen.Sub(h.Clock).Round(time.Second)
	words := fmt.Sprintf("it is %s ahead of Microsoft's", ahead)
	if ahead < 0 {
		words = fmt.Sprintf("it is %s behind Microsoft's", -ahead)
	}
	switch {
	case ahead.Abs() > clockOff:
		return wrong("%s: sign-ins are refused as too old or not yet good. Let NTP set it", words)
	case ahead.Abs() > clockNote:
		return note("%s: let NTP set it before it is too far", words)
	}
	return fine("it goes with Microsoft's")
}

// clientWords are what to do when Microsoft does not take the client.
var clientWords = map[auth.Kind]string{
	auth.ClientUnknown:    "Microsoft knows no such client: copy the Application (client) ID, not the object id, and is the registration in the directory of SKYLIFT_TENANT?",
	auth.SecretWrong:      "Microsoft does not take the client secret: copy the Value of one (not its Secret ID) of this very registration, whose platform is Web",
	auth.SecretExpired:    "the client secret has run out: make a new one in Certificates & secrets",
	auth.AudienceMismatch: "the registration's supported account types do not fit SKYLIFT_TENANT: change one of the two",
	auth.RedirectUnknown:  "the redirect URI is not registered: see the line redirect",
}

func (s *settings) lookAtClient(err error) finding {
	e, refused := errors.AsType[*auth.SignInError](err)
	switch {
	case err == nil:
		return fine("Microsoft knows the client id and takes the secret. When the secret ends cannot be seen from here")
	case errors.Is(err, auth.ErrUnproven):
		return note("not sure: Microsoft minds the made-up code before it looks at the secret. Sign in once to know")
	case !refused:
		return note("not sure: %v", err)
	case clientWords[e.Kind] != "":
		return wrong("%s (%s)", clientWords[e.Kind], number(e))
	case e.Code == "unauthorized_client":
		return wrong("Microsoft refuses this client (%s): is it disabled, or of another cloud?", number(e))
	}
	return note("not sure: the made-up code was answered in an unknown way (%s). Sign in once to know", number(e))
}

// number is what Microsoft called its refusal, for a search.
func number(e *auth.SignInError) string {
	switch {
	case e.AADSTS != "":
		return "AADSTS" + e.AADSTS
	case e.Code != "":
		return e.Code
	}
	return e.Detail
}

// lookAtRedirect tells what to register. Microsoft looks at the address only once somebody signs in.
// https://learn.microsoft.com/entra/identity-platform/reply-url
func (s *settings) lookAtRedirect() finding {
	redirect := s.URL + "/auth/callback"
	u, err := url.Parse(s.URL)
	if err != nil {
		return wrong("%v", err)
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	switch {
	case !s.secure() && u.Hostname() != "localhost" && !(ip.Is4() && ip.IsLoopback()):
		return wrong("%s cannot be registered: Microsoft takes https addresses, and http://localhost. Set %sURL to one", redirect, prefix)
	case s.freePort() && !s.set["URL"]:
		return note("register http://localhost/auth/callback, platform Web: the port of localhost does not count")
	case ip.Is4() && ip.IsLoopback():
		return note("register %s, platform Web, in the registration's manifest: the form takes localhost only", redirect)
	}
	return note("register exactly %s, platform Web. Whether it is registered shows at the first sign-in only", redirect)
}

func (s *settings) lookAtGraph(ctx context.Context) finding {
	if !encrypted(s.GraphURL) {
		return wrong("%sGRAPH_URL is not https: everybody's files would be sent for all to read", prefix)
	}
	graph, err := onedrive.New(onedrive.Config{GraphURL: s.GraphURL, Hosts: s.MicrosoftHosts})
	if err != nil {
		return wrong("%sGRAPH_URL: %v", prefix, err)
	}
	defer graph.CloseIdleConnections()
	switch err := graph.Look(ctx); {
	case err != nil:
		return wrong("%s does not answer as Graph does: %v", s.GraphURL, err)
	case !strings.HasSuffix(s.GraphURL, "/v1.0"):
		return note("%s answers, but Graph's addresses end in /v1.0", s.GraphURL)
	}
	return fine("%s answers, and wants a sign-in", s.GraphURL)
}
