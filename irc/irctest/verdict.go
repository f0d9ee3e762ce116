package irctest

import (
	"fmt"
	"time"
)

// Verdict is what a [Judge] found. Sent = Received + Lost + InGaps.
type Verdict struct {
	Channels   int   // that had a confirmed membership
	Sent       int64 // messages that counted
	Received   int64 // at least once
	Lost       int64 // neither received nor excused by a gap; both kinds:
	LostLive   int64 // could have been delivered on a live connection
	LostSilent int64 // could not, but no gap was reported
	Duplicated int64 // received once more
	OutOfOrder int64
	Gaps       int64 // reported, counted per channel
	InGaps     int64 // not received, not deliverable, and in a reported gap
	Misrouted  int64 // received as of another channel
	Foreign    int64 // received, but not sent or not counted: unknown ids, and what came after Unwant
	Offences   []Offence
}

// OK reports that nothing was lost, doubled, misrouted or out of order.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.OutOfOrder == 0 && v.Misrouted == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("%d channels: %d sent, %d received, %d lost (%d deliverable, %d without a gap), %d doubled, %d out of order, %d in %d gaps",
		v.Channels, v.Sent, v.Received, v.Lost, v.LostLive, v.LostSilent, v.Duplicated, v.OutOfOrder, v.InGaps, v.Gaps)
}

// Verdict judges everything up to now. Messages that are still on their way
// count as lost: end the load first and call it again until it is content, or
// the client has had its time. It changes nothing.
func (j *Judge) Verdict() Verdict {
	v := Verdict{Foreign: j.foreign.Load(), Misrouted: j.misrouted.Load()}
	j.mu.RLock()
	v.Offences = append(v.Offences, j.offences...)
	j.mu.RUnlock()
	for _, t := range j.all() {
		t.judge(&v)
	}
	return v
}

// judge adds one channel to the verdict.
func (t *track) judge(v *Verdict) {
	t.ch.mu.Lock()
	defer t.ch.mu.Unlock()
	spans := t.ch.reach(t) // settles the connections, which confirms memberships
	name := t.ch.wire
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun == 0 {
		return
	}
	if t.state != tentative {
		v.Channels++
	}
	c := t.tally
	v.Received += c.received
	v.Sent += c.received
	v.Duplicated += c.doubled
	v.OutOfOrder += c.disordered
	v.Gaps += c.gaps
	v.InGaps += c.inGaps
	v.Sent += c.inGaps + t.dropped
	v.Lost += t.dropped
	v.LostSilent += t.dropped
	missing := func(serial uint64, ms int64) {
		switch {
		case t.state == tentative, t.state == parted && serial >= t.leftAt:
			return
		}
		v.Sent++
		live, gap := within(spans, serial), t.inGap(ms)
		detail := "no connection could deliver it, and no gap was reported"
		switch {
		case live && gap:
			v.LostLive++
			detail = "inside a gap, but a live connection could deliver it"
		case live:
			v.LostLive++
			detail = "a live connection could deliver it"
		case gap:
			v.InGaps++
			return
		default:
			v.LostSilent++
		}
		v.Lost++
		if len(v.Offences) < maxOffences {
			id := t.j.s.mint.append(nil, t.ch.num, serial)
			v.Offences = append(v.Offences, Offence{Kind: "lost", Channel: name, ID: string(id),
				Serial: serial, Sent: time.UnixMilli(ms), Detail: detail})
		}
	}
	for _, s := range t.strays {
		missing(s.serial, s.ms)
	}
	for i := t.head; i < len(t.recs); i++ {
		if r := t.recs[i]; r.flags&(gotIt|exempt) == 0 {
			missing(t.base+uint64(i-t.head), r.ms)
		}
	}
}
