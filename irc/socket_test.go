package irc_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// eventually waits for a condition on real sockets.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// listen starts a server on a real socket and returns the config that reaches it.
func listen(t *testing.T, srv *irctest.Server, kind string) irc.Config {
	t.Helper()
	var addr net.Addr
	var err error
	cfg := irc.Config{TLS: &tls.Config{RootCAs: srv.CertPool()}}
	switch kind {
	case "plain":
		addr, err = srv.Listen("127.0.0.1:0")
		cfg.Plain = true
	case "tls":
		addr, err = srv.ListenTLS("127.0.0.1:0")
	case "ws", "wss":
		addr, err = srv.ListenWebSocket("127.0.0.1:0", kind == "wss")
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Address = addr.String()
	if kind == "ws" || kind == "wss" {
		cfg.Address = kind + "://" + addr.String()
	}
	return cfg
}

func TestSockets(t *testing.T) {
	for _, kind := range []string{"plain", "tls", "ws", "wss"} {
		for _, split := range []bool{false, true} {
			name := kind
			if split {
				if kind == "ws" || kind == "wss" {
					continue // a message of a WebSocket holds whole lines; TestInMemory splits below
				}
				name += "/split"
			}
			t.Run(name, func(t *testing.T) {
				srv := irctest.NewTwitch(&irctest.Config{Anonymous: irctest.Unlimited()})
				defer srv.Close()
				if split {
					srv.Apply(irctest.Fault{Kind: irctest.SplitLines}, irctest.Target{New: true})
				}
				ch := names(20)
				f := &fleet{t: t, srv: srv, judge: srv.Judge()}
				cfg := listen(t, srv, kind)
				f.tr = irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg)
				f.Balancer = balancer.New(f.tr, f.tr.Balancer(&balancer.Config{ChannelsPerShard: 10}))
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- f.Run(ctx, f.handle) }()
				f.Join(keys(ch...)...)
				eventually(t, "20 channels joined", func() bool { return f.Count()[balancer.Member] == 20 })
				rate := 20_000.0
				if split {
					rate = 1000
				}
				f.chat(rate, 300*time.Millisecond, ch)
				eventually(t, "all received", func() bool {
					v := f.judge.Verdict()
					return v.Sent > 100 && v.Received == v.Sent
				})
				srv.Say(ch[3], "someone", "ñandú 🎉 ende")
				eventually(t, "the last word", func() bool {
					s := f.said()
					return s[len(s)-1] == "ñandú 🎉 ende"
				})
				if v := f.judge.Verdict(); !v.OK() {
					t.Errorf("verdict %v", v)
				}
				f.judge.Unwant()
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				f.lawful()
			})
		}
	}
}

// TestInMemory has every kind of connection in a bubble, cut at every byte.
func TestInMemory(t *testing.T) {
	for addr, c := range map[string]irc.Config{
		"plain": {Address: plain, Plain: true},
		"tls":   {Address: "irc.chat.twitch.tv:6697"},
		"ws":    {Address: "ws://irc-ws.chat.twitch.tv:80"},
		"wss":   {Address: "wss://irc-ws.chat.twitch.tv:443"},
	} {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/split=%v", addr, split), func(t *testing.T) {
				ch := names(10)
				story{config: c, broken: func(srv *irctest.Server) {
					if split {
						srv.Apply(irctest.Fault{Kind: irctest.SplitLines}, irctest.Target{New: true})
					}
				}}.play(t, func(f *fleet) {
					f.Join(keys(ch...)...)
					f.members(10, 40*time.Second)
					f.chat(100, 3*time.Second, ch)
					for range 5 {
						f.srv.Say(ch[3], "someone", "ñandú 🎉 ende")
					}
					if v := f.clean(); v.Received < 100 {
						t.Errorf("verdict %v", v)
					}
					if s := f.said(); s[len(s)-1] != "ñandú 🎉 ende" {
						t.Errorf("the last words are %q", s[len(s)-1])
					}
					f.lawful()
				})
			})
		}
	}
}

func TestCertificates(t *testing.T) {
	srv := irctest.NewTwitch(nil)
	defer srv.Close()
	for name, c := range map[string]struct {
		fault irctest.CertFault
		want  string
	}{
		"good":       {irctest.GoodCert, ""},
		"expired":    {irctest.ExpiredCert, "has expired"},
		"wrong host": {irctest.WrongHostCert, "for another host"},
		"untrusted":  {irctest.UntrustedCert, "not trusted"},
	} {
		for _, kind := range []string{"tls", "wss"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				srv.SetCert(c.fault)
				cfg := listen(t, srv, kind)
				conn, err := irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg).Dial(t.Context(), balancer.ShardID{}, nil)
				if err == nil {
					conn.Close()
				}
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("Dial: %v, want %q", err, c.want)
				}
			})
		}
	}
}

// buffered is a connection of which something was read already.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

func TestProxies(t *testing.T) {
	srv := irctest.NewTwitch(nil)
	defer srv.Close()
	cfg := listen(t, srv, "tls")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := proxyUser(r)
		asked <- r.Method + " " + r.Host + " " + user
		if user != "me" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		// Before the answer: what follows it must not end up in the server's buffer.
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		down := buffered{conn, rw.Reader}
		io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		splice(up, down)
	})}
	go proxy.Serve(l)
	defer proxy.Close()

	for _, c := range []struct{ user, want string }{{"me:s3cr3tword", ""}, {"you:s3cr3tword", "Proxy Authentication Required"}} {
		cfg.Proxy = "http://" + c.user + "@" + l.Addr().String()
		conn, err := irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg).Dial(t.Context(), balancer.ShardID{}, nil)
		if got := <-asked; !strings.HasPrefix(got, "CONNECT "+cfg.Address) {
			t.Errorf("the proxy was asked %q", got)
		}
		if c.want == "" {
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Dial: %v, want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3tword") {
			t.Errorf("the password is in %q", err)
		}
	}
	cfg.Proxy = "gopher://me:s3cr3tword@host"
	_, err = irc.New(irc.Anonymous(), &cfg).Dial(t.Context(), balancer.ShardID{}, nil)
	if !errors.Is(err, irc.ErrConfig) || strings.Contains(err.Error(), "s3cr3tword") {
		t.Errorf("Dial: %v, want ErrConfig without the password", err)
	}
}
