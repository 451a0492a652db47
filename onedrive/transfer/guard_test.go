package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// inside are addresses that must never be dialled, of every family and disguise (security.md T1, T2).
var inside = []string{
	// this machine and this network
	"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.1.2.3", "127.255.255.254",
	// private
	"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1", "100.127.255.254",
	// link-local and the metadata services of clouds
	"169.254.0.1", "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200",
	// special blocks
	"192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
	"224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	// IPv6: this machine, compatible and mapped spellings
	"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::ffff:8.8.8.8",
	// translated: NAT64, 6to4, Teredo, ISATAP
	"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:1::1",
	"2001::1", "2001:0:7f00:1::1", "fe80::5efe:127.0.0.1",
	// local, multicast, documentation, benchmark, discard, unassigned
	"fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "ff02::1", "ff05::2", "2001:db8::1", "3fff::1", "2001:2::1",
	"2001:10::1", "100::1", "100:0:0:1::1", "5f00::1", "4000::1", "8000::1", "e000::1",
}

// canary listens where nobody may knock, on both families, and counts.
type canary struct {
	port string
	hits atomic.Int64
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{}
	listen := func(network, address string) net.Listener {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil
		}
		t.Cleanup(func() { l.Close() })
		go func() { // ends with the listener
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				c.hits.Add(1)
				conn.Close()
			}
		}()
		return l
	}
	l := listen("tcp4", "0.0.0.0:0")
	if l == nil {
		t.Fatal("no canary")
	}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	listen("tcp6", "[::]:"+c.port)
	t.Cleanup(func() {
		if n := c.hits.Load(); n != 0 {
			t.Errorf("the canary was hit %d times", n)
		}
	})
	return c
}

// dnsStub answers each name with what table says, in turn when there are several answers.
type dnsStub struct {
	mu     sync.Mutex
	answer func(name string) []netip.Addr
}

func newResolver(t *testing.T, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	d := &dnsStub{answer: answer}
	go func() { // ends with the socket
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := d.reply(buf[:n]); reply != nil {
				pc.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func (d *dnsStub) reply(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	switch word, _, _ := strings.Cut(q.Name.String(), "."); word {
	case "absent":
		m.RCode = dnsmessage.RCodeNameError
	case "faint": // the resolver cannot tell
		m.RCode = dnsmessage.RCodeServerFailure
	}
	d.mu.Lock()
	addrs := d.answer(strings.TrimSuffix(q.Name.String(), "."))
	d.mu.Unlock()
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// visitURL opens and reads nothing.
func visitURL(t *testing.T, s *Source, address string) error {
	t.Helper()
	u, err := ParseSourceURL(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	res, err := s.open(ctx, visit{url: u})
	if err == nil {
		res.body.Close()
	}
	return err
}

func literal(address, port string) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return "http://" + address + ":" + port + "/secret"
}

func TestInsideIsNeverDialledLiterally(t *testing.T) {
	c := newCanary(t)
	s := NewSource(SourceOptions{})
	defer s.Close()
	if len(inside) < 60 {
		t.Errorf("only %d addresses", len(inside))
	}
	for _, a := range inside {
		err := visitURL(t, s, literal(a, c.port))
		if code := codeOf(err); code != codeSourceRefused {
			t.Errorf("%s: %v; want sourceRefused", a, err)
		}
	}
}

func codeOf(err error) string {
	var source *SourceError
	var request *RequestError
	switch {
	case errors.As(err, &source):
		return source.Code
	case errors.As(err, &request):
		return request.Code
	}
	return ""
}

// insideByName answers n3.example with the address inside of that number.
func insideByName(name string) []netip.Addr {
	var i int
	if _, err := fmt.Sscanf(name, "n%d.example", &i); err != nil || i >= len(inside) {
		return nil
	}
	return []netip.Addr{netip.MustParseAddr(inside[i])}
}

func TestInsideIsNeverDialledByName(t *testing.T) {
	c := newCanary(t)
	const deaf = "127.0.0.1:2" // nobody listens there
	s := NewSource(SourceOptions{Allow: []string{deaf}, Resolver: newResolver(t, insideByName)})
	defer s.Close()
	nobody := visitURL(t, s, "http://nobody.example:"+c.port+"/")
	if refused := visitURL(t, s, "http://"+deaf+"/"); !reflect.DeepEqual(refused, nobody) || codeOf(nobody) != codeSourceUnreachable {
		t.Errorf("where nobody listens: %+v; want the same as for a name without address: %+v", refused, nobody)
	}
	for i, a := range inside {
		err := visitURL(t, s, fmt.Sprintf("http://n%d.example:%s/secret", i, c.port))
		if !reflect.DeepEqual(err, nobody) {
			t.Errorf("%s by name: %+v; want the same as for a name without address: %+v", a, err, nobody)
		}
		if c.hits.Load() > 0 {
			t.Fatalf("%s was dialled", a)
		}
	}
}

func TestInsideIsNeverReachedByRedirect(t *testing.T) {
	c := newCanary(t)
	var target string
	var status int
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var hops int
		fmt.Sscanf(r.URL.Path, "/%d", &hops)
		if hops > 1 {
			http.Redirect(w, r, fmt.Sprintf("/%d", hops-1), status)
			return
		}
		w.Header().Set("Location", target)
		w.WriteHeader(status)
	}))
	defer web.Close()
	s := NewSource(SourceOptions{Allow: []string{web.Listener.Addr().String()}, Resolver: newResolver(t, insideByName)})
	defer s.Close()
	statuses := []int{301, 302, 303, 307, 308}
	targets := []string{
		"//127.0.0.1:" + c.port + "/", "http://2130706433:" + c.port + "/", "http://user:pw@public.example/",
		"file:///etc/passwd", "gopher://127.0.0.1:" + c.port + "/", "http://localhost:" + c.port + "/",
		"http://public.example:6379/",
	}
	for _, a := range inside {
		targets = append(targets, literal(a, c.port))
	}
	for i, to := range targets {
		target, status = to, statuses[i%len(statuses)]
		hop := i%maxRedirects + 1
		err := visitURL(t, s, fmt.Sprintf("%s/%d", web.URL, hop))
		if code := codeOf(err); code != codeSourceRefused {
			t.Errorf("%d at hop %d to %s: %v; want sourceRefused", status, hop, to, err)
		}
	}
	for i := range inside { // what a name leads to is judged when it is dialled, and looks like nobody there
		target, status = fmt.Sprintf("http://n%d.example:%s/", i, c.port), statuses[i%len(statuses)]
		if err := visitURL(t, s, fmt.Sprintf("%s/%d", web.URL, i%maxRedirects+1)); codeOf(err) != codeSourceUnreachable {
			t.Errorf("to %s: %v; want sourceUnreachable", inside[i], err)
		}
	}
	target = "http://127.0.0.1\\@public.example:" + c.port + "/" // no address for net/http either
	if err := visitURL(t, s, web.URL+"/1"); codeOf(err) != codeSourceUnavailable {
		t.Errorf("to %s: %v", target, err)
	}
	target = "/9"
	if err := visitURL(t, s, web.URL+"/9"); codeOf(err) != codeSourceTooManyRedirects {
		t.Errorf("endless redirects: %v", err)
	}
}

// What was asked for over TLS never goes on without it, whatever the status and the hop.
func TestARedirectNeverLeavesTLS(t *testing.T) {
	var fetched atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		w.Write(tabby)
	}))
	defer plain.Close()
	var status int
	var target string
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Location", target)
			w.WriteHeader(status)
		case "/on":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			w.Write(tabby)
		}
	}))
	defer secure.Close()
	s := NewSource(SourceOptions{Allow: []string{plain.Listener.Addr().String(), secure.Listener.Addr().String()}})
	s.http.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	defer s.Close()
	for _, status = range []int{301, 302, 303, 307, 308} {
		for _, path := range []string{"/", "/on"} {
			target = plain.URL + "/tabby.jpg"
			if err := visitURL(t, s, secure.URL+path); codeOf(err) != codeSourceRefused {
				t.Errorf("%d at %s: %v; want sourceRefused", status, path, err)
			}
			target = "/tabby.jpg"
			if err := visitURL(t, s, secure.URL+path); err != nil {
				t.Errorf("%d at %s, within TLS: %v", status, path, err)
			}
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("fetched %d times without TLS", n)
	}
	if err := visitURL(t, s, plain.URL+"/tabby.jpg"); err != nil {
		t.Errorf("asked for without TLS: %v", err)
	}
}

// A name whose answers change between two questions, and names with several answers.
func TestRebinding(t *testing.T) {
	c := newCanary(t)
	n := 0
	loop, mapped := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	s := NewSource(SourceOptions{Resolver: newResolver(t, func(string) []netip.Addr {
		n++
		switch n % 3 {
		case 0:
			return []netip.Addr{loop, mapped}
		case 1: // as good as public to a check that looks here: the documentation's net is not routed
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), loop}
		}
		return []netip.Addr{mapped}
	})})
	defer s.Close()
	for range 1000 {
		if err := visitURL(t, s, "http://rebind.example:"+c.port+"/"); err == nil {
			t.Fatal("reached something")
		}
	}
}

func TestPorts(t *testing.T) {
	g := newGuard([]string{"localhost:6379"}, nil)
	for _, tt := range []struct {
		url string
		ok  bool
	}{
		{"http://files.example:8080/", true}, {"http://files.example:9000/", true}, {"https://files.example/", true},
		{"http://files.example:22/", false}, {"http://files.example:25/", false}, {"http://files.example:110/", false},
		{"http://files.example:143/", false}, {"http://files.example:6379/", false}, {"http://files.example:11211/", false},
		{"http://files.example:4222/", false}, {"http://localhost:6379/", true}, {"http://localhost:6378/", false}, {"http://localhost/", false},
		{"http://printer.local/", false}, {"http://intranet/", false}, {"http://db.internal./", false}, {"http://a.localhost/", false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.check(u); (err == nil) != tt.ok {
			t.Errorf("check(%s) = %v; want ok %v", tt.url, err, tt.ok)
		}
	}
}

// What is exempt is one host:port, nothing near it.
func TestExemptIsExact(t *testing.T) {
	c := newCanary(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) }))
	defer web.Close()
	s := NewSource(SourceOptions{Allow: []string{web.Listener.Addr().String()}})
	defer s.Close()
	if err := visitURL(t, s, web.URL+"/x"); err != nil {
		t.Errorf("the exempt address: %v", err)
	}
	if err := visitURL(t, s, "http://127.0.0.1:"+c.port+"/"); codeOf(err) != codeSourceRefused {
		t.Errorf("its neighbour: %v", err)
	}
}

// oracle is the guard's rule bit by bit, written apart from it: the IANA special registries.
func oracle(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		v := binary.BigEndian.Uint32(b[:])
		in := func(net uint32, bits int) bool { return v>>(32-bits) == net>>(32-bits) }
		ip := func(a, b, c, d uint32) uint32 { return a<<24 | b<<16 | c<<8 | d }
		return !(in(0, 8) || in(ip(10, 0, 0, 0), 8) || in(ip(100, 64, 0, 0), 10) || in(ip(127, 0, 0, 0), 8) || in(ip(169, 254, 0, 0), 16) ||
			in(ip(172, 16, 0, 0), 12) || in(ip(192, 0, 0, 0), 24) || in(ip(192, 0, 2, 0), 24) || in(ip(192, 168, 0, 0), 16) ||
			in(ip(198, 18, 0, 0), 15) || in(ip(198, 51, 100, 0), 24) || in(ip(203, 0, 113, 0), 24) || in(ip(224, 0, 0, 0), 3) ||
			v == ip(168, 63, 129, 16))
	}
	b := a.As16()
	switch {
	case b[0]>>5 != 1: // 2000::/3
		return false
	case b[0] == 0x20 && b[1] == 0x01 && b[2]>>1 == 0: // 2001::/23
		return false
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8, b[0] == 0x20 && b[1] == 0x02, b[0] == 0x3f && b[1] == 0xff && b[2]>>4 == 0:
		return false
	}
	return true
}

func FuzzGuardedAddress(f *testing.F) {
	for _, a := range inside {
		b := netip.MustParseAddr(a).As16()
		f.Add(b[:])
	}
	g := newGuard(nil, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		for _, a := range []netip.Addr{a, a.Unmap()} {
			network := "tcp4"
			if a.Is6() {
				network = "tcp6"
			}
			if g.guarded.Control(network, netip.AddrPortFrom(a, 80).String(), nil) == nil && !oracle(a) {
				t.Errorf("%s would be dialled", a)
			}
		}
	})
}

// TestNeighboursAreNotOutside: what the server's own networks hold is not dialled, although its addresses
// are public; nor are its own. It looks like nobody there, so that nobody learns where the server stands.
func TestNeighboursAreNotOutside(t *testing.T) {
	var own []net.Addr
	for _, a := range []string{"2e00:1:2:3::5/128", "2e00:9::1/48", "45.45.45.7/24", "10.1.2.3/8", "0.0.0.0/0", "::1/128"} {
		ip, n, err := net.ParseCIDR(a)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, &net.IPNet{IP: ip, Mask: n.Mask})
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, literal(r.URL.Query().Get("to"), "80"), http.StatusFound)
	}))
	defer web.Close()
	byName := func(name string) []netip.Addr { // 45-45-45-7.example, and with an x for each colon
		name = strings.TrimSuffix(name, ".example")
		a, err := netip.ParseAddr(strings.NewReplacer("-", ".", "x", ":").Replace(name))
		if err != nil {
			return nil
		}
		return []netip.Addr{a}
	}
	s := NewSource(SourceOptions{
		Allow:    []string{web.Listener.Addr().String()},
		Resolver: newResolver(t, byName),
	})
	defer s.Close()
	s.guard.near.read = func() ([]net.Addr, error) { return own, nil }
	nobody := visitURL(t, s, "http://nobody.example/")
	var dialled atomic.Int64
	control := s.guard.guarded.Control
	s.guard.guarded.Control = func(network, address string, c syscall.RawConn) error {
		if err := control(network, address, c); err != nil {
			return err
		}
		dialled.Add(1)
		return syscall.ECONNREFUSED // nothing leaves this test
	}
	for address, near := range map[string]bool{
		"2e00:1:2:3::5": true, "2e00:1:2:3:ffff::1": true, "2e00:9:0:ffff::1": true, "45.45.45.7": true, "45.45.45.200": true,
		"2e00:1:2:4::1": false, "2e00:a::1": false, "45.45.46.1": false,
	} {
		name := strings.NewReplacer(".", "-", ":", "x").Replace(address) + ".example"
		for how, asked := range map[string]string{"literally": literal(address, "80"), "by name": "http://" + name + "/", "by a redirect": web.URL + "/?to=" + address} {
			dialled.Store(0)
			if err := visitURL(t, s, asked); !reflect.DeepEqual(err, nobody) {
				t.Errorf("%s %s: %+v; want the same as for a name without address: %+v", address, how, err, nobody)
			}
			if got := dialled.Load() == 0; got != near {
				t.Errorf("%s %s: not dialled: %v, want %v", address, how, got, near)
			}
		}
	}
}

// TestNeighboursAreReadSeldom: once a minute, and a failure changes nothing.
func TestNeighboursAreReadSeldom(t *testing.T) {
	reads := 0
	own := &net.IPNet{IP: net.ParseIP("2e00::1"), Mask: net.CIDRMask(64, 128)}
	n := neighbours{read: func() ([]net.Addr, error) {
		if reads++; reads > 1 {
			return nil, errors.New("not now")
		}
		return []net.Addr{own}, nil
	}}
	now := time.Now()
	for i := range 100 {
		if !n.have(netip.MustParseAddr("2e00::2"), now.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("after %d s it is no neighbour", i)
		}
	}
	if reads != 2 {
		t.Errorf("read %d times in 100 s", reads)
	}
}
