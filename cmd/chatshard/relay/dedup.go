package relay

import (
	"hash/maphash"
	"strings"
	"time"
)

// window remembers which IDs were appended: for at least its span, in two
// generations of 64-bit hashes, of which the older is forgotten as the younger
// has become as old as the span or full. When it is full, what it remembers
// goes back less far: then a second copy may pass, and none is lost.
//
// It is not safe for concurrent use, but for key.
type window struct {
	span       time.Duration
	max        int // hashes in a generation
	seed       maphash.Seed
	young, old map[uint64]struct{}
	began      time.Time // of the young generation
}

func newWindow(span time.Duration, max int) *window {
	return &window{span: span, max: max, seed: maphash.MakeSeed(), young: map[uint64]struct{}{}}
}

// key returns what the ID of an entry is remembered by; 0 for none. IDs are
// unique within platform and network.
func (w *window) key(e *Entry) uint64 {
	if e.ID == "" {
		return 0
	}
	var buf [2 * maxToken]byte
	p := appendToken(buf[:0], e.Subject.Platform)
	n := appendToken(p, networkOf(e.Subject))
	return w.hash(p, n[len(p):], e.ID)
}

func networkOf(s Subject) string {
	if s.Platform == "irc" {
		return s.Network
	}
	return ""
}

// storedKey is key for an entry of which only the name and the ID are known.
func (w *window) storedKey(name, id string) uint64 {
	t := strings.Split(name, ".")
	if len(t) != 6 || id == "" {
		return 0
	}
	network := emptyToken
	if t[1] == "irc" {
		network = t[2]
	}
	return w.hash([]byte(t[1]), []byte(network), id)
}

func (w *window) hash(platform, network []byte, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(w.seed)
	h.Write(platform)
	h.WriteByte('.')
	h.Write(network)
	h.WriteByte('.')
	h.WriteString(id)
	return h.Sum64() | 1
}

// add remembers a hash and reports whether it was known.
func (w *window) add(h uint64, now time.Time) bool {
	if h == 0 {
		return false
	}
	w.turn(now)
	if _, ok := w.young[h]; ok {
		return true
	}
	if _, ok := w.old[h]; ok {
		return true
	}
	w.young[h] = struct{}{}
	return false
}

// forget makes the next copy of what was not kept after all the first.
func (w *window) forget(h uint64) {
	delete(w.young, h)
	delete(w.old, h)
}

func (w *window) turn(now time.Time) {
	if w.began.IsZero() {
		w.began = now
	}
	age := now.Sub(w.began)
	switch {
	case age >= 2*w.span:
		w.old, w.young, w.began = nil, map[uint64]struct{}{}, now
	case age >= w.span || len(w.young) >= w.max:
		w.old, w.young, w.began = w.young, make(map[uint64]struct{}, len(w.young)/2), now
	}
}
