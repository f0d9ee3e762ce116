package balancer

import "time"

const _ = uint(64 - len(block{}.ev)) // a read's events have a bit each

// repeats returns which events of a read have an ID that came before on this
// connection, or on the one before it: a bit for each, of which there are as many
// as a block has events.
func (l *link) repeats(es []Event, now time.Time) (known uint64) {
	elder := l.elderAt(now)
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	for i := range es {
		if id := es[i].ID; id != "" {
			h := hashID(id)
			if l.seen.again(h, now) || elder != nil && elder.saw(h) {
				known |= 1 << i
			}
		}
	}
	return known
}

// repeated is repeats for one event. For an event of a handover it is called
// with the handover locked, so that what saw reports has been delivered.
func (l *link) repeated(e *Event, now time.Time) bool {
	if e.ID == "" {
		return false
	}
	h := hashID(e.ID)
	l.seenMu.Lock()
	again := l.seen.again(h, now)
	l.seenMu.Unlock()
	elder := l.elderAt(now)
	return again || elder != nil && elder.saw(h)
}

// elderAt returns the connection before this one while its window counts.
func (l *link) elderAt(now time.Time) *link {
	elder := l.elder.Load()
	if elder != nil && now.Sub(elder.diedAt) > seenFor {
		l.elder.CompareAndSwap(elder, nil)
		return nil
	}
	return elder
}

// saw reports whether an ID was received within the window of repeats, here or
// on the connections before this one.
func (l *link) saw(h uint64) bool {
	for ; l != nil; l = l.elder.Load() {
		l.seenMu.Lock()
		has := l.seen.has(h)
		l.seenMu.Unlock()
		if has {
			return true
		}
	}
	return false
}
