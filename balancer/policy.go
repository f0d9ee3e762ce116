package balancer

import (
	"iter"
	"slices"
	"time"
)

// Policy says where keys go under free placement. It is a pure function: the
// same View gives the same Plan, and the zero Plan changes nothing. It is
// called by one goroutine at a time, when keys wait for a place, when shards
// come or go, and when an earlier Plan asked for it. It must not keep the View
// or call the Balancer. What a Plan asks for beyond a cap is not done: the key
// waits, refused with [ErrFull].
type Policy func(View) Plan

// View is what a Policy may look at. Slices are read-only.
type View struct {
	Now        time.Time
	Shards     []ShardView                          // the shards that may take keys, by index
	Unplaced   []Key                                // keys without a place, or whose shard is being closed
	KeyCap     int                                  // Config.ChannelsPerShard
	MaxShards  int                                  // how many shards there may be now
	Asked      int                                  // what InitialShardCount or Resize asked for
	Resized    bool                                 // Resize changed Asked since the last Plan: keys may be evened out
	Moving     int                                  // handovers under way
	KeysOf     func(shard int) iter.Seq2[Key, Rate] // the keys of Shards[shard] that may move, with measured rates
	MeasureFor time.Duration                        // how long rates have been measured; 0: not yet, asking KeysOf or Rate starts it
}

// ShardView is one shard as a Policy sees it.
type ShardView struct {
	ID   ShardID
	Up   bool // connected and logged in
	Keys int  // keys that it has or is about to have
	Cap  int  // keys that it may have
	Rate Rate // the sum of its keys' rates
}

// Rate is how much a key or a shard carries, averaged over about a minute.
type Rate struct {
	Events float64 // per second
	Bytes  float64 // per second
}

// Nowhere in Plan.Place leaves a key without a place.
const Nowhere = -1

// Plan is what a Policy wants done. Shards are named by their index in
// View.Shards; len(View.Shards)+n is the n-th of the shards to be opened.
type Plan struct {
	Open  int           // how many shards to open
	Place []int         // Place[i] is where View.Unplaced[i] goes; a short slice leaves the rest waiting
	Move  []Move        // keys that have a place and should change it
	Again time.Duration // call the policy again after this time even if nothing changes
}

// Move is one key's change of place.
type Move struct {
	Key Key
	To  int
}

// Single keeps everything on one shard.
func Single(v View) Plan {
	var p Plan
	if len(v.Shards) == 0 {
		p.Open = 1
	}
	p.Place = make([]int, len(v.Unplaced))
	return p
}

// Distributed gives each key to the shard that has fewest, opens another one
// when all are full, up to MaxShardCount, and never puts a shard over its cap.
// After a Resize it evens out with as few moves as possible.
func Distributed(v View) Plan {
	l := newLevels(v)
	var p Plan
	missing := min(v.Asked, v.MaxShards) - len(v.Shards)
	for ; p.Open < missing; p.Open++ {
		l.open(v.KeyCap)
	}
	p.Place = make([]int, len(v.Unplaced))
	for i := range v.Unplaced {
		s, ok := l.least()
		if !ok && len(v.Shards)+p.Open < v.MaxShards {
			l.open(v.KeyCap)
			p.Open++
			s, ok = l.least()
		}
		if !ok {
			p.Place = p.Place[:i]
			break
		}
		l.add(s)
		p.Place[i] = s
	}
	if v.Resized {
		p.Move = l.even(v)
	}
	return p
}

// AsAsked keeps as many shards as InitialShardCount or Resize asked for, gives
// each key to the one that has fewest, and neither opens nor moves anything of
// its own accord.
func AsAsked(v View) Plan {
	v.MaxShards = min(v.MaxShards, max(v.Asked, 1))
	v.Resized = false
	return Distributed(v)
}

// Manual places nothing: keys wait until [Balancer.Move] says where they go.
// It keeps as many shards as InitialShardCount or Resize asked for.
func Manual(v View) Plan {
	return Plan{Open: max(0, min(v.Asked, v.MaxShards)-len(v.Shards))}
}

// levels finds the shard with fewest keys among those with room: shards stand
// in order of their number of keys, and the first of each number is known, so
// that adding a key to one is a swap.
type levels struct {
	count []int // by shard
	room  []int // cap by shard
	order []int // shards by count, full ones taken out
	at    []int // where a shard stands in order
	first []int // first[c] is where count c begins in order
	gone  int   // order[:gone] are full
}

func newLevels(v View) *levels {
	n := len(v.Shards)
	l := &levels{count: make([]int, n, n+8), room: make([]int, n, n+8), order: make([]int, n, n+8), at: make([]int, n, n+8)}
	top := 0
	for i, s := range v.Shards {
		l.count[i], l.room[i] = s.Keys, s.Cap
		top = max(top, s.Keys)
	}
	// Counting sort.
	l.first = make([]int, top+2)
	for _, c := range l.count {
		l.first[c+1]++
	}
	for c := 1; c < len(l.first); c++ {
		l.first[c] += l.first[c-1]
	}
	next := slices.Clone(l.first)
	for i, c := range l.count {
		l.order[next[c]], l.at[i] = i, next[c]
		next[c]++
	}
	return l
}

// open adds an empty shard.
func (l *levels) open(room int) {
	i := len(l.count)
	l.count, l.room, l.at = append(l.count, 0), append(l.room, room), append(l.at, 0)
	// Make room at the front of order by moving the first of each level to its end.
	l.order = append(l.order, i)
	hole := len(l.order) - 1
	for c := len(l.first) - 1; c >= 1; c-- {
		f := l.first[c]
		if f < hole {
			l.order[hole] = l.order[f]
			l.at[l.order[hole]] = hole
			hole = f
		}
		l.first[c]++
	}
	l.order[hole], l.at[i] = i, hole
	l.gone = 0
}

// least returns the shard that has fewest keys and room for one more.
func (l *levels) least() (int, bool) {
	for l.gone < len(l.order) {
		s := l.order[l.gone]
		if l.count[s] < l.room[s] {
			return s, true
		}
		l.gone++
	}
	return 0, false
}

// add counts one more key on s.
func (l *levels) add(s int) {
	c := l.count[s]
	for len(l.first) <= c+2 {
		l.first = append(l.first, len(l.order))
	}
	last := l.first[c+1] - 1 // s changes places with the last of its level
	l.swap(l.at[s], last)
	l.first[c+1] = last
	l.count[s] = c + 1
}

func (l *levels) swap(i, j int) {
	a, b := l.order[i], l.order[j]
	l.order[i], l.order[j] = b, a
	l.at[a], l.at[b] = j, i
}

// even plans the fewest moves after which no two shards differ by more than
// one key where caps allow: those above their share give, those below take.
func (l *levels) even(v View) []Move {
	if v.KeysOf == nil || len(l.count) < 2 {
		return nil
	}
	total := 0
	for _, c := range l.count {
		total += c
	}
	share, rest := total/len(l.count), total%len(l.count)
	// The fullest keep the remainder, so that what needs not move does not.
	want := make([]int, len(l.count))
	byCount := slices.Clone(l.order)
	slices.SortStableFunc(byCount, func(a, b int) int { return l.count[b] - l.count[a] })
	for i, s := range byCount {
		want[s] = share
		if i < rest {
			want[s]++
		}
		want[s] = min(want[s], l.room[s])
	}
	var moves []Move
	to := 0
	for s := range v.Shards {
		give := l.count[s] - want[s]
		if give <= 0 {
			continue
		}
		for k := range v.KeysOf(s) {
			for to < len(want) && l.count[to] >= want[to] {
				to++
			}
			if give == 0 || to == len(want) {
				break
			}
			moves = append(moves, Move{k, to})
			l.count[to]++
			give--
		}
	}
	return moves
}
