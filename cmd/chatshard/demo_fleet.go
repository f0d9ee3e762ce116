package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

const (
	settleWithin = 20 * time.Second       // for the fleet to mend what the faults broke
	demoTick     = 200 * time.Millisecond // between looks at the fleet
)

// demo is one run of "chatshard demo": the simulator, its judge, and the same
// transport and Balancer that "chatshard run" uses.
type demo struct {
	opts     *demoOptions
	server   *irctest.Server
	judge    *irctest.Judge
	load     *irctest.Load
	balancer *balancer.Balancer
	encoder  *encoder
	output   *output // nil: nobody reads the events

	received atomic.Int64
	peak     int // channels that were placed on one shard, at most; used by run's goroutine

	mu     sync.Mutex // guards all below
	ups    int64      // connections that were logged in
	shards map[balancer.ShardID]bool
}

func newDemo(o *demoOptions) (*demo, error) {
	d := &demo{opts: o, shards: make(map[balancer.ShardID]bool)}
	names := channelNames(o.channels)
	d.server = irctest.NewTwitch(&irctest.Config{
		Seed: o.seed, Channels: names, Anonymous: irctest.Verified(), PingInterval: 10 * time.Second,
	})
	d.judge = d.server.Judge()
	d.load = &irctest.Load{Rate: o.rate, Channels: names, Zipf: 1, Source: o.replay}

	cfg := &irc.Config{
		Address: "irc.chat.twitch.tv:6667", Plain: true, DialContext: d.server.DialContext,
		// A connection that died without a word is found out within seconds.
		PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second,
	}
	if o.network == "tcp" {
		at, err := d.server.Listen("127.0.0.1:0")
		if err != nil {
			d.server.Close()
			return nil, fmt.Errorf("demo: 127.0.0.1: %w", err)
		}
		cfg.Address, cfg.DialContext = at.String(), new(net.Dialer).DialContext
	}
	// Anonymous, with a verified bot's budgets and our usual margin to them.
	account := irc.NewAccount("", nil, &irc.AccountConfig{Verified: true})
	transport := irc.New(account, cfg)
	d.balancer = balancer.New(transport, transport.Balancer(&balancer.Config{
		ChannelsPerShard: o.channelsPerShard,
		MaxShardCount:    o.maxShardCount,
		Reuse:            true, // what is kept of an event is encoded or counted
		Overlap:          time.Second,
		JoinTimeout:      2 * time.Second,
		DialTimeout:      5 * time.Second,
		Backoff:          balancer.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second, Reset: 5 * time.Second},
	}))
	d.encoder = &encoder{platform: "twitch", account: "anonymous", cursor: newCursor(), now: now}
	for _, name := range names {
		d.balancer.Join(balancer.Key(name))
	}
	return d, nil
}

// handle takes an event as the last one to see it, so it is what the judge
// goes by.
func (d *demo) handle(_ context.Context, e balancer.Event) {
	switch data := e.Data.(type) {
	case *irc.Message:
		if id, _ := data.Tag("id"); id != "" {
			d.received.Add(1)
			d.judge.Received(string(e.Key), id, time.Now())
		}
	case balancer.Gap:
		d.gap(e, data)
	case balancer.Up:
		d.mu.Lock()
		d.ups++
		d.shards[e.Shard] = true
		d.mu.Unlock()
	}
	if d.output != nil {
		d.output.write(d.encoder, e)
	}
}

// gap tells the judge of a gap; one without a key concerns its whole shard.
func (d *demo) gap(e balancer.Event, g balancer.Gap) {
	if e.Key != "" {
		d.judge.Gap(g.From, g.To, string(e.Key))
		return
	}
	for _, k := range d.balancer.Keys() {
		if k.Placed && k.Shard == e.Shard {
			d.judge.Gap(g.From, g.To, string(k.Key))
		}
	}
}

// demoState is what a demo looks like at one moment.
type demoState struct {
	phase      string        // joining, running, settling
	elapsed    time.Duration // of the phase
	length     time.Duration // that it takes, or may take
	channels   int
	joined     int
	refused    int // not joined, for a reason
	shards     int // connected
	maxShards  int
	queued     int // bytes that wait for the handler
	received   int64
	reconnects int64
	verdict    irctest.Verdict // not older than a second
}

// look returns the present state, without phase and verdict.
func (d *demo) look() demoState {
	s := demoState{channels: d.opts.channels, maxShards: d.opts.maxShardCount, received: d.received.Load()}
	count := d.balancer.Count()
	s.joined, s.refused = count[balancer.Member], count[balancer.Denied]
	for _, sh := range d.balancer.Shards() {
		if sh.State == balancer.Ready {
			s.shards++
		}
		s.queued += sh.Queued
		d.peak = max(d.peak, sh.Keys)
	}
	d.mu.Lock()
	s.reconnects = d.ups - int64(len(d.shards))
	d.mu.Unlock()
	return s
}

// run plays the demo. It ends early when ctx does or when nobody reads its
// output any more, and returns once everything that it started has ended.
func (d *demo) run(ctx context.Context, out *output, show func(demoState)) *demoResult {
	begin := time.Now()
	d.output = out
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	defer d.server.Close()
	var failed error // of the Balancer; read once it has ended
	fleet := make(chan struct{})
	wg.Go(func() {
		defer close(fleet)
		failed = d.balancer.Run(living, d.handle)
	})
	talking, hush := context.WithCancel(living)
	defer hush()
	quiet := make(chan struct{})
	wg.Go(func() {
		defer close(quiet)
		d.server.Chat(talking, d.load)
	})

	w := watch{d: d, show: show, judged: time.Now(), stop: []<-chan struct{}{ctx.Done(), fleet}}
	if out != nil {
		w.stop = append(w.stop, out.failed())
	}
	// A fleet that does not get there is judged as it is.
	joinTime := d.opts.joinTime()
	w.phase("joining", joinTime+joinTime/2+settleWithin, joinTime, func(s demoState) bool { return s.joined+s.refused == s.channels })

	early := ctx.Err() != nil

	faulty, mend := context.WithCancel(living)
	defer mend()
	calm := make(chan struct{})
	wg.Go(func() {
		defer close(calm)
		if d.opts.faults != "none" {
			d.server.Inject(faulty, d.opts.plan())
		}
	})
	rest := min(d.opts.length/4, 3*time.Second)
	over := time.AfterFunc(d.opts.length-rest, mend)
	defer over.Stop()
	w.phase("running", d.opts.length, d.opts.length, func(demoState) bool { return false })
	mend()
	hush()
	<-calm
	<-quiet

	if !early {
		w.stop = w.stop[1:] // what was begun is judged, even if ctx has ended
	}
	deadline := time.Now().Add(settleWithin)
	w.phase("settling", settleWithin, settleWithin, func(s demoState) bool {
		return s.queued == 0 && s.joined+s.refused == s.channels && d.settled(deadline)
	})

	r := &demoResult{opts: d.opts, state: d.look(), verdict: d.judge.Verdict(), keys: d.balancer.Keys(), violations: d.server.Violations()}
	r.peak, r.length = d.peak, time.Since(begin)
	within, drained := context.WithTimeout(living, drainWithin)
	defer drained()
	_ = d.balancer.Drain(within) // what does not end by itself is ended
	end()
	<-fleet
	r.err = failed
	if early && r.err == nil {
		r.err = errors.New("ended before all channels were joined")
	}
	return r
}

// settled reports whether no key moves, every key is joined or refused for
// longer than the demo waits, and nothing is on its way.
func (d *demo) settled(deadline time.Time) bool {
	for _, k := range d.balancer.Keys() {
		final := k.State == balancer.Member || k.State == balancer.Denied && (k.Until.IsZero() || k.Until.After(deadline))
		if !final || k.Moving {
			return false
		}
	}
	return d.judge.Verdict().Lost == 0
}

// watch looks at the fleet while it goes through its phases.
type watch struct {
	d       *demo
	show    func(demoState)
	stop    []<-chan struct{} // any of them ends a phase
	judged  time.Time         // when the judge was asked last
	verdict irctest.Verdict
}

// phase waits until done, for at most as long as given; expected is what is shown.
func (w *watch) phase(name string, most, expected time.Duration, done func(demoState) bool) {
	begin := time.Now()
	end := time.NewTimer(most)
	defer end.Stop()
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for {
		s := w.d.look()
		if now := time.Now(); now.Sub(w.judged) >= time.Second {
			w.judged, w.verdict = now, w.d.judge.Verdict()
		}
		s.phase, s.elapsed, s.length, s.verdict = name, time.Since(begin), expected, w.verdict
		w.show(s)
		if done(s) || w.over() {
			return
		}
		select {
		case <-end.C:
			return
		case <-ticker.C:
		}
	}
}

// over reports whether something ends the phase before its time.
func (w *watch) over() bool {
	for _, c := range w.stop {
		select {
		case <-c:
			return true
		default:
		}
	}
	return false
}

// joinTime is how long the budgets make joining all channels take.
func (o *demoOptions) joinTime() time.Duration {
	_, joins := schedule(o.channels, o.needed(), o.channelsPerShard, verifiedLimits.Logins, verifiedLimits.Joins)
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
