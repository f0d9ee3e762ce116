package irctest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/chatshard/chatshard/balancer/balancertest/wire"
)

type clientAddrKey struct{}

// WithClientAddr makes [Server.DialContext] connect as if from another
// address, such as "198.51.100.7". Anonymous connections from one address
// share their budgets. The default is "192.0.2.1".
func WithClientAddr(ctx context.Context, ip string) context.Context {
	return context.WithValue(ctx, clientAddrKey{}, ip)
}

// errRefused is what a dialer gets from a Server that refuses connections.
var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// DialContext connects in memory. It has the signature of
// [net.Dialer.DialContext], so it goes where a client takes a custom dialer.
// The address is looked at for its port alone: 6697 and 443 speak TLS, 80 and
// 443 speak WebSocket, as Twitch's ports do; everything else is plain.
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
	ip, _ := ctx.Value(clientAddrKey{}).(string)
	if ip == "" {
		ip = "192.0.2.1"
	}
	from := wire.Addr(net.JoinHostPort(ip, fmt.Sprint(1024+s.stats.ports.Add(1)%60000)))
	client, server := wire.Pipe(s.cfg.Buffer, from, wire.Addr(addr))
	if !s.accept(server, port == "6697" || port == "443", port == "80" || port == "443") {
		return fail(errRefused)
	}
	return client, nil
}

// Listen listens for plain TCP connections on addr, such as "127.0.0.1:0".
func (s *Server) Listen(addr string) (net.Addr, error) { return s.listen(addr, false, false) }

// ListenTLS listens for TLS connections on addr. [Server.CertPool] verifies
// the certificate.
func (s *Server) ListenTLS(addr string) (net.Addr, error) { return s.listen(addr, true, false) }

// ListenWebSocket listens for WebSocket connections on addr, over TLS or not.
func (s *Server) ListenWebSocket(addr string, tls bool) (net.Addr, error) {
	return s.listen(addr, tls, true)
}

func (s *Server) listen(addr string, secure, web bool) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("irctest: listen: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.Close()
		return nil, fmt.Errorf("irctest: listen on %s: %w", addr, net.ErrClosed)
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
			if !s.accept(sock, secure, web) {
				sock.Abort()
			}
		}
	})
	return l.Addr(), nil
}

// accept starts to serve a connection, or reports that it is refused.
func (s *Server) accept(raw wire.Conn, secure, web bool) bool {
	if s.refuses() {
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
	c.id = s.nextConn
	s.conns[c] = struct{}{}
	s.chaos.greet(c)
	s.stats.dialled.Add(1)
	s.wg.Go(func() { s.serve(c, secure, web) })
	return true
}

// serve is the reading goroutine of a connection. It starts the writing one.
func (s *Server) serve(c *conn, secure, web bool) {
	defer s.forget(c)
	defer c.end(pull)
	var nc net.Conn = c.raw
	c.raw.SetDeadline(time.Now().Add(30 * time.Second)) // for the handshakes
	if secure {
		cfg := s.certs.Config()
		cfg.ClientAuth = tls.RequestClientCert // for SASL EXTERNAL
		t := tls.Server(nc, cfg)
		if err := t.Handshake(); err != nil {
			s.cfg.Logger.Debug().Err(err).Int("conn", c.id).Msg("no TLS")
			return
		}
		nc = t
	}
	if web {
		ws, err := upgrade(nc)
		if err != nil {
			s.cfg.Logger.Debug().Err(err).Int("conn", c.id).Msg("no WebSocket")
			return
		}
		nc = ws
	}
	c.raw.SetDeadline(time.Time{})
	c.mu.Lock()
	c.nc, c.plain = nc, !secure && !web
	c.mu.Unlock()
	s.wg.Go(c.write)
	c.read()
	c.end(hangUp)
}

// forget removes a connection that has ended, and its memberships.
func (s *Server) forget(c *conn) {
	for _, m := range c.memberships() {
		m.ch.mu.Lock()
		if s.exit(m, false) {
			s.prof.leave(c, m)
		}
		m.ch.mu.Unlock()
	}
	s.prof.closed(c)
	c.mu.Lock()
	c.settleLocked()
	c.dues, c.held, c.pend, c.spare = nil, nil, nil, nil
	c.mu.Unlock()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.cfg.Logger.Debug().Int("conn", c.id).Str("addr", c.addr).Msg("connection closed")
}
