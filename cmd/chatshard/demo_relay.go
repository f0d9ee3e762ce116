package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/irc"
	"github.com/rs/zerolog"
)

const (
	demoLogBytes = 256 << 20       // of the log, at most
	demoPause    = 6 * time.Second // more chat than live readers share: what came meanwhile is read from the log
)

// demoRelay is the relay of a demo: the pipeline of "chatshard run" with a
// section relay, on a log in a directory that is removed at the end, and the
// programs that read from it over HTTP. It implements sink.
type demoRelay struct {
	dir       string
	pipeline  *pipeline
	ledger    *ledger
	consumers []*consumer
	most      []uint64           // events that each was behind, so far
	reading   sync.WaitGroup     // the consumers
	hasten    context.CancelFunc // nobody pauses or is killed any more
	leave     context.CancelFunc // ends the consumers

	written, safe atomic.Int64 // events, and those of them that the log has
}

// openDemoRelay opens the log and returns when all consumers read.
func openDemoRelay(ctx context.Context, ids *cursor, out *output) (*demoRelay, error) {
	dir, err := os.MkdirTemp("", "chatshard-demo-")
	if err != nil {
		return nil, fmt.Errorf("demo: directory of the log: %w; set TMPDIR to one that can be written, or use --no-log", err)
	}
	r := &demoRelay{dir: dir}
	var cfg relayConfig
	cfg.defaults()
	cfg.Log.Dir, cfg.Log.MaxBytes = dir, demoLogBytes
	if r.pipeline, err = newPipeline(ctx, &cfg, ids, out, zerolog.Nop()); err != nil {
		_ = os.RemoveAll(dir)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("demo: %w", errDemoEarly)
		}
		return nil, fmt.Errorf("demo: log: %w; set TMPDIR to another directory, or use --no-log", err)
	}
	l := newMemoryListener()
	r.pipeline.served = make(chan error, 1)
	r.pipeline.serving.Go(func() { r.pipeline.served <- r.pipeline.server.Serve(r.pipeline.ctx, l) })

	living, leave := context.WithCancel(context.WithoutCancel(ctx))
	calm, hasten := context.WithCancel(living)
	r.leave, r.hasten = leave, hasten
	r.consumers = []*consumer{
		{name: "steady"},
		{name: "slow", pause: demoPause},
		{name: "restarted", life: time.Second},
	}
	r.most = make([]uint64, len(r.consumers))
	r.ledger = newLedger(len(r.consumers), ids.epoch)
	for i, c := range r.consumers {
		c.number, c.ledger, c.calm = i, r.ledger, calm
		c.begin(l.dial)
		r.reading.Go(func() { c.run(living) })
	}
	for _, c := range r.consumers {
		if err := <-c.opened; err != nil {
			_ = r.close(ctx)
			return nil, fmt.Errorf("demo: consumer %s: %w", c.name, err)
		}
	}
	return r, nil
}

// write implements sink.
func (r *demoRelay) write(enc *encoder, e balancer.Event, acked func()) {
	if id := messageID(e); id != "" {
		r.ledger.delivered(enc.platform+" "+id, time.Now())
	}
	r.written.Add(1)
	r.pipeline.write(enc, e, func() {
		r.safe.Add(1)
		if acked != nil {
			acked()
		}
	})
}

// messageID returns the service's id of what somebody said, "" of all else.
func messageID(e balancer.Event) string {
	switch d := e.Data.(type) {
	case *irc.Message:
		switch d.Command() {
		case "PRIVMSG", "USERNOTICE", "WHISPER":
			return d.ID()
		}
	case *discord.Dispatch:
		if d.Type == "MESSAGE_CREATE" {
			return e.ID
		}
	}
	return ""
}

// look says how far the consumers are. It is called by one goroutine.
func (r *demoRelay) look() []consumerState {
	end := r.pipeline.hub.Cursor().Seq
	var all []consumerState
	for i, c := range r.consumers {
		s := consumerState{name: c.name, restarts: c.restarts.Load()}
		if at := c.at.Load(); at < end {
			s.behind = end - at
		}
		r.most[i] = max(r.most[i], s.behind)
		s.most = r.most[i]
		all = append(all, s)
	}
	return all
}

// settled reports whether every consumer has seen every message.
func (r *demoRelay) settled() bool {
	for _, c := range r.consumers {
		if r.ledger.verdict(c.number).lost > 0 {
			return false
		}
	}
	return true
}

// finish waits until all that was written is in the log and every consumer has
// read it, within ctx, and closes the relay. It is called once nobody writes.
func (r *demoRelay) finish(ctx context.Context) (done []consumerDone, err error) {
	r.hasten()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil && !r.caughtUp() {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	states := r.look()
	err = r.close(ctx)
	for i, c := range r.consumers {
		d := c.done()
		d.consumerState = states[i]
		done = append(done, d)
	}
	return done, err
}

func (r *demoRelay) caughtUp() bool {
	if r.safe.Load() < r.written.Load() {
		return false
	}
	for _, s := range r.look() {
		if s.behind > 0 {
			return false
		}
	}
	return true
}

// close ends the consumers and the relay, and removes the log.
func (r *demoRelay) close(ctx context.Context) error {
	r.leave()
	r.reading.Wait()
	for _, c := range r.consumers {
		c.client.CloseIdleConnections()
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	err := r.pipeline.close(within)
	if gone := os.RemoveAll(r.dir); err == nil && gone != nil {
		err = fmt.Errorf("the log could not be removed: %w", gone)
	}
	return err
}

// nowhere is the sink of a demo of which nobody reads the events.
type nowhere struct{}

func (nowhere) write(_ *encoder, _ balancer.Event, acked func()) {
	if acked != nil {
		acked()
	}
}

// memoryListener takes connections of this process that are pipes: no port is
// opened, and what a reader does not take waits with who writes.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// ledger knows which messages were delivered, and who has seen them. A message
// that all have seen is forgotten: one that it does not know has been seen
// before. Safe for concurrent use.
type ledger struct {
	made string // what ids begin with that the service did not give

	mu    sync.Mutex // guards all below
	open  map[string]message
	tally []tally // by consumer
}

// message was delivered and not seen by everybody.
type message struct {
	at   time.Time
	seen uint // a bit for each consumer
}

// tally is what one consumer saw.
type tally struct {
	received, lost, duplicated int64
	gaps                       []span // that the relay reported: not those of connections
}

type span struct{ from, to time.Time }

func newLedger(consumers int, epoch string) *ledger {
	return &ledger{made: epoch + ":", open: make(map[string]message), tally: make([]tally, consumers)}
}

// delivered books a message that is on its way to the log.
func (l *ledger) delivered(key string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[key]; !ok {
		l.open[key] = message{at: at}
	}
}

// saw books that a consumer has seen a message, for the first time as far as it
// knows.
func (l *ledger) saw(consumer int, platform, id string) {
	if strings.HasPrefix(id, l.made) {
		return // nobody can tell two of them apart
	}
	key := platform + " " + id
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.open[key]
	t := &l.tally[consumer]
	if !ok || m.seen&(1<<consumer) != 0 {
		t.duplicated++
		return
	}
	t.received++
	if m.seen |= 1 << consumer; m.seen == 1<<len(l.tally)-1 {
		delete(l.open, key)
		return
	}
	l.open[key] = m
}

// excuse books a gap that the relay reported to a consumer.
func (l *ledger) excuse(consumer int, from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally[consumer].gaps = append(l.tally[consumer].gaps, span{from, to})
}

// verdict returns what a consumer saw and, as lost, how many messages it has
// not seen that lie in no gap.
func (l *ledger) verdict(consumer int) tally {
	const moment = 100 * time.Millisecond // between a delivery and the envelope's own time
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally[consumer]
	for _, m := range l.open {
		lost := m.seen&(1<<consumer) == 0
		for _, g := range t.gaps {
			lost = lost && (m.at.Before(g.from.Add(-moment)) || m.at.After(g.to))
		}
		if lost {
			t.lost++
		}
	}
	return t
}
