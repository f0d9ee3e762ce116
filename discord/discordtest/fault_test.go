package discordtest

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"
)

// TestFaults does each fault of a connection and looks at what the client sees.
func TestFaults(t *testing.T) {
	is := func(want string) func(*client) {
		return func(c *client) {
			c.t.Helper()
			p, err := c.next()
			got := p.T
			switch {
			case err != nil:
				got = err.Error()
			case p.Op != 0:
				d, _ := json.Marshal(p.D)
				got = map[int]string{1: "op 1", 7: "op 7", 9: "op 9 " + string(d), 10: "HELLO", 11: "ACK"}[p.Op]
			}
			if got != want {
				c.t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	code := func(want int) func(*client) {
		return func(c *client) {
			c.t.Helper()
			if got := c.closed(); got != want {
				c.t.Errorf("closed with %d, want %d", got, want)
			}
		}
	}
	in := func(c *client) { c.identify(0, 1) }
	ask := func(c *client) { c.await(opHello, ""); c.ask("bot-token", 0, 1, 1) }
	beat := func(c *client) { c.send(`{"op":1,"d":null}`) }
	quiet := func(c *client) { // for a minute
		c.t.Helper()
		c.ws.SetReadDeadline(time.Now().Add(time.Minute))
		if p, err := c.next(); err == nil {
			c.t.Errorf("got op %d %s, want silence", p.Op, p.T)
		}
	}
	message := func(c *client) { c.s.Publish("", c.s.Guilds("")[0], Message(0, "ann", "hello")) }
	guild := func(c *client) {
		c.t.Helper()
		if p := c.await(opDispatch, "GUILD_CREATE"); len(p.D) < 20_000_000 {
			c.t.Errorf("GUILD_CREATE of %d bytes", len(p.D))
		}
	}
	type steps = []func(*client)
	for _, tt := range []struct {
		name   string
		mode   string
		early  bool // injected before dialling
		before steps
		fault  Fault
		after  steps
	}{
		{"drop", "", false, steps{in}, Fault{Kind: Drop}, steps{code(1006)}},
		{"hangup", "", false, steps{in}, Fault{Kind: Hangup}, steps{code(1006)}},
		{"half-open", "", false, steps{in}, Fault{Kind: HalfOpen}, steps{message, beat, quiet}},
		{"mute", "", false, steps{in}, Fault{Kind: Mute}, steps{message, beat, quiet}},
		{"no ack", "", false, steps{in}, Fault{Kind: NoACK}, steps{beat, message, is("MESSAGE_CREATE"), quiet}},
		{"no hello", "", true, nil, Fault{Kind: Mute, At: AtConnect}, steps{quiet}},
		{"op 7 before hello", "", true, nil, Fault{Kind: Reconnect, At: AtConnect}, steps{is("op 7"), code(4000)}},
		{"op 7", "", false, steps{in}, Fault{Kind: Reconnect}, steps{is("op 7"), message, is("MESSAGE_CREATE"), code(4000)}},
		{"no ready", "", true, steps{ask}, Fault{Kind: Mute, At: AtIdentify}, steps{quiet}},
		{"op 9 after identify", "", true, steps{ask}, Fault{Kind: InvalidSession, At: AtIdentify}, steps{is("op 9 false")}},
		{"op 9 true after identify", "", true, steps{ask}, Fault{Kind: InvalidSession, At: AtIdentify, Resumable: true}, steps{is("op 9 true")}},
		{"op 9", "", false, steps{in}, Fault{Kind: InvalidSession}, steps{is("op 9 false"), message, beat, is("ACK")}},
		{"op 9 true", "", false, steps{in}, Fault{Kind: InvalidSession, Resumable: true}, steps{is("op 9 true"), message, is("MESSAGE_CREATE")}},
		{"close at hello", "", true, nil, Fault{Kind: CloseWith, At: AtHello, Code: 4008}, steps{is("HELLO"), code(4008)}},
		{"close at identify", "", true, steps{ask}, Fault{Kind: CloseWith, At: AtIdentify, Code: 4014}, steps{code(4014)}},
		{"close at ready", "", true, steps{ask}, Fault{Kind: CloseWith, At: AtReady, Code: 4009}, steps{is("READY"), code(4009)}},
		{"delay", "", false, steps{in}, Fault{Kind: Delay, For: time.Hour}, steps{message, quiet}},
		{"split zlib", "zlib-stream", true, nil, Fault{Kind: SplitFrames, At: AtConnect}, steps{in, message, is("MESSAGE_CREATE")}},
		{"split zstd", "zstd-stream", true, nil, Fault{Kind: SplitFrames, At: AtConnect}, steps{in, message, is("MESSAGE_CREATE")}},
		{"split json", "", true, nil, Fault{Kind: SplitFrames, At: AtConnect}, steps{in, message, is("MESSAGE_CREATE")}},
		{"coalesce", "zlib-stream", false, steps{in}, Fault{Kind: Coalesce, For: time.Second}, steps{message, message, is("MESSAGE_CREATE"), is("MESSAGE_CREATE")}},
		{"duplicate", "", false, steps{in}, Fault{Kind: Duplicate}, steps{message, is("MESSAGE_CREATE"), is("MESSAGE_CREATE")}},
		{"op 1 burst", "", false, steps{in}, Fault{Kind: HeartbeatBurst, Size: 2}, steps{is("op 1"), is("op 1"), beat, is("ACK")}},
		{"big guild", "", false, steps{in}, Fault{Kind: BigGuild}, steps{guild}},
		{"big guild, zlib", "zlib-stream", false, steps{in}, Fault{Kind: BigGuild}, steps{guild, message, is("MESSAGE_CREATE")}},
		{"rate limited", "", false, steps{in}, Fault{Kind: RateLimited, For: time.Second}, steps{is("RATE_LIMITED")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(nil)
				defer s.Close()
				if tt.early {
					s.Inject(tt.fault, Target{})
				}
				c := dial(t, s, tt.mode)
				for _, f := range tt.before {
					f(c)
				}
				if !tt.early {
					if n := s.Inject(tt.fault, Target{}); n != 1 {
						t.Fatalf("hit %d connections, want 1", n)
					}
				}
				for _, f := range tt.after {
					f(c)
				}
			})
		})
	}
}

// TestEveryCloseCode closes with every code at every point.
func TestEveryCloseCode(t *testing.T) {
	for code := range closeText {
		for _, at := range []When{AtConnect, AtHello, AtIdentify, AtReady, AtResume, AtResumed} {
			synctest.Test(t, func(t *testing.T) {
				s := New(nil)
				defer s.Close()
				c := dial(t, s, "")
				if at == AtResume || at == AtResumed {
					c.identify(0, 1)
					c.drop()
					d := dial(t, s, "")
					s.Inject(Fault{Kind: CloseWith, At: at, Code: code, Times: 1}, Target{})
					d.resume(c)
					c = d
				} else {
					c.await(opHello, "") // this one is past the fault
					s.Inject(Fault{Kind: CloseWith, At: at, Code: code, Times: 1}, Target{})
					c.drop()
					c = dial(t, s, "")
					if at == AtIdentify || at == AtReady {
						c.await(opHello, "")
						c.ask("bot-token", 0, 1, 1)
					}
				}
				if got := c.closed(); got != code {
					t.Errorf("%s: closed with %d, want %d", at, got, code)
				}
				kept := s.Stats().Bot("").Sessions == 1
				if want := (at == AtReady || at == AtResumed) && !ends(code); kept != want && at != AtResume {
					t.Errorf("%s, %d: session kept %t, want %t", at, code, kept, want)
				}
			})
		}
	}
}

func TestHostFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		c := dial(t, s, "").identify(0, 1)
		s.Inject(Fault{Kind: Unavailable}, Target{Host: Resume})
		s.Inject(Fault{Kind: Unavailable, Code: 500}, Target{Path: "/gateway/bot"})
		c.drop()
		if _, err := tryDial(t, s, c.ready.URL, ""); err == nil {
			t.Error("the resume host is up")
		}
		if got := dial(t, s, "").resumed(c); got != "resumed 0" {
			t.Errorf("on the gateway host: %s", got)
		}
		if r := get(t, s, "/api/v10/gateway/bot", "bot-token"); r.status != 500 {
			t.Errorf("/gateway/bot: %d", r.status)
		}
		if r := get(t, s, "/api/v10/users/@me", "bot-token"); r.status != 200 {
			t.Errorf("/users/@me: %d", r.status)
		}
		s.Heal()
		s.Inject(Fault{Kind: BadTLS}, Target{Host: Resume})
		if _, err := tryDial(t, s, "wss://resume-1.discord.test", ""); err == nil {
			t.Error("TLS to the resume host works")
		}
		d := dialURL(t, s, "wss://gateway.discord.test", "")
		d.drop()
		s.Heal()
		s.Inject(Fault{Kind: Refused, Times: 1}, Target{Host: Gateway})
		if _, err := tryDial(t, s, "ws://gateway.discord.test", ""); err == nil {
			t.Error("was not refused")
		}
		dial(t, s, "")
		s.Inject(Fault{Kind: BlackHole}, Target{Host: REST})
		h := s.HTTPClient()
		h.Timeout = time.Minute
		if _, err := h.Get("http://discord.test/gateway"); err == nil {
			t.Error("the black hole answered")
		}
	})
}

// TestCorrupt damages a message: what comes after it is lost on that
// connection, and the judge knows that.
func TestCorrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		j := s.Judge()
		guild := s.Guilds("")[0]
		c := dial(t, s, "zlib-stream").identify(0, 1)
		from := time.Now()
		s.Inject(Fault{Kind: Corrupt}, Target{})
		for range 5 {
			s.Publish("", guild, Message(0, "ann", "hello hello hello"))
		}
		var err error
		for err == nil {
			c.ws.SetReadDeadline(time.Now().Add(time.Second))
			_, err = c.next()
		}
		c.close(4000)
		s.Inject(Fault{Kind: LoseSession}, Target{})
		synctest.Wait()
		s.bots[0].kill("", false)
		j.Gap(from, time.Now(), ID(guild).String())
		if v := j.Verdict(); v.Lost != 0 || v.InGaps != 5 {
			t.Errorf("%v %v", v, v.Offences)
		}
	})
}

// TestPlanEnds runs a storm and ends it.
func TestPlanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				if c, err := tryDial(t, s, "ws://gateway.discord.test", ""); err == nil {
					for err == nil {
						c.ws.SetReadDeadline(time.Now().Add(5 * time.Second))
						_, err = c.next()
					}
					c.drop()
				}
				time.Sleep(time.Second)
			}
		}()
		s.InjectPlan(ctx, Storm())
		time.Sleep(10 * time.Second)
		c := dial(t, s, "").identify(0, 1)
		c.beat()
	})
}
