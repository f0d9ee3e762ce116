package discordtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestJudge tells stories of a client and what a judge says to them. In each,
// the client is in a guild, receives one message, and then f happens.
func TestJudge(t *testing.T) {
	type world struct {
		*testing.T
		s     *Server
		j     *Judge
		c     *client
		guild uint64
		key   string
	}
	say := func(w *world) ID { return w.s.Publish("", w.guild, Message(0, "ann", "x")) }
	got := func(w *world, id ID) { w.j.Received(w.key, id.String(), time.Now()) }
	gap := func(w *world) { w.j.Gap(time.Now().Add(-time.Hour), time.Now(), w.key) }
	for _, tt := range []struct {
		name string
		f    func(*world)
		want Verdict // Guilds, Gaps and Offences are not compared
	}{
		{"all well", func(w *world) {}, Verdict{Sent: 1, Received: 1}},
		{"lost by the client", func(w *world) { say(w); w.c.beat() }, Verdict{Sent: 2, Received: 1, Lost: 1, LostLive: 1}},
		{"lost by the client in a gap", func(w *world) { say(w); w.c.beat(); gap(w) }, Verdict{Sent: 2, Received: 1, Lost: 1, LostLive: 1}},
		{"doubled", func(w *world) { id := say(w); got(w, id); got(w, id) }, Verdict{Sent: 2, Received: 2, Doubled: 1}},
		{"out of order", func(w *world) { a, b := say(w), say(w); got(w, b); got(w, a) }, Verdict{Sent: 3, Received: 3, OutOfOrder: 1}},
		{"two channels have no order", func(w *world) {
			a := say(w)
			got(w, w.s.Publish("", w.guild, Message(Channel(w.guild, 1), "ann", "x")))
			got(w, a)
		}, Verdict{Sent: 3, Received: 3}},
		{"misrouted", func(w *world) {
			w.j.Received(w.key, w.s.Publish("", w.s.Guilds("")[5], Message(0, "a", "x")).String(), time.Now())
		},
			Verdict{Sent: 2, Received: 1, Lost: 1, LostSilent: 1, Misrouted: 1}},
		{"can be resumed", func(w *world) { w.c.drop(); synctest.Wait(); say(w); gap(w) }, Verdict{Sent: 2, Received: 1, Lost: 1, LostLive: 1}},
		{"expired, nobody's fault", func(w *world) {
			w.c.drop()
			synctest.Wait()
			say(w)
			time.Sleep(time.Hour)
			say(w)
			gap(w)
		},
			Verdict{Sent: 3, Received: 1, InGaps: 2}},
		{"expired, no gap", func(w *world) { w.c.drop(); synctest.Wait(); say(w); time.Sleep(time.Hour) },
			Verdict{Sent: 2, Received: 1, Lost: 1, LostSilent: 1}},
		{"wasted", func(w *world) {
			w.c.drop()
			synctest.Wait()
			say(w)
			time.Sleep(6 * time.Second)
			dial(w, w.s, "").identify(0, 1).drop()
			gap(w)
			time.Sleep(time.Hour)
			say(w)
			gap(w)
		}, Verdict{Sent: 3, Received: 1, Lost: 1, LostLive: 1, InGaps: 1}},
		{"closed with 1000", func(w *world) {
			w.s.Inject(Fault{Kind: HalfOpen}, Target{})
			say(w)
			w.c.close(1000)
			synctest.Wait()
			gap(w)
			w.c = nil
		}, Verdict{Sent: 2, Received: 1, Lost: 1, LostLive: 1}},
		{"invalidated by the server", func(w *world) {
			w.s.Inject(Fault{Kind: Mute}, Target{})
			say(w)
			w.s.Inject(Fault{Kind: LoseSession}, Target{})
			gap(w)
		}, Verdict{Sent: 2, Received: 1, InGaps: 1}},
		{"reset before it was read", func(w *world) {
			say(w)
			synctest.Wait()
			w.s.Inject(Fault{Kind: LoseSession}, Target{})
			w.s.Inject(Fault{Kind: Drop}, Target{})
			gap(w)
		}, Verdict{Sent: 2, Received: 1, InGaps: 1}},
		{"outage", func(w *world) { w.s.Outage(w.guild); say(w); w.s.Recover(w.guild); got(w, say(w)) }, Verdict{Sent: 2, Received: 2}},
		{"not wanted", func(w *world) { w.j.Unwant(w.key); say(w) }, Verdict{Sent: 1, Received: 1}},
		{"direct", func(w *world) {
			w.j.Received("", w.s.Publish("", 0, DM("ann", "x")).String(), time.Now())
			w.s.Publish("", 0, DM("bob", "x"))
			w.c.beat()
		}, Verdict{Sent: 3, Received: 2, Lost: 1, LostLive: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(nil)
				defer s.Close()
				j := s.Judge()
				guild := s.Guilds("")[0]
				s.Publish("", guild, Message(0, "ann", "before anyone was there"))
				w := &world{t, s, j, dial(t, s, "").identify(0, 1), guild, ID(guild).String()}
				w.c.beat()
				got(w, say(w))
				tt.f(w)
				synctest.Wait()
				v := j.Verdict()
				want := tt.want
				want.Guilds, want.Gaps, want.Offences = v.Guilds, v.Gaps, v.Offences
				if fmt.Sprint(v) != fmt.Sprint(want) || v.Misrouted != want.Misrouted {
					t.Errorf("verdict: %v\nwant:    %v\n%v", v, want, v.Offences)
				}
			})
		})
	}
}

// TestJudgeOfAReshard lets a client go from 2 shards to 3 under load with an
// overlap, and drop second copies: nothing is lost or doubled.
func TestJudgeOfAReshard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{GuildCount: 50, MaxConcurrency: 16}}, EventIDs: true})
		defer s.Close()
		j := s.Judge()
		ctx, cancel := context.WithCancel(t.Context())
		type delivered struct{ key, id string }
		in := make(chan delivered, 100_000)
		read := func(c *client) {
			for {
				p, err := c.next()
				if err != nil {
					return
				}
				if id, key := eventID(p); id != "" {
					in <- delivered{key, id}
				}
			}
		}
		seen := make(map[string]bool)
		drain := func() {
			for len(in) > 0 {
				d := <-in
				if !seen[d.id] {
					j.Received(d.key, d.id, time.Now())
				}
				seen[d.id] = true
			}
		}
		var loading atomic.Bool
		l := &Load{Rate: 500, Mix: Chatter(), Zipf: 1}
		start := func(count int) (all []*client) {
			for i := range count {
				c := dial(t, s, modes[i%3])
				c.identify(i, count)
				all = append(all, c)
				go read(c)
			}
			return all
		}
		old := start(2)
		loading.Store(true)
		go func() { s.Load(ctx, l); loading.Store(false) }()
		time.Sleep(5 * time.Second)
		fresh := start(3)
		time.Sleep(time.Second)
		drain()
		for _, c := range old {
			c.close(1000)
		}
		time.Sleep(5 * time.Second)
		cancel()
		time.Sleep(time.Second)
		drain()
		v := j.Verdict()
		if !v.OK() || v.Received < 4000 || loading.Load() {
			t.Errorf("%v %v", v, v.Offences)
		}
		_ = fresh
	})
}

// eventID returns what a judge knows an event by, and its guild.
func eventID(p packet) (id, key string) {
	var d struct {
		ID    string `json:"id"`
		Event string `json:"event_id"`
		Guild string `json:"guild_id"`
	}
	if p.Op != opDispatch || unmarshal(p.D, &d) != nil {
		return "", ""
	}
	if p.T == "MESSAGE_CREATE" || p.T == "INTERACTION_CREATE" {
		return d.ID, d.Guild
	}
	return d.Event, d.Guild
}
