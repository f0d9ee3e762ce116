package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// twitchFleet is Twitch in a demo: the transport and Balancer that "chatshard
// run" uses, against a simulator.
type twitchFleet struct {
	opts     *demoOptions
	server   *irctest.Server
	judge    *irctest.Judge
	load     *irctest.Load
	balancer *balancer.Balancer
	encoder  *encoder
	out      sink

	received atomic.Int64
	peak     int

	mu     sync.Mutex // guards all below
	ups    int64      // connections that were logged in
	shards map[balancer.ShardID]bool
}

func newTwitchFleet(o *demoOptions, cursor *cursor) (*twitchFleet, error) {
	f := &twitchFleet{opts: o, shards: make(map[balancer.ShardID]bool)}
	names := channelNames(o.channels)
	f.server = irctest.NewTwitch(&irctest.Config{
		Seed: o.seed, Channels: names, Anonymous: irctest.Verified(), PingInterval: 10 * time.Second,
	})
	f.judge = f.server.Judge()
	f.load = &irctest.Load{Rate: o.rate, Channels: names, Zipf: 1, Source: o.replay}

	cfg := &irc.Config{
		Address: "irc.chat.twitch.tv:6667", Plain: true, DialContext: f.server.DialContext,
		// A connection that died without a word is found out within seconds.
		PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second,
	}
	if o.network == "tcp" {
		at, err := f.server.Listen("127.0.0.1:0")
		if err != nil {
			f.server.Close()
			return nil, fmt.Errorf("demo: 127.0.0.1: %w", err)
		}
		cfg.Address, cfg.DialContext = at.String(), new(net.Dialer).DialContext
	}
	// Anonymous, with a verified bot's budgets and our usual margin to them.
	account := irc.NewAccount("", nil, &irc.AccountConfig{Verified: true})
	transport := irc.New(account, cfg)
	f.balancer = balancer.New(transport, transport.Balancer(&balancer.Config{
		ChannelsPerShard: o.channelsPerShard,
		MaxShardCount:    o.maxShardCount,
		Reuse:            true, // what is kept of an event is encoded or counted
		Overlap:          time.Second,
		JoinTimeout:      2 * time.Second,
		DialTimeout:      5 * time.Second,
		Backoff:          demoBackoff,
	}))
	f.encoder = &encoder{platform: "twitch", account: "anonymous", cursor: cursor, now: now}
	for _, name := range names {
		f.balancer.Join(balancer.Key(name))
	}
	return f, nil
}

// demoBackoff is impatient: a demo lasts seconds.
var demoBackoff = balancer.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second, Reset: 5 * time.Second}

func (f *twitchFleet) read(ctx context.Context, out sink) error {
	f.out = out
	return f.balancer.Run(ctx, f.handle)
}

func (f *twitchFleet) chat(ctx context.Context)   { f.server.Chat(ctx, f.load) }
func (f *twitchFleet) inject(ctx context.Context) { f.server.Inject(ctx, f.opts.plan()) }
func (f *twitchFleet) change(context.Context)     {}
func (f *twitchFleet) drain(ctx context.Context)  { _ = f.balancer.Drain(ctx) }
func (f *twitchFleet) close()                     { f.server.Close() }

// handle takes an event as the last one to see it, so it is what the judge
// goes by.
func (f *twitchFleet) handle(_ context.Context, e balancer.Event) {
	switch data := e.Data.(type) {
	case *irc.Message:
		if id, _ := data.Tag("id"); id != "" {
			f.received.Add(1)
			f.judge.Received(string(e.Key), id, time.Now())
		}
	case balancer.Gap:
		f.gap(e, data)
	case balancer.Up:
		f.mu.Lock()
		f.ups++
		f.shards[e.Shard] = true
		f.mu.Unlock()
	}
	f.out.write(f.encoder, e, nil)
}

// gap tells the judge of a gap; one without a key concerns its whole shard.
func (f *twitchFleet) gap(e balancer.Event, g balancer.Gap) {
	if e.Key != "" {
		f.judge.Gap(g.From, g.To, string(e.Key))
		return
	}
	for _, k := range f.balancer.Keys() {
		if k.Placed && k.Shard == e.Shard {
			f.judge.Gap(g.From, g.To, string(k.Key))
		}
	}
}

func (f *twitchFleet) look() fleetState {
	s := fleetState{platform: "twitch", channels: f.opts.channels, maxShards: f.opts.maxShardCount, received: f.received.Load()}
	count := f.balancer.Count()
	s.joined, s.refused = count[balancer.Member], count[balancer.Denied]
	for _, sh := range f.balancer.Shards() {
		if sh.State == balancer.Ready {
			s.shards++
		}
		s.queued += sh.Queued
		f.peak = max(f.peak, sh.Keys)
	}
	s.peak = f.peak
	f.mu.Lock()
	s.reconnects = f.ups - int64(len(f.shards))
	f.mu.Unlock()
	return s
}

func (f *twitchFleet) verdict() verdict {
	v := f.judge.Verdict()
	out := verdict{
		sent: v.Sent, received: v.Received, lost: v.Lost, lostLive: v.LostLive, doubled: v.Duplicated, disordered: v.OutOfOrder,
		gaps: v.Gaps, inGaps: v.InGaps, misrouted: v.Misrouted,
	}
	for _, o := range v.Offences {
		out.offences = append(out.offences, o.String())
	}
	return out
}

// settled reports whether no key moves, and every key is joined or refused for
// longer than the demo waits.
func (f *twitchFleet) settled(deadline time.Time) bool {
	for _, k := range f.balancer.Keys() {
		final := k.State == balancer.Member || k.State == balancer.Denied && (k.Until.IsZero() || k.Until.After(deadline))
		if !final || k.Moving {
			return false
		}
	}
	return true
}

func (f *twitchFleet) result(v verdict, s fleetState) fleetDone {
	return twitchDone(v, s, f.opts.channelsPerShard, f.balancer.Keys(), f.server.Violations())
}

func twitchDone(v verdict, s fleetState, perShard int, keys []balancer.KeyStatus, violations []irctest.Violation) fleetDone {
	r := fleetDone{state: s, verdict: v}
	missing := 0
	var first balancer.KeyStatus
	for _, k := range keys {
		if k.State == balancer.Member {
			continue
		}
		r.remarks = append(r.remarks, fmt.Sprintf("%s is %v: %v", k.Key, k.State, k.Err))
		if k.State != balancer.Denied || k.Err == nil {
			if missing++; missing == 1 {
				first = k
			}
		}
	}
	if missing > 0 {
		r.problems = append(r.problems, fmt.Sprintf("%d channels neither joined nor refused, first %s: %v", missing, first.Key, first.State))
	}
	if s.peak > perShard {
		r.problems = append(r.problems, fmt.Sprintf("%d channels on one shard", s.peak))
	}
	if n, first := broken(violations); n > 0 {
		r.problems = append(r.problems, fmt.Sprintf("%d limits broken, first %s", n, first))
	}
	return r
}

// broken returns how many of the service's limits were broken.
func broken(violations []irctest.Violation) (n int, first irctest.Violation) {
	for _, v := range violations {
		switch v.Kind {
		case irctest.TooManyJoins, irctest.TooManyLogins, irctest.TooManyChannels, irctest.QueueBackup, irctest.BadCommand:
			if n++; n == 1 {
				first = v
			}
		}
	}
	return n, first
}

// begins is how long the budgets make joining all channels take.
func (f *twitchFleet) begins() time.Duration {
	_, joins := schedule(f.opts.channels, f.opts.needed(), f.opts.channelsPerShard, verifiedLimits.Logins, verifiedLimits.Joins)
	return joins
}

// plan is the faults of the demo's level. Where what breaks in a second is more
// than half of what the JOIN budget can join again, they are as many fewer: a
// fleet that breaks faster than it may be mended shows nothing.
func (o *demoOptions) plan() irctest.FaultPlan {
	p := faultPlan(o.faults)
	rates := []*float64{&p.Drop, &p.Hangup, &p.HalfOpen, &p.Mute, &p.Reconnect}
	perMinute := 0.0
	for _, r := range rates {
		perMinute += *r
	}
	budget := verifiedLimits.Joins
	mend := float64(budget.N) / budget.Per.Minutes() / 2
	if broken := perMinute * float64(o.channels); broken > mend {
		for _, r := range rates {
			*r *= mend / broken
		}
	}
	return p
}
