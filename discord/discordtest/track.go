package discordtest

import (
	"slices"
	"sync"
	"time"
)

// state says whether a guild's events count for a judge.
type state int

const (
	idle      state = iota // never available, or not wanted any more
	tentative              // GUILD_CREATE was sent; nobody knows yet whether the client has read it
	firm                   // everything counts
)

// track is one guild as one judge sees it: the events that the client has not
// received yet, and counts of the others.
type track struct {
	j     *Judge
	guild uint64
	g     *guild

	mu     sync.Mutex // guards all below; no other lock is taken under it
	state  state
	froms  []ID  // while tentative: ids of the GUILD_CREATEs
	begun  ID    // first one ever
	passed [2]ID // events from the first on and before the second were not promised when the client came to know of the guild
	recs   []rec
	head   int
	last   ID            // of the newest event recorded
	top    map[uint64]ID // highest received, by channel
	gaps   []gap
	tally  tally
}

// tally counts what is decided for good.
type tally struct{ received, doubled, disordered, gaps, inGaps, lostLive, lostSilent int64 }

// rec is one event that is not received.
type rec struct {
	id      ID
	channel uint64
	could   bool // the client could have had it
}

// gap is a reported gap, in milliseconds, which is how exact ids are.
type gap struct{ from, to int64 }

func newGap(from, to time.Time) gap {
	return gap{from.UnixMilli(), to.Add(time.Millisecond - 1).UnixMilli()}
}

const (
	maxRecs = 1 << 16 // the older half of more is decided for good
	fewGaps = 8       // above this, those that nothing is missing in are forgotten
)

// sent records an event. It is called in the order of ids.
func (t *track) sent(id ID, channel uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == idle {
		return
	}
	if t.head == len(t.recs) {
		t.recs, t.head = t.recs[:0], 0
	}
	t.last = id
	t.recs = append(t.recs, rec{id: id, channel: channel})
	if len(t.recs)-t.head > maxRecs {
		t.decide(maxRecs / 2)
	}
}

// decide settles the n oldest events for good.
func (t *track) decide(n int) {
	for _, r := range t.recs[t.head : t.head+n] {
		switch {
		case t.state == tentative:
		case r.could:
			t.tally.lostLive++
		case t.inGap(t.j.s.mint.millis(r.id)):
			t.tally.inGaps++
		default:
			t.tally.lostSilent++
		}
	}
	t.recs = t.recs[:copy(t.recs, t.recs[t.head+n:])]
	t.head = 0
}

// find returns the index of an event's record.
func (t *track) find(id ID) (int, bool) {
	i, ok := slices.BinarySearchFunc(t.recs[t.head:], id, func(r rec, id ID) int {
		switch {
		case r.id < id:
			return -1
		case r.id > id:
			return 1
		}
		return 0
	})
	return t.head + i, ok
}

// reachable says that the client could have had an event.
func (t *track) reachable(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.find(id); ok {
		t.recs[i].could = true
	}
}

// received books an event as received and returns what was wrong with that.
func (t *track) received(id ID) (kind string, channel uint64, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == tentative { // proof that the client knows of the guild
		for i := len(t.froms) - 1; i >= 0; i-- {
			if t.froms[i] < id {
				t.believe(t.froms[i])
				break
			}
		}
	}
	i, ok := t.find(id)
	if !ok {
		if t.begun != 0 && id > t.begun && id <= t.last && (id < t.passed[0] || id >= t.passed[1]) {
			t.tally.doubled++
			return "doubled", 0, "received before"
		}
		t.j.foreign.Add(1) // not wanted any more, or never available
		return "", 0, ""
	}
	channel = t.recs[i].channel
	if i == t.head {
		t.head++
	} else {
		t.recs = slices.Delete(t.recs, i, i+1)
	}
	t.tally.received++
	if t.top == nil {
		t.top = make(map[uint64]ID)
	}
	if top := t.top[channel]; id < top {
		t.tally.disordered++
		return "out of order", channel, "after " + top.String()
	}
	t.top[channel] = id
	return "", channel, ""
}

// entered says that GUILD_CREATE went out under the id.
func (t *track) entered(from ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun == 0 {
		t.begun = from
	}
	switch t.state {
	case idle:
		t.state = tentative
		t.froms = append(t.froms[:0], from)
	case tentative:
		if len(t.froms) == 64 {
			t.froms = t.froms[1:]
		}
		t.froms = append(t.froms, from)
	}
}

// confirm says that the client has read the GUILD_CREATE of this id.
func (t *track) confirm(from ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == tentative {
		t.believe(from)
	}
}

// believe takes it that the client knows of the guild since from: what came
// before was never promised.
func (t *track) believe(from ID) {
	n, _ := t.find(from)
	if n > t.head {
		t.passed = [2]ID{t.recs[t.head].id, from}
	}
	t.head = n
	t.state, t.froms = firm, nil
}

// unwant says that nothing counts from now on until the guild is available
// again.
func (t *track) unwant() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == firm { // what is missing up to now is judged
		t.decide(len(t.recs) - t.head)
	}
	t.recs, t.head, t.state, t.froms = nil, 0, idle, nil
}

// gap adds a reported gap.
func (t *track) gap(g gap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tally.gaps++
	if n := len(t.gaps); n > 0 && g.from <= t.gaps[n-1].to && g.to >= t.gaps[n-1].from {
		t.gaps[n-1].from = min(t.gaps[n-1].from, g.from)
		t.gaps[n-1].to = max(t.gaps[n-1].to, g.to)
	} else {
		t.gaps = append(t.gaps, g)
	}
	if len(t.gaps) > fewGaps {
		oldest := time.Now().UnixMilli()
		if t.head < len(t.recs) {
			oldest = t.j.s.mint.millis(t.recs[t.head].id)
		}
		last := t.gaps[len(t.gaps)-1]
		t.gaps = slices.DeleteFunc(t.gaps, func(g gap) bool { return g.to < oldest && g != last })
	}
}

func (t *track) inGap(ms int64) bool {
	for _, g := range t.gaps {
		if g.from <= ms && ms <= g.to {
			return true
		}
	}
	return false
}
