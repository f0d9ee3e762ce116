package main

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/rs/zerolog"
)

// A channel that is not joined keeps its time while the common one goes on,
// until it has been seen to be joined twice.
func TestLapsesTake(t *testing.T) {
	zero := time.Unix(1_000_000, 0)
	l := &lapse{heard: zero, absent: map[balancer.Key]time.Time{}, joined: map[balancer.Key]bool{},
		due: map[balancer.Key]time.Time{"late": zero.Add(-time.Hour)}}
	a := &lapses{scopes: map[string]*lapse{"twitch": l}}
	for i, c := range []struct {
		after  time.Duration // of the snapshot
		absent []balancer.Key
		many   bool
		heard  time.Duration
		want   map[balancer.Key]time.Duration
	}{
		{10 * time.Second, []balancer.Key{"late", "new"}, false, 0, map[balancer.Key]time.Duration{"late": -time.Hour, "new": 0}}, // no proof yet
		{100 * time.Second, []balancer.Key{"late"}, false, 100*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour, "new": 0}},
		{110 * time.Second, []balancer.Key{"late", "cut"}, false, 110*time.Second - unnoticed,
			map[balancer.Key]time.Duration{"late": -time.Hour, "cut": 100*time.Second - unnoticed}},
		{120 * time.Second, nil, true, 110*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour, "cut": 100*time.Second - unnoticed}},
		{130 * time.Second, nil, false, 130*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour, "cut": 100*time.Second - unnoticed}},
		{140 * time.Second, []balancer.Key{"cut"}, false, 140*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour, "cut": 100*time.Second - unnoticed}},
		{150 * time.Second, nil, false, 150*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour, "cut": 100*time.Second - unnoticed}},
		{160 * time.Second, nil, false, 160*time.Second - unnoticed, map[balancer.Key]time.Duration{"late": -time.Hour}}, // its first join was not handled
	} {
		a.take(&snapshot{at: zero.Add(c.after), absent: map[string][]balancer.Key{"twitch": c.absent}, many: map[string]bool{"twitch": c.many}})
		got := map[balancer.Key]time.Duration{}
		for k, at := range l.absent {
			got[k] = at.Sub(zero)
		}
		if !maps.Equal(got, c.want) || l.heard.Sub(zero) != c.heard {
			t.Errorf("%d: heard %v, absent %v; want %v and %v", i, l.heard.Sub(zero), got, c.heard, c.want)
		}
	}
}

// The next run reads what was stored, and the end of the log: what the service
// said is later proof, what we said ourselves is none.
func TestLapsesRead(t *testing.T) {
	ctx := t.Context()
	engine, err := relay.StartEngine(ctx, &relay.EngineConfig{Dir: t.TempDir(), MaxStore: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(ctx)
	log, err := relay.OpenNATSLog(ctx, engine, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close(ctx)
	store, err := engine.Store(ctx, "lapses")
	if err != nil {
		t.Fatal(err)
	}
	carriers := []*carrier{{encoder: &encoder{platform: "twitch"}}, {encoder: &encoder{platform: "irc", network: "net"}}}
	open := func() *lapses {
		t.Helper()
		a, err := newLapses(ctx, store, log, carriers, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := open()
	if from, ok := first.joinedFirst("twitch", "a"); ok {
		t.Errorf("a gap from %v, and there was no run before", from)
	}
	first.want(ctx, carriers[0], []balancer.Key{"quiet", "said", "joined", "parted", "refused"})
	first.want(ctx, carriers[1], []balancer.Key{"#go"})
	begun := first.scopes["twitch"].heard
	first.scopes["twitch"].absent["refused"] = begun.Add(-time.Hour)
	first.saveHeard(ctx)
	at := func(d time.Duration) string { return stamp(begun.Add(d)) }
	done := make(chan error)
	for i, body := range []string{
		`"time":"` + at(10*time.Second) + `","received":"` + at(20*time.Second) + `","platform":"twitch","channel":{"id":"1","name":"said"},"kind":"message","raw":"x"`,
		`"received":"` + at(20*time.Second) + `","platform":"twitch","channel":{"name":"joined"},"kind":"join","flags":["self"]`,
		`"received":"` + at(20*time.Second) + `","platform":"twitch","channel":{"name":"parted"},"kind":"part","flags":["self"]`,
		`"received":"` + at(20*time.Second) + `","platform":"irc","network":"net","channel":{"name":"#go"},"kind":"message","raw":"x"`,
		`"received":"` + at(20*time.Second) + `","platform":"irc","network":"other","channel":{"name":"#go"},"kind":"message","raw":"x"`,
	} {
		e := &relay.Entry{ID: fmt.Sprint(i), Body: []byte(`{"v":1,"id":"` + fmt.Sprint(i) + `",` + body + `}`), Time: begun}
		if err := log.Append(ctx, e, func(_ uint64, _ bool, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	second := open()
	for _, c := range []struct {
		scope string
		key   balancer.Key
		want  time.Duration
	}{
		{"twitch", "quiet", 0}, {"twitch", "parted", 0}, {"twitch", "refused", -time.Hour},
		{"twitch", "said", 10 * time.Second}, {"twitch", "joined", 20*time.Second - onTheWay}, {"irc net", "#go", 20*time.Second - onTheWay},
	} {
		from, ok := second.joinedFirst(c.scope, c.key)
		if d := from.Sub(begun); !ok || (d-c.want).Abs() > time.Millisecond { // what is stored has no more
			t.Errorf("%s %s: since %v, %v; want %v", c.scope, c.key, d, ok, c.want)
		}
		if from, ok := second.joinedFirst(c.scope, c.key); ok {
			t.Errorf("%s %s: a second gap, from %v", c.scope, c.key, from)
		}
	}
	if _, ok := second.joinedFirst("twitch", "added"); ok {
		t.Error("a gap of a channel that nobody wanted before")
	}
}
