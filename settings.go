package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer/natsd"
)

// settings are what an operator can choose: each an environment variable with the prefix
// SKYLIFT_ and a flag of the same name in lower case, with - for _. The table that -h prints is
// made from the tags.
type settings struct {
	Listen         string        `env:"LISTEN" envDefault:"localhost:8080" help:"address to listen on; port 0 picks one and prints it"`
	URL            string        `env:"URL" help:"the public address (default: http:// and the address listened on); the redirect URI is this + /auth/callback"`
	Data           string        `env:"DATA" envDefault:"data" help:"folder for everything kept; :memory: keeps nothing"`
	NATS           string        `env:"NATS" help:"address(es) of a NATS JetStream cluster; empty: NATS runs inside this process"`
	NATSReplicas   int           `env:"NATS_REPLICAS" help:"copies of each stream and bucket (default: 1 embedded, 3 on a cluster)"`
	ClientID       string        `env:"CLIENT_ID" help:"the app registration; empty: demo, with the built-in Microsoft stand-in"`
	ClientSecret   string        `env:"CLIENT_SECRET,unset" secret:"yes" help:"the app registration's client secret"`
	Tenant         string        `env:"TENANT" envDefault:"common" help:"common, consumers, organizations or a tenant id"`
	LoginURL       string        `env:"LOGIN_URL" envDefault:"https://login.microsoftonline.com" help:"login host (national clouds)"`
	GraphURL       string        `env:"GRAPH_URL" envDefault:"https://graph.microsoft.com/v1.0" help:"Graph base (national clouds)"`
	Keys           string        `env:"KEYS,unset" secret:"yes" help:"keys that seal tokens at rest, newest first: 32 bytes each in base64 (default: made in the data folder)"`
	AllowSources   []string      `env:"ALLOW_SOURCES" help:"host:port list exempt from 'public addresses only' for source URLs"`
	MicrosoftHosts []string      `env:"MICROSOFT_HOSTS" help:"more hosts that monitor and upload URLs may have; a host:port entry is also exempt from 'public addresses only'"`
	Native         string        `env:"NATIVE" envDefault:"auto" help:"auto, always, never: whether OneDrive is asked to fetch"`
	NativeStall    time.Duration `env:"NATIVE_STALL" envDefault:"60s" help:"no sign of life from a native transfer for this long hands it to the relay"`
	MaxBytes       byteSize      `env:"MAX_BYTES" envDefault:"10GiB" help:"largest file relayed"`
	Retention      time.Duration `env:"RETENTION" envDefault:"720h" help:"how long finished transfers stay in the history"`
	EmbedOrigins   []string      `env:"EMBED_ORIGINS" help:"origins that may frame /panel; the word office stands for Office's hosts"`
	TrustedProxies []string      `env:"TRUSTED_PROXIES" help:"proxies (addresses or networks) whose X-Forwarded-* count"`
	Metrics        string        `env:"METRICS" envDefault:"localhost:9464" help:"where /metrics listens; empty: off"`
	Log            slog.Level    `env:"LOG" envDefault:"info" help:"debug, info, warn, error; text on a terminal, JSON elsewhere"`

	checkOnly bool            // by the flag -check: try the set-up, and start nothing
	set       map[string]bool // which variables were given, by name without the prefix
}

const prefix = "SKYLIFT_"

// off stands for an empty SKYLIFT_METRICS, which would otherwise mean its default.
const off = "off"

// demo reports whether the built-in stand-in plays Microsoft.
func (s *settings) demo() bool { return s.ClientID == "" }

// secure reports whether people reach Skylift by https.
func (s *settings) secure() bool { return strings.HasPrefix(s.URL, "https://") }

// loopback reports whether people reach Skylift on their own machine. Browsers keep Secure
// cookies for such an address without https, too.
func (s *settings) loopback() bool { return isLoopback(s.URL) }

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// readSettings takes the settings from flags, then the environment, then SKYLIFT_…_FILE for
// secrets, then the defaults, and reports all that is wrong with them in one error. It returns
// flag.ErrHelp when only the table was asked for, which it prints on out.
func readSettings(args, environ []string, out io.Writer) (*settings, error) {
	s := &settings{set: map[string]bool{}}
	vars := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(k, prefix) {
			vars[k] = v
		}
	}
	flags, problems := s.readFlags(args)
	if flags == nil {
		usage(out)
		return nil, flag.ErrHelp
	}
	override(vars, flags)
	problems = append(problems, s.readFiles(vars)...)
	if v, ok := vars[prefix+"METRICS"]; ok && v == "" {
		vars[prefix+"METRICS"] = off
	}
	err := env.ParseWithOptions(s, env.Options{Prefix: prefix, Environment: vars})
	problems = append(problems, parseProblems(err)...)
	problems = append(problems, unknown(vars)...)
	for k := range vars {
		s.set[strings.TrimPrefix(k, prefix)] = true
	}
	s.URL, s.LoginURL, s.GraphURL = strings.TrimRight(s.URL, "/"), strings.TrimRight(s.LoginURL, "/"), strings.TrimRight(s.GraphURL, "/")
	unread := len(problems) // a setting that could not be read has no value to judge
	for _, p := range s.problems() {
		name, _, _ := strings.Cut(p, ":")
		if !slices.ContainsFunc(problems[:unread], func(known string) bool { return strings.HasPrefix(known, name+":") }) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("these settings need mending:\n  %s", strings.Join(problems, "\n  "))
	}
	return s, nil
}

// fields are the tags of all settings, in the order in which -h shows them.
func fields() []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[settings]()), func(f reflect.StructField) bool {
		return f.Tag.Get("env") == ""
	})
}

func variable(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	return name
}

// readFlags gives the flags by their variables' names, and all that is wrong with them. The flags are nil
// when the table is asked for.
func (s *settings) readFlags(args []string) (flags map[string]string, problems []string) {
	flags = map[string]string{}
	fs := flag.NewFlagSet("skylift", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, name := range names() {
		fs.Func(strings.ReplaceAll(strings.ToLower(name), "_", "-"), "", func(v string) error {
			flags[prefix+name] = v
			return nil
		})
	}
	fs.BoolVar(&s.checkOnly, "check", false, "")
	for len(args) > 0 { // the package stops at what it does not know
		err := fs.Parse(args)
		switch args = fs.Args(); {
		case errors.Is(err, flag.ErrHelp):
			return nil, nil
		case err != nil:
			problems = append(problems, err.Error())
		case len(args) > 0:
			problems = append(problems, fmt.Sprintf("unexpected argument %q; skylift -h lists the settings", args[0]))
			args = args[1:]
		}
	}
	return flags, problems
}

// names are those of all variables, without the prefix; a secret has one more, for its file.
func names() (list []string) {
	for _, f := range fields() {
		list = append(list, variable(f))
		if f.Tag.Get("secret") != "" {
			list = append(list, variable(f)+fileSuffix)
		}
	}
	return list
}

const fileSuffix = "_FILE"

// override puts the flags over what the environment says. A secret's flag stands for the file as well, and
// the other way round.
func override(vars, flags map[string]string) {
	for _, f := range fields() {
		name := prefix + variable(f)
		_, plain := flags[name]
		_, file := flags[name+fileSuffix]
		if f.Tag.Get("secret") != "" && (plain || file) {
			delete(vars, name)
			delete(vars, name+fileSuffix)
		}
	}
	maps.Copy(vars, flags)
}

// readFiles fills secrets from SKYLIFT_…_FILE.
func (s *settings) readFiles(vars map[string]string) (problems []string) {
	for _, f := range fields() {
		name := prefix + variable(f)
		path, ok := vars[name+fileSuffix]
		if f.Tag.Get("secret") == "" || !ok {
			continue
		}
		delete(vars, name+fileSuffix)
		if vars[name] != "" {
			problems = append(problems, name+" and "+name+"_FILE are both set: keep one")
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s_FILE: %v", name, err))
			continue
		}
		vars[name] = strings.TrimSpace(string(text))
	}
	return problems
}

// parseProblems turns what env could not read into lines that name the variable.
func parseProblems(err error) (problems []string) {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return nil
	}
	for _, err := range all.Errors {
		var p env.ParseError
		if !errors.As(err, &p) {
			problems = append(problems, err.Error())
			continue
		}
		f, _ := reflect.TypeFor[settings]().FieldByName(p.Name)
		problems = append(problems, fmt.Sprintf("%s%s: %v", prefix, variable(f), p.Err))
	}
	return problems
}

// unknown finds variables with our prefix that no setting has: most likely misspelt.
func unknown(vars map[string]string) (problems []string) {
	known := map[string]bool{}
	for _, f := range fields() {
		known[prefix+variable(f)] = true
	}
	for k := range vars {
		if !known[k] {
			problems = append(problems, k+": there is no such setting; skylift -h lists them")
		}
	}
	slices.Sort(problems)
	return problems
}

var tenantID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// problems are the rules that a single variable's type cannot say.
func (s *settings) problems() (found []string) {
	wrong := func(name, format string, a ...any) {
		found = append(found, prefix+name+": "+fmt.Sprintf(format, a...))
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !isPort(port) {
		wrong("LISTEN", "%q is not host:port", s.Listen)
	}
	if s.Metrics != off {
		if _, port, err := net.SplitHostPort(s.Metrics); err != nil || !isPort(port) {
			wrong("METRICS", "%q is not host:port", s.Metrics)
		}
	}
	for name, v := range map[string]string{"URL": s.URL, "LOGIN_URL": s.LoginURL, "GRAPH_URL": s.GraphURL} {
		if v != "" && !isBase(v, name != "URL") {
			wrong(name, "%q is not an address such as https://skylift.example", v)
		}
	}
	if (s.ClientID == "") != (s.ClientSecret == "") {
		wrong("CLIENT_ID", "the client id and the client secret go together; without both, the demo runs")
	}
	if !slices.Contains([]string{"common", "consumers", "organizations"}, s.Tenant) && !tenantID.MatchString(s.Tenant) {
		wrong("TENANT", "%q is none of common, consumers, organizations, and no tenant id", s.Tenant)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, s.Native) {
		wrong("NATIVE", "%q is none of auto, always, never", s.Native)
	}
	for name, v := range map[string]int64{"NATIVE_STALL": int64(s.NativeStall), "MAX_BYTES": int64(s.MaxBytes), "RETENTION": int64(s.Retention)} {
		if v <= 0 {
			wrong(name, "must be more than zero")
		}
	}
	switch {
	case s.NATSReplicas < 0 || s.NATSReplicas > 5:
		wrong("NATS_REPLICAS", "must be 1 to 5")
	case s.NATS == "" && s.NATSReplicas > 1:
		wrong("NATS_REPLICAS", "more than 1 needs a cluster: name it in %sNATS", prefix)
	}
	for i, address := range strings.Split(s.NATS, ",") {
		if s.NATS != "" && !isNATS(address) {
			wrong("NATS", "address %d is not one such as nats://n1:4222", i+1) // and not what it is: it can hold a password
		}
	}
	for _, host := range s.MicrosoftHosts {
		if err := onedrive.CheckHost(host); err != nil {
			wrong("MICROSOFT_HOSTS", "%v", err)
		}
	}
	for _, hp := range s.AllowSources {
		if _, port, err := net.SplitHostPort(hp); err != nil || !isPort(port) {
			wrong("ALLOW_SOURCES", "%q is not host:port", hp)
		}
	}
	for _, o := range s.EmbedOrigins {
		if o != "office" && !isOrigin(o) {
			wrong("EMBED_ORIGINS", "%q is not an origin such as https://intranet.example", o)
		}
	}
	for _, p := range s.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			if _, err := netip.ParseAddr(p); err != nil {
				wrong("TRUSTED_PROXIES", "%q is neither an address nor a network", p)
			}
		}
	}
	if s.NATS == "" && s.Data != natsd.Memory {
		if err := checkFolder(s.Data); err != nil {
			wrong("DATA", "%v", err)
		}
	}
	if s.Keys != "" {
		if _, err := auth.OpenKeyring(s.Keys); err != nil {
			wrong("KEYS", "%v; make one with: openssl rand -base64 32", err)
		}
	}
	slices.Sort(found)
	return found
}

// checkFolder says why nothing can be kept in dir, as far as one sees from outside. It makes no folder, and
// in the one that is there a file for a moment.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	switch above := filepath.Dir(dir); {
	case errors.Is(err, fs.ErrNotExist) && above != dir:
		return checkFolder(above) // where it will be made
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	f, err := os.CreateTemp(dir, "skylift-*")
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return nil // what is there may do
	case err != nil:
		return fmt.Errorf("no file can be made in %s: %w", dir, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// isBase reports whether v is an absolute http or https address without query, fragment and, unless
// withPath, without path.
func isBase(v string, withPath bool) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && (withPath || u.Path == "")
}

// isNATS reports whether v is the address of a NATS server, as its client takes it.
func isNATS(v string) bool {
	v = strings.TrimSpace(v)
	if !strings.Contains(v, "://") {
		v = "nats://" + v
	}
	u, err := url.Parse(v)
	return err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) && u.Hostname() != ""
}

func isOrigin(v string) bool {
	u, err := url.Parse(v)
	return err == nil && u.Host != "" && u.User == nil && v == u.Scheme+"://"+u.Host
}

// usage prints the table of settings.
func usage(out io.Writer) {
	fmt.Fprint(out, "Skylift saves pictures and files from the web into OneDrive.\n\n"+
		"Each setting is an environment variable and a flag (SKYLIFT_LISTEN is -listen); none is needed to run.\n"+
		"Secrets can also be read from a file: SKYLIFT_CLIENT_SECRET_FILE, SKYLIFT_KEYS_FILE (-client-secret-file, -keys-file).\n"+
		"skylift -check tries the set-up, and opens and changes nothing.\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range fields() {
		fmt.Fprintf(w, "  %s%s\t%s\t%s\n", prefix, variable(f), f.Tag.Get("envDefault"), f.Tag.Get("help"))
	}
	w.Flush()
}

// byteSize is a number of bytes, written as 10GiB, 500MB or 1048576.
type byteSize int64

var units = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1}}

// UnmarshalText reads a size as people write it.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.name)
		if n, err := strconv.ParseFloat(strings.TrimSpace(number), 64); ok && err == nil && n >= 0 && n*u.bytes < 1<<62 {
			*b = byteSize(n * u.bytes)
			return nil
		}
	}
	return fmt.Errorf("%q is not a size such as 500MB or 10GiB", s)
}
