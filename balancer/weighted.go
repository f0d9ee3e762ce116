package balancer

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// The hysteresis of Weighted: evening out starts when a shard carries more
// than start times what it could, and stops at stop times.
const (
	weightedStart = 1.5
	weightedStop  = 1.2
	weightedEvery = 30 * time.Second // how often rates are looked at
	weightedAfter = 90 * time.Second // for how long they are measured before the first look
)

// Weighted gives each key to the shard that carries least, by measured bytes
// per second, and moves keys from the hottest shards to the coldest when one
// carries more than 1.5 times the reachable optimum, until none carries more
// than 1.2 times that. A key that alone exceeds the optimum is never moved. It
// opens shards as Distributed does. Moves are paid from the join budget.
func Weighted(v View) Plan {
	p := weightedPlace(v)
	p.Again = weightedEvery
	if len(v.Unplaced) == 0 && v.Moving == 0 {
		p.Move = weightedMoves(v)
	}
	return p
}

// weightedPlace places what waits. A new key's rate is not known: it is taken
// for the mean of those that are, and at least for something, so that counts
// decide where nothing is known.
func weightedPlace(v View) Plan {
	h := &coldest{load: make([]float64, len(v.Shards)), count: make([]int, len(v.Shards)), room: make([]int, len(v.Shards))}
	keys, bytes := 0, 0.0
	for i, s := range v.Shards {
		h.load[i], h.count[i], h.room[i] = s.Rate.Bytes, s.Keys, s.Cap
		h.at = append(h.at, i)
		keys += s.Keys
		bytes += s.Rate.Bytes
	}
	mean := max(bytes/float64(max(keys, 1)), 1e-9)
	var p Plan
	open := func() {
		i := len(h.load)
		h.load, h.count, h.room = append(h.load, 0), append(h.count, 0), append(h.room, v.KeyCap)
		heap.Push(h, i)
		p.Open++
	}
	heap.Init(h)
	for len(v.Shards)+p.Open < min(v.Asked, v.MaxShards) {
		open()
	}
	p.Place = make([]int, len(v.Unplaced))
	for i := range v.Unplaced {
		for h.Len() > 0 && h.count[h.at[0]] >= h.room[h.at[0]] {
			heap.Pop(h)
		}
		if h.Len() == 0 && len(v.Shards)+p.Open < v.MaxShards {
			open()
		}
		if h.Len() == 0 {
			p.Place = p.Place[:i]
			break
		}
		s := h.at[0]
		p.Place[i] = s
		h.count[s]++
		h.load[s] += mean
		heap.Fix(h, 0)
	}
	return p
}

type weighedKey struct {
	key   Key
	bytes float64
}

// weightedMoves plans one round of moves from the hottest shards to the coldest.
func weightedMoves(v View) []Move {
	if v.KeysOf == nil || len(v.Shards) < 2 {
		return nil
	}
	keys := make([][]weighedKey, len(v.Shards))
	load := make([]float64, len(v.Shards))
	count := make([]int, len(v.Shards))
	var all []float64
	for i := range v.Shards {
		for k, r := range v.KeysOf(i) {
			keys[i] = append(keys[i], weighedKey{k, r.Bytes})
			load[i] += r.Bytes
			all = append(all, r.Bytes)
		}
		count[i] = v.Shards[i].Keys
	}
	if v.MeasureFor < weightedAfter {
		return nil
	}
	level := waterLevel(all, len(v.Shards))
	if level <= 0 {
		return nil
	}
	optimum := func(i int) float64 { // the least that shard i's load can be brought to
		return max(level, heaviest(keys[i]))
	}
	hot := slices.ContainsFunc(indexes(len(load)), func(i int) bool { return load[i] > weightedStart*optimum(i) })
	if !hot {
		return nil
	}
	cold := &coldest{load: slices.Clone(load), count: count, room: make([]int, len(load)), at: indexes(len(load))}
	for i, s := range v.Shards {
		cold.room[i] = s.Cap
	}
	order := indexes(len(load))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(load[b], load[a]) })
	heap.Init(cold)
	var moves []Move
	for _, s := range order {
		slices.SortStableFunc(keys[s], func(a, b weighedKey) int { return cmp.Compare(b.bytes, a.bytes) })
		for _, k := range keys[s] {
			if load[s] <= weightedStop*optimum(s) {
				break
			}
			if k.bytes > level || k.bytes <= 0 {
				continue // a giant stays: no shard could carry it better
			}
			for cold.Len() > 0 && count[cold.at[0]] >= cold.room[cold.at[0]] {
				heap.Pop(cold)
			}
			if cold.Len() == 0 {
				return moves
			}
			to := cold.at[0]
			if to == s || load[to]+k.bytes > weightedStop*level {
				continue // the heaviest that fits goes first
			}
			moves = append(moves, Move{k.key, to})
			load[s] -= k.bytes
			load[to] += k.bytes
			cold.load[to] += k.bytes
			count[to]++
			heap.Fix(cold, 0)
		}
	}
	return moves
}

// waterLevel is the load of the most loaded of n shards if loads could be
// split freely, but for keys that are heavier than that alone: those stand on
// a shard of their own.
func waterLevel(rates []float64, n int) float64 {
	slices.SortFunc(rates, func(a, b float64) int { return cmp.Compare(b, a) })
	total := 0.0
	for _, r := range rates {
		total += r
	}
	for _, r := range rates {
		if n <= 1 || r <= total/float64(n) {
			break
		}
		total -= r
		n--
	}
	return total / float64(n)
}

func heaviest(ks []weighedKey) float64 {
	m := 0.0
	for _, k := range ks {
		m = max(m, k.bytes)
	}
	return m
}

func indexes(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// coldest is a heap of shards by load, then by number of keys.
type coldest struct {
	load  []float64
	count []int
	room  []int
	at    []int
}

func (h *coldest) Len() int { return len(h.at) }
func (h *coldest) Less(i, j int) bool {
	a, b := h.at[i], h.at[j]
	if h.load[a] != h.load[b] {
		return h.load[a] < h.load[b]
	}
	if h.count[a] != h.count[b] {
		return h.count[a] < h.count[b]
	}
	return a < b
}
func (h *coldest) Swap(i, j int) { h.at[i], h.at[j] = h.at[j], h.at[i] }
func (h *coldest) Push(x any)    { h.at = append(h.at, x.(int)) }
func (h *coldest) Pop() any {
	x := h.at[len(h.at)-1]
	h.at = h.at[:len(h.at)-1]
	return x
}
