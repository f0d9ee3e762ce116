package discord

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// cacheTable is a bounded map of one kind of thing, of which those of one guild can
// be dropped together. It is divided into stripes with a lock each, so that
// shards do not wait for each other.
//
// A full stripe forgets by the clock algorithm: a hand goes round, passes over
// what was read since it last came by, and takes the first that was not.
type cacheTable[K comparable, V any] struct {
	seed    maphash.Seed
	stripes []cacheStripe[K, V]
}

type cacheStripe[K comparable, V any] struct {
	max int

	mu     sync.RWMutex // guards what follows
	at     map[K]*cacheSlot[K, V]
	ring   []*cacheSlot[K, V]
	hand   int
	guilds map[ID]map[K]struct{} // what belongs to a guild
}

type cacheSlot[K comparable, V any] struct {
	key   K
	guild ID
	value V
	index int         // in the ring
	read  atomic.Bool // since the hand last came by
}

// newCacheTable returns a table of at most max entries; of none for max < 1.
func newCacheTable[K comparable, V any](max int) *cacheTable[K, V] {
	n := min(64, 1+max/256)
	if max < 1 {
		n = 1
	}
	t := &cacheTable[K, V]{seed: maphash.MakeSeed(), stripes: make([]cacheStripe[K, V], n)}
	for i := range t.stripes {
		t.stripes[i] = cacheStripe[K, V]{max: max / n, at: map[K]*cacheSlot[K, V]{}, guilds: map[ID]map[K]struct{}{}}
	}
	return t
}

func (t *cacheTable[K, V]) stripe(k K) *cacheStripe[K, V] {
	if len(t.stripes) == 1 {
		return &t.stripes[0]
	}
	return &t.stripes[maphash.Comparable(t.seed, k)%uint64(len(t.stripes))]
}

func (t *cacheTable[K, V]) get(k K) (v V, ok bool) {
	s := t.stripe(k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.at[k]
	if !ok {
		return v, false
	}
	if !e.read.Load() { // do not make every reader write
		e.read.Store(true)
	}
	return e.value, true
}

// change sets k to what f makes of its value, unless f says to leave it. f must
// be quick: it is called with the stripe locked.
func (t *cacheTable[K, V]) change(k K, guild ID, f func(old V, known bool) (v V, set bool)) {
	s := t.stripe(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.at[k]
	var old V
	if known {
		old = e.value
	}
	v, set := f(old, known)
	switch {
	case !set || s.max < 1:
	case known && e.guild == guild:
		e.value = v
	default:
		if known {
			s.remove(e)
		}
		s.add(&cacheSlot[K, V]{key: k, guild: guild, value: v})
	}
}

func (t *cacheTable[K, V]) put(k K, guild ID, v V) {
	t.change(k, guild, func(V, bool) (V, bool) { return v, true })
}

func (t *cacheTable[K, V]) remove(k K) {
	s := t.stripe(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.at[k]; ok {
		s.remove(e)
	}
}

// retain drops what belongs to a guild, except what keep reports true for.
func (t *cacheTable[K, V]) retain(guild ID, keep func(K, V) bool) {
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		for k := range s.guilds[guild] {
			if e := s.at[k]; !keep(k, e.value) {
				s.remove(e)
			}
		}
		s.mu.Unlock()
	}
}

func (t *cacheTable[K, V]) drop(guild ID) {
	t.retain(guild, func(K, V) bool { return false })
}

// keys returns those whose value f reports true for; f may change the value.
func (t *cacheTable[K, V]) keys(f func(K, *V) bool) []K {
	var found []K
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		for _, e := range s.ring {
			if f(e.key, &e.value) {
				found = append(found, e.key)
			}
		}
		s.mu.Unlock()
	}
	return found
}

// add puts a new entry into the ring, in place of another one if it is full.
func (s *cacheStripe[K, V]) add(e *cacheSlot[K, V]) {
	if len(s.ring) < s.max {
		e.index = len(s.ring)
		s.ring = append(s.ring, e)
	} else {
		for s.ring[s.hand].read.Swap(false) {
			s.hand = (s.hand + 1) % len(s.ring)
		}
		s.forget(s.ring[s.hand])
		e.index = s.hand
		s.ring[s.hand] = e
		s.hand = (s.hand + 1) % len(s.ring)
	}
	s.at[e.key] = e
	if e.guild != "" {
		if s.guilds[e.guild] == nil {
			s.guilds[e.guild] = map[K]struct{}{}
		}
		s.guilds[e.guild][e.key] = struct{}{}
	}
}

// remove takes an entry out of the ring, and puts the last one in its place.
func (s *cacheStripe[K, V]) remove(e *cacheSlot[K, V]) {
	s.forget(e)
	end := len(s.ring) - 1
	s.ring[e.index] = s.ring[end]
	s.ring[e.index].index = e.index
	s.ring[end] = nil
	s.ring = s.ring[:end]
	if s.hand >= end {
		s.hand = 0
	}
}

// forget takes an entry out of all but the ring.
func (s *cacheStripe[K, V]) forget(e *cacheSlot[K, V]) {
	delete(s.at, e.key)
	if of := s.guilds[e.guild]; of != nil {
		delete(of, e.key)
		if len(of) == 0 {
			delete(s.guilds, e.guild)
		}
	}
}
