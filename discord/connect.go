package discord

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/chatshard/chatshard/balancer"
)

// connect dials, upgrades, and waits for HELLO.
func (t *Transport) connect(ctx context.Context, at string, id balancer.ShardID, sh *shardState, resume bool) (*conn, error) {
	c := newConn(t, id, sh)
	var err error
	if c.stream, err = newStream(t.cfg.Compression); err != nil {
		return nil, fmt.Errorf("discord: %w", err)
	}
	u, err := gatewayAddress(at, t.cfg.Compression)
	if err != nil {
		return nil, never(err)
	}
	dctx, cancel := context.WithTimeout(ctx, t.cfg.DialTimeout)
	defer cancel()
	d := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.plain(ctx, c, network, addr)
		},
		NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.secure(ctx, c, network, addr)
		},
		ReadBufferSize:  readBytes,
		WriteBufferSize: writeBytes,
		WriteBufferPool: &writeBufs,
	}
	ws, resp, err := d.DialContext(dctx, u.String(), http.Header{"User-Agent": {userAgent()}})
	if resp != nil && resp.Body != nil {
		resp.Body.Close() // gorilla has read what there was
	}
	if err != nil {
		if c.sock != nil {
			c.sock.shut()
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			err = fmt.Errorf("HTTP %d", resp.StatusCode)
		}
		return nil, fmt.Errorf("discord: dial %s: %w", u.Host, err)
	}
	c.ws = ws
	c.frames = frames{sock: c.sock, ws: ws}
	if err := c.await(ctx, login{resume: resume}); err != nil {
		c.hangUp()
		return nil, err
	}
	return c, nil
}

const (
	readBytes  = 256 // of the WebSocket library's buffer, for the upgrade
	writeBytes = mostFrame + 64
)

var writeBufs sync.Pool

// plain connects below TLS and puts a socket on it.
func (t *Transport) plain(ctx context.Context, c *conn, network, addr string) (net.Conn, error) {
	raw, err := t.cfg.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.sock = &socket{Conn: raw, raw: raw, heard: &c.heart.heard, fillFrom: newFiller(raw, raw)}
	return c.sock, nil
}

func (t *Transport) secure(ctx context.Context, c *conn, network, addr string) (net.Conn, error) {
	raw, err := t.cfg.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{}
	if t.cfg.TLS != nil {
		cfg = t.cfg.TLS
	}
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			cfg.ServerName = addr
		}
	}
	s := tls.Client(newImpatient(raw, t.cfg.WriteTimeout), cfg)
	if err := s.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	c.sock = &socket{Conn: s, raw: raw, heard: &c.heart.heard, fillFrom: newFiller(raw, s)}
	return c.sock, nil
}

// gatewayAddress is where to connect: the same version, encoding and compression
// for a RESUME as for the IDENTIFY ("Resuming", events/gateway).
func gatewayAddress(at string, c Compression) (*url.URL, error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return nil, fmt.Errorf(`%w: gateway %q: want "wss://host"`, ErrConfig, at)
	}
	q := u.Query()
	q.Set("v", strconv.Itoa(gatewayVersion))
	q.Set("encoding", gatewayEncoding)
	if c != Uncompressed {
		q.Set("compress", c.String())
	}
	u.RawQuery = q.Encode()
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}
