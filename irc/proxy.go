package irc

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// parseProxy checks a proxy's URL. Errors do not hold it: it may have a password.
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: proxy: want socks5://host:port or http://host:port", ErrConfig)
	}
	if u.Port() == "" {
		port := "1080"
		if u.Scheme == "http" {
			port = "3128"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	switch u.Scheme {
	case "socks5", "socks5h", "http":
		return u, nil
	}
	return nil, fmt.Errorf("%w: proxy %s: the scheme must be socks5 or http", ErrConfig, u.Redacted())
}

// connectVia connects through the proxy. The connection is that to the proxy
// itself, so that it can be read as any other.
func (t *Transport) connectVia(ctx context.Context) (net.Conn, error) {
	u, err := parseProxy(t.cfg.Proxy)
	if err != nil {
		return nil, err
	}
	nc, err := t.cfg.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	if u.Scheme == "http" {
		err = connectHTTP(nc, u, t.addr.String())
	} else {
		err = connectSOCKS(ctx, nc, u, t.addr.String())
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("proxy %s: %w", u.Redacted(), err)
	}
	return nc, nil
}

func connectSOCKS(ctx context.Context, nc net.Conn, u *url.URL, addr string) error {
	var auth *proxy.Auth
	if u.User != nil {
		auth = &proxy.Auth{User: u.User.Username()}
		auth.Password, _ = u.User.Password()
	}
	d, err := proxy.SOCKS5("tcp", u.Host, auth, nil)
	if err != nil {
		return err
	}
	on, ok := d.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return fmt.Errorf("this version of golang.org/x/net/proxy takes no connection")
	}
	_, err = on.DialWithConn(ctx, nc, "tcp", addr)
	return err
}

// maxProxyHeader bounds what a proxy may answer.
const maxProxyHeader = 16 << 10

// connectHTTP asks for a tunnel (RFC 9110 §9.3.6). It reads no byte beyond the answer.
func connectHTTP(nc net.Conn, u *url.URL, addr string) error {
	req := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if u.User != nil {
		password, _ := u.User.Password()
		req += "Proxy-Authorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(nc, req+"\r\n"); err != nil {
		return err
	}
	var head strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(head.String(), "\r\n\r\n"); {
		if head.Len() == maxProxyHeader {
			return fmt.Errorf("the answer is too long")
		}
		if _, err := io.ReadFull(nc, b); err != nil {
			return err
		}
		head.WriteByte(b[0])
	}
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head.String())), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("no tunnel to %s: %s", addr, res.Status)
	}
	return nil
}
