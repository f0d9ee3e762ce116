package discord

import (
	"strconv"
	"sync"
	"time"
)

// Available is the Data of the event that says that a shard is ready for
// traffic: every guild of its READY has become available, is known to be out
// of order, or did neither in time.
type Available struct {
	Guilds   int           // guilds of the shard
	Missing  int           // those that did not become available
	TimedOut bool          // and whether they were waited for in vain
	After    time.Duration // since READY
}

// guilds is what is known of one shard's guilds. It outlives connections, as
// sessions do.
type guilds struct {
	mu      sync.Mutex          // guards all below
	count   int                 // guilds of the shard
	pending map[uint64]struct{} // of READY, and not heard of yet
	away    map[uint64]struct{} // out of order
	ready   time.Time
	last    time.Time // when one became available last
	stored  time.Time // when the session was stored whose guilds are not known by name; zero: they are
}

// reset begins anew with the guilds of a READY.
func (g *guilds) reset(ids []uint64, now time.Time) (settled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count, g.ready, g.last = len(ids), now, now
	g.pending = make(map[uint64]struct{}, len(ids))
	g.away, g.stored = nil, time.Time{}
	for _, id := range ids {
		g.pending[id] = struct{}{}
	}
	return len(ids) == 0
}

// restore sets what is known from a stored session.
func (g *guilds) restore(count int, stored time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == 0 {
		g.count, g.stored = count, stored
	}
}

// joinLag is for how long a guild that the bot was added to may have waited to be
// handled when a session was stored.
const joinLag = time.Minute

// partial reports whether guilds are still awaited.
func (g *guilds) partial() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pending) > 0
}

// created hears GUILD_CREATE. Its id and joined, when the bot was added, are looked
// for only if they tell something: the payload is large. backfill says that the
// guild was there before, settled that it was the last one awaited.
func (g *guilds) created(id func() string, unavailable bool, now time.Time, joined func() time.Time) (backfill, settled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending)+len(g.away) > 0 {
		n, err := strconv.ParseUint(id(), 10, 64)
		if err != nil {
			return false, false
		}
		if _, ok := g.pending[n]; ok {
			g.heardOf(n, now)
			if unavailable {
				g.lost(n)
			}
			return true, len(g.pending) == 0
		}
		if _, ok := g.away[n]; ok {
			delete(g.away, n)
			return true, false
		}
	}
	if !g.stored.IsZero() {
		if at := joined(); !at.IsZero() && at.Before(g.stored.Add(-joinLag)) {
			return true, false // of the stored session, which has counted it
		}
	}
	g.count++
	return false, false
}

// deleted hears GUILD_DELETE.
func (g *guilds) deleted(id string, outage bool, now time.Time) (settled bool) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, awaited := g.pending[n]
	if awaited {
		g.heardOf(n, now)
	}
	if outage {
		g.lost(n)
	} else {
		delete(g.away, n)
		g.count = max(0, g.count-1)
	}
	return awaited && len(g.pending) == 0
}

// heardOf takes a guild from those awaited. mu is held.
func (g *guilds) heardOf(n uint64, now time.Time) {
	delete(g.pending, n)
	g.last = now
	if len(g.pending) == 0 {
		g.pending = nil
	}
}

// lost notes a guild that is out of order. mu is held.
func (g *guilds) lost(n uint64) {
	if g.away == nil {
		g.away = make(map[uint64]struct{})
	}
	g.away[n] = struct{}{}
}

// due gives the guilds up that have been awaited for long enough. If it is not
// time yet it returns how long it is.
func (g *guilds) due(now time.Time, wait time.Duration) (left time.Duration, a Available, settled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) == 0 {
		return 0, g.available(now), false
	}
	if left = g.last.Add(wait).Sub(now); left > 0 {
		return left, Available{}, false
	}
	for n := range g.pending {
		g.lost(n)
	}
	g.pending = nil
	a = g.available(now)
	a.TimedOut = true
	return 0, a, true
}

// available describes the shard. mu is held.
func (g *guilds) available(now time.Time) Available {
	return Available{Guilds: g.count, Missing: len(g.away), After: now.Sub(g.ready)}
}

func (g *guilds) settledNow(now time.Time) Available {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.available(now)
}

// total returns how many guilds the shard has and how many are out of order.
func (g *guilds) total() (count, away, pending int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count, len(g.away), len(g.pending)
}
