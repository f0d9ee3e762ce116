package balancer

import (
	"sync"
	"time"
)

// phase is where a handover stands. The order is that of a life; a handover
// that is given up goes from any phase to aborted.
type phase uint8

const (
	remember phase = iota // what the source delivers is remembered; the target is being joined or dialled
	hold                  // the service confirmed the target: what it sends is held for one overlap
	both                  // both deliver, second copies are dropped
	settle                // the source is gone; what it delivered is remembered for one overlap
	park                  // the target's events wait until the source's queue is drained
	finished              // the target delivers into its own queue
	aborted               // the target is gone; what it delivered is remembered for one overlap
)

// heldMax is how many events of a target are held. A target so busy is let in
// before its overlap is over: by then the source has caught up or never will.
const heldMax = 1 << 14

// handover moves one key from one connection to another, or lets one shard of
// a new generation take its keys over. Both ends come here with each event of
// such a key; what passes goes into one queue, in one order, once.
//
// Holding the target back for one overlap is what keeps the order: until then
// the source may still have to deliver what was sent before the target's first
// event. From then on the end that is ahead delivers and the other one's
// copies are dropped.
type handover struct {
	from, to *link            // both nil for a new generation: its sources are many, its target may reconnect
	dest     *shard           // that of the target
	route    func(Key) *queue // the source's queue
	overlap  time.Duration

	mu          sync.Mutex // guards all below; never held while waiting or calling out
	phase       phase
	twins       twins
	held        []Event         // of the target, while remember and hold last
	bereft      map[int][]Event // of sources that have lost their session, by index: see bereft.go
	parked      []Event         // of the target, while park lasts
	marks       int             // queues that are not drained yet, while park lasts
	askedAt     time.Time
	confirmedAt time.Time
	gapFrom     time.Time // when the source was lost before the target was confirmed
	gapErr      error
	lastTarget  time.Time // when the service sent the target's last event, once it ended

	onDone func()

	// Of the loop, under Balancer.mu.
	sent    bool // the target was asked for
	parting bool // the source was asked to part
	gone    bool // the source delivers no more
	breaks  bool // break-first: the source is parted before the target is joined
	ending  bool // finish was called
}

func newHandover(from, to *link, dest *shard, overlap time.Duration, route func(Key) *queue) *handover {
	return &handover{from: from, to: to, dest: dest, overlap: overlap, route: route, twins: twins{keepFor: overlap, idsFor: twinFor}}
}

// source takes an event of the source.
func (h *handover) source(e *Event, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.link.repeated(e, now) {
		e.link.handled(e.Seq)
		return
	}
	if !h.withhold(e) {
		h.pass(fromSource, e, now)
	}
}

// target takes an event of the target.
func (h *handover) target(e *Event, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.link.repeated(e, now) {
		e.link.handled(e.Seq)
		return
	}
	switch {
	case h.phase == finished:
		h.dest.q.append(*e)
	case h.phase != hold && h.phase != remember && h.phase != aborted, isUrgent(e):
		h.pass(fromTarget, e, now)
	default:
		if h.phase == remember && len(h.held) >= heldMax {
			// Not all of its keys are there yet, and the source delivers them all.
			e.link.handled(h.held[0].Seq)
			h.held[0] = Event{}
			h.held = h.held[1:]
		}
		h.held = append(h.held, *e)
		if h.phase == hold && len(h.held) >= heldMax {
			h.open()
		}
	}
}

func isUrgent(e *Event) bool {
	u, ok := e.Data.(Urgent)
	return ok && e.ID != "" && u.Urgent()
}

// pass lets e through unless it is a second copy. mu is held.
func (h *handover) pass(end int, e *Event, now time.Time) {
	id, hasID, ok := fingerprint(e)
	// What the source saw it has delivered, before this handover too.
	second := ok && hasID && end == fromTarget && h.from != nil && h.from.saw(id)
	if second {
		h.twins.match(end, id, now)
	}
	if second || ok && h.twins.second(end, id, hasID, now) {
		e.link.handled(e.Seq)
		return
	}
	switch {
	case h.phase == park && end == fromTarget && isUrgent(e):
		h.dest.q.append(*e)
	case h.phase == park && end == fromTarget:
		h.parked = append(h.parked, *e)
		h.dest.q.reserve(max(e.Size, minSize)) // so that the target's reader waits when there are too many
		if len(h.parked) > heldMax {           // it does not wait under DropOldest
			h.dest.q.drop(&h.parked[0])
			h.parked = h.parked[1:]
		}
	case h.phase == finished:
		h.dest.q.append(*e)
	default:
		h.route(e.Key).append(*e)
	}
}

// asked notes that the target is about to be joined.
func (h *handover) asked(now time.Time) {
	h.mu.Lock()
	h.askedAt = now
	h.mu.Unlock()
}

// confirm notes that the service confirmed the target. It reports false if
// that changes nothing.
func (h *handover) confirm(key Key, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != remember {
		return false
	}
	h.phase, h.confirmedAt = hold, now
	h.twins.only(h.askedAt)
	h.twins.keep = true
	if !h.gapFrom.IsZero() {
		h.sayGap(key, h.gapFrom, now, h.gapErr)
		h.open()
		h.phase = settle
	}
	return true
}

// sourceGone notes that the source delivers no more: because it was parted
// (err is nil), or because its connection ended, last being when the service
// sent its last event. If that was before the target was confirmed, what was
// sent between is missing.
func (h *handover) sourceGone(key Key, last time.Time, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.phase {
	case remember:
		if h.gapFrom.IsZero() || last.Before(h.gapFrom) {
			h.gapFrom, h.gapErr = last, err
		}
	case hold, both:
		if err != nil && last.Before(h.confirmedAt) {
			h.sayGap(key, last, h.confirmedAt, err)
		}
		h.open()
		h.phase = settle
	}
}

// open lets the target in: what was held and is no copy goes first.
func (h *handover) open() {
	if h.phase != hold {
		return
	}
	h.phase = both
	h.letIn()
}

// letIn delivers what was held and is no copy. mu is held.
func (h *handover) letIn() {
	held := h.held
	h.held = nil
	for i := range held {
		h.pass(fromTarget, &held[i], held[i].received())
	}
	h.twins.keep = false
}

// instead delivers what the target has of some keys and still holds back, since
// their source has lost its session and will not deliver it. The target goes on
// to be held back.
func (h *handover) instead(of func(Key) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != hold && h.phase != remember {
		return
	}
	kept := h.held[:0]
	for i := range h.held {
		if e := &h.held[i]; of(e.Key) {
			h.pass(fromTarget, e, e.received())
		} else {
			kept = append(kept, *e)
		}
	}
	clear(h.held[len(kept):])
	h.held = kept
}

// again holds a target back until it is confirmed and released once more.
func (h *handover) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == hold || h.phase == both {
		h.phase = remember
		h.twins.keep = true
	}
}

// release ends hold after its overlap.
func (h *handover) release() {
	h.mu.Lock()
	h.open()
	h.mu.Unlock()
}

// resumable says that an end may come back late and replay what it missed.
func (h *handover) resumable() *handover {
	h.twins.keepFor, h.twins.idsFor = resumeFor, resumeFor
	return h
}

// silence notes that the sources of a new generation are gone.
func (h *handover) silence(now time.Time) {
	h.mu.Lock()
	h.twins.keepFor, h.twins.idsFor = h.overlap, twinFor
	h.twins.only(now.Add(-h.overlap))
	h.mu.Unlock()
}

// finish forgets the IDs and sends the target's events to its own queue as
// soon as the queues that carried them until now are drained. done is called
// then, by another goroutine or before finish returns.
func (h *handover) finish(queues []*queue, done func()) {
	h.mu.Lock()
	h.open()
	h.allGoOn()
	h.phase = park
	h.onDone = done
	h.marks = 1
	for _, q := range queues {
		if q != h.dest.q {
			h.marks++
			q.append(Event{Data: mark{h.drained}})
		}
	}
	h.mu.Unlock()
	h.drained()
}

// drained is called when one of the queues has handled all that the handover
// put there.
func (h *handover) drained() {
	h.mu.Lock()
	h.marks--
	last := h.marks == 0
	if last {
		for i := range h.parked {
			h.dest.q.reserve(-max(h.parked[i].Size, minSize))
		}
		if len(h.parked) > 0 {
			h.dest.q.append(h.parked...)
		}
		h.parked, h.held, h.twins = nil, nil, twins{}
		h.phase = finished
	}
	h.mu.Unlock()
	if last && h.onDone != nil {
		h.onDone()
	}
}

// abort gives the handover up because the target is gone. What was held is
// kept for one overlap, in case the source is dying too.
func (h *handover) abort() {
	h.mu.Lock()
	h.phase = aborted
	h.twins.keep = true
	h.mu.Unlock()
}

// endAbort delivers what the source had the time to deliver and did not.
func (h *handover) endAbort() {
	h.mu.Lock()
	h.letIn()
	h.allGoOn()
	h.mu.Unlock()
}

// ended notes when the service sent the target's last event.
func (h *handover) ended(last time.Time) {
	h.mu.Lock()
	h.lastTarget = last
	h.mu.Unlock()
}

// silent reports whether one end has lately delivered nothing of what the other
// one did: it may be dead without having noticed yet, or never have been joined.
func (h *handover) silent(end int, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	from, to := now.Add(-2*h.overlap), now.Add(-h.overlap)
	if from.Before(h.confirmedAt) {
		from = h.confirmedAt
	}
	return h.twins.silent(end, from, to)
}

func (h *handover) at() phase {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phase
}

func (h *handover) sayGap(key Key, from, to time.Time, err error) {
	h.route(key).append(Event{Shard: h.dest.id, Key: key, Data: Gap{From: from, To: to, Err: err}})
}
