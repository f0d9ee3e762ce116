package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	settleWithin = 20 * time.Second // for the fleet to mend what the faults broke
	// For the relay's consumers to read what they have not yet: on a machine that
	// is busy with other things they fall behind all that is sent.
	catchUpWithin = time.Minute
	demoTick      = 200 * time.Millisecond // between looks at the fleet
)

// fleet is one service of a demo: its simulator, its judge, and the same code
// that "chatshard run" reads it with. Its methods are called by the goroutine
// of demo.run, except for the first four, which each have their own, and block.
type fleet interface {
	read(ctx context.Context, out sink) error // until drained or ctx ends
	chat(ctx context.Context)                 // until ctx ends
	inject(ctx context.Context)               // the faults of the demo, until ctx ends
	change(ctx context.Context)               // what happens to the fleet while it runs

	begins() time.Duration                // how long the services' limits make joining take
	look() fleetState                     // without the verdict
	verdict() verdict                     // of the judge
	settled(deadline time.Time) bool      // nothing moves, nothing waits that will not wait beyond the deadline
	result(verdict, fleetState) fleetDone // what came of it
	drain(ctx context.Context)            // makes read return
	close()                               // ends the simulator
}

// fleetState is what a fleet looks like at one moment.
type fleetState struct {
	platform   string
	channels   int
	joined     int
	refused    int // not joined, for a reason
	shards     int // connected
	maxShards  int
	peak       int // channels that were placed on one shard, at most, so far
	queued     int // bytes that wait for the handler
	received   int64
	reconnects int64
	verdict    verdict // not older than a second
}

// complete reports whether every channel is joined or refused.
func (s fleetState) complete() bool { return s.joined+s.refused == s.channels }

// verdict is what a judge says.
type verdict struct {
	sent, received, lost, doubled, disordered, gaps, inGaps, misrouted int64

	lostLive int64 // of lost, what could have been received
	offences []string
}

// errDemoEarly is for a demo that is over before there is anything to judge.
var errDemoEarly = errors.New("ended before all channels were joined")

// demo is one run of "chatshard demo".
type demo struct {
	opts   *demoOptions
	cursor *cursor
	fleets []fleet
	relay  *demoRelay // nil: there is none
}

func newDemo(o *demoOptions) (*demo, error) {
	cursor := newCursor()
	d := &demo{opts: o, cursor: cursor}
	if o.channels > 0 {
		f, err := newTwitchFleet(o, cursor)
		if err != nil {
			return nil, err
		}
		d.fleets = append(d.fleets, f)
	}
	if o.guilds > 0 {
		f, err := newDiscordFleet(o, cursor)
		if err != nil {
			d.close()
			return nil, err
		}
		d.fleets = append(d.fleets, f)
	}
	return d, nil
}

func (d *demo) close() {
	for _, f := range d.fleets {
		f.close()
	}
}

// demoState is what a demo looks like at one moment.
type demoState struct {
	phase   string        // joining, running, settling, catching up
	elapsed time.Duration // of the phase
	length  time.Duration // that it takes, or may take
	fleets  []fleetState

	consumers []consumerState
}

// complete reports whether every channel of every fleet is joined or refused.
func (s demoState) complete() bool {
	for _, f := range s.fleets {
		if !f.complete() {
			return false
		}
	}
	return true
}

// begins is how long the services' limits make joining take.
func (d *demo) begins() (longest time.Duration) {
	for _, f := range d.fleets {
		longest = max(longest, f.begins())
	}
	return longest
}

// each runs do for every fleet, each in a goroutine of its own, and waits.
func (d *demo) each(do func(i int, f fleet)) {
	var wg sync.WaitGroup
	for i, f := range d.fleets {
		wg.Go(func() { do(i, f) })
	}
	wg.Wait()
}

// run plays the demo. It ends early when ctx does or when nobody reads its
// output any more, and returns once everything that it started has ended.
func (d *demo) run(ctx context.Context, out *output, show func(demoState)) *demoResult {
	begin := time.Now()
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	defer d.close()
	var to sink = nowhere{}
	switch {
	case d.relay != nil:
		to = d.relay
	case out != nil:
		to = out
	}
	failed := make([]error, len(d.fleets)) // each read once its fleet has ended
	over := make(chan struct{})            // closed when a fleet ends
	ended := make(chan struct{})           // closed when all have
	wg.Go(func() {
		defer close(ended)
		one := sync.OnceFunc(func() { close(over) })
		d.each(func(i int, f fleet) {
			defer one()
			failed[i] = f.read(living, to)
		})
	})
	talking, hush := context.WithCancel(living)
	defer hush()
	quiet := make(chan struct{})
	wg.Go(func() {
		defer close(quiet)
		d.each(func(_ int, f fleet) { f.chat(talking) })
	})

	w := watch{d: d, show: show, judged: time.Now(), verdicts: make([]verdict, len(d.fleets)), stop: []<-chan struct{}{ctx.Done(), over}}
	if out != nil {
		w.stop = append(w.stop, out.failed())
	}
	// A fleet that does not get there is judged as it is.
	joinTime := d.begins()
	w.phase("joining", joinTime+joinTime/2+settleWithin, joinTime, demoState.complete)

	early := ctx.Err() != nil

	faulty, mend := context.WithCancel(living)
	defer mend()
	changing, leave := context.WithCancel(living)
	defer leave()
	calm := make(chan struct{})
	wg.Go(func() {
		defer close(calm)
		if d.opts.faults != "none" {
			d.each(func(_ int, f fleet) { f.inject(faulty) })
		}
	})
	changed := make(chan struct{})
	wg.Go(func() {
		defer close(changed)
		d.each(func(_ int, f fleet) { f.change(changing) })
	})
	rest := min(d.opts.length/4, 3*time.Second)
	mended := time.AfterFunc(d.opts.length-rest, mend)
	defer mended.Stop()
	w.phase("running", d.opts.length, d.opts.length, func(demoState) bool { return false })
	mend()
	hush()
	leave()
	<-calm
	<-quiet
	<-changed
	if d.relay != nil {
		d.relay.hasten()
	}

	if !early {
		w.stop = w.stop[1:] // what was begun is judged, even if ctx has ended
	}
	deadline := time.Now().Add(settleWithin)
	w.phase("settling", settleWithin, settleWithin, func(s demoState) bool { return s.complete() && d.settled(s, deadline) })

	r := &demoResult{opts: d.opts}
	for i, s := range w.look() {
		r.fleets = append(r.fleets, d.fleets[i].result(d.fleets[i].verdict(), s))
	}
	if d.relay != nil {
		w.phase("catching up", catchUpWithin, catchUpWithin, func(demoState) bool { return d.relay.settled() })
	}
	r.length = time.Since(begin)
	within, drained := context.WithTimeout(living, drainWithin)
	defer drained()
	d.each(func(_ int, f fleet) { f.drain(within) }) // what does not end by itself is ended
	end()
	<-ended
	r.err = errors.Join(failed...)
	if d.relay != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		var err error
		r.consumers, err = d.relay.finish(within)
		r.err = errors.Join(r.err, err)
	}
	if early && r.err == nil {
		r.err = errDemoEarly
	}
	return r
}

// settled reports whether nothing is on its way any more.
func (d *demo) settled(s demoState, deadline time.Time) bool {
	for i, f := range d.fleets {
		if s.fleets[i].queued > 0 || !f.settled(deadline) || f.verdict().lost > 0 {
			return false
		}
	}
	return true
}

// watch looks at the fleets while they go through their phases.
type watch struct {
	d        *demo
	show     func(demoState)
	stop     []<-chan struct{} // any of them ends a phase
	judged   time.Time         // when the judges were asked last
	verdicts []verdict
}

func (w *watch) look() []fleetState {
	var all []fleetState
	for i, f := range w.d.fleets {
		s := f.look()
		s.verdict = w.verdicts[i]
		all = append(all, s)
	}
	return all
}

// phase waits until done, for at most as long as given; expected is what is shown.
func (w *watch) phase(name string, most, expected time.Duration, done func(demoState) bool) {
	begin := time.Now()
	end := time.NewTimer(most)
	defer end.Stop()
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for {
		if now := time.Now(); now.Sub(w.judged) >= time.Second {
			w.judged = now
			for i, f := range w.d.fleets {
				w.verdicts[i] = f.verdict()
			}
		}
		s := demoState{phase: name, elapsed: time.Since(begin), length: expected, fleets: w.look()}
		if w.d.relay != nil {
			s.consumers = w.d.relay.look()
		}
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
