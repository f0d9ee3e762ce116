package discordtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

// errRefused is what a dialer gets from a Server that refuses connections.
var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// DialContext connects in memory. It has the signature of
// [net.Dialer.DialContext], so it goes where a client takes a custom dialer,
// for REST and for the gateway alike. Names that begin with "gateway" and
// "resume" are those hosts to [Server.Inject]; port 443 speaks TLS, every
// other one is plain.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: wire.Addr(addr), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if !strings.HasPrefix(network, "tcp") {
		return fail(net.UnknownNetworkError(network))
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	from := wire.Addr(net.JoinHostPort("192.0.2.1", fmt.Sprint(1024+s.stats.ports.Add(1)%60000)))
	client, server := wire.Pipe(s.cfg.Buffer, from, wire.Addr(addr))
	if !s.accept(server, port == "443", hostByName(addr)) {
		return fail(errRefused)
	}
	return client, nil
}

// HTTPClient returns a client whose every request goes to the Server, in
// memory. Its transport can be cloned; [Server.CertPool] is its authority.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:     s.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: s.CertPool()},
	}}
}

// Listen listens for plain connections on addr, such as "127.0.0.1:0", REST
// and gateway on one port.
func (s *Server) Listen(addr string) (net.Addr, error) { return s.listen(addr, false) }

// ListenTLS listens for TLS connections on addr. [Server.CertPool] and
// [Server.CertPEM] verify the certificate.
func (s *Server) ListenTLS(addr string) (net.Addr, error) { return s.listen(addr, true) }

func (s *Server) listen(addr string, secure bool) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("discordtest: listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.Close()
		return nil, fmt.Errorf("discordtest: listen on %s: %w", addr, net.ErrClosed)
	}
	s.listeners = append(s.listeners, l)
	s.wg.Go(func() { // ends when Close closes the listener
		for {
			nc, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // out of descriptors, perhaps: try again soon
				if !sleep(50*time.Millisecond, s.done) {
					return
				}
				continue
			}
			sock := wire.Socket(nc.(*net.TCPConn))
			if !s.accept(sock, secure, "") {
				sock.Abort()
			}
		}
	})
	return l.Addr(), nil
}

// accept starts to serve a connection, or reports that it is refused.
func (s *Server) accept(raw wire.Conn, secure bool, host Host) bool {
	if s.refuses(host) {
		s.stats.refused.Add(1)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.nextConn++
	c := newConn(s, raw)
	c.id, c.host = s.nextConn, host
	s.conns[c] = struct{}{}
	s.stats.dialled.Add(1)
	s.wg.Go(func() {
		defer s.forget(c)
		defer c.end(hangUp)
		if secure && !c.secure() {
			return
		}
		c.serve()
	})
	return true
}

// handshakeTimeout bounds the TLS handshake.
const handshakeTimeout = 30 * time.Second

// secure makes the connection one over TLS.
func (c *conn) secure() bool {
	if c.s.hostSpoilsTLS(c) {
		return false
	}
	c.raw.SetDeadline(time.Now().Add(handshakeTimeout))
	t := tls.Server(c.raw, c.s.certs.Config())
	if err := t.Handshake(); err != nil {
		c.s.cfg.Logger.Debug().Err(err).Int("conn", c.id).Msg("no TLS")
		return false
	}
	c.raw.SetDeadline(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc, c.plain = t, false
	return true
}

// forget removes a connection that has ended.
func (s *Server) forget(c *conn) {
	c.mu.Lock()
	c.queue = nil
	c.settleLocked()
	open := c.ledger.open()
	c.mu.Unlock()
	s.mu.Lock()
	delete(s.conns, c)
	if open {
		s.unsettled[c] = struct{}{}
	}
	many := open && len(s.unsettled)%256 == 0
	s.mu.Unlock()
	if many {
		s.settleAll()
	}
}
