package irc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// rooms returns names of channels of a plain IRC network.
func rooms(n int) []string {
	out := names(n)
	for i := range out {
		out[i] = "#" + out[i]
	}
	return out
}

func TestIRCNetwork(t *testing.T) {
	ch := rooms(60)
	story{generic: true, server: irctest.Config{IRC: irctest.IRC{ChanLimit: 20}}}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(60, 3*time.Minute)
		for _, s := range f.Shards() {
			if s.Cap != 20 || s.Joined > 20 {
				t.Errorf("shard %+v, want a cap of 20", s)
			}
		}
		if n := len(f.Shards()); n != 3 {
			t.Errorf("%d shards, want 3", n)
		}
		f.chat(100, 5*time.Second, ch)
		f.srv.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{Conn: 1})
		f.chat(100, 5*time.Second, ch)
		f.members(60, 3*time.Minute)
		f.chat(100, 5*time.Second, ch)
		if v := f.clean(); v.Received < 900 || v.Gaps == 0 {
			t.Errorf("verdict %v", v)
		}
		f.lawful()
	})
}

func TestJoinPaceOneTarget(t *testing.T) {
	ch := rooms(40)
	story{generic: true, server: irctest.Config{IRC: irctest.IRC{JoinTargets: 1, FloodBurst: 6, FloodEvery: 2 * time.Second}},
		fleet: balancer.Config{ChannelsPerShard: 20}}.play(t, func(f *fleet) {
		f.Join(keys(ch...)...)
		f.members(40, 5*time.Minute)
		f.lawful()
	})
}

func TestSASL(t *testing.T) {
	cert := clientCert(t, "bot")
	for _, c := range []struct {
		name, mech, password string
		offered              []string
		ok                   bool
	}{
		{"PLAIN", "PLAIN", "hunter2", nil, true},
		{"PLAIN/wrong", "PLAIN", "wrong", nil, false},
		{"SCRAM", "SCRAM-SHA-256", "hunter2", nil, true},
		{"SCRAM/wrong", "SCRAM-SHA-256", "wrong", nil, false},
		{"EXTERNAL", "EXTERNAL", "", nil, true},
		{"best", "", "hunter2", nil, true},
		{"best of PLAIN", "", "hunter2", []string{"PLAIN"}, true},
		{"long", "PLAIN", strings.Repeat("long", 200), nil, true},
		{"not offered", "PLAIN", "hunter2", []string{"EXTERNAL"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := "hunter2"
				if c.name == "long" {
					token = c.password
				}
				srv := irctest.NewIRC(&irctest.Config{Accounts: []irctest.Account{{Login: "bot", Token: token}},
					IRC: irctest.IRC{RequireSASL: true, SASL: c.offered}})
				defer srv.Close()
				cfg := irc.Config{Profile: irc.Generic, Address: "irc.example.net:6697", DialContext: srv.DialContext,
					SASL: c.mech, TLS: &tls.Config{RootCAs: srv.CertPool()}}
				if c.mech == "EXTERNAL" {
					cfg.TLS.Certificates = []tls.Certificate{cert}
				}
				conn, err := irc.New(irc.NewIRCAccount("bot", irc.FixedToken(c.password), nil), &cfg).Dial(t.Context(), balancer.ShardID{}, nil)
				if err == nil {
					conn.Close()
				}
				var ce *balancer.ConnError
				if c.ok != (err == nil) || !c.ok && (!errors.As(err, &ce) || ce.Retry != balancer.Never) {
					t.Errorf("Dial: %v, want success %v", err, c.ok)
				}
			})
		})
	}
}

func clientCert(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestNickPerShard(t *testing.T) {
	story{generic: true, config: irc.Config{Nick: "bot{shard}"}, fleet: balancer.Config{InitialShardCount: 3}}.play(t, func(f *fleet) {
		other := dial(f.t, f.srv, &irc.Config{Profile: irc.Generic, Nick: "bot7"})
		defer other.Close()
		time.Sleep(10 * time.Second)
		f.Join(keys(rooms(3)...)...)
		f.members(3, time.Minute)
		for i := range 3 {
			if !f.srv.Kill(fmt.Sprint("bot", i), "test") {
				t.Errorf("nobody is called bot%d", i)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		srv := irctest.NewIRC(nil)
		defer srv.Close()
		cfg := irc.Config{Profile: irc.Generic, Nick: "bot"}
		for range 4 {
			defer dial(t, srv, &cfg).Close()
		}
		if n := srv.Stats().Logins; n != 4 {
			t.Errorf("%d logins, want 4", n)
		}
	})
}

func TestCaseMapping(t *testing.T) {
	story{generic: true, config: irc.Config{Nick: "[Bot]"}}.play(t, func(f *fleet) {
		f.Join("#a[b]", "#a{b}", "#c")
		time.Sleep(20 * time.Second)
		c := f.Count()
		if c[balancer.Member] != 2 || c[balancer.Denied] != 1 {
			t.Fatalf("states %v, want two joined and one refused", c)
		}
		var refused balancer.KeyStatus
		for _, k := range f.Keys() {
			if k.State == balancer.Denied {
				refused = k
			}
		}
		if !errors.Is(refused.Err, irc.ErrSameChannel) {
			t.Errorf("refused %+v, want ErrSameChannel", refused)
		}
		f.srv.Say("#A{B]", "someone", "hello")
		f.srv.Raw("#c", ":{bOT}!u@h PART #C")
		time.Sleep(time.Second)
		if len(f.said()) != 1 {
			t.Errorf("received %q", f.said())
		}
		if p, n := told[balancer.Parted](f, "#c"); n != 1 || !errors.Is(p.Err, irc.ErrRemoved) {
			t.Errorf("%d times parted: %v", n, p.Err)
		}
	})
}

func TestRefusedJoins(t *testing.T) {
	type want struct {
		err   error
		again bool
	}
	twitch := map[string]want{
		"msg_banned": {irc.ErrBanned, false}, "msg_channel_suspended": {irc.ErrSuspended, false},
		"tos_ban": {irc.ErrSuspended, false}, "msg_room_not_found": {irc.ErrSuspended, false},
		"msg_concurrent_channel_limit_reached": {irc.ErrTooMany, true},
	}
	generic := map[string]want{
		"403": {irc.ErrSuspended, false}, "405": {irc.ErrTooMany, true}, "437": {irc.ErrLater, true},
		"471": {irc.ErrLater, true}, "473": {irc.ErrForbidden, false}, "474": {irc.ErrBanned, false},
		"475": {irc.ErrForbidden, false}, "476": {irc.ErrSuspended, false}, "477": {irc.ErrForbidden, false},
		"480": {irc.ErrLater, true}, "489": {irc.ErrForbidden, false},
	}
	for i, table := range []map[string]want{twitch, generic} {
		for id, w := range table {
			t.Run(id, func(t *testing.T) {
				story{generic: i == 1}.play(t, func(f *fleet) {
					k := balancer.Key("forsen")
					if i == 1 {
						k = "#forsen"
					}
					f.srv.RefuseJoin(string(k), id, 1)
					f.Join(k)
					time.Sleep(10 * time.Second)
					st, _ := f.Locate(k)
					var ce *irc.ChannelError
					if st.State != balancer.Denied || !errors.As(st.Err, &ce) || !errors.Is(ce, w.err) || ce.Reason != id || w.again == st.Until.IsZero() {
						t.Fatalf("status %+v, want %v", st, w)
					}
					if w.again {
						f.members(1, 15*time.Minute)
					}
				})
			})
		}
	}
}

func TestForwardedJoin(t *testing.T) {
	story{generic: true}.play(t, func(f *fleet) {
		f.srv.SetIRCRoom("#go", func(r *irctest.IRCRoom) { r.Forward = "#go-overflow" })
		f.Join("#go")
		time.Sleep(20 * time.Second)
		if st, _ := f.Locate("#go"); !errors.Is(st.Err, irc.ErrForbidden) {
			t.Errorf("status %+v, want ErrForbidden", st)
		}
		if n := f.srv.Members("#go-overflow"); n != 0 {
			t.Errorf("%d members where we were forwarded to and nobody wants to be", n)
		}
	})
}

func TestKickedAndBanned(t *testing.T) {
	story{generic: true, config: irc.Config{Nick: "bot"}}.play(t, func(f *fleet) {
		f.Join("#go")
		f.members(1, 10*time.Second)
		f.srv.Kick("#go", "BOT", "out")
		time.Sleep(time.Second)
		if p, n := told[balancer.Parted](f, "#go"); n != 1 || !errors.Is(p.Err, irc.ErrRemoved) {
			t.Errorf("%d times parted: %v", n, p.Err)
		}
		f.members(1, time.Minute) // it comes back
	})
	story{account: botAccount}.play(t, func(f *fleet) {
		f.Join("forsen")
		f.members(1, 10*time.Second)
		f.srv.Ban("mybot", "forsen")
		time.Sleep(time.Minute)
		if st, _ := f.Locate("forsen"); st.State != balancer.Denied || !errors.Is(st.Err, irc.ErrBanned) {
			t.Errorf("status %+v, want ErrBanned", st)
		}
	})
}

func TestServerBan(t *testing.T) {
	story{generic: true, config: irc.Config{Nick: "bot"}}.play(t, func(f *fleet) {
		time.Sleep(time.Second)
		f.srv.Kill("bot", "K-Lined: spam")
		time.Sleep(time.Minute)
		if s := f.Shards(); len(s) != 0 && s[0].State != balancer.Stopped || f.srv.Stats().Logins != 1 {
			t.Errorf("shards %+v after %d logins, want none again after a ban", s, f.srv.Stats().Logins)
		}
	})
}

func TestSilentChannel(t *testing.T) {
	story{server: irctest.Config{Channels: []string{"exists"}}}.play(t, func(f *fleet) {
		f.Join("exists", "nosuch")
		f.members(1, 20*time.Second)
		time.Sleep(5 * time.Minute)
		if st, _ := f.Locate("nosuch"); st.State != balancer.Denied || !errors.Is(st.Err, balancer.ErrUnconfirmed) || st.Until.IsZero() {
			t.Errorf("status %+v, want unconfirmed and a time for another try", st)
		}
		f.lawful()
	})
}

func TestAccountCap(t *testing.T) {
	ch := append(names(120), "mybot")
	story{account: func() *irc.Account {
		return irc.NewAccount("mybot", irc.FixedToken("abc"), &irc.AccountConfig{Verified: true,
			Exempt: func(k balancer.Key) bool { return k == "chan007" }})
	}, server: irctest.Config{Accounts: []irctest.Account{{Login: "mybot", Verified: true}}}}.play(t, func(f *fleet) {
		f.srv.SetRoom("chan007", func(r *irctest.Room) { r.Mods = []string{"mybot"} })
		f.Join(keys(ch...)...)
		time.Sleep(time.Minute)
		if c := f.Count(); c[balancer.Member] != 102 || c[balancer.Denied] != 19 {
			t.Errorf("states %v, want 100 joined and 2 exempt", c)
		}
		f.srv.Reconnect(20 * time.Second)
		time.Sleep(5 * time.Minute)
		if c := f.Count(); c[balancer.Member] != 102 || c[balancer.Denied] != 19 {
			t.Errorf("states %v after RECONNECT, want 100 joined and 2 exempt", c)
		}
		f.lawful()
	})
}

func TestIRCReceipts(t *testing.T) {
	cfg := irc.ClientConfig{Transport: irc.Config{Profile: irc.Generic, Nick: "bot"}}
	playBot(t, irctest.Config{}, irc.NewIRCAccount("", nil, nil), cfg, func(b *bot) {
		b.join("#go")
		r, err := b.Say(context.Background(), "#Go", "hello there")
		if err != nil || r.State != irc.Sent || r.MessageID == "" {
			t.Errorf("receipt %+v, %v, want sent with an id", r, err)
		}
		b.srv.AddChannel("#elsewhere")
		r, err = b.Say(context.Background(), "#elsewhere", "hello there")
		if err != nil || r.State != irc.SendRefused || r.Reason != "404" {
			t.Errorf("receipt %+v, %v, want 404", r, err)
		}
	})
}

// TestStorm has everything go wrong for a while, and counts.
func TestStorm(t *testing.T) {
	for _, generic := range []bool{false, true} {
		t.Run(fmt.Sprintf("generic=%v", generic), func(t *testing.T) {
			ch := names(60)
			if generic {
				ch = rooms(60)
			}
			unlimited := func() *irc.Account {
				return irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.TwitchLimits(true)})
			}
			if generic {
				unlimited = nil
			}
			story{
				generic: generic, account: unlimited,
				server: irctest.Config{Anonymous: irctest.Verified(), PingInterval: 10 * time.Second, PongTimeout: 3 * time.Second},
				fleet:  balancer.Config{ChannelsPerShard: 15, MaxShardCount: 6, Queue: balancer.QueueConfig{Bytes: 256 << 10}},
			}.play(t, func(f *fleet) {
				f.Join(keys(ch...)...)
				f.members(60, 2*time.Minute)
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				go func() {
					defer close(done)
					f.srv.Chat(ctx, &irctest.Load{Rate: 60, Channels: ch, Zipf: 1})
				}()
				for i := range 12 {
					for _, fault := range []irctest.Fault{
						{Kind: irctest.SplitLines}, {Kind: irctest.Duplicate, Rate: 0.01},
						{Kind: irctest.Oversized, Rate: 0.001, Size: 20 << 10},
						{Kind: []irctest.FaultKind{irctest.Drop, irctest.Hangup, irctest.HalfOpen, irctest.Mute}[i%4]},
					} {
						f.srv.Apply(fault, irctest.Target{Share: 0.3})
					}
					if !generic {
						f.srv.Apply(irctest.Fault{Kind: irctest.Reconnect, For: 20 * time.Second}, irctest.Target{Share: 0.3})
					}
					f.srv.RefuseJoin(ch[i], map[bool]string{false: "", true: "471"}[generic], 1)
					time.Sleep(30 * time.Second)
				}
				f.srv.Heal()
				f.members(60, 10*time.Minute)
				time.Sleep(10 * time.Second)
				cancel()
				<-done
				v := f.clean()
				t.Log(v)
				for _, x := range f.srv.Violations() {
					if x.Kind != irctest.NoPong { // of connections that the fault had go silent
						t.Errorf("violation: %v", x)
					}
				}
			})
		})
	}
}
