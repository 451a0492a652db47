// Skylift saves pictures and files from the web into people's OneDrive.
//
// main reads the settings, builds the parts, joins them, listens, and stops them in order; it is
// the only place that decides which part gets what.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"skylift/auth"
	"skylift/handlers"
	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// The stages of a stop: streams and requests get drainTime, running transfers handOverTime to
// store where they are. All of it is crash-safe, so an end of patience loses nothing.
const (
	drainTime    = 5 * time.Second
	handOverTime = 25 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetOutput(onedrive.LogFilter(os.Stderr)) // net/http writes there, and can quote an upload URL
	context.AfterFunc(ctx, stop)                 // a second signal ends the process at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "skylift:", err)
		os.Exit(1)
	}
}

// run is the whole program: it returns when ctx ends and everything has stopped, or when it
// cannot start.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	s, err := readSettings(args, environ, stdout)
	if err != nil {
		return err
	}
	if s.checkOnly {
		return s.check(ctx, stdout)
	}
	a := &app{settings: s, log: newLog(stderr, s.Log), registry: prometheus.NewRegistry()}
	a.meters = newMeters(a.registry)
	err = a.run(ctx, stdout)
	return errors.Join(err, a.close())
}

// run opens first what one program only can have, the data folder and the address, and says of both what is wrong.
func (a *app) run(ctx context.Context, stdout io.Writer) error {
	locked := a.openNode()
	ln, taken := a.listenWeb()
	if ln != nil {
		defer ln.Close()
	}
	if err := errors.Join(locked, taken); err != nil {
		return err
	}
	if err := a.build(ctx); err != nil {
		return err
	}
	metrics, err := a.listenMetrics()
	if err != nil {
		return err
	}
	if metrics != nil {
		defer metrics.Close()
	}
	a.announce(stdout)
	return a.serve(ctx, ln, metrics)
}

// app is the running program's parts.
type app struct {
	*settings
	listening string // host and port of the listener
	log       *slog.Logger
	registry  *prometheus.Registry
	meters    *meters

	node      *natsd.Node
	keys      *auth.Keyring
	microsoft *fakegraph.Server // nil unless this is the demo
	graph     *onedrive.Graph
	source    *transfer.Source
	tokens    *auth.Tokens
	store     *transfer.Store
	runner    *transfer.Runner
	web       *handlers.Handler
}

// openNode opens what everything is kept in. An embedded NATS listens in memory only.
func (a *app) openNode() (err error) {
	a.node, err = natsd.Start(natsd.Options{Dir: a.Data, URL: a.NATS, Replicas: a.NATSReplicas, Log: a.log})
	switch {
	case errors.Is(err, natsd.ErrLocked):
		return fmt.Errorf("%sDATA: another Skylift uses the folder %s: end it, or choose another folder, such as -data elsewhere", prefix, a.Data)
	case err != nil:
		return fmt.Errorf("%s: start the store: %w", a.kept(), err)
	}
	return nil
}

// listenWeb opens the listener of the pages, which answers once all is built, and finds their address.
func (a *app) listenWeb() (net.Listener, error) {
	ln, err := net.Listen("tcp", a.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%sLISTEN: another program listens on %s: end it, or choose another address, such as -listen localhost:8088", prefix, a.Listen)
	case err != nil:
		return nil, fmt.Errorf("%sLISTEN: %w", prefix, err)
	}
	a.listening = publicHost(a.Listen, ln.Addr())
	if a.URL == "" {
		a.URL = "http://" + a.listening
	}
	return ln, nil
}

// build makes the parts from the bottom up.
func (a *app) build(ctx context.Context) (err error) {
	demo := a.demo()
	if demo {
		a.useStandIn()
	}
	a.source = transfer.NewSource(transfer.SourceOptions{Allow: a.AllowSources, MaxBytes: int64(a.MaxBytes)})
	if a.keys, err = a.keyring(ctx); err != nil {
		return fmt.Errorf("%s: %w", a.kept(), err)
	}
	if demo {
		a.microsoft = fakegraph.New(fakegraph.Options{
			URL: a.URL, Prefix: "/demo", Own: a.ClientID, Fetch: a.source.RoundTripper(), Secret: a.keys.Derive("demo sign-ins", 32)[0], Apart: a.apart(),
		})
	}
	a.graph, err = onedrive.New(onedrive.Config{GraphURL: a.GraphURL, Hosts: a.MicrosoftHosts, Observe: a.meters.called, UserAgent: "NONISV|Skylift|Skylift/1.0"})
	if err != nil {
		return fmt.Errorf("%sGRAPH_URL: %w", prefix, err)
	}
	parts, err := a.signIn(ctx)
	if err != nil {
		return fmt.Errorf("%s: open the sign-in store: %w", a.kept(), err)
	}
	if err := a.saving(ctx, parts); err != nil {
		return fmt.Errorf("%s: %w", a.kept(), err)
	}
	a.web = handlers.New(*parts)
	return nil
}

// kept is the setting that says where everything is kept.
func (a *app) kept() string {
	if a.NATS != "" {
		return prefix + "NATS"
	}
	return prefix + "DATA"
}

// useStandIn points everything at the stand-in that is mounted beside the pages.
func (a *app) useStandIn() {
	_, host, _ := strings.Cut(a.URL, "://")
	a.ClientID, a.ClientSecret = "demo", "demo"
	a.LoginURL, a.GraphURL = a.URL+"/demo", a.URL+"/demo/v1.0"
	a.MicrosoftHosts = append(a.MicrosoftHosts, withPort(host, a.secure()))
	a.AllowSources = append(a.AllowSources, withPort(host, a.secure()))
}

// apart reports whether the stand-in can give upload and monitor addresses out under a name other
// than its Graph's, as Microsoft does: at localhost, which is 127.0.0.1 too.
func (a *app) apart() bool { return strings.HasPrefix(a.URL, "http://localhost:") }

// keyring opens the keys that seal tokens: those of the settings, else those of the data
// folder. On a cluster without SKYLIFT_KEYS all instances share what the first one made.
func (a *app) keyring(ctx context.Context) (*auth.Keyring, error) {
	switch {
	case a.Keys != "":
		return auth.OpenKeyring(a.Keys)
	case a.node.Shared():
		a.log.Warn("the keys that seal tokens are kept on the cluster, beside what they seal: set SKYLIFT_KEYS to keep them apart")
		return auth.SharedKeyring(ctx, a.node.JetStream(), a.node.Replicas())
	case a.Data == natsd.Memory:
		return auth.OpenKeyring(auth.NewKey())
	default:
		return auth.LoadOrCreateKeyring(a.Data)
	}
}

// registration is the app as it is registered at Microsoft.
func (s *settings) registration() auth.Config {
	return auth.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, Tenant: s.Tenant, LoginURL: s.LoginURL,
		RedirectURL: s.URL + "/auth/callback", HTTP: onedrive.NewHTTPClient(),
	}
}

// signIn opens what knows who the user is, and begins the web side's options with it.
func (a *app) signIn(ctx context.Context) (*handlers.Options, error) {
	js, replicas := a.node.JetStream(), a.node.Replicas()
	base, err := url.Parse(a.URL)
	if err != nil {
		return nil, err
	}
	if a.microsoft == nil && a.Keys == "" && !a.node.Shared() && a.Data != natsd.Memory {
		a.log.Warn("the keys that seal sign-ins and transfers lie in the data folder, beside what they seal: set SKYLIFT_KEYS to keep them apart, so that a copy of the folder opens nothing")
	}
	o := &handlers.Options{URL: base, Demo: a.microsoft != nil, Log: a.log, Metrics: a.registry, EmbedOrigins: a.EmbedOrigins, TrustedProxies: networks(a.TrustedProxies)}
	o.Provider = auth.NewProvider(a.registration())
	realm := o.Provider.Realm()
	if o.Demo {
		realm = "demo" // at whichever address it listens
	}
	if a.tokens, err = auth.OpenTokens(ctx, js, replicas, a.keys, a.meters.refresher(o.Provider)); err != nil {
		return nil, err
	}
	if o.Users, err = auth.OpenUsers(ctx, js, replicas); err != nil {
		return nil, err
	}
	if o.Devices, err = auth.OpenDevices(ctx, js, replicas, realm); err != nil {
		return nil, err
	}
	if o.Pendings, err = auth.OpenPendings(ctx, js, replicas, a.keys, auth.PendingOptions{Secure: a.secure()}); err != nil {
		return nil, err
	}
	if o.Sessions, err = auth.OpenSessions(ctx, js, replicas, a.keys, auth.SessionOptions{Secure: a.secure(), Realm: realm}); err != nil {
		return nil, err
	}
	panel := auth.SessionOptions{Secure: a.secure() || a.loopback(), Realm: realm, Panel: true}
	if o.Panels, err = auth.OpenSessions(ctx, js, replicas, a.keys, panel); err != nil {
		return nil, err
	}
	if o.Handoffs, err = auth.OpenHandoffs(ctx, js, replicas); err != nil {
		return nil, err
	}
	o.Tokens = a.tokens
	return o, nil
}

// ended counts a transfer that is final. One that failed is logged, for whoever is asked why.
func (a *app) ended(t transfer.Transfer) {
	a.meters.ended(t)
	if t.State == transfer.Failed && t.Failure != nil {
		a.log.Info("transfer failed", "transfer", t.ID, "user", t.Owner, "route", t.Route, "code", t.Failure.Code, "detail", t.Failure.Detail)
	}
}

// saving opens the transfers and everything that moves bytes, and completes the web side's options.
func (a *app) saving(ctx context.Context, o *handlers.Options) (err error) {
	// Not with ctx: what runs is stored and handed over after the signal to stop; close ends it.
	a.store, err = transfer.OpenStore(context.WithoutCancel(ctx), a.node.JetStream(), a.node.Conn(), transfer.StoreOptions{
		Replicas: a.node.Replicas(), Sealer: a.keys, Retention: a.Retention, Space: a.node.Space, Ended: a.ended,
	})
	if err != nil {
		return fmt.Errorf("open the transfers: %w", err)
	}
	memory, err := transfer.OpenNativeMemory(ctx, a.node.JetStream(), a.node.Replicas())
	if err != nil {
		return err
	}
	spool, err := a.spool()
	if err != nil {
		return err
	}
	instance := a.instance()
	saver := transfer.NewSaver(transfer.SaverOptions{
		Instance: instance, SpoolDir: spool, Space: a.node.Space, Client: a.client, Native: a.Native, Memory: memory, Stall: a.NativeStall, MaxBytes: int64(a.MaxBytes), Source: a.source, Log: a.log,
	})
	a.runner = transfer.NewRunner(a.store, saver, transfer.RunnerOptions{Instance: instance, Log: a.log})
	a.meters.watch(a.runner)
	o.Store, o.Runner, o.Saver, o.Client, o.Native, o.Ready = a.store, a.runner, saver, a.client, saver.NativeState, a.ready
	return nil
}

// spool is the folder for files that rest on their way, empty at each start. It lies in the data folder:
// the system's is often in memory. Without a data folder it is the system's all the same.
func (a *app) spool() (string, error) {
	if a.node.Shared() || a.Data == natsd.Memory {
		return "", nil
	}
	dir := filepath.Join(a.Data, "spool")
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("empty the spool: %w", err)
	}
	return dir, os.Mkdir(dir, 0o700)
}

// instance names this process among those of a cluster; alone it needs no name, since the lock
// on the data folder says who owns everything.
func (a *app) instance() string {
	if !a.node.Shared() {
		return ""
	}
	return strings.ToLower(rand.Text())
}

// client is the Graph client of a user. Its token is fetched, and refreshed when Graph refuses
// it, by each call; a sign-in that is gone is an onedrive.ErrUnauthenticated.
func (a *app) client(_ context.Context, userID string) (*onedrive.Client, error) {
	return a.graph.Client(func(ctx context.Context, stale string) (string, error) {
		token, err := a.tokens.Access(ctx, userID, stale)
		if errors.Is(err, auth.ErrSignInRequired) {
			return "", fmt.Errorf("%w: %w", onedrive.ErrUnauthenticated, err)
		}
		return token, err
	}), nil
}

// ready reports why transfers cannot be accepted now.
func (a *app) ready(context.Context) error {
	if !a.node.Conn().IsConnected() {
		return errors.New("the store is not connected")
	}
	return a.node.Space()
}

// announce tells whoever started the program where to go.
func (a *app) announce(out io.Writer) {
	fmt.Fprintf(out, "Skylift is at %s\n", a.URL)
	if a.URL != "http://"+a.listening {
		fmt.Fprintf(out, "It listens on %s\n", a.listening)
	}
	if a.microsoft != nil {
		fmt.Fprintf(out, "This is a demo: Microsoft is played by a built-in stand-in, nothing reaches a real OneDrive.\n"+
			"Its drives are at %[1]s/demo/drive, its dials for faults at %[1]s/demo/control.\n", a.URL)
	}
	fmt.Fprintf(out, "Press Ctrl+C to stop.\n")
}

// serve answers until ctx ends, then lets requests finish and transfers store where they are.
func (a *app) serve(ctx context.Context, ln, metrics net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	web := newServer(a.handler())
	web.RegisterOnShutdown(a.web.Drain)
	a.listen(ctx, g, web, ln)
	if metrics != nil {
		a.serveMetrics(ctx, g, metrics)
	}
	g.Go(func() error { return a.work(ctx) })
	g.Go(func() error { a.tend(ctx); return nil })
	return g.Wait()
}

// answerTime is how long a client may take nothing of an answer.
const answerTime = time.Minute

// newServer serves h to the world: no client holds a connection by sending or taking nothing. How long a body
// may take is the handlers' to say.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: handlers.HangUp(h, answerTime), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
}

// work runs the transfers until ctx ends, and hands them over. A stop may come while it still waits for
// the cluster.
func (a *app) work(ctx context.Context) error {
	if err := a.runner.Start(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	return a.runner.Stop(ctx)
}

// tend moves what an older key seals to the newest, so that the older can be dropped, and lets go of bytes
// that nobody needs any more, at the start and once a day.
func (a *app) tend(ctx context.Context) {
	day := time.NewTicker(24 * time.Hour)
	defer day.Stop()
	for ctx.Err() == nil {
		n, err := a.tokens.Reseal(ctx, a.store.Tend)
		if err != nil && ctx.Err() == nil {
			a.log.Warn("what an older key seals stays as it is until tomorrow or the next start", "error", err)
		} else if err == nil {
			level := slog.LevelDebug
			if n > 0 || a.keys.Older() {
				level = slog.LevelInfo // somebody may wait for it, to drop a key
			}
			a.log.Log(ctx, level, "all is sealed with the newest key", "written again", n)
		}
		select {
		case <-day.C:
		case <-ctx.Done():
		}
	}
}

// listen serves on ln until ctx ends.
func (a *app) listen(ctx context.Context, g *errgroup.Group, srv *http.Server, ln net.Listener) {
	srv.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			return srv.Close()
		}
		return nil
	})
}

// listenMetrics opens the listener of /metrics; nil means none. When its default address is taken,
// most likely by another Skylift, this one runs without.
func (a *app) listenMetrics() (net.Listener, error) {
	if a.Metrics == off {
		return nil, nil
	}
	ln, err := net.Listen("tcp", a.Metrics)
	if err != nil {
		if a.set["METRICS"] {
			return nil, fmt.Errorf("%sMETRICS: %w", prefix, err)
		}
		a.log.Warn("metrics are off: their address is taken", "address", a.Metrics)
		return nil, nil
	}
	a.log.Info("metrics", "listen", publicHost(a.Metrics, ln.Addr()))
	return ln, nil
}

// serveMetrics serves /metrics until ctx ends.
func (a *app) serveMetrics(ctx context.Context, g *errgroup.Group, ln net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	a.listen(ctx, g, &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: answerTime}, ln)
}

// handler is the pages and, in the demo, the stand-in beside them. No ServeMux: it would
// redirect drive paths that it finds unclean.
func (a *app) handler() http.Handler {
	if a.microsoft == nil {
		return a.web
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/demo" || r.URL.Path == "/demo/" {
			http.Redirect(w, r, "/demo/drive", http.StatusSeeOther)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/demo/") {
			a.microsoft.ServeHTTP(w, r)
			return
		}
		a.web.ServeHTTP(w, r)
	})
}

// close ends what build began, in the opposite order. Parts that were never built are skipped.
func (a *app) close() error {
	if a.store != nil {
		a.store.Close()
	}
	if a.microsoft != nil {
		a.microsoft.Close()
	}
	if a.source != nil {
		a.source.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var err error
	if a.tokens != nil {
		err = a.tokens.Close(ctx)
	}
	if a.node != nil {
		err = errors.Join(err, a.node.Close(ctx))
	}
	return err
}

// publicHost is the host and port that people reach the listener by: the name that was asked
// for with the port that it got.
func publicHost(listen string, addr net.Addr) string {
	host, _, _ := net.SplitHostPort(listen)
	_, port, _ := net.SplitHostPort(addr.String())
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// withPort adds the scheme's port to a host that has none.
func withPort(host string, secure bool) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if secure {
		return net.JoinHostPort(host, "443")
	}
	return net.JoinHostPort(host, "80")
}

// networks are the proxies' addresses as networks; the settings have been checked before.
func networks(proxies []string) (nets []netip.Prefix) {
	for _, p := range proxies {
		if n, err := netip.ParsePrefix(p); err == nil {
			nets = append(nets, n.Masked())
		} else if a, err := netip.ParseAddr(p); err == nil {
			nets = append(nets, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return nets
}

// newLog writes text to a terminal and JSON elsewhere.
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if f, ok := w.(*os.File); ok {
		if fi, err := f.Stat(); err == nil && fi.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(w, o))
		}
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
