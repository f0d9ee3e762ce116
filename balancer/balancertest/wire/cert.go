package wire

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

// CertFault says what is wrong with a fake service's TLS certificate.
type CertFault int

// Certificates that a client must not accept, and the one that it must.
const (
	GoodCert      CertFault = iota // signed by the authority in Pool
	ExpiredCert                    // its time is over
	WrongHostCert                  // for another host
	UntrustedCert                  // signed by an authority that nobody knows
)

// Certs are the certificates of a fake service, made when they are first needed.
// All methods may be called by many goroutines. They panic where the system has no
// randomness.
type Certs struct {
	Hosts []string // that the certificate is for, beside this machine; set before first use

	mu        sync.Mutex // guards all below
	fault     CertFault
	authority *x509.Certificate
	leaves    [4]tls.Certificate // by CertFault
}

// Set chooses the certificate for handshakes from now on.
func (k *Certs) Set(f CertFault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = f
}

// Pool returns a pool with the authority that signs the certificate, for
// tls.Config.RootCAs.
func (k *Certs) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(k.signer())
	return pool
}

// PEM returns that authority in PEM, for clients that read files
// (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE).
func (k *Certs) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.signer().Raw})
}

func (k *Certs) signer() *x509.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.prepare()
	return k.authority
}

// Config returns what a server needs.
func (k *Certs) Config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.prepare()
		return &k.leaves[k.fault], nil
	}}
}

// The certificates are valid in the time of a synctest bubble, which starts in
// the year 2000, and in ours.
var (
	certStart = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	certEnd   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// prepare makes what is missing. mu is held.
func (k *Certs) prepare() {
	if k.authority != nil {
		return
	}
	names := append([]string{"localhost", "127.0.0.1", "127.0.0.2", "::1"}, k.Hosts...)
	ca, caKey := makeCert("fake authority", nil, certEnd, nil, nil)
	rogue, rogueKey := makeCert("rogue authority", nil, certEnd, nil, nil)
	leaf := func(names []string, end time.Time, ca *x509.Certificate, key *ecdsa.PrivateKey) tls.Certificate {
		c, k := makeCert("fake service", names, end, ca, key)
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

// makeCert makes a certificate signed by ca, or an authority if ca is nil.
func makeCert(name string, hosts []string, end time.Time, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("wire: no key: " + err.Error())
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic("wire: no serial: " + err.Error())
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
		panic("wire: no certificate: " + err.Error())
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic("wire: no certificate: " + err.Error())
	}
	return c, key
}
