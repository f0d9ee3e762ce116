package discord

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Breaker is when IDENTIFYs are held back because they come to nothing: a
// program that is started again and again, or a Discord that refuses every
// session. An IDENTIFY came to nothing if it was reported as failed, or if the
// same shard of the same count needs another within Window, in whatever
// process. Nil and zero values work.
//
// It trips when 2 x shards + Slack came to nothing within Window: two restarts
// in a row that lose every session are nobody's crash loop, a third is. Then
// all are held back for MinHold, and twice as long each time it trips again, up
// to MaxHold. After that one shard goes first; once it is ready the others
// follow, and shards + Slack trip it again: what was mended comes up at once,
// and a crash loop of 16 shards spends some 300 of its 1000 in a day. An hour
// without another trip ends the suspicion. A loop that takes longer than half
// of Window to go round, or that has very many shards, is left to the floor.
type Breaker struct {
	Window  time.Duration // default 10 min
	Slack   int           // default 5
	MinHold time.Duration // default 1 min
	MaxHold time.Duration // default 4 h
	Off     bool
}

const (
	suspicion  = time.Hour   // without a trip until the next hold is a short one again
	probeFor   = time.Minute // for which others wait for the one that goes first
	mostWasted = 8192        // that are remembered
)

func (b Breaker) withDefaults() Breaker {
	b.Window = cmp.Or(b.Window, 10*time.Minute)
	b.Slack = cmp.Or(b.Slack, 5)
	b.MinHold = cmp.Or(b.MinHold, time.Minute)
	b.MaxHold = max(cmp.Or(b.MaxHold, 4*time.Hour), b.MinHold)
	return b
}

// hold is for how long all are held back at the n-th trip in a row, n from 0.
func (b Breaker) hold(n int) time.Duration {
	d := b.MinHold
	for range n {
		if d *= 2; d >= b.MaxHold {
			return b.MaxHold
		}
	}
	return d
}

// crash is what a ledger knows of crash loops.
type crash struct {
	wasted  []time.Time // IDENTIFYs that came to nothing, since the last trip
	held    time.Time   // until when all are held back, or were
	trips   int         // in a row
	probing bool        // since the last trip none became ready
	probe   time.Time   // when the one that goes first was let go
}

func (c *crash) pass(now time.Time, b Breaker) {
	c.wasted = slices.DeleteFunc(c.wasted, func(t time.Time) bool { return now.Sub(t) > b.Window })
	if c.trips > 0 && now.Sub(c.held) > suspicion {
		c.trips, c.probing, c.probe, c.held = 0, false, time.Time{}, time.Time{}
	}
}

// wait trips if too many came to nothing, and returns for how long to hold back.
func (c *crash) wait(now time.Time, id balancer.ShardID, b Breaker) (time.Duration, error) {
	if b.Off {
		return 0, nil
	}
	most := 2*max(id.Count, 1) + b.Slack
	if c.trips > 0 {
		most = max(id.Count, 1) + b.Slack
	}
	if len(c.wasted) >= most {
		c.trip(now, b)
	}
	if d := c.held.Sub(now); d > 0 {
		return d, fmt.Errorf("%w: too many IDENTIFYs came to nothing: held back until %s; see why sessions do not last before Discord resets the token",
			ErrBreaker, c.held.UTC().Format(time.RFC3339))
	}
	if c.probing && !c.probe.IsZero() {
		if d := c.probe.Add(probeFor).Sub(now); d > 0 {
			return d, fmt.Errorf("%w: one shard goes first after a pause", ErrBreaker)
		}
	}
	return 0, nil
}

func (c *crash) trip(now time.Time, b Breaker) {
	c.held = now.Add(b.hold(c.trips))
	c.trips++
	c.wasted, c.probing, c.probe = nil, true, time.Time{}
}

func (c *crash) waste(now time.Time, b Breaker) {
	if b.Off {
		return
	}
	if len(c.wasted) >= mostWasted {
		c.wasted = slices.Delete(c.wasted, 0, 1)
	}
	c.wasted = append(c.wasted, now)
}

// outcome takes in what had become of a shard's IDENTIFY by now, and reports
// whether others may have waited for that.
func (l *ledger) outcome(now time.Time, id balancer.ShardID, ready bool, r rules) bool {
	s := l.find(id)
	if s == nil || s.at.Before(l.held) || s.at.After(now) {
		return false
	}
	first := l.probing
	switch {
	case ready:
		l.probing, l.probe = false, time.Time{}
	case !s.failed:
		s.failed = true
		l.waste(now, r.breaker)
		if first && !r.breaker.Off {
			l.trip(now, r.breaker)
		}
	}
	return first
}
