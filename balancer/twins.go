package balancer

import "time"

// The two ends of a handover.
const (
	fromSource = 0
	fromTarget = 1
)

const (
	twinFor = 30 * time.Second // how long an ID is remembered
	twinMax = 1 << 16          // how many are remembered at most

	// resumeFor is how long both are remembered where an end may be away, resume,
	// and replay what the other one has delivered long since.
	resumeFor = 10 * time.Minute
)

// twins remembers what the two ends of a handover delivered, to drop second
// copies. An ID is dropped if any end delivered it before. A payload without
// ID is dropped only as a twin: occurrence n at one end against occurrence n
// at the other, because a service may well send the same line twice. Such
// occurrences are forgotten after one overlap, so that one which only one end
// saw, from before the other joined, cannot swallow a later one. Where an end
// may resume and replay, they are kept for longer, until the source goes.
type twins struct {
	keepFor time.Duration // how long payloads without ID are remembered
	idsFor  time.Duration // and IDs
	keep    bool          // the target is held back: nothing is forgotten until its events are compared
	seen    map[uint64][2]int32
	ids     fifo // of IDs, forgotten after idsFor
	hashes  fifo // of payloads without ID, forgotten after keepFor
}

type sighting struct {
	at  time.Time
	h   uint64
	end int8
}

// second notes that an end received h, and reports whether it is the second
// copy of what was received before.
func (t *twins) second(end int, h uint64, hasID bool, now time.Time) bool {
	if t.seen == nil {
		t.seen = make(map[uint64][2]int32)
	}
	t.forget(now)
	c := t.seen[h]
	dup := c[0]+c[1] > 0
	c[end]++
	f := &t.ids
	if !hasID {
		dup = c[end] <= c[1-end]
		f = &t.hashes
	}
	t.seen[h] = c
	f.push(sighting{now, h, int8(end)})
	return dup
}

// match notes that an end received a copy of what the other one delivered.
func (t *twins) match(end int, h uint64, now time.Time) {
	if c := t.seen[h]; c[1-end] > 0 {
		c[end]++
		t.seen[h] = c
		t.ids.push(sighting{now, h, int8(end)})
	}
}

// silent reports whether an end delivered none of what the other one delivered
// between from and to. Only IDs count: what has none may concern one
// connection alone.
func (t *twins) silent(end int, from, to time.Time) bool {
	missing := false
	for _, s := range t.ids.s[t.ids.head:] {
		if int(s.end) == end || s.at.Before(from) || !s.at.Before(to) {
			continue
		}
		if t.seen[s.h][end] > 0 {
			return false
		}
		missing = true
	}
	return missing
}

// only drops what is known of payloads without ID that were seen before at.
func (t *twins) only(at time.Time) {
	for t.hashes.len() > 0 && t.hashes.front().at.Before(at) {
		t.drop(t.hashes.pop())
	}
}

func (t *twins) forget(now time.Time) {
	if t.keep {
		return
	}
	t.only(now.Add(-t.keepFor))
	for t.hashes.len() > twinMax {
		t.drop(t.hashes.pop())
	}
	for t.ids.len() > 0 && (t.ids.len() > twinMax || now.Sub(t.ids.front().at) > t.idsFor) {
		t.drop(t.ids.pop())
	}
}

func (t *twins) drop(s sighting) {
	c := t.seen[s.h]
	c[s.end]--
	if c == [2]int32{} {
		delete(t.seen, s.h)
	} else {
		t.seen[s.h] = c
	}
}

// fifo is a queue of sightings in one slice.
type fifo struct {
	s    []sighting
	head int
}

func (f *fifo) len() int         { return len(f.s) - f.head }
func (f *fifo) front() *sighting { return &f.s[f.head] }
func (f *fifo) push(s sighting)  { f.s = append(f.s, s) }
func (f *fifo) pop() sighting {
	s := f.s[f.head]
	f.head++
	if f.head*2 > len(f.s) {
		f.s = f.s[:copy(f.s, f.s[f.head:])]
		f.head = 0
	}
	return s
}
