package irc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// bot is a Client that runs against a Server inside a synctest bubble.
type bot struct {
	*irc.Client
	t   *testing.T
	srv *irctest.Server

	done chan struct{} // Run has returned
	err  error         // what

	mu     sync.Mutex
	events []balancer.Event
}

func playBot(t *testing.T, scfg irctest.Config, account *irc.Account, cfg irc.ClientConfig, tell func(b *bot)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bot{t: t, done: make(chan struct{})}
		if cfg.Transport.Profile == irc.Generic {
			b.srv = irctest.NewIRC(&scfg)
		} else {
			b.srv = irctest.NewTwitch(&scfg)
		}
		defer b.srv.Close()
		cfg.Transport.Address, cfg.Transport.Plain, cfg.Transport.DialContext = plain, true, b.srv.DialContext
		b.Client = irc.NewClient(account, &cfg)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer close(b.done)
			b.err = b.Run(ctx, func(_ context.Context, e balancer.Event) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.events = append(b.events, e)
			})
		}()
		tell(b)
		cancel()
		<-b.done
	})
}

// texts returns what was said in a channel.
func (b *bot) texts(k balancer.Key) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, e := range b.events {
		if m, ok := e.Data.(*irc.Message); ok && m.Command() == "PRIVMSG" && e.Key == k {
			out = append(out, m.Text())
		}
	}
	return out
}

func (b *bot) join(channels ...string) {
	b.t.Helper()
	if err := b.Join(channels...); err != nil {
		b.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.Balancer().Count()[balancer.Member] != len(channels); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not joined: %v", b.Balancer().Keys())
		}
	}
}

func botAccount() *irc.Account { return irc.NewAccount("mybot", irc.FixedToken("abc"), nil) }

func TestReceipts(t *testing.T) {
	playBot(t, irctest.Config{Channels: []string{"forsen", "quiet", "banned", "slow"}}, botAccount(), irc.ClientConfig{}, func(b *bot) {
		b.join("#Forsen", "slow")
		say := func(channel, text string) irc.Receipt {
			b.t.Helper()
			r, err := b.Say(context.Background(), channel, text)
			if err != nil {
				b.t.Errorf("Say(%s, %s): %v", channel, text, err)
			}
			return r
		}
		if r := say("#Forsen", "hello"); r.State != irc.Sent || r.MessageID == "" {
			t.Errorf("receipt %+v, want sent with an id", r)
		}
		if r := say("forsen", "hello"); r.State != irc.SendRefused || r.Reason != "msg_duplicate" {
			t.Errorf("receipt %+v of the same text again, want msg_duplicate", r)
		}
		r, err := b.Reply(context.Background(), "forsen", "123", "to you")
		if err != nil || r.State != irc.Sent {
			t.Errorf("receipt %+v, %v of a reply, want sent", r, err)
		}
		b.srv.SetRoom("slow", func(r *irctest.Room) { r.SubsOnly = true })
		if r := say("slow", "hello"); r.State != irc.SendRefused || r.Reason != "msg_subsonly" || r.Text == "" {
			t.Errorf("receipt %+v, want msg_subsonly", r)
		}
		b.srv.Ban("mybot", "banned")
		if r := say("banned", "hello"); r.State != irc.SendRefused || r.Reason != "msg_banned" {
			t.Errorf("receipt %+v, want msg_banned", r)
		}
		if r := say("nosuchchannel", "hello"); r.State != irc.SendUnknown || r.Reason != "silence" {
			t.Errorf("receipt %+v of silence, want unknown", r)
		}
		for _, c := range []struct{ channel, text string }{
			{"forsen", "a\r\nQUIT"}, {"forsen", strings.Repeat("ü", 501)}, {"forsen", ""}, {"a b", "x"},
		} {
			if r, err := b.Say(context.Background(), c.channel, c.text); err == nil {
				t.Errorf("Say(%q, %.10q) = %+v, want an error", c.channel, c.text, r)
			}
		}
		if r := say("forsen", strings.Repeat("ü", 500)); r.State != irc.Sent {
			t.Errorf("receipt %+v of 500 characters, want sent", r)
		}
		// The connection ends while the receipt is waited for.
		b.srv.Apply(irctest.Fault{Kind: irctest.Mute}, irctest.Target{})
		time.AfterFunc(2*time.Second, func() { b.srv.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{}) })
		began := time.Now()
		r = say("forsen", "into the void")
		if r.State != irc.SendUnknown || r.Reason != "connection lost" || time.Since(began) < 2*time.Second || time.Since(began) > 4*time.Second {
			t.Errorf("receipt %+v after %v, want unknown when the connection is lost", r, time.Since(began))
		}
	})
}

func TestReceiptsAreNotMixedUp(t *testing.T) {
	playBot(t, irctest.Config{}, botAccount(), irc.ClientConfig{}, func(b *bot) {
		b.join("forsen", "xqc")
		b.srv.SetRoom("xqc", func(r *irctest.Room) { r.EmoteOnly = true })
		var wg sync.WaitGroup
		for i := range 6 {
			for _, c := range []string{"forsen", "xqc"} {
				wg.Go(func() {
					r, err := b.Say(context.Background(), c, fmt.Sprint("text ", i))
					if want := map[string]irc.SendState{"forsen": irc.Sent, "xqc": irc.SendRefused}[c]; err != nil || r.State != want {
						t.Errorf("%s: receipt %+v, %v, want %v", c, r, err, want)
					}
				})
			}
		}
		wg.Wait()
		if v := b.srv.Violations(); len(v) > 0 {
			t.Errorf("violations: %v", v)
		}
	})
}

func TestSendBudget(t *testing.T) {
	playBot(t, irctest.Config{}, botAccount(), irc.ClientConfig{}, func(b *bot) {
		b.srv.SetRoom("modded", func(r *irctest.Room) { r.Mods = []string{"mybot"} })
		b.join("modded", "c1", "c2", "c3")
		began := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var modDone, allDone time.Duration
		for i := range 90 {
			c := "modded"
			if i%3 == 0 {
				c = fmt.Sprint("c", 1+i%9/3)
			}
			wg.Go(func() {
				r, err := b.Say(context.Background(), c, fmt.Sprint("text ", i))
				if err != nil || r.State != irc.Sent {
					t.Errorf("%s: receipt %+v, %v", c, r, err)
				}
				mu.Lock()
				defer mu.Unlock()
				allDone = time.Since(began)
				if c == "modded" {
					modDone = allDone
				}
			})
		}
		wg.Wait()
		if modDone > time.Second || allDone < 32*time.Second || allDone > 70*time.Second {
			t.Errorf("as moderator %v, all %v: want at once, and one or two windows", modDone, allDone)
		}
		if v := b.srv.Violations(); len(v) > 0 {
			t.Errorf("violations: %v", v)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		for i := range 30 {
			if _, err := b.Say(ctx, "c1", fmt.Sprint("more ", i)); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				return
			}
		}
		t.Error("30 messages within a millisecond")
	})
}

func TestDistinct(t *testing.T) {
	playBot(t, irctest.Config{}, botAccount(), irc.ClientConfig{Distinct: true}, func(b *bot) {
		b.join("forsen")
		for range 4 {
			if r, err := b.Say(context.Background(), "forsen", "again"); err != nil || r.State != irc.Sent {
				t.Errorf("receipt %+v, %v", r, err)
			}
		}
	})
}

func TestAnonymousReaderNamedSender(t *testing.T) {
	reader := irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.TwitchLimits(false)})
	playBot(t, irctest.Config{}, reader, irc.ClientConfig{Sender: botAccount()}, func(b *bot) {
		b.join("forsen")
		r, err := b.Say(context.Background(), "forsen", "hello")
		if err != nil || r.State != irc.Sent {
			t.Errorf("receipt %+v, %v", r, err)
		}
		time.Sleep(time.Second)
		if got := b.texts("forsen"); len(got) != 1 || got[0] != "hello" {
			t.Errorf("the reader saw %q", got)
		}
		if s := b.srv.Stats(); s.Logins != 2 {
			t.Errorf("%d logins, want 2", s.Logins)
		}
	})
	playBot(t, irctest.Config{}, reader, irc.ClientConfig{}, func(b *bot) {
		if _, err := b.Say(context.Background(), "forsen", "hello"); !errors.Is(err, irc.ErrReadOnly) {
			t.Errorf("Say: %v, want ErrReadOnly", err)
		}
	})
}

func TestBadSenderEndsRun(t *testing.T) {
	reader := irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.TwitchLimits(false)})
	scfg := irctest.Config{Accounts: []irctest.Account{{Login: "mybot", Token: "right"}}}
	playBot(t, scfg, reader, irc.ClientConfig{Sender: botAccount()}, func(b *bot) {
		<-b.done
		if !errors.Is(b.err, irc.ErrToken) || !strings.Contains(b.err.Error(), "sender") {
			t.Errorf("Run: %v, want ErrToken of the sender", b.err)
		}
	})
}

func TestRenamed(t *testing.T) {
	for _, how := range []string{"while joined", "while away"} {
		t.Run(how, func(t *testing.T) {
			var asked []string
			cfg := irc.ClientConfig{Resolve: func(_ context.Context, roomID string) (string, error) {
				asked = append(asked, roomID)
				return "NewName", nil
			}}
			playBot(t, irctest.Config{}, botAccount(), cfg, func(b *bot) {
				b.srv.AddChannel("oldname")
				id := b.srv.RoomID("oldname")
				if how == "while away" {
					b.srv.Rename("oldname", "newname")
					if err := b.SetRoomID("oldname", id); err != nil {
						t.Fatal(err)
					}
					b.Join("oldname")
				} else {
					b.join("oldname")
					b.srv.Rename("oldname", "newname")
				}
				time.Sleep(5 * time.Minute)
				b.srv.Say("newname", "a", "hello")
				time.Sleep(time.Second)
				if got := b.texts("newname"); len(got) != 1 {
					t.Errorf("received %q under the new name; %v", got, b.Balancer().Keys())
				}
				if len(asked) == 0 || asked[0] != id {
					t.Errorf("asked for %q, want %q", asked, id)
				}
				if _, ok := b.Balancer().Locate("oldname"); ok {
					t.Error("the old name is still wanted")
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				n := 0
				for _, e := range b.events {
					if r, ok := e.Data.(irc.Renamed); ok {
						n++
						if r != (irc.Renamed{From: "oldname", To: "newname", RoomID: id}) || e.Key != "newname" {
							t.Errorf("event %+v", e)
						}
					}
				}
				if n != 1 {
					t.Errorf("%d Renamed, want 1", n)
				}
			})
		})
	}
}

func TestSharedChat(t *testing.T) {
	for mode, want := range map[irc.SharedChat][3]int{ // in one, two and three, where one is not joined
		irc.SharedAll:       {0, 3, 3},
		irc.SharedOriginals: {0, 1, 1},
		irc.SharedFirstSeen: {0, 2, 1},
	} {
		playBot(t, irctest.Config{}, botAccount(), irc.ClientConfig{SharedChat: mode}, func(b *bot) {
			b.join("two", "three")
			b.srv.SayShared("a", "from one", "one", "two", "three")
			b.srv.SayShared("a", "from two", "two", "three", "one")
			b.srv.SayShared("a", "from three", "three", "two", "one")
			time.Sleep(time.Second)
			got := [3]int{len(b.texts("one")), len(b.texts("two")), len(b.texts("three"))}
			if mode == irc.SharedFirstSeen && got == [3]int{0, 1, 2} {
				got = want
			}
			if got != want {
				t.Errorf("mode %d: received %v, want %v", mode, got, want)
			}
		})
	}
}

func TestRevokedToken(t *testing.T) {
	for _, refreshed := range []bool{true, false} {
		t.Run(fmt.Sprintf("refreshed=%v", refreshed), func(t *testing.T) {
			var mu sync.Mutex
			token := "first"
			account := irc.NewAccount("mybot", func(context.Context) (irc.Secret, error) {
				mu.Lock()
				defer mu.Unlock()
				return irc.NewSecret(token), nil
			}, nil)
			playBot(t, irctest.Config{}, account, irc.ClientConfig{}, func(b *bot) {
				b.join("forsen")
				if refreshed {
					mu.Lock()
					token = "second"
					mu.Unlock()
				}
				b.srv.Revoke("mybot")
				time.Sleep(time.Minute)
				s := b.srv.Stats()
				if refreshed {
					if st, _ := b.Balancer().Locate("forsen"); st.State != balancer.Member || s.Logins != 2 {
						t.Errorf("state %+v after %d logins, want joined after 2", st, s.Logins)
					}
					return
				}
				<-b.done
				if !errors.Is(b.err, irc.ErrToken) || s.Logins != 1 {
					t.Errorf("Run: %v after %d logins, want ErrToken after 1", b.err, s.Logins)
				}
			})
		})
	}
}
