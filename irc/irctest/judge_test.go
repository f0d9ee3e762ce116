package irctest

import (
	"testing"
	"testing/synctest"
	"time"
)

// handler stands for a client's handler: it tells the judge of every message
// on c until the connection ends or n messages have come (n < 0: all).
func (c *client) handle(j *Judge, n int) (ids []string) {
	for n != 0 {
		l := c.line()
		if l == "" {
			return ids
		}
		p, ok := parseLine(l[indexAfterTags(l):])
		if !ok || p.verb != "PRIVMSG" && p.verb != "USERNOTICE" {
			continue
		}
		id := tagOf(l, "id")
		ids = append(ids, id)
		j.Received(p.params[0], id, time.Now())
		n--
	}
	return ids
}

func indexAfterTags(l string) int {
	for i := range l {
		if l[i] == ' ' {
			if l[0] == '@' {
				return i + 1
			}
			return 0
		}
	}
	return 0
}

// check compares the counts that a test cares about.
func check(t *testing.T, j *Judge, want Verdict) {
	t.Helper()
	got := j.Verdict()
	offences := got.Offences
	got.Offences, got.Gaps, got.Channels, got.Foreign = nil, 0, 0, 0
	if got.String() != want.String() || got.Misrouted != want.Misrouted {
		t.Errorf("verdict %v, want %v\n%v", got, want, offences)
	}
}

func TestJudge(t *testing.T) {
	type world struct {
		s *Server
		j *Judge
		c *client
	}
	for _, tt := range []struct {
		name string
		f    func(w *world)
		want Verdict
	}{
		{"all received", func(w *world) {
			w.s.Say("x", "bob", "1")
			w.s.Say("x", "bob", "2")
			w.c.handle(w.j, 2)
		}, Verdict{Sent: 2, Received: 2}},
		{"one kept back by the client", func(w *world) {
			w.s.Say("x", "bob", "1")
			w.c.until("PRIVMSG")
		}, Verdict{Sent: 1, Lost: 1, LostLive: 1}},
		{"a gap excuses nothing that was deliverable", func(w *world) {
			w.s.Say("x", "bob", "1")
			w.c.until("PRIVMSG")
			w.j.Gap(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		}, Verdict{Sent: 1, Lost: 1, LostLive: 1}},
		{"lost in the socket, no gap", func(w *world) {
			w.s.Say("x", "bob", "1")
			synctest.Wait()
			w.s.Apply(Fault{Kind: Drop}, Target{})
		}, Verdict{Sent: 1, Lost: 1, LostSilent: 1}},
		{"lost in the socket, in a gap", func(w *world) {
			from := time.Now()
			w.s.Say("x", "bob", "1")
			synctest.Wait()
			w.s.Apply(Fault{Kind: Drop}, Target{})
			w.j.Gap(from, time.Now(), "x")
		}, Verdict{Sent: 1, InGaps: 1}},
		{"readable after a graceful close", func(w *world) {
			w.s.Say("x", "bob", "1")
			synctest.Wait()
			w.s.Apply(Fault{Kind: Hangup}, Target{})
			w.c.handle(w.j, -1)
		}, Verdict{Sent: 1, Received: 1}},
		{"read after a graceful close but not handled", func(w *world) {
			w.s.Say("x", "bob", "1")
			synctest.Wait()
			w.s.Apply(Fault{Kind: Hangup}, Target{})
			w.c.ended()
			w.j.Gap(time.Now().Add(-time.Second), time.Now(), "x")
		}, Verdict{Sent: 1, Lost: 1, LostLive: 1}},
		{"during an outage, in a gap", func(w *world) {
			w.s.Apply(Fault{Kind: Drop}, Target{})
			from := time.Now()
			w.s.Say("x", "bob", "1")
			time.Sleep(time.Second)
			w.c = dial(w.c.t, w.s, "irc:6667").login("ann").join("x")
			w.j.Gap(from, time.Now(), "x")
			w.s.Say("x", "bob", "2")
			w.c.handle(w.j, 1)
		}, Verdict{Sent: 2, Received: 1, InGaps: 1}},
		{"during an outage, a gap of another channel", func(w *world) {
			w.s.Apply(Fault{Kind: Drop}, Target{})
			w.s.Say("x", "bob", "1")
			w.j.Gap(time.Now().Add(-time.Second), time.Now().Add(time.Second), "y")
		}, Verdict{Sent: 1, Lost: 1, LostSilent: 1}},
		{"muted", func(w *world) {
			w.s.Apply(Fault{Kind: Mute}, Target{})
			w.s.Say("x", "bob", "1")
			w.j.Gap(time.Now(), time.Now(), "x")
		}, Verdict{Sent: 1, InGaps: 1}},
		{"half-open", func(w *world) {
			w.s.Apply(Fault{Kind: HalfOpen}, Target{})
			w.s.Say("x", "bob", "1")
		}, Verdict{Sent: 1, Lost: 1, LostSilent: 1}},
		{"a gap too narrow", func(w *world) {
			w.s.Apply(Fault{Kind: HalfOpen}, Target{})
			w.j.Gap(time.Now().Add(-time.Minute), time.Now(), "x")
			time.Sleep(time.Second)
			w.s.Say("x", "bob", "1")
		}, Verdict{Sent: 1, Lost: 1, LostSilent: 1}},
		{"doubled by the client", func(w *world) {
			w.s.Say("x", "bob", "1")
			id := w.c.handle(w.j, 1)[0]
			w.j.Received("x", id, time.Now())
		}, Verdict{Sent: 1, Received: 1, Duplicated: 1}},
		{"doubled on the wire", func(w *world) {
			w.s.Apply(Fault{Kind: Duplicate}, Target{})
			w.s.Say("x", "bob", "1")
			w.c.handle(w.j, 2)
		}, Verdict{Sent: 1, Received: 1, Duplicated: 1}},
		{"swapped on the wire", func(w *world) {
			w.s.Apply(Fault{Kind: Reorder, Rate: 1}, Target{})
			w.s.Say("x", "bob", "1")
			w.s.Say("x", "bob", "2")
			w.s.Say("x", "bob", "3") // held, goes alone
			w.c.handle(w.j, 3)
		}, Verdict{Sent: 3, Received: 3}},
		{"swapped by the client", func(w *world) {
			a, b := w.s.Say("x", "bob", "1"), w.s.Say("x", "bob", "2")
			w.j.Received("x", b.ID, time.Now())
			w.j.Received("#x", a.ID, time.Now())
		}, Verdict{Sent: 2, Received: 2, OutOfOrder: 1}},
		{"received as of another channel", func(w *world) {
			a := w.s.Say("x", "bob", "1")
			w.j.Received("y", a.ID, time.Now())
		}, Verdict{Sent: 1, Lost: 1, LostLive: 1, Misrouted: 1}},
		{"before the first JOIN", func(w *world) {
			w.s.Say("z", "bob", "1")
		}, Verdict{}},
		{"JOIN answered, but never read", func(w *world) {
			w.c.send("JOIN #y")
			synctest.Wait()
			w.s.Apply(Fault{Kind: Drop}, Target{})
			w.s.Say("y", "bob", "1")
		}, Verdict{}},
		{"parted for good", func(w *world) {
			w.c.send("PART #x")
			w.c.until("PART #x")
			w.s.Say("x", "bob", "1")
		}, Verdict{}},
		{"parted and joined again", func(w *world) {
			w.c.send("PART #x")
			w.c.until("PART #x")
			from := time.Now()
			w.s.Say("x", "bob", "1")
			w.c.join("x")
			w.j.Gap(from, time.Now(), "x")
		}, Verdict{Sent: 1, InGaps: 1}},
		{"unwanted", func(w *world) {
			w.j.Unwant("x")
			w.s.Say("x", "bob", "1")
		}, Verdict{}},
		{"two connections, one of them lost", func(w *world) {
			d := dial(w.c.t, w.s, "irc:6667").login("ann").join("x")
			w.s.Say("x", "bob", "1")
			w.s.Apply(Fault{Kind: Drop}, Target{Conn: 1})
			w.j.Gap(time.Now(), time.Now(), "x")
			d.until("PRIVMSG")
		}, Verdict{Sent: 1, Lost: 1, LostLive: 1}},
		{"its own message need not come back", func(w *world) {
			w.c.send("PRIVMSG #x :mine")
			w.c.until("USERSTATE")
		}, Verdict{}},
		{"somebody else's connection does not count", func(w *world) {
			w.s.Apply(Fault{Kind: Drop}, Target{Conn: 1})
			synctest.Wait()
			dial(w.c.t, w.s, "irc:6667").login("eve").join("x")
			w.s.Say("x", "bob", "1")
			w.j.Gap(time.Now(), time.Now(), "x")
		}, Verdict{Sent: 1, InGaps: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			story(t, nil, func(t *testing.T, s *Server) {
				w := &world{s: s, j: s.Judge("ann")}
				w.c = dial(t, s, "irc:6667").login("ann").join("x")
				tt.f(w)
				check(t, w.j, tt.want)
			})
		})
	}
}

// A long stay with losses must not make the judge remember everything.
func TestJudgeIsBounded(t *testing.T) {
	story(t, &Config{SendQueue: 64 << 20, Buffer: 64 << 20}, func(t *testing.T, s *Server) {
		j := s.Judge()
		c := dial(t, s, "irc:6667").login("ann").join("x")
		const n = 5_000
		for range n {
			s.Say("x", "bob", "hello")
		}
		lost := 0
		for i, id := range c.ids(n) {
			if i%100 == 0 {
				lost++
				continue
			}
			j.Received("x", id, time.Now())
		}
		check(t, j, Verdict{Sent: n, Received: n - int64(lost), Lost: int64(lost), LostLive: int64(lost)})
		if tr := j.all()[0]; len(tr.recs)-tr.head > maxRecs || len(tr.strays) > lost {
			t.Errorf("%d records and %d strays kept", len(tr.recs)-tr.head, len(tr.strays))
		}
	})
}

// ids reads n messages and returns their ids.
func (c *client) ids(n int) (ids []string) {
	for range n {
		ids = append(ids, tagOf(c.until("PRIVMSG"), "id"))
	}
	return ids
}

// Outage after outage, each in a reported gap, leaves nothing behind either.
func TestJudgeForgetsOutages(t *testing.T) {
	story(t, &Config{Anonymous: Unlimited(), PingInterval: -1}, func(t *testing.T, s *Server) {
		j := s.Judge()
		const outages, each = 200, 100
		for range outages {
			c := dial(t, s, "irc:6667").login("justinfan1").join("x")
			j.Gap(time.Now().Add(-time.Second), time.Now(), "x")
			s.Say("x", "bob", "hi")
			c.handle(j, 1)
			s.Apply(Fault{Kind: Drop}, Target{})
			synctest.Wait()
			for range each {
				s.Say("x", "bob", "unheard")
			}
			time.Sleep(time.Second)
		}
		j.Gap(time.Now().Add(-time.Second), time.Now())
		check(t, j, Verdict{Sent: outages * (each + 1), Received: outages, InGaps: outages * each})
		tr := j.all()[0]
		if len(tr.strays) > fewStrays+maxRecs || len(tr.gaps) > fewGaps+1 || len(tr.ch.past) > 64 {
			t.Errorf("kept: %d strays, %d gaps, %d memberships", len(tr.strays), len(tr.gaps), len(tr.ch.past))
		}
	})
}
