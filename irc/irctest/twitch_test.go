package irctest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// story runs f in a bubble with a Twitch server, which it closes.
func story(t *testing.T, cfg *Config, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewTwitch(cfg)
		defer s.Close()
		f(t, s)
	})
}

func TestLogin(t *testing.T) {
	accounts := []Account{{Login: "ann", Token: "secret"}}
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // contained in some line
		close bool
	}{
		{"named", []string{"PASS oauth:secret", "NICK ann"}, " 376 ann :>", false},
		{"upper case", []string{"PASS oauth:secret", "NICK Ann"}, " 001 ann :Welcome, GLHF!", false},
		{"wrong token", []string{"PASS oauth:guess", "NICK ann"}, "NOTICE * :Login authentication failed", true},
		{"unknown login", []string{"PASS oauth:secret", "NICK bob"}, "NOTICE * :Login authentication failed", true},
		{"no PASS", []string{"NICK ann"}, "NOTICE * :Improperly formatted auth", true},
		{"PASS last", []string{"NICK ann", "PASS oauth:secret"}, "NOTICE * :Improperly formatted auth", true},
		{"no oauth:", []string{"PASS secret", "NICK ann"}, "NOTICE * :Improperly formatted auth", true},
		{"anonymous", []string{"NICK justinfan123"}, " 376 justinfan123 :>", false},
		{"anonymous with PASS", []string{"PASS SCHMOOPIIE", "NICK justinfan1"}, " 376 justinfan1 :>", false},
		{"almost anonymous", []string{"NICK justinfanx"}, "Improperly formatted auth", true},
		{"caps", []string{"CAP REQ :twitch.tv/tags twitch.tv/commands"}, ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands", false},
		{"unknown cap", []string{"CAP REQ :twitch.tv/tags sasl"}, ":tmi.twitch.tv CAP * NAK :twitch.tv/tags sasl", false},
		{"global state", []string{"CAP REQ :twitch.tv/tags twitch.tv/commands", "PASS oauth:secret", "NICK ann"}, " :tmi.twitch.tv GLOBALUSERSTATE", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			story(t, &Config{Accounts: accounts}, func(t *testing.T, s *Server) {
				c := dial(t, s, "irc.chat.twitch.tv:6667")
				c.send(tt.lines...)
				if tt.close {
					if got := c.ended(); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, tt.want) }) {
						t.Errorf("lines %q, want %q", got, tt.want)
					}
					return
				}
				c.until(tt.want)
			})
		})
	}
}

func TestJoinAnswers(t *testing.T) {
	cfg := &Config{Channels: []string{"ann", "gone", "tos", "lost", "hated"}}
	story(t, cfg, func(t *testing.T, s *Server) {
		s.SetRoom("gone", func(r *Room) { r.Suspended = true })
		s.SetRoom("tos", func(r *Room) { r.TOSBanned = true })
		s.SetRoom("lost", func(r *Room) { r.NotFound = true })
		s.Ban("bob", "hated")
		c := dial(t, s, "irc:6667").login("bob")
		c.send("JOIN #ann,#gone,#tos,#lost,#hated,#nobody")
		got := c.sync()
		id := s.RoomID("ann")
		want := []string{
			":bob!bob@bob.tmi.twitch.tv JOIN #ann",
			":bob.tmi.twitch.tv 353 bob = #ann :bob",
			":bob.tmi.twitch.tv 366 bob #ann :End of /NAMES list",
			"@badge-info=;badges=;color=;display-name=bob;emote-sets=0;mod=0;subscriber=0;user-type= :tmi.twitch.tv USERSTATE #ann",
			"@emote-only=0;followers-only=-1;r9k=0;room-id=" + id + ";slow=0;subs-only=0 :tmi.twitch.tv ROOMSTATE #ann",
			"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #gone :This channel does not exist or has been suspended.",
			"@msg-id=tos_ban :tmi.twitch.tv NOTICE #tos :This channel was closed due to a violation of the Terms of Service.",
			"@msg-id=msg_room_not_found :tmi.twitch.tv NOTICE #lost :This room could not be found.",
			"@msg-id=msg_banned :tmi.twitch.tv NOTICE #hated :You are permanently banned from talking in this channel.",
		}
		if !slices.Equal(got, want) {
			t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		anon := dial(t, s, "irc:6667").login("justinfan5")
		anon.send("JOIN #ann")
		for _, l := range anon.sync() {
			if strings.Contains(l, "USERSTATE") {
				t.Errorf("an anonymous connection got %q", l)
			}
		}
	})
}

func TestMembershipCap(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		a := dial(t, s, "irc:6667")
		a.send(allCaps, "NICK justinfan1")
		a.join("x")
		b := dial(t, s, "irc:6667").login("bob").join("x")
		a.until(":bob!bob@bob.tmi.twitch.tv JOIN #x")
		b.send("PART #x")
		b.until(":bob!bob@bob.tmi.twitch.tv PART #x")
		a.until(":bob!bob@bob.tmi.twitch.tv PART #x")
	})
}

func TestTooManyJoins(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		nick string
		n    int
		dead bool
	}{
		{"within", Config{}, "ann", 20, false},
		{"over", Config{}, "ann", 21, true},
		{"verified", Config{Accounts: []Account{{Login: "ann", Verified: true}}}, "ann", 90, false},
		{"dropped", Config{DropExcessJoins: true}, "ann", 21, false},
		{"anonymous", Config{}, "justinfan1", 21, true},
		{"anonymous with a budget", Config{Anonymous: Verified()}, "justinfan1", 2000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			story(t, &tt.cfg, func(t *testing.T, s *Server) {
				c := dial(t, s, "irc:6667").login(tt.nick)
				var names []string
				for i := range tt.n {
					names = append(names, fmt.Sprintf("#c%d", i))
				}
				for len(names) > 0 {
					n := min(len(names), 50)
					c.send("JOIN " + strings.Join(names[:n], ","))
					names = names[n:]
				}
				over := tt.dead || tt.cfg.DropExcessJoins
				if tt.dead {
					c.ended()
				} else if got := countLines(c.sync(), " ROOMSTATE "); got != min(tt.n, map[bool]int{true: 20, false: tt.n}[over]) {
					t.Errorf("%d confirmed of %d", got, tt.n)
				}
				if got := s.ViolationCount(TooManyJoins); (got > 0) != over {
					t.Errorf("%d violations: %v", got, s.Violations())
				}
			})
		})
	}
}

func countLines(lines []string, part string) (n int) {
	for _, l := range lines {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

func TestJoinBudgetIsSharedAndSliding(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		a, b := dial(t, s, "irc:6667").login("ann"), dial(t, s, "irc:6667").login("ann")
		for i := range 10 {
			a.join(fmt.Sprint("a", i))
			b.join(fmt.Sprint("b", i))
		}
		time.Sleep(10*time.Second - time.Millisecond) // virtual
		b.send("JOIN #late")
		b.ended()
		time.Sleep(time.Millisecond)
		a.join("c")
		if got := s.ViolationCount(TooManyJoins); got != 1 {
			t.Errorf("%d violations, want 1", got)
		}
		// Anonymous connections share a budget by address.
		for i, ip := range []string{"198.51.100.1", "198.51.100.2"} {
			c := dialFrom(t, s, ip).login("justinfan9")
			for k := range 20 {
				c.join(fmt.Sprintf("d%d_%d", i, k))
			}
		}
		if got := s.ViolationCount(TooManyJoins); got != 1 {
			t.Errorf("%d violations, want 1", got)
		}
	})
}

func TestChannelCap(t *testing.T) {
	cfg := &Config{Normal: Limits{Joins: 1000}}
	story(t, cfg, func(t *testing.T, s *Server) {
		s.SetRoom("modded", func(r *Room) { r.Mods = []string{"ann"} })
		a, b := dial(t, s, "irc:6667").login("ann"), dial(t, s, "irc:6667").login("ann")
		for i := range 50 {
			a.join(fmt.Sprint("c", i))
			b.join(fmt.Sprint("c", i)) // each membership counts
		}
		b.join("modded", "ann") // these do not
		a.send("JOIN #more")
		a.until("@msg-id=msg_concurrent_channel_limit_reached :tmi.twitch.tv NOTICE #more")
		if s.ViolationCount(TooManyChannels) != 1 {
			t.Errorf("violations: %v", s.Violations())
		}
		b.nc.Close() // which frees its channels at once
		a.join("more")
	})
}

func TestSendingRules(t *testing.T) {
	long := strings.Repeat("é", 501)
	for _, tt := range []struct {
		name  string
		room  func(*Room)
		texts []string
		gap   time.Duration
		want  []string // part of each answer; "" is silence
	}{
		{"sent", nil, []string{"hi"}, 0, []string{"USERSTATE #x"}},
		{"500 characters", nil, []string{long[:1000]}, 0, []string{"USERSTATE #x"}},
		{"501 characters", nil, []string{long}, 0, []string{""}},
		{"duplicate", nil, []string{"hi", "hi"}, 29 * time.Second, []string{"USERSTATE", "msg_duplicate"}},
		{"no duplicate", nil, []string{"hi", "hi"}, 30 * time.Second, []string{"USERSTATE", "USERSTATE"}},
		{"too fast", nil, []string{"a", "b"}, 999 * time.Millisecond, []string{"USERSTATE", "msg_ratelimit"}},
		{"fast enough", nil, []string{"a", "b"}, time.Second, []string{"USERSTATE", "USERSTATE"}},
		{"slow", func(r *Room) { r.Slow = 10 * time.Second }, []string{"a", "b", "c"}, 9 * time.Second, []string{"USERSTATE", "msg_slowmode", "USERSTATE"}},
		{"subs", func(r *Room) { r.SubsOnly = true }, []string{"a"}, 0, []string{"msg_subsonly"}},
		{"sub", func(r *Room) { r.SubsOnly, r.Subscribers = true, []string{"ann"} }, []string{"a"}, 0, []string{"USERSTATE"}},
		{"emotes", func(r *Room) { r.EmoteOnly = true }, []string{"a", "Kappa LUL"}, time.Second, []string{"msg_emoteonly", "USERSTATE"}},
		{"followers", func(r *Room) { r.FollowersOnly = 0 }, []string{"a"}, 0, []string{"msg_followersonly"}},
		{"unique", func(r *Room) { r.Unique = true }, []string{"a", "a"}, time.Minute, []string{"USERSTATE", "msg_r9k"}},
		{"moderator", func(r *Room) { r.Mods, r.SubsOnly = []string{"ann"}, true }, []string{"a", "a"}, 0, []string{"mod=1", "mod=1"}},
		{"banned", func(r *Room) { r.Banned = []string{"ann"} }, []string{"a"}, 0, []string{"msg_banned"}},
		{"suspended", func(r *Room) { r.Suspended = true }, []string{"a"}, 0, []string{"msg_channel_suspended"}},
		{"command", nil, []string{"/ban bob"}, 0, []string{"unrecognized_cmd"}},
		{"me", nil, []string{"/me waves"}, 0, []string{"USERSTATE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			story(t, nil, func(t *testing.T, s *Server) {
				if tt.room != nil {
					s.SetRoom("x", tt.room)
				}
				c := dial(t, s, "irc:6667").login("ann")
				for i, text := range tt.texts {
					if i > 0 {
						time.Sleep(tt.gap)
					}
					c.send("PRIVMSG #x :" + text)
					got := strings.Join(c.sync(), "\n")
					if tt.want[i] == "" && got != "" || !strings.Contains(got, tt.want[i]) {
						t.Errorf("answer to message %d: %q, want %q", i, got, tt.want[i])
					}
				}
			})
		})
	}
}

func TestSendLimitAndPenalty(t *testing.T) {
	story(t, &Config{PingInterval: -1}, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667").login("ann")
		for i := range 20 {
			c.send(fmt.Sprintf("PRIVMSG #c%d :hi", i))
		}
		if got := countLines(c.sync(), "USERSTATE"); got != 20 {
			t.Errorf("%d sent, want 20", got)
		}
		c.send("PRIVMSG #c20 :hi")
		if got := countLines(c.sync(), "msg_ratelimit"); got != 1 {
			t.Errorf("message 21 was not refused")
		}
		time.Sleep(59 * time.Minute)
		c.sync()
		c.send("PRIVMSG #c21 :hi")
		if got := c.sync(); len(got) != 0 {
			t.Errorf("within the penalty: %q", got)
		}
		c.send("PRIVMSG #ann :hi") // its own channel
		if got := countLines(c.sync(), "USERSTATE"); got != 1 {
			t.Errorf("not sent to the own channel")
		}
		time.Sleep(time.Minute)
		c.send("PRIVMSG #c21 :hi")
		if got := countLines(c.sync(), "USERSTATE"); got != 1 {
			t.Errorf("not sent after the penalty")
		}
		if got := s.ViolationCount(TooManySends); got != 1 {
			t.Errorf("%d violations, want 1: %v", got, s.Violations())
		}
	})
}

func TestMessageReachesOthers(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		a := dial(t, s, "irc:6667").login("ann").join("x")
		b := dial(t, s, "irc:6667").login("justinfan7").join("x")
		bare := dial(t, s, "irc:6667")
		bare.send("NICK justinfan8", "JOIN #x")
		bare.until(" 366 ")
		parent := s.Say("x", "carl", "what time is it")
		a.until("PRIVMSG")
		a.send("@client-nonce=abc;reply-parent-msg-id=" + parent.ID + " PRIVMSG #x :now; Kappa")
		got := a.sync()
		if len(got) != 1 || tagOf(got[0], "client-nonce") != "abc" {
			t.Fatalf("answer %q, want one USERSTATE with the nonce", got)
		}
		b.until("what time")
		l := b.until("PRIVMSG #x :now; Kappa")
		if id := tagOf(l, "id"); id == "" || id != tagOf(got[0], "id") {
			t.Errorf("id %q, the sender has %q", id, tagOf(got[0], "id"))
		}
		if tagOf(l, "reply-parent-msg-id") != parent.ID || tagOf(l, "reply-parent-msg-body") != `what\stime\sis\sit` {
			t.Errorf("no reply: %s", l)
		}
		if got := tagOf(l, "emotes"); got != "25:5-9" {
			t.Errorf("emotes = %q, want 25:5-9", got)
		}
		bare.until(":carl!carl@carl.tmi.twitch.tv PRIVMSG #x :what time is it")
	})
}

func TestPing(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		good, bad := dial(t, s, "irc:6667").login("ann"), dial(t, s, "irc:6667").login("bob")
		start := time.Now()
		good.until("PING :tmi.twitch.tv")
		if d := time.Since(start); d != 5*time.Minute {
			t.Errorf("PING after %v", d)
		}
		good.send("PONG :tmi.twitch.tv")
		bad.send("PONG :something else")
		bad.ended()
		if d := time.Since(start); d != 5*time.Minute+30*time.Second {
			t.Errorf("closed after %v", d)
		}
		good.until("PING")
		if v := s.Violations(); len(v) != 1 || v[0].Kind != NoPong || v[0].Account != "bob" {
			t.Errorf("violations: %v", v)
		}
	})
}

func TestRevokeAndRename(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		a := dial(t, s, "irc:6667").login("ann").join("old")
		id := s.RoomID("old")
		s.Rename("old", "new")
		a.until(":ann!ann@ann.tmi.twitch.tv PART #old")
		a.send("JOIN #old")
		if got := a.sync(); len(got) != 0 {
			t.Errorf("the old name answers %q", got)
		}
		a.join("new")
		if s.RoomID("new") != id || s.RoomID("old") != "" {
			t.Errorf("room-id changed")
		}
		if n := s.Revoke("ann"); n != 1 {
			t.Errorf("Revoke = %d, want 1", n)
		}
		if got := a.ended(); countLines(got, "Login authentication failed") != 1 {
			t.Errorf("last lines: %q", got)
		}
		b := dial(t, s, "irc:6667")
		b.send("PASS oauth:secret", "NICK ann")
		if got := b.ended(); countLines(got, "Login authentication failed") != 1 {
			t.Errorf("the revoked token: %q", got)
		}
		c := dial(t, s, "irc:6667")
		c.send("PASS oauth:fresh", "NICK ann")
		c.until(" 376 ")
	})
}

func TestEvents(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667").login("ann").join("x", "y")
		copies := s.SayShared("bob", "hello both", "x", "y")
		x, y := c.until("PRIVMSG #x"), c.until("PRIVMSG #y")
		if tagOf(x, "id") != copies[0].ID || tagOf(x, "source-id") != copies[0].ID || tagOf(y, "source-id") != copies[0].ID || tagOf(y, "id") == tagOf(x, "id") {
			t.Errorf("shared chat:\n%s\n%s", x, y)
		}
		s.NoticeShared("sub", "bob", "bob subscribed", "x", "y")
		c.until("msg-id=sub;")
		if l := c.until("USERNOTICE #y"); tagOf(l, "msg-id") != "sharedchatnotice" || tagOf(l, "source-msg-id") != "sub" {
			t.Errorf("shared notice: %s", l)
		}
		s.UserNotice("x", "raid", "bob", "5 raiders", "", "msg-param-viewerCount=5")
		if l := c.until("USERNOTICE #x"); tagOf(l, "msg-param-viewerCount") != "5" || tagOf(l, "system-msg") != `5\sraiders` {
			t.Errorf("raid: %s", l)
		}
		s.ClearChat("x", "bob", time.Minute)
		if l := c.until("CLEARCHAT #x :bob"); tagOf(l, "ban-duration") != "60" {
			t.Errorf("timeout: %s", l)
		}
		s.ClearMsg("x", "bob", copies[0].ID, "hello both")
		c.until("CLEARMSG #x :hello both")
		s.HostTarget("x", "", 0)
		c.until(":tmi.twitch.tv HOSTTARGET #x :- 0")
		s.SetRoom("x", func(r *Room) { r.Slow = time.Minute })
		if l := c.until("ROOMSTATE #x"); !strings.HasPrefix(l, "@slow=60;room-id=") {
			t.Errorf("delta: %s", l)
		}
		if s.Whisper("bob", "ann", "psst") != 1 {
			t.Errorf("no whisper")
		}
		c.until("WHISPER ann :psst")
		s.Raw("x", ":tmi.twitch.tv SOMETHING #x :new")
		c.until("SOMETHING")
		s.Ban("ann", "x")
		c.until(":ann!ann@ann.tmi.twitch.tv PART #x")
		s.Reconnect(time.Second)
		c.until(":tmi.twitch.tv RECONNECT")
		start := time.Now()
		c.ended()
		if d := time.Since(start); d != time.Second {
			t.Errorf("closed %v after RECONNECT", d)
		}
	})
}
