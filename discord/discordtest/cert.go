package discordtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"time"
)

// CertFault says what is wrong with the Server's TLS certificate.
type CertFault int

// Certificates that a client must not accept, and the one that it must.
const (
	GoodCert      CertFault = iota // signed by the authority in CertPool
	ExpiredCert                    // its time is over
	WrongHostCert                  // for another host
	UntrustedCert                  // signed by an authority that nobody knows
)

// SetCert chooses the certificate for TLS handshakes from now on.
func (s *Server) SetCert(f CertFault) {
	s.certs.mu.Lock()
	defer s.certs.mu.Unlock()
	s.certs.fault = f
}

// CertPool returns a pool with the authority that signs the Server's
// certificate, for tls.Config.RootCAs.
func (s *Server) CertPool() *x509.CertPool {
	s.certs.mu.Lock()
	defer s.certs.mu.Unlock()
	s.certs.prepare(s.cfg.Hosts)
	pool := x509.NewCertPool()
	pool.AddCert(s.certs.authority)
	return pool
}

// CertPEM returns that authority in PEM, for clients that read files
// (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE).
func (s *Server) CertPEM() []byte {
	s.certs.mu.Lock()
	defer s.certs.mu.Unlock()
	s.certs.prepare(s.cfg.Hosts)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certs.authority.Raw})
}

// certs makes its keys and certificates when they are first needed.
type certs struct {
	mu        sync.Mutex // guards all below
	fault     CertFault
	authority *x509.Certificate
	leaves    [4]tls.Certificate // by CertFault
}

func (k *certs) config(hosts []string) *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.prepare(hosts)
		return &k.leaves[k.fault], nil
	}}
}

// The certificates are valid in the time of a synctest bubble, which starts in
// the year 2000, and in ours.
var (
	certStart = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	certEnd   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// prepare makes what is missing. The caller holds k.mu.
func (k *certs) prepare(hosts []string) {
	if k.authority != nil {
		return
	}
	names := append([]string{
		"*.discord.test", "discord.test", "discord.com", "gateway.discord.gg", "*.discord.gg",
		"localhost", "127.0.0.1", "127.0.0.2", "::1",
	}, hosts...)
	ca, caKey := makeCert("discordtest authority", nil, certEnd, nil, nil)
	rogue, rogueKey := makeCert("rogue authority", nil, certEnd, nil, nil)
	leaf := func(names []string, end time.Time, ca *x509.Certificate, key *ecdsa.PrivateKey) tls.Certificate {
		c, k := makeCert("discordtest", names, end, ca, key)
		return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k, Leaf: c}
	}
	k.leaves = [4]tls.Certificate{
		GoodCert:      leaf(names, certEnd, ca, caKey),
		ExpiredCert:   leaf(names, certStart.AddDate(1, 0, 0), ca, caKey),
		WrongHostCert: leaf([]string{"somewhere-else.example"}, certEnd, ca, caKey),
		UntrustedCert: leaf(names, certEnd, rogue, rogueKey),
	}
	k.authority = ca
}

// makeCert makes a certificate signed by ca, or an authority if ca is nil. It
// panics where the system has no randomness.
func makeCert(name string, hosts []string, end time.Time, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("discordtest: no key: " + err.Error())
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic("discordtest: no serial: " + err.Error())
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: certStart, NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	if ca == nil {
		t.IsCA, t.KeyUsage, t.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		ca, caKey = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, &key.PublicKey, caKey)
	if err != nil {
		panic("discordtest: no certificate: " + err.Error())
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic("discordtest: no certificate: " + err.Error())
	}
	return c, key
}
