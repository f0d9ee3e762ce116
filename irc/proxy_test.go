package irc_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// proxyUser returns who asks a proxy.
func proxyUser(r *http.Request) (user, password string, ok bool) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	return r.BasicAuth()
}

// splice copies both ways until either side has ended.
func splice(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			_, _ = io.Copy(p[0], p[1])
			p[0].Close()
		})
	}
	wg.Wait()
}

// socks serves one SOCKS 5 connection (RFC 1928) and returns what it was asked.
func socks(l net.Listener) (asked string, err error) {
	c, err := l.Accept()
	if err != nil {
		return "", err
	}
	buf := make([]byte, 256)
	read := func(n int) []byte {
		if err == nil {
			_, err = io.ReadFull(c, buf[:n])
		}
		return buf[:n]
	}
	read(int(read(2)[1]))
	c.Write([]byte{5, 0})
	head := read(4)
	var host string
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	}
	port := read(2)
	asked = net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
	up, derr := net.Dial("tcp", asked)
	if derr != nil {
		c.Close()
		return asked, derr
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	splice(up, c)
	return asked, err
}

func TestSOCKS(t *testing.T) {
	srv := irctest.NewTwitch(nil)
	defer srv.Close()
	cfg := listen(t, srv, "plain")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 1)
	go func() {
		a, _ := socks(l)
		asked <- a
	}()
	cfg.Proxy = "socks5://" + l.Addr().String()
	conn, err := irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg).Dial(t.Context(), balancer.ShardID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := <-asked; got != cfg.Address {
		t.Errorf("the proxy was asked for %q, want %q", got, cfg.Address)
	}
}
