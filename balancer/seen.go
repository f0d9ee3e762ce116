package balancer

import (
	"hash/maphash"
	"time"
)

// idSeed makes the hashes of IDs unpredictable to a peer.
var idSeed = maphash.MakeSeed()

// hashID maps an ID to a non-zero hash. 64 bits are enough to take equal
// hashes for equal IDs: with 2^16 IDs remembered, a message is mistaken for
// another one with probability 2^-48.
func hashID(id string) uint64 { return maphash.String(idSeed, id) | 1 }

// fingerprint is what tells e from other events: its ID, else the hash of its
// payload. ok is false for events that cannot be told apart.
func fingerprint(e *Event) (h uint64, hasID, ok bool) {
	if e.ID != "" {
		return hashID(e.ID), true, true
	}
	if f, is := e.Data.(Fingerprinter); is {
		return f.Fingerprint() &^ 1, false, true
	}
	return 0, false, false
}

const (
	seenFor = 30 * time.Second // how long a service's own repeats are dropped
	seenMax = 1 << 14          // IDs in one half of a window; a faster shard remembers for less long
)

// seen is the window in which a service's own repeats of an ID are dropped:
// "it may also send a message multiple times" (Twitch, chat/irc). It is two
// sets, the older of which is forgotten when the newer is seenFor old or full,
// so that it needs no time per ID. It belongs to one reader.
type seen struct {
	cur, old hashSet
	turned   time.Time
}

// again reports whether h was added before, and adds it.
func (s *seen) again(h uint64, now time.Time) bool {
	if s.cur.n >= seenMax || now.Sub(s.turned) >= seenFor {
		s.cur, s.old = s.old, s.cur
		s.cur.clear()
		if now.Sub(s.turned) >= 2*seenFor {
			s.old.clear()
		}
		s.turned = now
	}
	if s.old.n > 0 && s.old.has(h) {
		return true
	}
	return !s.cur.add(h)
}

// has reports whether h was added within the window.
func (s *seen) has(h uint64) bool {
	return s.cur.n > 0 && s.cur.has(h) || s.old.n > 0 && s.old.has(h)
}

// hashSet is a set of non-zero hashes: open addressing, linear probing, at
// most half full.
type hashSet struct {
	slots []uint64
	n     int
}

func (s *hashSet) has(h uint64) bool {
	mask := uint64(len(s.slots) - 1)
	for i := (h >> 8) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == h {
			return true
		}
	}
	return false
}

// add reports whether h was new.
func (s *hashSet) add(h uint64) bool {
	if 2*s.n >= len(s.slots) {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	i := (h >> 8) & mask
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == h {
			return false
		}
	}
	s.slots[i] = h
	s.n++
	return true
}

func (s *hashSet) grow() {
	old := s.slots
	s.slots, s.n = make([]uint64, max(16, 2*len(old))), 0
	for _, h := range old {
		if h != 0 {
			s.add(h)
		}
	}
}

// clear empties the set and gives back the memory of a rush that has passed.
func (s *hashSet) clear() {
	if len(s.slots) > 64 && 8*s.n < len(s.slots) {
		s.slots = nil
	}
	clear(s.slots)
	s.n = 0
}
