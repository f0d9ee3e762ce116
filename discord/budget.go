package discord

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

const (
	day           = 24 * time.Hour
	defaultTotal  = 1000                   // IDENTIFYs a day of a bot that is not large (events/gateway, "Identifying")
	defaultMargin = 300 * time.Millisecond // beyond the 5 s of a key
	slack         = 5 * time.Minute        // by which two statements of one reset may differ
)

// defaultFloor is what a start leaves of a day's IDENTIFYs: one in twenty.
func defaultFloor(total int) int { return max(ceil(total, 20), 1) }

// ledger is what is known of an account's IDENTIFYs: how many were spent in
// Discord's day, when each shard had its last, and how many came to nothing. It
// is what is stored. It has no clock, no lock and does no I/O.
type ledger struct {
	total  int
	spent  int       // of the day
	resets time.Time // when the day ends; zero: it begins with the next IDENTIFY
	keys   int       // max_concurrency
	at     int64     // when /gateway/bot said so last, in ms since 1970

	recent []identified // the last of each shard, as far as it still matters
	crash               // the breaker
}

// identified is the last IDENTIFY of a shard.
type identified struct {
	index, count int
	at           time.Time
	failed       bool // it came to nothing, and is counted as such
}

// rules is how a ledger is kept.
type rules struct {
	margin  time.Duration
	floor   int // 0: default; negative: none
	breaker Breaker
}

func newLedger() ledger { return ledger{total: defaultTotal, keys: 1} }

func (l *ledger) clone() ledger {
	c := *l
	c.recent = slices.Clone(l.recent)
	c.wasted = slices.Clone(l.wasted)
	return c
}

func (l *ledger) left() int { return max(l.total-l.spent, 0) }

// floor is how many a start leaves. The last one is left by everybody: who
// spends it loses the token.
func (l *ledger) floor(r rules, emergency bool) int {
	last := min(1, l.total-1)
	switch {
	case emergency || r.floor < 0:
		return last
	case r.floor == 0:
		return max(min(defaultFloor(l.total), l.total/2), last)
	}
	return max(r.floor, last)
}

// pass lets time pass: a day that is over, IDENTIFYs that are too old to matter.
func (l *ledger) pass(now time.Time, r rules) {
	if !l.resets.IsZero() && !now.Before(l.resets) {
		l.spent, l.resets = 0, time.Time{}
	}
	keep := max(r.breaker.Window, identifyPer+r.margin)
	l.recent = slices.DeleteFunc(l.recent, func(s identified) bool {
		if s.at.Before(l.held) {
			s.at = l.held // while all were held back no session could show its worth
		}
		return now.Sub(s.at) > keep
	})
	l.crash.pass(now, r.breaker)
}

// told takes in what /gateway/bot says. Of its count and the own one the
// higher counts, as long as both speak of the same day. It may be repeated; what is older than
// what was said last counts for nothing.
func (l *ledger) told(info GatewayInfo, now time.Time) {
	lim := info.Limit
	if lim.Total < 1 || info.At.UnixMilli() < l.at {
		return
	}
	l.at = info.At.UnixMilli()
	l.total, l.keys = lim.Total, max(lim.MaxConcurrency, 1)
	spent := max(lim.Total-lim.Remaining, 0)
	resets := info.At.Add(lim.ResetAfter)
	if lim.ResetAfter == 0 {
		if spent == 0 {
			return // no day has begun; one that began here since then counts on
		}
		resets = info.At.Add(day)
	}
	switch {
	case !resets.After(now): // of a day that is over
	case l.resets.IsZero():
		l.spent, l.resets = max(l.spent, spent), resets
	case resets.Sub(l.resets) > slack: // Discord's day is a later one than ours
		for _, s := range l.recent { // some may be on their way
			if info.At.Sub(s.at) < time.Minute {
				spent++
			}
		}
		l.spent, l.resets = min(spent, l.total), resets
	default:
		l.spent = max(l.spent, spent)
		l.resets = later(l.resets, resets)
	}
}

// later of two statements of the same reset, or the earlier of different ones.
func later(own, said time.Time) time.Time {
	if own.Sub(said) > slack || said.After(own) {
		return said
	}
	return own
}

// last returns when a key had its last IDENTIFY.
func (l *ledger) last(key int) time.Time {
	var t time.Time
	for _, s := range l.recent {
		if s.index%l.keys == key && s.at.After(t) {
			t = s.at
		}
	}
	return t
}

// wait returns how long a shard has to wait before it is asked for again, and
// why if it is not for its key's turn; 0 if it may identify now.
func (l *ledger) wait(now time.Time, id balancer.ShardID, r rules, emergency bool) (time.Duration, error) {
	l.pass(now, r)
	if left, floor := l.left(), l.floor(r, emergency); left <= floor {
		d := l.resets.Sub(now)
		if l.resets.IsZero() { // the floor is as high as the day's total
			d = time.Hour
		}
		return d, &BudgetError{Want: 1, Left: left, Floor: floor, Reset: now.Add(d)}
	}
	if d, err := l.crash.wait(now, id, r.breaker); d > 0 {
		return d, err
	}
	per := identifyPer + r.margin
	if at := l.last(id.Index % l.keys); !at.IsZero() {
		return max(min(at.Add(per).Sub(now), per), 0), nil // a clock that was put back costs one turn
	}
	return 0, nil
}

// take counts an IDENTIFY that is about to be sent.
func (l *ledger) take(now time.Time, id balancer.ShardID, r rules) {
	l.spent++
	if l.resets.IsZero() {
		l.resets = now.Add(day)
	}
	next := identified{index: id.Index, count: id.Count, at: now}
	if s := l.find(id); s != nil {
		if !s.failed {
			l.waste(now, r.breaker) // the one before did not last
		}
		*s = next
	} else {
		l.recent = append(l.recent, next)
	}
	if l.probing {
		l.probe = now
	}
}

func (l *ledger) find(id balancer.ShardID) *identified {
	for i := range l.recent {
		if s := &l.recent[i]; s.index == id.Index && s.count == id.Count {
			return s
		}
	}
	return nil
}

// stored is a ledger in the Store.
type stored struct {
	Version int        `json:"version"`
	Total   int        `json:"total"`
	Spent   int        `json:"spent"`
	Resets  int64      `json:"resets,omitempty"` // ms since 1970
	Keys    int        `json:"max_concurrency"`
	Told    int64      `json:"told,omitempty"`
	Recent  [][4]int64 `json:"recent,omitempty"` // index, count, ms, 1 if it came to nothing
	Wasted  []int64    `json:"wasted,omitempty"`
	Held    int64      `json:"held,omitempty"`
	Trips   int        `json:"trips,omitempty"`
	Probing bool       `json:"probing,omitempty"`
	Probe   int64      `json:"probe,omitempty"`
}

const ledgerVersion = 1

func (l *ledger) encode() ([]byte, error) {
	s := stored{
		Version: ledgerVersion, Total: l.total, Spent: l.spent, Resets: millis(l.resets), Keys: l.keys, Told: l.at,
		Held: millis(l.held), Trips: l.trips, Probing: l.probing, Probe: millis(l.probe),
	}
	for _, e := range l.recent {
		row := [4]int64{int64(e.index), int64(e.count), millis(e.at)}
		if e.failed {
			row[3] = 1
		}
		s.Recent = append(s.Recent, row)
	}
	for _, t := range l.wasted {
		s.Wasted = append(s.Wasted, millis(t))
	}
	return json.Marshal(s)
}

// decodeLedger reads a ledger. Times that a wrong clock set are cut to what
// can be true.
func decodeLedger(data []byte, now time.Time, r rules) (ledger, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return ledger{}, fmt.Errorf("discord: stored identifies: %w", err)
	}
	if s.Version != ledgerVersion {
		return ledger{}, fmt.Errorf("discord: stored identifies: version %d, not %d", s.Version, ledgerVersion)
	}
	if s.Total < 1 || s.Spent < 0 || s.Keys < 1 || s.Trips < 0 {
		return ledger{}, fmt.Errorf("discord: stored identifies: numbers that cannot be")
	}
	l := ledger{total: s.Total, spent: s.Spent, resets: since(s.Resets, now.Add(day+slack)), keys: s.Keys, at: min(s.Told, now.UnixMilli())}
	l.crash = crash{
		held: since(s.Held, now.Add(r.breaker.MaxHold)), trips: s.Trips,
		probing: s.Probing, probe: since(s.Probe, now),
	}
	for _, row := range s.Recent {
		if row[0] < 0 || row[1] < 0 || row[0] > 1<<30 || row[1] > 1<<30 {
			return ledger{}, fmt.Errorf("discord: stored identifies: numbers that cannot be")
		}
		l.recent = append(l.recent, identified{index: int(row[0]), count: int(row[1]), at: since(row[2], now), failed: row[3] != 0})
	}
	for _, ms := range s.Wasted {
		l.wasted = append(l.wasted, since(ms, now))
	}
	return l, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// since returns a stored time, at most the latest that it can be.
func since(ms int64, latest time.Time) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	if t := time.UnixMilli(ms); t.Before(latest) {
		return t
	}
	return latest
}
