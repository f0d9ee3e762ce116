package irctest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Judge compares what a client received with what the server sent it. The
// client's side reports every message that reaches its handler with
// [Judge.Received], every gap with [Judge.Gap], and what it no longer wants
// with [Judge.Unwant]; [Judge.Verdict] says what was lost. Its definitions:
//
//   - A message is sent if it was broadcast in a channel that the client's
//     account had joined, knew to have joined, and still wants: from the first
//     confirmed JOIN on, outages included, until it parts for good.
//   - It is lost if it was not received and either lies in no reported gap of
//     its channel, or some connection could have delivered it: one that was
//     joined at the time, had it written, and lived until the client could
//     read it.
//   - It is in a gap if it was not received, could not be delivered, and a gap
//     was reported.
//   - It is doubled if it was received more than once, whatever the reason.
//   - It is out of order if a later message of its channel was received
//     before, unless the Reorder fault had them swapped on the wire.
//
// In memory the server knows what the client has read. On real sockets it does
// not: what was written within [Config.Unsure] of a connection's end may be
// missing if a gap covers it, and counts as lost otherwise.
//
// Messages are known by their ids; lines that carry none (CLEARCHAT, NOTICE)
// are not judged. Safe for concurrent use.
type Judge struct {
	s      *Server
	logins []string // folded; nil: everyone

	foreign   atomic.Int64
	misrouted atomic.Int64

	mu       sync.RWMutex // guards what follows
	tracks   []*track     // by channel number
	offences []Offence
	gapCalls int64
}

// maxOffences is how many a Verdict describes.
const maxOffences = 20

// Offence describes one message that went wrong.
type Offence struct {
	Kind    string // "lost", "doubled", "out of order", "misrouted"
	Channel string
	ID      string
	Serial  uint64
	Sent    time.Time // to the millisecond; zero if not known any more
	Detail  string
}

func (o Offence) String() string {
	return fmt.Sprintf("%s: %s #%d %s sent %s: %s", o.Kind, o.Channel, o.Serial, o.ID, o.Sent.Format("15:04:05.000"), o.Detail)
}

// Judge returns a judge of the client that uses the given accounts, all of
// them together; "justinfan" stands for all anonymous connections, and no
// login for every connection. Make it before the client connects.
func (s *Server) Judge(logins ...string) *Judge {
	j := &Judge{s: s}
	for _, l := range logins {
		j.logins = append(j.logins, s.prof.casefold(l))
	}
	s.mu.Lock()
	s.judges = append(s.judges, j)
	list := slices.Clone(s.list)
	s.mu.Unlock()
	for _, ch := range list {
		ch.mu.Lock()
		j.track(ch)
		ch.mu.Unlock()
	}
	return j
}

// watches reports whether connections of an account concern the judge.
func (j *Judge) watches(a *account) bool {
	return a != nil && (j.logins == nil || slices.Contains(j.logins, j.s.prof.casefold(a.login)))
}

// track makes the judge watch a channel. The caller holds ch.mu, or has the
// channel for itself.
func (j *Judge) track(ch *channel) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.tracks) <= int(ch.num) {
		j.tracks = append(j.tracks, nil)
	}
	if j.tracks[ch.num] != nil {
		return
	}
	t := &track{j: j, ch: ch}
	j.tracks[ch.num] = t
	ch.tracks = append(ch.tracks, t)
}

func (j *Judge) get(num uint32) *track {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if int(num) < len(j.tracks) {
		return j.tracks[num]
	}
	return nil
}

func (j *Judge) all() []*track {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(j.tracks), func(t *track) bool { return t == nil })
}

// Received reports that a message reached the client's handler as one of the
// given channel, at the given time. Calls for one channel are made in the
// order in which the handler saw the messages.
func (j *Judge) Received(channel, id string, at time.Time) {
	num, serial, ok := j.s.mint.parse(id)
	if !ok {
		j.foreign.Add(1)
		return
	}
	t := j.get(num)
	if t == nil {
		j.foreign.Add(1)
		return
	}
	l := t.ch.label.Load()
	if channel != l.name && channel != l.wire {
		if name := j.s.prof.fold(channel); name != l.name && (l.old == "" || name != l.old) {
			j.misrouted.Add(1)
			j.offend(Offence{Kind: "misrouted", Channel: l.wire, ID: id, Serial: serial, Detail: "received as of " + channel})
			return
		}
	}
	kind, sent, detail := t.received(serial)
	if kind != "" {
		j.offend(Offence{Kind: kind, Channel: l.wire, ID: id, Serial: serial, Sent: sent,
			Detail: detail + ", received at " + at.Format("15:04:05.000")})
	}
}

// received books a message as received and returns what was wrong with that.
func (t *track) received(serial uint64) (kind string, sent time.Time, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == tentative {
		t.proven(serial)
	}
	r := t.at(serial)
	if r == nil {
		i, found := slices.BinarySearchFunc(t.strays, serial, func(s stray, n uint64) int {
			switch {
			case s.serial < n:
				return -1
			case s.serial > n:
				return 1
			}
			return 0
		})
		switch {
		case found:
			sent = time.UnixMilli(t.strays[i].ms)
			t.strays = slices.Delete(t.strays, i, i+1)
			t.tally.received++
			return t.order(serial, 0, sent)
		case t.begun != 0 && serial >= t.begun && serial < t.base:
			t.tally.doubled++
			return "doubled", sent, "received before"
		}
		t.j.foreign.Add(1) // not wanted any more, or never joined
		return "", sent, ""
	}
	sent = time.UnixMilli(r.ms)
	if r.flags&gotIt != 0 {
		t.tally.doubled++
		return "doubled", sent, "received before"
	}
	r.flags |= gotIt
	t.tally.received++
	kind, sent, detail = t.order(serial, r.flags, sent)
	t.pop()
	return kind, sent, detail
}

// proven takes a message received as proof that the client knows of the last
// membership that can have brought it.
func (t *track) proven(serial uint64) {
	for i := len(t.froms) - 1; i >= 0; i-- {
		if t.froms[i] <= serial {
			t.believe(t.froms[i])
			return
		}
	}
}

// order checks a message's place among those of its channel.
func (t *track) order(serial uint64, flags uint8, sent time.Time) (string, time.Time, string) {
	if serial > t.top {
		t.top = serial
		return "", sent, ""
	}
	if flags&swapped != 0 && t.top == serial+1 {
		return "", sent, ""
	}
	t.tally.disordered++
	return "out of order", sent, fmt.Sprintf("after #%d", t.top)
}

func (j *Judge) offend(o Offence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.offences) < maxOffences {
		j.offences = append(j.offences, o)
	}
}

// Gap reports that the client may have missed messages of the channels sent
// after from and not after to. No channel means every channel.
func (j *Judge) Gap(from, to time.Time, channels ...string) {
	j.mu.Lock()
	j.gapCalls++
	j.mu.Unlock()
	g := gap{from.UnixMilli(), to.Add(time.Millisecond - 1).UnixMilli()}
	if len(channels) == 0 {
		for _, t := range j.all() {
			t.gap(g)
		}
		return
	}
	for _, name := range channels {
		if ch := j.s.lookup(name); ch != nil {
			if t := j.get(ch.num); t != nil {
				t.gap(g)
			}
		}
	}
}

// Unwant says that the client no longer wants the channels: what is sent from
// now on counts again only after another confirmed JOIN. No channel means
// every channel. Call it before the client parts or shuts down, since messages
// already on their way to it would count as lost.
func (j *Judge) Unwant(channels ...string) {
	if len(channels) == 0 {
		for _, t := range j.all() {
			t.unwant()
		}
		return
	}
	for _, name := range channels {
		if ch := j.s.lookup(name); ch != nil {
			if t := j.get(ch.num); t != nil {
				t.unwant()
			}
		}
	}
}

// gap adds a reported gap. Where messages have been missing for long, or many
// are, those that it explains for good are counted and forgotten.
func (t *track) gap(g gap) {
	t.ch.mu.Lock()
	defer t.ch.mu.Unlock()
	t.mu.Lock()
	old := g.to - fewMillis
	if len(t.strays) > fewStrays {
		old = math.MaxInt64
	}
	some := t.state == firm && t.oldestTime() < old
	t.mu.Unlock()
	var spans []span
	if some {
		spans = t.ch.reach(t)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tally.gaps++
	if n := len(t.gaps); n > 0 && g.from <= t.gaps[n-1].to && g.to >= t.gaps[n-1].from {
		t.gaps[n-1].from = min(t.gaps[n-1].from, g.from)
		t.gaps[n-1].to = max(t.gaps[n-1].to, g.to)
	} else {
		t.gaps = append(t.gaps, g)
	}
	if some && t.state == firm {
		explained := func(serial uint64, ms int64) bool {
			gone := ms < old && t.inGap(ms) && !within(spans, serial)
			if gone {
				t.tally.inGaps++
			}
			return gone
		}
		t.strays = slices.DeleteFunc(t.strays, func(s stray) bool { return explained(s.serial, s.ms) })
		for i := t.head; i < len(t.recs); i++ {
			if r := &t.recs[i]; r.flags&(gotIt|exempt) == 0 && explained(t.base+uint64(i-t.head), r.ms) {
				r.flags |= exempt
			}
		}
		t.pop()
	}
	if len(t.gaps) > fewGaps {
		oldest := t.oldestTime()
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
