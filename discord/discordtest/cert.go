package discordtest

import (
	"crypto/x509"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// CertFault says what is wrong with the Server's TLS certificate.
type CertFault = wire.CertFault

// Certificates that a client must not accept, and the one that it must.
const (
	GoodCert      = wire.GoodCert      // signed by the authority in CertPool
	ExpiredCert   = wire.ExpiredCert   // its time is over
	WrongHostCert = wire.WrongHostCert // for another host
	UntrustedCert = wire.UntrustedCert // signed by an authority that nobody knows
)

// SetCert chooses the certificate for TLS handshakes from now on.
func (s *Server) SetCert(f CertFault) { s.certs.Set(f) }

// CertPool returns a pool with the authority that signs the Server's
// certificate, for tls.Config.RootCAs.
func (s *Server) CertPool() *x509.CertPool { return s.certs.Pool() }

// CertPEM returns that authority in PEM, for clients that read files
// (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE).
func (s *Server) CertPEM() []byte { return s.certs.PEM() }

// certHosts are those that the certificate is for.
func certHosts(more []string) []string {
	return append([]string{"*.discord.test", "discord.test", "discord.com", "gateway.discord.gg", "*.discord.gg"}, more...)
}
