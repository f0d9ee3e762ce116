package irctest

import "time"

// window is a limit of n per length, kept as the times of the last n
// spendings: exact in every interval, wherever it starts. n < 0 means no limit.
// The caller locks.
type window struct {
	n    int
	per  time.Duration
	log  []time.Time
	next int
}

func newWindow(n int, per time.Duration) window { return window{n: n, per: per} }

// take spends one at the time now and reports whether that was within the
// limit. What exceeds the limit is not spent.
func (w *window) take(now time.Time) bool {
	switch {
	case w.n < 0:
		return true
	case w.n == 0:
		return false
	case len(w.log) < w.n:
		w.log = append(w.log, now)
		return true
	}
	if now.Sub(w.log[w.next]) < w.per {
		return false
	}
	w.log[w.next] = now
	w.next = (w.next + 1) % w.n
	return true
}
