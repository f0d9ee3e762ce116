package irctest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"
)

// ircStory runs f in a bubble with a plain IRC server, which it closes.
func ircStory(t *testing.T, cfg *Config, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewIRC(cfg)
		defer s.Close()
		f(t, s)
	})
}

// register registers a nick with the capabilities asked for.
func (c *client) register(nick, caps string) *client {
	c.t.Helper()
	if caps != "" {
		c.send("CAP REQ :" + caps)
	}
	c.send("NICK "+nick, "USER "+nick+" 0 * :Real Name")
	if caps != "" {
		c.send("CAP END")
	}
	c.until(" 376 ")
	return c
}

func TestIRCRegistration(t *testing.T) {
	cfg := &Config{IRC: IRC{ChanLimit: 250, ISupport: []string{"EXCEPTS"}}}
	ircStory(t, cfg, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667")
		c.send("CAP LS 302", "NICK Ann", "USER ann 0 * :Ann")
		var ls []string
		for {
			l := c.until(" CAP ")
			ls = append(ls, l)
			if !strings.Contains(l, " LS * :") {
				break
			}
		}
		if all := strings.Join(ls, "\n"); len(ls) < 2 || !strings.Contains(all, "sasl=PLAIN,EXTERNAL,SCRAM-SHA-256") {
			t.Errorf("CAP LS 302: %q", ls)
		}
		c.send("CAP REQ :server-time nonsense")
		c.until("CAP Ann NAK :server-time nonsense")
		c.send("CAP REQ :server-time", "CAP END")
		c.until("CAP Ann ACK :server-time")
		c.until(" 001 Ann ")
		var tokens string
		for _, l := range c.sync() {
			if strings.Contains(l, " 005 ") {
				tokens += l
			}
		}
		for _, want := range []string{"CHANLIMIT=#&:250", "CASEMAPPING=rfc1459", "CHANTYPES=#&", "TARGMAX=JOIN:4,", "LINELEN=512", "NICKLEN=16", "CHANNELLEN=50", "EXCEPTS"} {
			if !strings.Contains(tokens, want+" ") && !strings.Contains(tokens, want) {
				t.Errorf("005 has no %s: %s", want, tokens)
			}
		}
		s.NotifyCap("draft/chathistory", false)
		c.until("CAP Ann NEW :draft/chathistory")
		d := dial(t, s, "irc:6667")
		d.send("NICK aNN", "USER x 0 * :x")
		d.until(" 433 ")
		d.send("NICK [d]")
		d.until(" 001 [d] ")
		e := dial(t, s, "irc:6667")
		e.send("NICK {D}")
		e.until(" 433 ")
		d.nc.Close() // frees the nick
		e.send("NICK {D}", "USER x 0 * :x")
		e.until(" 001 {D} ")
	})
}

func TestIRCJoinFailures(t *testing.T) {
	for _, tt := range []struct {
		join string
		room func(*IRCRoom)
		want string
	}{
		{"#a", nil, " JOIN #a"},
		{"nonsense", nil, " 403 "},
		{"#" + strings.Repeat("a", 60), nil, " 476 "},
		{"#none", nil, " 403 "},
		{"#a", func(r *IRCRoom) { r.Limit = 1 }, " 471 "},
		{"#a", func(r *IRCRoom) { r.InviteOnly = true }, " 473 "},
		{"#a", func(r *IRCRoom) { r.Banned = []string{"ANN"} }, " 474 "},
		{"#a", func(r *IRCRoom) { r.Key = "k" }, " 475 "},
		{"#a k", func(r *IRCRoom) { r.Key = "k" }, " JOIN #a"},
		{"#a", func(r *IRCRoom) { r.RegisteredOnly = true }, " 477 "},
		{"#a", func(r *IRCRoom) { r.Forward = "#b" }, " 470 ann #a #b "},
		{"#a,#b,#c,#d,#e", nil, " 407 "},
		{"#busy", nil, " 437 "},
	} {
		t.Run(tt.join+tt.want, func(t *testing.T) {
			cfg := &Config{Channels: []string{"#a", "#b", "#busy"}}
			ircStory(t, cfg, func(t *testing.T, s *Server) {
				s.RefuseJoin("#busy", "437", -1)
				other := dial(t, s, "irc:6667").register("other", "")
				other.send("JOIN #a")
				other.until(" 366 ")
				if tt.room != nil {
					s.SetIRCRoom("#A", tt.room)
				}
				c := dial(t, s, "irc:6667").register("ann", "")
				c.send("JOIN " + tt.join)
				c.until(tt.want)
				if tt.want == " JOIN #a" {
					c.until(" 353 ann = #a :")
					other.until(":ann!~ann@192.0.2.1 JOIN #a")
				}
			})
		})
	}
}

func TestIRCChanLimit(t *testing.T) {
	ircStory(t, &Config{IRC: IRC{ChanLimit: 2}}, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667").register("ann", "")
		c.send("JOIN #a,#b,#c")
		c.until(" 405 ann #c ")
		if s.ViolationCount(TooManyChannels) != 1 {
			t.Errorf("violations: %v", s.Violations())
		}
		c.send("PART #a", "JOIN #c")
		c.until(" 366 ann #c ")
	})
}

func TestIRCMessages(t *testing.T) {
	ircStory(t, nil, func(t *testing.T, s *Server) {
		j := s.Judge("ann")
		a := dial(t, s, "irc:6667").register("ann", "message-tags server-time")
		b := dial(t, s, "irc:6667").register("bob", "server-time echo-message")
		c := dial(t, s, "irc:6667").register("carl", "")
		for _, x := range []*client{a, b, c} {
			x.send("JOIN #X")
			x.until(" 366 ")
		}
		b.send("PRIVMSG #x :hello")
		l := a.until("PRIVMSG #X :hello")
		if tagOf(l, "msgid") == "" || tagOf(l, "time") == "" {
			t.Errorf("tags of %q", l)
		}
		j.Received("#X", tagOf(l, "msgid"), time.Now())
		check(t, j, Verdict{Sent: 1, Received: 1})
		if l := b.until("PRIVMSG #X :hello"); !strings.HasPrefix(l, "@time=") || strings.Contains(l, "msgid") {
			t.Errorf("the echo: %q", l)
		}
		if l := c.until("PRIVMSG"); l != ":bob!~bob@192.0.2.1 PRIVMSG #X :hello" {
			t.Errorf("without tags: %q", l)
		}
		c.send("PRIVMSG ANN :psst", "PRIVMSG nobody :psst", "KICK #x bob")
		a.until(":carl!~carl@192.0.2.1 PRIVMSG ann :psst")
		c.until(" 401 ")
		c.until(" 482 ")
		a.send("KICK #x carl :bye")
		c.until("KICK #X carl :bye")
		s.Kick("#x", "bob", "off")
		b.until("KICK #X bob :off")
		s.Say("#x", "dan", "from nowhere")
		a.until(":dan!dan@users.example PRIVMSG #X :from nowhere")
		b.send("QUIT :see you")
		b.until("ERROR :Closing Link")
		s.Kill("ann", "no reason")
		a.until("ERROR :Closing Link: 192.0.2.1 (no reason)")
	})
}

func TestIRCFlood(t *testing.T) {
	ircStory(t, &Config{IRC: IRC{FloodBurst: 5, FloodEvery: time.Second}}, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667").register("ann", "")
		for range 3 {
			for i := range 5 {
				c.send(fmt.Sprintf("PRIVMSG #x%d :hi", i))
			}
			time.Sleep(5 * time.Second)
		}
		if got := s.Violations(); len(got) != 0 {
			t.Fatalf("violations: %v", got)
		}
		for range 6 {
			c.send("JOIN #x")
		}
		c.until("ERROR :Closing Link: 192.0.2.1 (Excess Flood)")
		if got := s.ViolationCount(Flood); got != 1 {
			t.Errorf("%d violations, want 1", got)
		}
	})
}

func TestSASL(t *testing.T) {
	cfg := &Config{Accounts: []Account{{Login: "ann", Token: "hunter2"}}, IRC: IRC{RequireSASL: true}}
	b64 := base64.StdEncoding.EncodeToString
	start := func(t *testing.T, s *Server, mech string) *client {
		c := dial(t, s, "irc:6667")
		c.send("CAP REQ sasl", "NICK ann", "USER ann 0 * :Ann")
		c.until(" ACK ")
		c.send("AUTHENTICATE " + mech)
		return c
	}
	t.Run("plain", func(t *testing.T) {
		ircStory(t, cfg, func(t *testing.T, s *Server) {
			c := start(t, s, "PLAIN")
			c.until("AUTHENTICATE +")
			c.send("AUTHENTICATE " + b64([]byte("\x00ann\x00guess")))
			c.until(" 904 ")
			c.send("AUTHENTICATE PLAIN")
			c.until("AUTHENTICATE +")
			c.send("AUTHENTICATE "+b64([]byte("\x00ann\x00hunter2")), "CAP END")
			c.until(" 903 ")
			c.until(" 001 ")
		})
	})
	t.Run("scram", func(t *testing.T) {
		ircStory(t, cfg, func(t *testing.T, s *Server) {
			for password, want := range map[string]string{"hunter2": " 903 ", "guess": " 904 "} {
				cl, err := scram.SHA256.NewClient("ann", password, "")
				if err != nil {
					t.Fatal(err)
				}
				conv := cl.NewConversation()
				c := start(t, s, "SCRAM-SHA-256")
				c.until("AUTHENTICATE +")
				msg, _ := conv.Step("")
				for {
					c.send("AUTHENTICATE " + b64([]byte(msg)))
					l := c.line()
					if strings.Contains(l, want) || strings.Contains(l, " 900 ") {
						break
					}
					data, ok := strings.CutPrefix(l, "AUTHENTICATE ")
					raw, _ := base64.StdEncoding.DecodeString(data)
					if msg, err = conv.Step(string(raw)); !ok || err != nil {
						t.Fatalf("answer %q: %v", l, err)
					}
				}
				c.nc.Close()
			}
		})
	})
	t.Run("none", func(t *testing.T) {
		ircStory(t, cfg, func(t *testing.T, s *Server) {
			c := dial(t, s, "irc:6667")
			c.send("NICK ann", "USER ann 0 * :Ann")
			c.until("ERROR :Closing Link: 192.0.2.1 (SASL access only)")
			c = start(t, s, "CRAM-MD5")
			c.until(" 908 ")
			c.send("AUTHENTICATE PLAIN")
			c.until("AUTHENTICATE +")
			c.send("AUTHENTICATE *")
			c.until(" 906 ")
		})
	})
}
