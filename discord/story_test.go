package discord_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// play runs a bot of some shards, lets it come up, and ends it.
func play(t *testing.T, sc *discordtest.Config, cfg *discord.ClientConfig, story func(t *testing.T, f *fleet)) {
	synctest.Test(t, func(t *testing.T) {
		s := discordtest.New(sc)
		defer s.Close()
		f := start(t, s, s.Judge(), cfg)
		time.Sleep(20 * time.Second)
		story(t, f)
		f.stop()
	})
}

var anybody discordtest.Target

func (f *fleet) chat(d time.Duration) {
	f.t.Helper()
	chat(f.server, rand.New(rand.NewPCG(1, 2)), d, 50*time.Millisecond)
}

// resumed checks that all was received over resumed sessions.
func (f *fleet) resumed(identifies, resumes int64) {
	f.t.Helper()
	synctest.Wait()
	v := clean(f.t, f.server, f.judge)
	if v.InGaps != 0 {
		f.t.Errorf("%d messages in gaps, want 0", v.InGaps)
	}
	if b := f.server.Stats().Bots[0]; b.Identifies != identifies || b.Resumes != resumes || b.SessionsWasted != 0 {
		f.t.Errorf("%d identifies, %d resumes, %d sessions wasted, want %d, %d, 0", b.Identifies, b.Resumes, b.SessionsWasted, identifies, resumes)
	}
}

// TestResumeHostGone has the host of READY refuse, be silent, or answer 503: the
// session goes on over the gateway's own address.
func TestResumeHostGone(t *testing.T) {
	for _, kind := range []discordtest.FaultKind{discordtest.Refused, discordtest.Unavailable, discordtest.BlackHole} {
		t.Run(string(kind), func(t *testing.T) {
			play(t, nil, &discord.ClientConfig{Shards: 1}, func(t *testing.T, f *fleet) {
				f.server.Inject(discordtest.Fault{Kind: kind}, discordtest.Target{Host: discordtest.Resume})
				f.server.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
				f.chat(time.Minute)
				f.resumed(1, 1)
			})
		})
	}
}

// TestOutage makes both hosts unreachable for ten minutes: the session is still
// tried when they are back, and no IDENTIFY was spent on the outage.
func TestOutage(t *testing.T) {
	play(t, &discordtest.Config{SessionLife: time.Hour, ReplayMax: 100_000}, &discord.ClientConfig{Shards: 1}, func(t *testing.T, f *fleet) {
		f.server.Inject(discordtest.Fault{Kind: discordtest.Refused}, discordtest.Target{Host: discordtest.Resume})
		f.server.Inject(discordtest.Fault{Kind: discordtest.Refused}, discordtest.Target{Host: discordtest.Gateway})
		f.server.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
		f.chat(10 * time.Minute)
		f.server.Heal()
		f.chat(3 * time.Minute)
		f.resumed(1, 1)
	})
}

// TestUnansweredResume leaves RESUMEs unanswered: after three the session is
// given up, with one IDENTIFY and a gap.
func TestUnansweredResume(t *testing.T) {
	play(t, &discordtest.Config{SessionLife: time.Hour, ReplayMax: 100_000}, &discord.ClientConfig{Shards: 1}, func(t *testing.T, f *fleet) {
		f.server.Inject(discordtest.Fault{Kind: discordtest.Drop, At: discordtest.AtResume}, anybody)
		f.server.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
		f.chat(2 * time.Minute)
		if b := f.server.Stats().Bots[0]; b.Identifies != 2 || b.Resumes != 0 {
			t.Errorf("%+v, want a second IDENTIFY", b)
		}
		gaps := 0
		for _, e := range f.controls() {
			if _, ok := e.Data.(balancer.Gap); ok {
				gaps++
			}
		}
		if gaps != 2 { // until READY, and from there until all guilds were available
			t.Errorf("%d gaps, want 2", gaps)
		}
	})
}

// TestLoginFaults has the service do something else than it should during the
// login. A session costs no more IDENTIFYs than were answered wrongly.
func TestLoginFaults(t *testing.T) {
	for _, c := range []struct {
		name       string
		fault      discordtest.Fault
		resume     bool // strikes when a session is to be resumed
		identifies int64
	}{
		{"op 7 before HELLO, identify", discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtConnect, Times: 2}, false, 1},
		{"op 7 before HELLO, resume", discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtConnect, Times: 2}, true, 1},
		{"HELLO never, identify", discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtConnect, Times: 1}, false, 1},
		{"HELLO never, resume", discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtConnect, Times: 1}, true, 1},
		{"READY never", discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtIdentify, Times: 1}, false, 2},
		{"RESUMED never", discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtResume, Times: 1}, true, 1},
		{"op 9 true for a resume", discordtest.Fault{Kind: discordtest.InvalidSession, Resumable: true, At: discordtest.AtResume, Times: 1}, true, 1},
		{"op 9 false for a resume", discordtest.Fault{Kind: discordtest.InvalidSession, At: discordtest.AtResume, Times: 1}, true, 2},
		{"op 9 for an identify", discordtest.Fault{Kind: discordtest.InvalidSession, At: discordtest.AtIdentify, Times: 1}, false, 2},
		{"op 7 for an identify", discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtIdentify, Times: 1}, false, 2},
		{"op 7 for a resume", discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtResume, Times: 1}, true, 1},
		{"op 7 after a resume", discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtResumed, Times: 1}, true, 1},
		{"drop at HELLO", discordtest.Fault{Kind: discordtest.Drop, At: discordtest.AtHello, Times: 1}, true, 1},
		{"drop at a resume", discordtest.Fault{Kind: discordtest.Drop, At: discordtest.AtResume, Times: 2}, true, 1},
		{"drop after a resume", discordtest.Fault{Kind: discordtest.Drop, At: discordtest.AtResumed, Times: 1}, true, 1},
		{"4000 at a resume", discordtest.Fault{Kind: discordtest.CloseWith, Code: 4000, At: discordtest.AtResume, Times: 1}, true, 1},
		{"4009 at a resume", discordtest.Fault{Kind: discordtest.CloseWith, Code: 4009, At: discordtest.AtResume, Times: 1}, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := discordtest.New(&discordtest.Config{SessionLife: time.Hour, ReplayMax: 100_000})
				defer s.Close()
				if !c.resume {
					s.Inject(c.fault, anybody)
				}
				f := start(t, s, s.Judge(), &discord.ClientConfig{Shards: 1})
				time.Sleep(3 * time.Minute)
				if c.resume {
					s.Inject(c.fault, anybody)
					if c.identifies > 1 { // the service means what it says
						s.Inject(discordtest.Fault{Kind: discordtest.LoseSession}, anybody)
					}
					s.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
				}
				chat(s, rand.New(rand.NewPCG(1, 2)), 100*time.Second, 250*time.Millisecond)
				clean(t, s, f.judge)
				b := s.Stats().Bots[0]
				if got := b.Identifies + b.IdentifiesRefused; got != c.identifies || b.Conns != 1 {
					t.Errorf("%d identifies and %d connections, want %d and 1: %+v", got, b.Conns, c.identifies, b)
				}
				f.stop()
			})
		})
	}
}

// TestSilentServerBlocksNoOther has one shard's connection say nothing for as
// long as it may: the shards of its key that come after it still start.
func TestSilentServerBlocksNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 40})
		defer s.Close()
		s.Inject(discordtest.Fault{Kind: discordtest.Mute, At: discordtest.AtConnect, Times: 1}, anybody)
		f := start(t, s, nil, &discord.ClientConfig{Shards: 4})
		time.Sleep(time.Minute)
		if b := s.Stats().Bots[0]; b.Conns != 4 || b.Identifies != 4 {
			t.Errorf("%+v, want 4 shards", b)
		}
		f.stop()
	})
}

// TestZombie has a connection go silent in each way. Without an answer to a
// heartbeat and without traffic it is dead, and closed with a code that keeps the
// session; with traffic it lives.
func TestZombie(t *testing.T) {
	for _, c := range []struct {
		kind    discordtest.FaultKind
		resumes int64
	}{{discordtest.HalfOpen, 1}, {discordtest.Mute, 1}, {discordtest.NoACK, 0}} {
		t.Run(string(c.kind), func(t *testing.T) {
			play(t, &discordtest.Config{ReplayMax: 100_000, SessionLife: time.Hour}, &discord.ClientConfig{Shards: 1}, func(t *testing.T, f *fleet) {
				f.server.Inject(discordtest.Fault{Kind: c.kind}, anybody)
				f.chat(3 * time.Minute)
				f.resumed(1, c.resumes)
				for code := range f.server.Stats().Bots[0].ClientCloses {
					if code == 1000 || code == 1001 {
						t.Errorf("closed with %d, which ends the session", code)
					}
				}
			})
		})
	}
}

// TestSlowHandler blocks the Handler for minutes: heartbeats go on, the shard is
// not taken for dead, and everything comes in the end.
func TestSlowHandler(t *testing.T) {
	block := make(chan struct{})
	var once sync.Once
	synctest.Test(t, func(t *testing.T) {
		block = make(chan struct{})
		s := discordtest.New(&discordtest.Config{HeartbeatInterval: 5 * time.Second, ReplayMax: 100_000})
		defer s.Close()
		f := start(t, s, s.Judge(), &discord.ClientConfig{Shards: 1, Balancer: balancer.Config{Queue: balancer.QueueConfig{BlockFor: time.Hour}}})
		f.hear(func(e balancer.Event) {
			if d, ok := e.Data.(*discord.Dispatch); ok && d.Type == "MESSAGE_CREATE" {
				once.Do(func() { <-block })
			}
		})
		time.Sleep(20 * time.Second)
		f.chat(2 * time.Minute)
		close(block)
		time.Sleep(time.Minute)
		f.resumed(1, 0)
		f.stop()
	})
}

// TestSends has many frames sent at once: the connection's limit is kept, and
// heartbeats are not behind them.
func TestSends(t *testing.T) {
	play(t, &discordtest.Config{HeartbeatInterval: 10 * time.Second, Bots: []discordtest.Bot{{GuildCount: 10}}}, &discord.ClientConfig{Shards: 2}, func(t *testing.T, f *fleet) {
		g := f.server.Guilds("")
		var wg sync.WaitGroup
		for i := range 400 {
			wg.Go(func() {
				if err := f.UpdateVoiceState(t.Context(), fmt.Sprint(g[i%len(g)]), "", false, false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			for range 5 {
				if err := f.UpdatePresence(t.Context(), discord.Presence{Status: "idle", Text: "busy"}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		f.chat(time.Minute)
		f.resumed(2, 0)
		big := make([]byte, 5000)
		if err := f.Balancer().Send(t.Context(), "", append([]byte(`{"op":3,"d":"`), big...)); !errors.Is(err, discord.ErrTooLarge) {
			t.Errorf("Send of 5000 bytes = %v, want ErrTooLarge", err)
		}
		if err := f.Balancer().Send(t.Context(), "", []byte(`{"op":2,"d":{}}`)); err == nil {
			t.Error("Send of an IDENTIFY worked")
		}
		if err := f.Balancer().Send(t.Context(), "", []byte(`hello`)); err == nil {
			t.Error("Send of what is no payload worked")
		}
	})
}

// TestRequests checks that requests go to the guild's shard, and keep to the
// limit of one for all members per guild in 30 s.
func TestRequests(t *testing.T) {
	var mu sync.Mutex
	chunks := 0
	play(t, &discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 12}}}, &discord.ClientConfig{Shards: 3, Transport: discord.Config{Intents: discord.IntentsChat | discord.IntentGuildMembers}}, func(t *testing.T, f *fleet) {
		f.hear(func(e balancer.Event) {
			if d, ok := e.Data.(*discord.Dispatch); ok && d.Type == "GUILD_MEMBERS_CHUNK" {
				mu.Lock()
				chunks++
				mu.Unlock()
			}
		})
		for range 2 {
			for _, g := range f.server.Guilds("") {
				if err := f.RequestMembers(t.Context(), discord.RequestMembers{GuildID: fmt.Sprint(g)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if chunks < 24 {
			t.Errorf("%d answers, want 24", chunks)
		}
		for _, v := range f.server.Violations() {
			t.Errorf("violation: %v", v)
		}
	})
}

// TestWire has the wire do what it may: bursts of op 1, payloads twice, cut,
// together, damaged, 20 MB large.
func TestWire(t *testing.T) {
	for _, c := range []discord.Compression{discord.ZlibStream, discord.ZstdStream, discord.Uncompressed} {
		for _, fault := range []discordtest.Fault{
			{Kind: discordtest.HeartbeatBurst, Size: 200},
			{Kind: discordtest.Duplicate},
			{Kind: discordtest.SplitFrames},
			{Kind: discordtest.Coalesce, For: time.Second},
			{Kind: discordtest.Corrupt},
			{Kind: discordtest.BigGuild},
			{Kind: discordtest.RateLimited, For: 10 * time.Second},
		} {
			t.Run(fmt.Sprint(c, " ", fault.Kind), func(t *testing.T) {
				play(t, nil, &discord.ClientConfig{Shards: 1, Transport: discord.Config{Compression: c}}, func(t *testing.T, f *fleet) {
					f.server.Inject(fault, anybody)
					f.chat(30 * time.Second)
					f.server.Heal()
					f.chat(30 * time.Second)
					if fault.Kind == discordtest.Corrupt {
						// Damage within a string cannot be seen: it is TLS that would.
						if v := f.judge.Verdict(); v.Lost > 1 || v.Doubled+v.OutOfOrder > 0 || f.server.Stats().Bots[0].Identifies != 1 {
							t.Errorf("verdict %+v", v)
						}
						return
					}
					f.resumed(1, 0)
				})
			})
		}
	}
}

// TestEmergencyPassesStarts has shards of a resize wait for the next day at the
// floor: a shard that loses its session meanwhile does not wait behind them.
func TestEmergencyPassesStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(discordtest.Bot{GuildCount: 30, IdentifyRemaining: 53, MaxConcurrency: 1})
		defer s.Close()
		f := start(t, s, nil, &discord.ClientConfig{Shards: 1, ReshardAt: -1})
		time.Sleep(20 * time.Second)
		if err := f.Balancer().Resize(6); err != nil { // more than is left above the floor
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		s.Inject(discordtest.Fault{Kind: discordtest.InvalidSession}, discordtest.Target{Shard: &[2]int{0, 1}})
		time.Sleep(2 * time.Minute)
		for _, st := range f.Shards() {
			if st.ID.Gen == 1 && st.State != balancer.Ready {
				t.Errorf("shard %v is %v (%+v)", st.ID, st.State, s.Stats().Bots[0])
			}
		}
		f.stop()
	})
}

// TestReconnectLoop has the service ask for another connection after each RESUMED:
// there is a pause between them.
func TestReconnectLoop(t *testing.T) {
	play(t, nil, &discord.ClientConfig{Shards: 1}, func(t *testing.T, f *fleet) {
		f.server.Inject(discordtest.Fault{Kind: discordtest.Reconnect, At: discordtest.AtResumed}, anybody)
		f.server.Inject(discordtest.Fault{Kind: discordtest.Drop}, anybody)
		time.Sleep(time.Minute)
		if n := f.server.Stats().Bots[0].Resumes; n > 30 {
			t.Errorf("%d resumes in a minute", n)
		}
	})
}
