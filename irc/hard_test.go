package irc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// What goes wrong in other clients, one test each.

func TestPongWhileHandlerSleeps(t *testing.T) {
	story{
		server: irctest.Config{PingInterval: 5 * time.Second, PongTimeout: time.Second},
		hook: func(_ *fleet, e balancer.Event) {
			if m, ok := e.Data.(*irc.Message); ok && m.Text() == "sleep" {
				time.Sleep(25 * time.Second)
			}
		},
	}.play(t, func(f *fleet) {
		f.Join("forsen")
		f.members(1, 10*time.Second)
		f.srv.Say("forsen", "a", "sleep")
		time.Sleep(time.Minute)
		if s := f.srv.Stats(); s.Dialled != 1 {
			t.Errorf("%d connections, want 1", s.Dialled)
		}
		f.clean()
		f.lawful()
	})
}

func TestPongWhileJoinsWait(t *testing.T) {
	ch := names(60)
	story{
		server: irctest.Config{PingInterval: 3 * time.Second, PongTimeout: 500 * time.Millisecond},
		fleet:  balancer.Config{ChannelsPerShard: 60},
	}.play(t, func(f *fleet) {
		began := time.Now()
		f.Join(keys(ch...)...)
		f.members(60, time.Minute)
		if d := time.Since(began); d > 24*time.Second {
			t.Errorf("60 joins took %v, the budget dictates 22 s", d)
		}
		f.lawful()
	})
}

func TestSlowHandlerUnderReconnect(t *testing.T) {
	ch := names(10)
	story{hook: func(_ *fleet, e balancer.Event) { time.Sleep(5 * time.Millisecond) }}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(10, 20*time.Second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.chat(150, 40*time.Second, ch)
		}()
		time.Sleep(5 * time.Second)
		f.srv.Reconnect(30 * time.Second)
		<-done
		v := f.clean()
		if v.Gaps != 0 || v.Received != v.Sent {
			t.Errorf("verdict %v, want no gap", v)
		}
		if s := f.srv.Stats(); s.Dialled != 2 || s.Conns != 1 {
			t.Errorf("%d connections made, %d open, want 2 and 1", s.Dialled, s.Conns)
		}
		f.lawful()
	})
}

func TestStopUnderLoad(t *testing.T) {
	ch := names(5)
	story{hook: func(_ *fleet, e balancer.Event) { time.Sleep(time.Millisecond) }}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(5, 20*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { f.srv.Chat(ctx, &irctest.Load{Rate: 2000, Channels: ch}) })
		time.Sleep(3 * time.Second)
		began := time.Now()
		if err := f.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("stopping took %v", d)
		}
		cancel()
		wg.Wait()
	})
}

func TestReconnectsArePaced(t *testing.T) {
	story{broken: func(srv *irctest.Server) {
		srv.Apply(irctest.Fault{Kind: irctest.Reconnect, For: 10 * time.Millisecond}, irctest.Target{New: true})
	}}.play(t, func(f *fleet) {
		f.Join("forsen")
		time.Sleep(10 * time.Minute)
		if s := f.srv.Stats(); s.Dialled < 10 || s.Dialled > 70 {
			t.Errorf("%d connections in 10 minutes", s.Dialled)
		}
		f.srv.Heal()
		f.members(1, 2*time.Minute)
		f.lawful()
	})
}

func TestRefusedConnectionsArePaced(t *testing.T) {
	story{broken: func(srv *irctest.Server) { srv.Refuse(-1) }}.play(t, func(f *fleet) {
		f.Join("forsen")
		time.Sleep(10 * time.Minute)
		if s := f.srv.Stats(); s.Refused < 5 || s.Refused > 40 {
			t.Errorf("%d dials in 10 minutes", s.Refused)
		}
		f.srv.Refuse(0)
		f.members(1, 2*time.Minute)
	})
}

func TestCancelDial(t *testing.T) {
	for name, c := range map[string]struct {
		addr  string
		fault irctest.FaultKind
	}{
		"login":     {plain, irctest.Mute},
		"half-open": {plain, irctest.HalfOpen},
		"handshake": {"irc.example.net:6697", irctest.HalfOpen},
		"websocket": {"wss://irc.example.net:443", irctest.HalfOpen},
		"dial":      {"nowhere:6697", ""},
		"proxy":     {"proxy:6697", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := irctest.NewTwitch(nil)
				defer srv.Close()
				if c.fault != "" {
					srv.Apply(irctest.Fault{Kind: c.fault}, irctest.Target{New: true})
				}
				cfg := irc.Config{Address: c.addr, Plain: c.addr == plain, DialContext: srv.DialContext}
				switch name {
				case "handshake", "websocket": // a server that never says anything
					cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
						a, b := net.Pipe()
						go func() {
							buf := make([]byte, 4096)
							for _, err := b.Read(buf); err == nil; _, err = b.Read(buf) {
							}
						}()
						return a, nil
					}
				case "dial":
					cfg.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
				case "proxy":
					cfg.Proxy = "http://proxy:3128"
				}
				ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
				defer cancel()
				began := time.Now()
				_, err := irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg).Dial(ctx, balancer.ShardID{}, nil)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 7*time.Second {
					t.Errorf("Dial returned %v after %v, want the deadline's error after 7 s", err, time.Since(began))
				}
			})
		})
	}
}

func TestNoInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := irctest.NewTwitch(nil)
		defer srv.Close()
		c := dial(t, srv, nil)
		defer c.Close()
		for _, frame := range []string{"PRIVMSG #a :x\r\nQUIT\r\n", "PRIVMSG #a :x\nQUIT", "PRIVMSG #a :\x00", "\r\n", ""} {
			var le *irc.LineError
			if err := c.Send(t.Context(), []byte(frame)); !errors.As(err, &le) {
				t.Errorf("Send(%q) = %v, want a LineError", frame, err)
			}
		}
		j := c.(balancer.Joiner)
		if err := j.Join(t.Context(), "a\r\nQUIT", "b,c", "d e"); err != nil {
			t.Error(err)
		}
		got := 0
		for buf := make([]balancer.Event, 1); got < 3; {
			if _, err := c.Receive(buf); err != nil {
				t.Fatal(err)
			}
			if _, ok := buf[0].Data.(balancer.Refused); ok {
				got++
			}
		}
		if n := srv.Stats().Members; n != 0 {
			t.Errorf("%d memberships", n)
		}
	})
}

// dial makes one connection to a server in memory.
func dial(t *testing.T, srv *irctest.Server, cfg *irc.Config) balancer.Conn {
	t.Helper()
	var c irc.Config
	if cfg != nil {
		c = *cfg
	}
	c.Address, c.Plain = plain, true
	if c.DialContext == nil {
		c.DialContext = srv.DialContext
	}
	a := irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast})
	if c.Profile == irc.Generic {
		a = irc.NewIRCAccount("", nil, nil)
	}
	conn, err := irc.New(a, &c).Dial(t.Context(), balancer.ShardID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestMixedCase(t *testing.T) {
	story{account: func() *irc.Account {
		return irc.NewAccount("MyBot", irc.FixedToken("oauth:abc"), nil)
	}}.play(t, func(f *fleet) {
		k, err := f.tr.Key("#ForSen")
		if err != nil || k != "forsen" {
			t.Fatalf("key %q, %v", k, err)
		}
		f.Join(k)
		f.members(1, 20*time.Second)
		f.srv.Raw("forsen", ":a!a@a PRIVMSG #FORSEN :shouted")
		f.srv.Raw("forsen", "@id=x :a!a@a privmsg #Forsen :quiet")
		f.srv.RawTo(irctest.Target{}, ":a!a@a PRIVMSG #Elsewhere :not joined")
		time.Sleep(time.Second)
		if s := f.said(); len(s) != 3 {
			t.Errorf("received %q", s)
		}
		if _, err := f.tr.Key("a,b"); !errors.Is(err, irc.ErrName) {
			t.Errorf("key of a,b: %v", err)
		}
		f.Part(k)
		time.Sleep(time.Second)
		if f.srv.Members("forsen") != 0 {
			t.Error("still a member after Part")
		}
	})
}

func TestOversizedLines(t *testing.T) {
	ch := names(3)
	story{server: irctest.Config{SendQueue: 4 << 20}}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(3, 20*time.Second)
		for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, 17 << 10, 64 << 10, 1 << 20} {
			f.srv.Apply(irctest.Fault{Kind: irctest.Oversized, Size: size}, irctest.Target{})
			f.srv.Say(ch[0], "a", fmt.Sprint("after ", size))
		}
		v := f.clean()
		if over, _ := f.tr.Skipped(); over != 4 || v.Received != 6 {
			t.Errorf("%d lines skipped, want 4; %v", over, v)
		}
		gaps := 0
		for _, e := range f.events {
			if g, ok := e.Data.(balancer.Gap); ok && errors.Is(g.Err, irc.ErrLineTooLong) && g.Dropped == 1 && g.From.Before(g.To) {
				gaps++
			}
		}
		if gaps != 4 {
			t.Errorf("%d gaps for lines that were too long, want 4", gaps)
		}
		if s := f.srv.Stats(); s.Dialled != 1 {
			t.Errorf("%d connections, want 1", s.Dialled)
		}
	})
}

func TestInvalidBytes(t *testing.T) {
	ch := names(3)
	story{broken: func(srv *irctest.Server) {
		srv.Apply(irctest.Fault{Kind: irctest.InvalidUTF8, Rate: 0.5}, irctest.Target{New: true})
	}}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(3, 20*time.Second)
		f.chat(100, 3*time.Second, ch)
		f.srv.Raw(ch[0], "\x00\x01 \xff")
		f.srv.Raw(ch[0], ":")
		f.srv.Raw(ch[0], "@")
		f.srv.Raw(ch[0], "@a=b :x!y@z PRIVMSG")
		f.srv.Raw(ch[0], "ROOMSTATE")
		f.srv.Raw(ch[0], ":justinfan1 JOIN")
		f.srv.Raw(ch[0], ":x PART :")
		f.srv.Raw(ch[0], "KICK #a")
		f.srv.Raw(ch[0], "366")
		f.srv.Raw(ch[0], "PING")
		f.srv.Say(ch[0], "a", "alive")
		f.clean()
		if s := f.said(); s[len(s)-1] != "alive" && !strings.HasPrefix(s[len(s)-1], "alive") {
			t.Errorf("the last words are %q", s[len(s)-1])
		}
	})
}

// TestPongPastBlockedWriter: the server reads slowly, and whoever sends has to
// wait; a PONG goes before what is queued.
func TestPongPastBlockedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := irctest.NewIRC(&irctest.Config{Buffer: 16 << 10, PingInterval: -1,
			IRC: irctest.IRC{FloodBurst: -1}})
		defer srv.Close()
		var tap tap
		cfg := irc.Config{Profile: irc.Generic, Flood: irc.Rate{N: -1}, WriteTimeout: time.Minute,
			DialContext: func(ctx context.Context, n, a string) (net.Conn, error) {
				nc, err := srv.DialContext(ctx, n, a)
				tap.Conn = nc
				return &tap, err
			}}
		c := dial(t, srv, &cfg)
		defer c.Close()
		go func() {
			for buf := make([]balancer.Event, 4); ; {
				if _, err := c.Receive(buf); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		srv.Apply(irctest.Fault{Kind: irctest.SlowReader, Size: 1000}, irctest.Target{})
		for i := range 200 { // some 60 KiB
			go func() {
				if err := c.Send(t.Context(), fmt.Appendf(nil, "PRIVMSG #a :%d %s", i, strings.Repeat("x", 300))); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(time.Second) // one of them is writing, and waits
		srv.RawTo(irctest.Target{}, "PING :now")
		time.Sleep(5 * time.Minute)
		sent := tap.String()
		before := strings.Count(sent[:strings.Index(sent, "PONG :now")], "PRIVMSG")
		if before > 90 {
			t.Errorf("%d messages went before the PONG", before)
		}
		if n := strings.Count(sent, "PRIVMSG"); n != 200 {
			t.Errorf("%d messages were written, want 200", n)
		}
	})
}

// tap keeps what is written.
type tap struct {
	net.Conn
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *tap) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Write(b[:n])
	return n, err
}

func (p *tap) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

func TestDeadConnections(t *testing.T) {
	for _, kind := range []irctest.FaultKind{irctest.HalfOpen, irctest.Mute} {
		t.Run(string(kind), func(t *testing.T) {
			ch := names(5)
			story{}.play(t, func(f *fleet) {
				f.Join(keys(ch...)...)
				f.members(5, 20*time.Second)
				time.Sleep(5 * time.Minute)
				if s := f.srv.Stats(); s.Dialled != 1 {
					t.Fatalf("%d connections while all was well", s.Dialled)
				}
				f.chat(20, 2*time.Second, ch)
				began := time.Now()
				f.srv.Apply(irctest.Fault{Kind: kind}, irctest.Target{})
				for {
					time.Sleep(100 * time.Millisecond)
					if d, n := told[balancer.Down](f, ""); n > 0 {
						if !errors.Is(d.Err, irc.ErrDead) {
							t.Errorf("down: %v, want ErrDead", d.Err)
						}
						break
					}
				}
				if d := time.Since(began); d < 38*time.Second || d > 41*time.Second {
					t.Errorf("noticed after %v, want about 40 s", d)
				}
				f.chat(20, 10*time.Second, ch)
				f.members(5, 30*time.Second)
				f.chat(20, 2*time.Second, ch)
				if v := f.clean(); v.Gaps == 0 {
					t.Errorf("verdict %v, want gaps", v)
				}
			})
		})
	}
}

// TestSecretsStaySecret logs everything there is and looks for the token.
func TestSecretsStaySecret(t *testing.T) {
	const token = "kv8s3cr3tt0ken"
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		logger := zerolog.New(&log).Level(zerolog.TraceLevel)
		srv := irctest.NewTwitch(&irctest.Config{Accounts: []irctest.Account{{Login: "bot", Token: "another"}}})
		defer srv.Close()
		a := irc.NewAccount("bot", irc.FixedToken("oauth:"+token), nil)
		cfg := irc.Config{Address: plain, Plain: true, DialContext: srv.DialContext, Logger: logger}
		tr := irc.New(a, &cfg)
		b := balancer.New(tr, tr.Balancer(&balancer.Config{Logger: logger}))
		b.Join("forsen")
		err := b.Run(t.Context(), func(_ context.Context, e balancer.Event) {
			logger.Info().Interface("event", e).Str("as", fmt.Sprintf("%v %+v %#v", e, e, e)).Msg("event")
		})
		if !errors.Is(err, irc.ErrToken) {
			t.Errorf("Run: %v, want ErrToken", err)
		}
		s := irc.NewSecret(token)
		logger.Info().Err(err).Interface("secret", s).Object("again", s).Str("account", fmt.Sprintf("%v %+v %s %q", a, a, s, s)).
			Str("transport", fmt.Sprintf("%+v %#v", tr, struct{ s irc.Secret }{s})).Msg("end")
		if strings.Contains(log.String(), token) {
			t.Errorf("the token is in the log:\n%s", log.String())
		}
		if n := srv.Stats().Dialled; n != 1 {
			t.Errorf("%d logins with a bad token, want 1", n)
		}
	})
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
