package balancer

import (
	"slices"
	"strings"
	"time"
)

// ShardStatus is what is known of one shard.
type ShardStatus struct {
	ID      ShardID
	State   ShardState
	Keys    int       // keys that it has
	Joined  int       // those among them that the service confirmed
	Cap     int       // keys that it may have
	Rate    Rate      // measured if the policy asks for rates
	Queued  int       // bytes that wait for the Handler
	Conns   int       // connections made in its life
	Err     error     // what ended the last connection, while there is none
	Since   time.Time // when the present connection was logged in, or the shard made
	Replace bool      // a new connection is taking over from the present one
}

// Shards returns all shards, sorted by generation and index.
func (b *Balancer) Shards() []ShardStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]ShardStatus, 0, len(b.shards))
	for _, s := range b.shards {
		st := ShardStatus{ID: s.id, State: s.state, Keys: len(s.keys), Cap: s.cap, Queued: s.q.waiting(), Conns: s.conns, Err: s.err, Since: s.since, Replace: len(s.olds) > 0}
		for _, e := range s.keys {
			if e.state == Member {
				st.Joined++
			}
		}
		if s.view >= 0 {
			st.Rate = b.views[s.view].Rate
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(x, y ShardStatus) int {
		if x.ID.Gen != y.ID.Gen {
			return x.ID.Gen - y.ID.Gen
		}
		return x.ID.Index - y.ID.Index
	})
	return out
}

// Keys returns every key that is wanted or still being parted, sorted.
func (b *Balancer) Keys() []KeyStatus {
	b.mu.Lock()
	out := make([]KeyStatus, 0, len(b.keys))
	for _, e := range b.keys {
		out = append(out, b.statusOf(e))
	}
	b.mu.Unlock()
	slices.SortFunc(out, func(x, y KeyStatus) int { return strings.Compare(string(x.Key), string(y.Key)) })
	return out
}

// Locate returns what is known of one key; ok is false if it is not wanted.
// Under fixed placement every key can be located.
func (b *Balancer) Locate(k Key) (st KeyStatus, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.keys[k]
	if e == nil {
		if b.placer == nil || b.count() == 0 {
			return KeyStatus{Key: k}, false
		}
		e = &entry{key: k}
	}
	return b.statusOf(e), true
}

// countAtOnce is how many entries are looked at while mu is held, so that a
// million keys hold up nobody.
const countAtOnce = 32 * slabEntries

// Count returns how many keys are in each state. It makes no list, and holds mu
// for some of them at a time: keys that come and go meanwhile may be counted as
// they were before or after, or not.
func (b *Balancer) Count() map[State]int {
	var n [Parting + 1]int
	for from, more := 0, true; more; from += countAtOnce / slabEntries {
		b.mu.Lock()
		chunks := b.slab.all[min(from, len(b.slab.all)):]
		if more = len(chunks) > countAtOnce/slabEntries; more {
			chunks = chunks[:countAtOnce/slabEntries]
		}
		for _, chunk := range chunks {
			for i := range chunk {
				e := &chunk[i]
				// One that nobody wants may be forgotten and not yet free.
				if e.key != "" && (e.wanted || b.keys[e.key] == e) {
					n[e.state]++
				}
			}
		}
		b.mu.Unlock()
	}
	count := make(map[State]int)
	for s, n := range n {
		if n > 0 {
			count[State(s)] = n
		}
	}
	return count
}

// CountShards returns how many shards are in each state, and how many bytes
// wait for the Handler in all of them. Unlike Shards it looks at no key.
func (b *Balancer) CountShards() (count map[ShardState]int, queued int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	count = make(map[ShardState]int)
	for _, s := range b.shards {
		count[s.state]++
		queued += s.q.waiting()
	}
	return count, queued
}

func (b *Balancer) statusOf(e *entry) KeyStatus {
	if b.placer == nil {
		return e.status()
	}
	st := KeyStatus{Key: e.key}
	if s := b.carrier(e.key); s != nil {
		st.Shard, st.Placed = s.id, true
		if s.state == Ready {
			st.State = Member
		} else {
			st.State, st.Err = Lost, s.err
		}
	}
	return st
}

// carrier returns the shard that carries k under fixed placement, nil if this
// Balancer does not run it. mu is held.
func (b *Balancer) carrier(k Key) *shard {
	var best *shard
	for _, s := range b.shards {
		if s.id.Count > 0 && b.placer.Place(k, s.id.Count) == s.id.Index {
			// While a generation takes over, the one that is up carries.
			if best == nil || s.state == Ready {
				best = s
			}
		}
	}
	return best
}

// linkOf returns the present connection of a shard.
func (b *Balancer) linkOf(id ShardID) *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shards {
		if s.id == id {
			if s.link != nil {
				return s.link
			}
			return s.last
		}
	}
	return nil
}
