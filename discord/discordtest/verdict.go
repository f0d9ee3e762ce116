package discordtest

import (
	"fmt"
	"time"
)

// Verdict is what a [Judge] found. Sent = Received + Lost + InGaps.
type Verdict struct {
	Guilds     int   // that were available to the client
	Sent       int64 // events that counted
	Received   int64 // at least once
	Lost       int64 // neither received nor excused by a gap; both kinds:
	LostLive   int64 // the client could have had it
	LostSilent int64 // it could not, but reported no gap
	Doubled    int64 // received once more
	OutOfOrder int64
	Gaps       int64 // reported, counted per guild
	InGaps     int64 // not received, not to be had, and in a reported gap
	Misrouted  int64 // received as of another guild
	Foreign    int64 // received, but not sent or not counted: unknown ids, and what came after Unwant
	Offences   []Offence
}

// OK reports that nothing was lost, doubled, misrouted or out of order.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Doubled == 0 && v.OutOfOrder == 0 && v.Misrouted == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("%d guilds: %d sent, %d received, %d lost (%d could be had, %d without a gap), %d doubled, %d out of order, %d in %d gaps",
		v.Guilds, v.Sent, v.Received, v.Lost, v.LostLive, v.LostSilent, v.Doubled, v.OutOfOrder, v.InGaps, v.Gaps)
}

// Verdict judges everything up to now. Events that are still on their way
// count as lost: end the load first and call it again until it is content, or
// the client has had its time. It changes nothing.
func (j *Judge) Verdict() Verdict {
	j.s.settleAll()
	v := Verdict{Foreign: j.foreign.Load(), Misrouted: j.misrouted.Load()}
	j.mu.RLock()
	v.Offences = append(v.Offences, j.offences...)
	j.mu.RUnlock()
	held := j.held()
	for _, t := range j.all() {
		t.judge(&v, held)
	}
	return v
}

// held returns the ids of the events that some session without a connection
// holds for a client that knows it and would resume it.
func (j *Judge) held() map[ID]bool {
	held := make(map[ID]bool)
	now := time.Now()
	for _, b := range j.bots {
		b.mu.RLock()
		all := make([]*session, 0, len(b.sessions))
		for _, x := range b.sessions {
			all = append(all, x)
		}
		b.mu.RUnlock()
		for _, x := range all {
			if conn, ok := x.usable(now); conn || !ok || !x.known.Load() {
				continue
			}
			x.mu.Lock()
			for _, p := range x.ring[x.head:] {
				if p.judged() {
					held[p.id] = true
				}
			}
			x.mu.Unlock()
		}
	}
	return held
}

// judge adds one guild to the verdict.
func (t *track) judge(v *Verdict, held map[ID]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.tally
	v.Sent += c.received + c.inGaps + c.lostLive + c.lostSilent
	v.Received += c.received
	v.Doubled += c.doubled
	v.OutOfOrder += c.disordered
	v.Gaps += c.gaps
	v.InGaps += c.inGaps
	v.LostLive += c.lostLive
	v.LostSilent += c.lostSilent
	v.Lost += c.lostLive + c.lostSilent
	if t.guild != 0 && (t.state == firm || c.received > 0) {
		v.Guilds++
	}
	if t.state != firm {
		return
	}
	for _, r := range t.recs[t.head:] {
		ms := t.j.s.mint.millis(r.id)
		v.Sent++
		gap := t.inGap(ms)
		detail := "nothing could deliver it, and no gap was reported"
		switch {
		case r.could:
			detail = "the client read it or gave its session away"
			v.LostLive++
		case held[r.id]:
			detail = "a session that holds it could be resumed"
			v.LostLive++
		case gap:
			v.InGaps++
			continue
		default:
			v.LostSilent++
		}
		v.Lost++
		if len(v.Offences) < maxOffences {
			key := ""
			if t.guild != 0 {
				key = ID(t.guild).String()
			}
			v.Offences = append(v.Offences, Offence{Kind: "lost", Key: key, Channel: r.channel, ID: r.id, Sent: time.UnixMilli(ms), Detail: detail})
		}
	}
}
