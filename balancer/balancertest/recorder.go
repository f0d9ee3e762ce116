package balancertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Recorder is a Handler that remembers what it received, for [Recorder.Verdict].
type Recorder struct {
	mu     sync.Mutex
	got    map[balancer.Key][]int // by message number -1: how often
	last   map[balancer.Key]int
	gaps   map[balancer.Key][]balancer.Gap
	events []balancer.Event           // control events, in the order received
	out    map[balancer.Key]time.Time // keys that stand refused, and since when
	late   []string
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{got: make(map[balancer.Key][]int), last: make(map[balancer.Key]int), gaps: make(map[balancer.Key][]balancer.Gap), out: make(map[balancer.Key]time.Time)}
}

// Handle is a balancer.Handler.
func (r *Recorder) Handle(_ context.Context, e balancer.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := e.Data.(*Message)
	if !ok {
		r.events = append(r.events, e)
		switch d := e.Data.(type) {
		case balancer.Gap:
			r.gaps[e.Key] = append(r.gaps[e.Key], d)
		case balancer.Refused:
			if r.out[e.Key].IsZero() {
				r.out[e.Key] = time.Now()
			}
		case balancer.Joined:
			delete(r.out, e.Key)
		}
		return
	}
	g := r.got[m.Key]
	for len(g) < m.N {
		g = append(g, 0)
	}
	g[m.N-1]++
	r.got[m.Key] = g
	if m.N < r.last[m.Key] {
		r.late = append(r.late, fmt.Sprintf("%s: %d after %d, over shard %v", m.Key, m.N, r.last[m.Key], e.Shard))
	}
	r.last[m.Key] = max(m.N, r.last[m.Key])
}

// Events returns the control events received so far.
func (r *Recorder) Events() []balancer.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]balancer.Event(nil), r.events...)
}

// Received returns how many messages of k were received, copies counted.
func (r *Recorder) Received(k balancer.Key) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.got[k] {
		n += c
	}
	return n
}

// Verdict is what became of everything that a Network published.
type Verdict struct {
	Owed       int // messages published once the client had heard that their key has a member
	Received   int // those received at least once
	Lost       int // neither received nor inside a reported gap, or read off a connection and not handed on
	Doubled    int // second copies
	OutOfOrder int // received after a later one of the same key
	InGaps     int // not received, and inside a reported gap
	Gaps       int
	Details    []string // of the first few losses, copies and inversions
}

// Clean reports whether nothing was lost, doubled or out of order.
func (v Verdict) Clean() bool { return v.Lost+v.Doubled+v.OutOfOrder == 0 }

// Verdict judges what r received of what n published, once everything that was
// on its way has arrived. Keys in parted are judged for copies and order alone.
func (r *Recorder) Verdict(n *Network, parted ...balancer.Key) Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	v := Verdict{OutOfOrder: len(r.late)}
	note := func(format string, a ...any) {
		if len(v.Details) < 3 {
			v.Details = append(v.Details, fmt.Sprintf(format, a...))
		}
	}
	for _, d := range r.late {
		note("out of order: %s", d)
	}
	skip := make(map[balancer.Key]bool)
	for _, k := range parted {
		skip[k] = true
	}
	for _, gs := range r.gaps {
		v.Gaps += len(gs)
	}
	for k, recs := range n.published {
		got := r.got[k]
		for i, rec := range recs {
			c := 0
			if i < len(got) {
				c = got[i]
			}
			if c > 1 {
				v.Doubled += c - 1
				note("doubled: %s/%d", k, i+1)
			}
			if !rec.owed || c == 0 && (skip[k] || !r.out[k].IsZero() && !rec.at.Before(r.out[k])) {
				continue
			}
			v.Owed++
			switch {
			case c > 0:
				v.Received++
			case rec.read:
				v.Lost++
				note("lost: %s/%d was read off a connection", k, i+1)
			case r.inGap(k, rec.at):
				v.InGaps++
			default:
				v.Lost++
				note("lost: %s/%d sent %s is in no gap of %v", k, i+1, rec.at.Format("15:04:05.000"), r.gaps[k])
			}
		}
	}
	return v
}

func (r *Recorder) inGap(k balancer.Key, at time.Time) bool {
	for _, key := range []balancer.Key{k, ""} {
		for _, g := range r.gaps[key] {
			if !at.Before(g.From) && !at.After(g.To) {
				return true
			}
		}
	}
	return false
}
