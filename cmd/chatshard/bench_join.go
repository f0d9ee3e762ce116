package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

const (
	joinKeys   = 1_000_000
	joinShards = 10_000
	joinFew    = 100 // shards, to be compared with
)

// joinGot is what a child measured of placing keys.
type joinGot struct {
	Many, Few, Bare joinCost
	Plan            float64 // seconds for a plan of all keys
	Come, Go        float64 // moves over the least possible when 1 % of shards come or go
}

// joinCost is what one key takes.
type joinCost struct{ Wall, CPU, Bytes float64 } // nanoseconds, bytes

func measureJoins(ctx context.Context) (*joinGot, error) {
	keys := make([]balancer.Key, joinKeys)
	for i := range keys {
		keys[i] = balancer.Key("channel_" + strconv.Itoa(i))
	}
	got := &joinGot{Bare: bareJoins(keys, joinShards)}
	var err error
	if got.Few, err = joins(ctx, keys, joinFew); err != nil {
		return nil, err
	}
	if got.Many, err = joins(ctx, keys, joinShards); err != nil {
		return nil, err
	}
	v := balancer.View{KeyCap: joinKeys/joinShards + 1, MaxShards: joinShards, Asked: joinShards, Unplaced: keys}
	runtime.GC()
	begin := time.Now()
	if p := balancer.Distributed(v); len(p.Place) != len(keys) {
		return nil, fmt.Errorf("bench: the plan places %d of %d keys", len(p.Place), len(keys))
	}
	got.Plan = time.Since(begin).Seconds()
	got.Come, got.Go = movesWhenShardsCome(), movesWhenShardsGo()
	return got, nil
}

// joins has a running Balancer place keys, one Join at a time.
func joins(ctx context.Context, keys []balancer.Key, shards int) (cost joinCost, err error) {
	up := make(chan struct{}, shards)
	b := balancer.New(silentTransport{}, &balancer.Config{
		ChannelsPerShard: len(keys)/shards + 1, MaxShardCount: shards, InitialShardCount: shards, Limiter: noJoins{},
	})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { // waited for below
		ended <- b.Run(ctx, func(_ context.Context, e balancer.Event) {
			if _, ok := e.Data.(balancer.Up); ok {
				up <- struct{}{}
			}
		})
	}()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	for range shards {
		select {
		case <-up:
		case <-ctx.Done():
			return cost, ctx.Err()
		}
	}
	cost, err = perKey(len(keys), func() error {
		for _, k := range keys {
			b.Join(k)
		}
		for {
			if st, _ := b.Locate(keys[len(keys)-1]); st.Placed {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Microsecond):
			}
		}
	})
	if n := b.Count()[balancer.Queued]; err == nil && n != len(keys) {
		err = fmt.Errorf("bench: %d of %d keys were placed", n, len(keys))
	}
	return cost, err
}

// perKey measures do by key.
func perKey(n int, do func() error) (cost joinCost, err error) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	wall, cpu := time.Now(), cpuTime()
	err = do()
	cost.Wall, cost.CPU = float64(time.Since(wall))/float64(n), float64(cpuTime()-cpu)/float64(n)
	cost.Bytes = (heap() - before) / float64(n)
	return cost, err
}

// bareJoins is the least that placing keys takes: a queue of shards by number
// of keys, a list of keys for each, and a map to find a key by.
func bareJoins(keys []balancer.Key, shards int) joinCost {
	type entry struct {
		key   balancer.Key
		shard int32
		pos   int32
	}
	placed := make(map[balancer.Key]*entry)
	lists := make([][]*entry, shards)
	// The queue: shards in order of their keys, and where each number begins.
	order, first := make([]int32, shards), []int{0, shards}
	for i := range order {
		order[i] = int32(i)
	}
	low := 0
	cost, _ := perKey(len(keys), func() error {
		for _, k := range keys {
			// The last of the least loaded becomes the first of the next level.
			if first[low+1] == first[low] {
				low++
			}
			if len(first) == low+2 {
				first = append(first, shards)
			}
			first[low+1]--
			s := order[first[low+1]]
			e := &entry{key: k, shard: s, pos: int32(len(lists[s]))}
			lists[s] = append(lists[s], e)
			placed[k] = e
		}
		return nil
	})
	runtime.KeepAlive(placed)
	runtime.KeepAlive(lists)
	return cost
}

// movesWhenShardsCome returns how many moves Distributed plans over the least
// possible when there is 1 % more shards than before.
func movesWhenShardsCome() float64 {
	const more = joinShards / 100
	v := evenShards(joinShards, joinShards+more)
	p := balancer.Distributed(v)
	return float64(len(p.Move)) / float64(more*(joinKeys/(joinShards+more)))
}

// movesWhenShardsGo is the same when 1 % of shards is lost with its keys.
func movesWhenShardsGo() float64 {
	const fewer = joinShards / 100
	v := evenShards(joinShards-fewer, joinShards-fewer)
	for i := range joinKeys / joinShards * fewer {
		v.Unplaced = append(v.Unplaced, balancer.Key("lost_"+strconv.Itoa(i)))
	}
	p := balancer.Distributed(v)
	return float64(len(p.Place)+len(p.Move)) / float64(len(v.Unplaced))
}

func evenShards(n, asked int) balancer.View {
	const each = joinKeys / joinShards
	v := balancer.View{KeyCap: 2 * each, MaxShards: 2 * joinShards, Asked: asked, Resized: true}
	for i := range n {
		v.Shards = append(v.Shards, balancer.ShardView{ID: balancer.ShardID{Index: i}, Up: true, Keys: each, Cap: 2 * each})
	}
	v.KeysOf = func(s int) iter.Seq2[balancer.Key, balancer.Rate] {
		return func(yield func(balancer.Key, balancer.Rate) bool) {
			for i := range each {
				if !yield(balancer.Key(strconv.Itoa(s*each+i)), balancer.Rate{}) {
					return
				}
			}
		}
	}
	return v
}

// noJoins is a Limiter that grants logins only: what is measured is to place a
// key, not to ask a service for it.
type noJoins struct{}

func (noJoins) Wait(ctx context.Context, kind balancer.Budget, _ balancer.ShardID, _ int) error {
	if kind == balancer.BudgetLogin {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// silentTransport makes connections on which nothing happens, except that
// joins are confirmed.
type silentTransport struct{}

func (silentTransport) Dial(context.Context, balancer.ShardID, *balancer.Session) (balancer.Conn, error) {
	return &silentConn{joined: make(chan balancer.Key), ended: make(chan struct{})}, nil
}

type silentConn struct {
	up     bool
	joined chan balancer.Key
	once   sync.Once
	ended  chan struct{}
}

func (c *silentConn) Receive(buf []balancer.Event) (int, error) {
	if !c.up {
		c.up = true
		buf[0] = balancer.Event{Data: balancer.Up{}}
		return 1, nil
	}
	select {
	case k := <-c.joined:
		buf[0] = balancer.Event{Key: k, Data: balancer.Joined{}}
		return 1, nil
	case <-c.ended:
		return 0, context.Canceled
	}
}

func (c *silentConn) Join(ctx context.Context, keys ...balancer.Key) error {
	for _, k := range keys {
		select {
		case c.joined <- k:
		case <-c.ended:
			return context.Canceled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *silentConn) Part(context.Context, ...balancer.Key) error { return nil }
func (c *silentConn) Send(context.Context, []byte) error          { return nil }

func (c *silentConn) Close() error {
	c.once.Do(func() { close(c.ended) })
	return nil
}

func (c *silentConn) Quit(context.Context) error { return c.Close() }

// Joins are paced by a window of 20 per second here, so that it takes seconds.
const (
	paceKeys   = 100
	paceWindow = 20
	pacePer    = time.Second
)

// pacedJoin returns how long joining takes, and how long the budget dictates:
// a window's worth at once, and then one each time that one leaves the window.
func pacedJoin(ctx context.Context) (took, dictated time.Duration, err error) {
	var joined atomic.Int64
	all := make(chan struct{})
	b := balancer.New(silentTransport{}, &balancer.Config{
		ChannelsPerShard: 25, MaxShardCount: 4, InitialShardCount: 4,
		Limiter: balancer.Windows{balancer.BudgetJoin: balancer.NewWindow(paceWindow, pacePer)},
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	begin := time.Now()
	for i := range paceKeys {
		b.Join(balancer.Key(channelName(i, true)))
	}
	go func() { // waited for below
		ended <- b.Run(ctx, func(_ context.Context, e balancer.Event) {
			if _, ok := e.Data.(balancer.Joined); ok && joined.Add(1) == paceKeys {
				close(all)
			}
		})
	}()
	select {
	case <-all:
	case <-ctx.Done():
	}
	took = time.Since(begin)
	err = ctx.Err()
	cancel()
	return took, (paceKeys/paceWindow - 1) * pacePer, errors.Join(err, <-ended)
}
