package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// errNotPublic is a dial that the guard refused. It never leaves the package: people are told the
// same as when nobody is there, so that nobody can map the network around the server (see unreachable).
var errNotPublic = errors.New("not a public address")

// guard decides where sources may live: public addresses outside the networks that the server stands in,
// judged when they are dialled, on any
// port that no well-known other protocol uses. Exempt are exact host:port pairs that the operator named.
type guard struct {
	exempt   []string
	guardian *ssrf.Guardian
	near     neighbours
	open     *net.Dialer
	guarded  *net.Dialer
}

func newGuard(allow []string, resolver *net.Resolver) *guard {
	g := &guard{
		near: neighbours{read: net.InterfaceAddrs},
		// 168.63.129.16 is Azure's metadata and DNS service, which is in no IANA list.
		guardian: ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32"))),
	}
	for _, entry := range allow {
		if entry = strings.ToLower(strings.TrimSpace(entry)); entry != "" {
			g.exempt = append(g.exempt, entry)
		}
	}
	g.open = &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: resolver}
	guarded := *g.open
	guarded.Control = func(network, address string, c syscall.RawConn) error {
		if g.guardian.Safe(network, address, c) != nil {
			return errNotPublic
		}
		if to, err := netip.ParseAddrPort(address); err != nil || g.near.have(to.Addr(), time.Now()) {
			return errNotPublic
		}
		return nil
	}
	g.guarded = &guarded
	return g
}

// neighbours are the networks that the server's own addresses lie in: with IPv6 the machines beside it
// have public addresses too, and trust it more than they trust the world.
type neighbours struct {
	read func() ([]net.Addr, error) // net.InterfaceAddrs, but in tests

	mu   sync.Mutex
	at   time.Time // when they were read last
	nets []netip.Prefix
}

const neighboursAge = time.Minute

func (n *neighbours) have(a netip.Addr, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.at) > neighboursAge {
		n.at = now
		if addrs, err := n.read(); err == nil {
			n.nets = networksOf(addrs)
		}
	}
	return slices.ContainsFunc(n.nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// networksOf are the networks of addrs. Of IPv6 it is a /64 at least: a site has no smaller one, whatever
// an interface is told.
func networksOf(addrs []net.Addr) (nets []netip.Prefix) {
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Bits() == 0 { // a tunnel for everything is no neighbour
			continue
		}
		if p.Addr().Is6() && p.Bits() > 64 {
			p = netip.PrefixFrom(p.Addr(), 64)
		}
		nets = append(nets, p.Masked())
	}
	return nets
}

// dial is a transport's DialContext. The address is judged after DNS, so that an answer that
// changes between a check and the dial (rebinding) changes nothing.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if slices.Contains(g.exempt, strings.ToLower(address)) {
		return g.open.DialContext(ctx, network, address)
	}
	if _, port, err := net.SplitHostPort(address); err != nil || refusedPort(port) {
		return nil, errNotPublic
	}
	return g.guarded.DialContext(ctx, network, address)
}

// check judges what an address tells by itself: literal addresses, ports, and names that mean the
// machine or its neighbours. It asks no resolver, so its answer tells nobody anything.
func (g *guard) check(u *url.URL) error {
	refused := &RequestError{"sourceUrl", codeSourceRefused}
	if slices.Contains(g.exempt, originPort(u)) {
		return nil
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if refusedPort(u.Port()) {
		return refused
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if g.guardian.SafeAddr(addr) != nil {
			return refused
		}
		return nil
	}
	if !strings.Contains(host, ".") {
		return refused
	}
	for _, suffix := range localSuffixes {
		if strings.HasSuffix("."+host, suffix) {
			return refused
		}
	}
	return nil
}

// localSuffixes are names that never are public (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
var localSuffixes = []string{".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet", ".private", ".corp", ".home", ".onion"}

// originPort is the URL's host:port in lower case, with the scheme's own port when none is said.
func originPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// refusedPort reports the ports that browsers refuse (https://fetch.spec.whatwg.org/#port-blocking)
// and those of databases and machinery, which a request could harm.
func refusedPort(port string) bool {
	if port == "" {
		return false
	}
	n, err := strconv.Atoi(port)
	return err != nil || slices.Contains(badPorts, n)
}

var badPorts = []int{
	1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113,
	115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556,
	563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668,
	6669, 6679, 6697, 10080,
	1433, 1521, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4222, 5432, 5672, 5900, 5984, 6222, 6379, 6380, 6443, 7001, 8086, 8500,
	9042, 9092, 9200, 9300, 10250, 10255, 11211, 27017, 27018, 50070,
}
