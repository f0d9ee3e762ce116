package discordtest

import "time"

// window is a sliding log: at most max events in any span.
type window struct {
	max  int
	span time.Duration
	at   []time.Time
}

// take books an event at now, or returns how long to wait for room.
func (w *window) take(now time.Time) (wait time.Duration, ok bool) {
	n := 0
	for n < len(w.at) && now.Sub(w.at[n]) >= w.span {
		n++
	}
	w.at = w.at[:copy(w.at, w.at[n:])]
	if len(w.at) >= w.max {
		return w.at[0].Add(w.span).Sub(now), false
	}
	w.at = append(w.at, now)
	return 0, true
}

// left returns how many fit now and when there will be room for all.
func (w *window) left(now time.Time) (n int, reset time.Duration) {
	if len(w.at) == 0 {
		return w.max, 0
	}
	return w.max - len(w.at), max(0, w.at[len(w.at)-1].Add(w.span).Sub(now))
}
