package irc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/chatshard/chatshard/balancer"
)

// address is where to connect and how.
type address struct {
	host, port string
	tls, web   bool
	url        string // of a WebSocket
}

func (a address) String() string { return net.JoinHostPort(a.host, a.port) }

func parseAddress(c *Config) (address, error) {
	bad := func(why string) (address, error) {
		return address{}, fmt.Errorf("%w: address %q: %s", ErrConfig, c.Address, why)
	}
	if c.Address == "" {
		return bad("is required for a plain IRC network")
	}
	a := address{tls: !c.Plain}
	hostport, port := c.Address, "6697"
	if c.Plain {
		port = "6667"
	}
	if scheme, _, ok := strings.Cut(c.Address, "://"); ok {
		u, err := url.Parse(c.Address)
		if err != nil {
			return bad("is no URL")
		}
		hostport = u.Host
		switch scheme {
		case "ws":
			a.tls, a.web, port = false, true, "80"
		case "wss":
			a.tls, a.web, port = true, true, "443"
		case "irc":
			a.tls, port = false, "6667"
		case "ircs":
			a.tls = true
		default:
			return bad("the scheme must be one of ws, wss, irc, ircs")
		}
		if a.web {
			a.url = c.Address
		}
	}
	var err error
	if a.host, a.port, err = net.SplitHostPort(hostport); err != nil {
		a.host, a.port = strings.Trim(hostport, "[]"), port
	}
	if a.host == "" || strings.ContainsAny(a.host, "/ \r\n") {
		return bad(`want "host:port" or "wss://host:port"`)
	}
	return a, nil
}

func (t *Transport) check() error {
	switch {
	case t.cfg.Profile == Twitch && t.account.login != "" && ValidLogin(t.account.login) != nil:
		return fmt.Errorf("%w: account: %w", ErrConfig, ValidLogin(t.account.login))
	case t.cfg.Profile == Twitch && t.account.login != "" && t.account.token == nil:
		return fmt.Errorf("%w: account %s has no token: give one, or use an anonymous account to read", ErrConfig, t.account.login)
	}
	switch t.cfg.SASL {
	case "", saslPlain, saslExternal, saslScram:
	default:
		return fmt.Errorf("%w: SASL %q: must be PLAIN, EXTERNAL or SCRAM-SHA-256", ErrConfig, t.cfg.SASL)
	}
	if t.cfg.Proxy != "" {
		if _, err := parseProxy(t.cfg.Proxy); err != nil {
			return err
		}
	}
	return nil
}

// Dial implements [balancer.Transport]: it connects and logs in. Ctx bounds
// all of it.
func (t *Transport) Dial(ctx context.Context, id balancer.ShardID, _ *balancer.Session) (balancer.Conn, error) {
	if t.err != nil {
		return nil, &balancer.ConnError{Err: t.err, Retry: balancer.Never}
	}
	raw, err := t.connect(ctx)
	if err != nil {
		return nil, t.dialError(ctx, err)
	}
	// One call for the whole dial; nothing of ctx stays with the connection.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := t.open(ctx, raw, id)
	if !stop() && err == nil {
		c.Close()
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, t.dialError(ctx, err)
	}
	return c, nil
}

// connect makes the connection below TLS.
func (t *Transport) connect(ctx context.Context) (net.Conn, error) {
	if t.cfg.Proxy != "" {
		return t.connectVia(ctx)
	}
	return t.cfg.DialContext(ctx, "tcp", t.addr.String())
}

// open puts TLS and WebSocket on raw and logs in.
func (t *Transport) open(ctx context.Context, raw net.Conn, id balancer.ShardID) (*conn, error) {
	c := newConn(t, raw, id)
	var nc net.Conn = raw
	if t.addr.web {
		ws, err := t.upgrade(ctx, &pulse{Conn: raw, c: c})
		if err != nil {
			return nil, err
		}
		nc = ws
	} else if t.addr.tls {
		below := newImpatient(raw, t.cfg.WriteTimeout)
		if below == raw {
			below = &pulse{Conn: raw, c: c}
		}
		s := tls.Client(below, t.tls)
		if err := s.Handshake(); err != nil { // ctx closes raw
			return nil, err
		}
		nc = s
	}
	c.attach(nc)
	if err := c.login(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// dialError says where the dial failed, and why if that is not clear.
func (t *Transport) dialError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("irc: dial %v: %w", t.addr, ctx.Err())
	}
	var ce *balancer.ConnError
	if errors.As(err, &ce) {
		return err
	}
	var (
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		notTLS   tls.RecordHeaderError
		verified *tls.CertificateVerificationError
	)
	hint := ""
	switch {
	case errors.As(err, &unknown):
		hint = "the server's certificate is signed by an authority that is not trusted; set Config.TLS.RootCAs if it is your own"
	case errors.As(err, &host):
		hint = "the server's certificate is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "the server's certificate has expired, or the clock is wrong"
	case errors.As(err, &verified):
		hint = "the server's certificate is not valid"
	case errors.As(err, &notTLS):
		hint = "the server does not speak TLS on this port"
	}
	if hint != "" {
		return fmt.Errorf("irc: dial %v: TLS: %s: %w", t.addr, hint, err)
	}
	return fmt.Errorf("irc: dial %v: %w", t.addr, err)
}
