// Command serve runs the stand-in Microsoft alone, for clients that others have written:
//
//	go run ./onedrive/fakegraph/testdata/clients/serve -tls localhost:8443 -ca /tmp/ca.pem
//
// It listens with plain HTTP and, because many of Microsoft's own libraries take nothing but
// https, with TLS under a certificate that it makes and writes down for them.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"skylift/onedrive/fakegraph"
)

func main() {
	plain := flag.String("http", "localhost:8081", "address for plain HTTP")
	secure := flag.String("tls", "localhost:8443", "address for TLS")
	ca := flag.String("ca", "ca.pem", "file to write the certificate to, for NODE_EXTRA_CA_CERTS and SSL_CERT_FILE")
	prefix := flag.String("prefix", "", "path under which everything stands, such as /demo")
	verbose := flag.Bool("v", false, "print each request's method and path")
	flag.Parse()

	cert, err := certificate(*ca)
	if err != nil {
		log.Fatal(err)
	}
	var handler http.Handler = fakegraph.New(fakegraph.Options{Prefix: *prefix, Apart: true})
	if *verbose {
		handler = printed(handler)
	}
	go func() { log.Fatal(http.ListenAndServe(*plain, handler)) }() // ends with the process
	server := &http.Server{Addr: *secure, Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	log.Printf("http://%s%s and https://%[3]s%[2]s", *plain, *prefix, *secure)
	log.Fatal(server.ListenAndServeTLS("", ""))
}

// printed says what is asked. Queries hold secrets and stay out.
func printed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &status{ResponseWriter: w}
		next.ServeHTTP(answer, r)
		log.Printf("%d %s %s", answer.code, r.Method, r.URL.Path)
	})
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// certificate makes one for localhost, its own authority, good for a day.
func certificate(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(file, text, 0o644)
}
