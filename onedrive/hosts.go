package onedrive

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// microsoftHosts are the hosts that monitor and upload URLs were seen with; one that begins with
// a dot stands for all below it.
var microsoftHosts = []string{
	"api.onedrive.com", "onedrive.com", ".up.1drv.com", ".1drv.com", ".microsoftpersonalcontent.com",
	".sharepoint.com", ".sharepoint.us", ".sharepoint-mil.us", ".sharepoint.cn",
}

// hostList decides where a monitor or upload URL may point: https to one of the known hosts, or
// whatever scheme to an exact host:port that the operator named (Graph's own origin is one).
type hostList struct {
	names  []string // exact, or suffixes that begin with a dot
	exempt []string // host:port: also exempt from https and from public addresses only
}

// newHostList adds the operator's hosts: "host", ".suffix" or "host:port".
func newHostList(graph *url.URL, extra []string) (hostList, error) {
	l := hostList{names: append([]string{strings.ToLower(graph.Hostname())}, microsoftHosts...), exempt: spellings(graph)}
	for _, entry := range extra {
		name, u, err := parseHost(entry)
		switch {
		case err != nil:
			return hostList{}, fmt.Errorf("onedrive: %w", err)
		case u.Port() != "":
			l.exempt = append(l.exempt, hostPort(u))
		default:
			l.names = append(l.names, name)
		}
	}
	return l, nil
}

// CheckHost says what is wrong with an entry of Config.Hosts.
func CheckHost(entry string) error {
	_, _, err := parseHost(entry)
	return err
}

// parseHost reads an entry, in lower case and without a star in front, and as an address.
func parseHost(entry string) (name string, u *url.URL, err error) {
	name = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(entry), "*"))
	host := strings.TrimPrefix(name, ".")
	u, err = url.Parse("https://" + host)
	if err != nil || u.Hostname() == "" || u.Host != host {
		return "", nil, fmt.Errorf("%q is no host, .suffix or host:port", entry)
	}
	return name, u, nil
}

// loopbacks are the names of this machine for itself.
var loopbacks = []string{"localhost", "127.0.0.1", "::1"}

// spellings are the host:port of Graph itself; on this machine in all its spellings: a stand-in at localhost
// gives upload and monitor addresses out at 127.0.0.1, as Microsoft gives them out under another name.
func spellings(graph *url.URL) (all []string) {
	at := hostPort(graph)
	host, port, _ := net.SplitHostPort(at)
	if !slices.Contains(loopbacks, host) {
		return []string{at}
	}
	for _, name := range loopbacks {
		all = append(all, net.JoinHostPort(name, port))
	}
	return all
}

// hostPort is the URL's host:port, in lower case, with the scheme's own port when none is said.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// check gives ErrForeignHost unless a monitor or upload URL may point there.
func (l hostList) check(u *url.URL) error {
	if u.User != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ErrForeignHost
	}
	if slices.Contains(l.exempt, hostPort(u)) {
		return nil
	}
	host := strings.ToLower(u.Hostname())
	known := slices.ContainsFunc(l.names, func(name string) bool {
		return host == name || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name)
	})
	if !known || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return ErrForeignHost
	}
	return nil
}

// secret checks an address that an answer gave out, relative to the address asked.
func (l hostList) secret(base *url.URL, address string) (SecretURL, error) {
	u, err := base.Parse(address)
	if err != nil {
		return "", ErrForeignHost
	}
	if err := l.check(u); err != nil {
		return "", err
	}
	return SecretURL(u.String()), nil
}

// newBareTransport carries calls to monitor and upload URLs. The address is judged when it is
// dialled, after DNS: a name of Microsoft's that leads inside leads nowhere. No proxy: behind one
// the guard would see only the proxy's address.
func newBareTransport(l hostList) http.RoundTripper {
	// 168.63.129.16 is Azure's metadata and DNS service, which is in no IANA list.
	guardian := ssrf.New(ssrf.WithPorts(443), ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")))
	open := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	guarded := *open
	guarded.Control = func(network, address string, c syscall.RawConn) error {
		if guardian.Safe(network, address, c) != nil {
			return ErrForeignHost // and not why: that would tell what lives inside
		}
		return nil
	}
	return newTransport(func(ctx context.Context, network, address string) (net.Conn, error) {
		if slices.Contains(l.exempt, strings.ToLower(address)) {
			return open.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	})
}
