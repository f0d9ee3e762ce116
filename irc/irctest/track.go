package irctest

import (
	"math"
	"slices"
	"sync"
	"time"
)

// state says whether a channel's messages count for a judge.
type state int

const (
	idle      state = iota // never joined, or not wanted any more
	tentative              // a JOIN was answered; nobody knows yet whether the client has read that
	firm                   // the client had a confirmed membership: everything counts
	parted                 // left on request; counts if the client comes back
)

// track is one channel as one judge sees it: the messages that the client has
// not received yet, and counts of the others.
type track struct {
	j  *Judge
	ch *channel

	mu      sync.Mutex // guards all below
	state   state
	live    int      // memberships of the judge's accounts
	froms   []uint64 // while tentative: where the memberships began
	leftAt  uint64   // serial at which the last one was parted
	begun   uint64   // first serial ever recorded
	base    uint64   // serial of recs[head]
	recs    []rec
	head    int
	strays  []stray // older than recs and not received; by serial
	top     uint64  // highest serial received
	gaps    []gap
	tally   tally
	dropped int64 // not received, and too many to remember
}

// tally counts what is decided for good.
type tally struct{ received, doubled, disordered, gaps, inGaps int64 }

type rec struct {
	ms    int64
	flags uint8
}

type stray struct {
	serial uint64
	rec
}

const (
	gotIt   = 1 << iota // received
	exempt              // need not be received
	swapped             // its successor overtook it on the wire
)

// gap is a reported gap, in milliseconds: services say when they sent a
// message to the millisecond, so the edges count as inside.
type gap struct{ from, to int64 }

const (
	maxRecs   = 1024    // unreceived messages at the front are set aside when there are more
	fewStrays = 1024    // above this, those that a gap explains are forgotten
	fewMillis = 60_000  // those missing for longer, too
	maxStrays = 1 << 18 // what exceeds this is counted as lost
	fewGaps   = 8       // above this, those that nothing is missing in are forgotten
)

// sent records a message. It is called in the order of serials.
func (t *track) sent(serial uint64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == idle {
		return
	}
	if t.head == len(t.recs) {
		t.recs, t.head, t.base = t.recs[:0], 0, serial
	}
	t.recs = append(t.recs, rec{ms: at.UnixMilli()})
	if len(t.recs)-t.head > maxRecs {
		t.shift()
	}
}

// shift sets the oldest record aside, with those received behind it dropped.
func (t *track) shift() {
	if r := t.recs[t.head]; r.flags&(gotIt|exempt) == 0 {
		if len(t.strays) == maxStrays {
			t.strays = slices.Delete(t.strays, 0, maxStrays/2)
			t.dropped += maxStrays / 2
		}
		t.strays = append(t.strays, stray{t.base, r})
	}
	t.head++
	t.base++
	t.pop()
}

// pop drops the records at the front that are settled.
func (t *track) pop() {
	for t.head < len(t.recs) && t.recs[t.head].flags&(gotIt|exempt) != 0 {
		t.head++
		t.base++
	}
	if t.head >= 64 && t.head > len(t.recs)/2 {
		t.recs = t.recs[:copy(t.recs, t.recs[t.head:])]
		t.head = 0
	}
}

// at returns the record of a serial, or nil.
func (t *track) at(serial uint64) *rec {
	if i := int(serial - t.base); serial >= t.base && t.head+i < len(t.recs) {
		return &t.recs[t.head+i]
	}
	return nil
}

// excuse says that a message need not be received: it was the client's own, or
// the connection had not asked for such lines.
func (t *track) excuse(serial uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.at(serial); r != nil {
		r.flags |= exempt
		t.pop()
	}
}

// overtaken says that the successor of a message went first on the wire.
func (t *track) overtaken(serial uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.at(serial); r != nil {
		r.flags |= swapped
	}
}

// entered says that a connection was joined.
func (t *track) entered(next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live++
	if t.state == tentative {
		t.froms = append(t.froms, next)
	}
	if t.state != idle {
		return
	}
	t.froms = append(t.froms[:0], next)
	for t.head < len(t.recs) { // of an earlier time when it was wanted
		t.shift()
	}
	t.state = tentative
	if t.begun == 0 {
		t.begun = next
	}
	t.base = next
}

// confirm says that the client has read the answer to a JOIN; over, that the
// membership was ended since.
func (t *track) confirm(from uint64, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !over {
		t.believe(from)
	}
}

// believe takes it that the client knows of a membership that began at from.
func (t *track) believe(from uint64) {
	if t.state == tentative { // what came before was never promised
		for i := t.head; i < len(t.recs) && t.base+uint64(i-t.head) < from; i++ {
			t.recs[i].flags |= exempt
		}
		t.strays = slices.DeleteFunc(t.strays, func(s stray) bool { return s.serial < from && s.serial >= t.begun })
		t.pop()
	}
	if t.state != idle {
		t.state = firm
		t.froms = nil
	}
}

// exited says that a membership ended.
func (t *track) exited(next uint64, asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live--
	if t.live != 0 || !asked {
		return
	}
	switch t.state {
	case firm:
		t.state, t.leftAt = parted, next
	case tentative: // nobody knows that the client ever knew
		t.forgive()
		t.state = idle
	}
}

// oldest returns the oldest serial that is not settled.
func (t *track) oldest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.strays) > 0 {
		return t.strays[0].serial
	}
	if t.head < len(t.recs) {
		return t.base
	}
	return forever
}

// oldestTime returns when the oldest message was sent that is not settled. The
// caller holds t.mu.
func (t *track) oldestTime() int64 {
	switch {
	case len(t.strays) > 0:
		return t.strays[0].ms
	case t.head < len(t.recs):
		return t.recs[t.head].ms
	}
	return math.MaxInt64
}

// unwant says that nothing sent from now on counts, until the channel is
// joined again.
func (t *track) unwant() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == tentative {
		t.forgive()
	}
	if t.state == parted {
		t.trim()
	}
	t.state = idle
}

// forgive lets everything that is not received be.
func (t *track) forgive() {
	for i := t.head; i < len(t.recs); i++ {
		t.recs[i].flags |= exempt
	}
	t.pop()
}

// trim forgets what was sent after the last part.
func (t *track) trim() {
	for i := t.head; i < len(t.recs); i++ {
		if t.base+uint64(i-t.head) >= t.leftAt {
			t.recs[i].flags |= exempt
		}
	}
	t.pop()
}
