package balancer_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// crowd runs n shards of one key each, all of whose connections are quiet.
func crowd(t *testing.T, n int, cfg balancer.Config, wrap func(balancer.Transport) balancer.Transport, handle func(balancer.Event), story func(f *fleet, ks []balancer.Key)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{net: balancertest.NewNetwork(balancertest.Config{Polled: true}), rec: balancertest.NewRecorder()}
		tr := f.net.Free()
		if wrap != nil {
			tr = wrap(tr)
		}
		cfg.ChannelsPerShard, cfg.MaxShardCount = 1, n
		f.Balancer = newBalancer(tr, &cfg, true)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- f.Run(ctx, func(ctx context.Context, e balancer.Event) {
				if _, ok := e.Data.(*balancertest.Message); ok && handle != nil {
					handle(e)
				}
				f.rec.Handle(ctx, e)
			})
		}()
		ks := keys(n)
		f.Join(ks...)
		time.Sleep(time.Minute)
		story(f, ks)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// reading counts goroutines that have a connection to themselves.
func reading() int {
	buf := make([]byte, 16<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "balancer.(*keeper).keep(")
}

func TestQuietConnectionsHaveNoGoroutine(t *testing.T) {
	behind := func(e balancer.Event) {
		if e.Data.(*balancertest.Message).N == 1 {
			time.Sleep(5 * time.Millisecond) // the others have arrived by then
		}
	}
	crowd(t, 50, balancer.Config{}, nil, behind, func(f *fleet, ks []balancer.Key) {
		if n := reading(); n != 0 {
			t.Errorf("%d goroutines read 50 quiet connections, want none", n)
		}
		for range 40 { // one that becomes busy has its own, and gives it up again
			f.net.Publish(ks[7])
		}
		time.Sleep(10 * time.Millisecond)
		if n := reading(); n != 1 {
			t.Errorf("%d goroutines read one busy connection", n)
		}
		f.chat(30, time.Second, ks)
		if n := reading(); n != 0 {
			t.Errorf("%d goroutines once it is quiet again", n)
		}
		if v := f.clean(t); v.Received != 50*30+40 {
			t.Errorf("verdict %+v", v)
		}
	})
}

// TestSlowHandlersAreLeftToTheQueues has Handlers that would take longer, one
// after the other, than there is time.
func TestSlowHandlersAreLeftToTheQueues(t *testing.T) {
	const shards = 600
	var handled atomic.Int64
	slow := func(balancer.Event) {
		time.Sleep(5 * time.Millisecond)
		handled.Add(1)
	}
	crowd(t, shards, balancer.Config{}, nil, slow, func(f *fleet, ks []balancer.Key) {
		for round := range 5 {
			for _, k := range ks {
				f.net.Publish(k)
			}
			time.Sleep(500 * time.Millisecond)
			if n := handled.Load(); n != int64(shards*(round+1)) {
				t.Errorf("%d of %d handled half a second after they were sent", n, shards*(round+1))
			}
		}
		f.clean(t)
	})
}

// TestSlowStepsAreShared has Handlers that take less than what leaves them to the
// queues, and together longer than a connection may wait for its turn.
func TestSlowStepsAreShared(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: nobody to share with")
	}
	const each = 95 * time.Microsecond
	for _, c := range []struct {
		name   string
		takes  func(e balancer.Event) time.Duration
		single int // lines that come one at a time before a round, and take nothing
	}{
		{"even", func(balancer.Event) time.Duration { return each }, 0},
		{"most are quick", func(e balancer.Event) time.Duration {
			if n, _ := strconv.Atoi(strings.TrimPrefix(string(e.Key), "k")); n%20 == 0 {
				return 20 * each
			}
			return 0
		}, 0},
		{"single ones between", func(balancer.Event) time.Duration { return each }, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			const shards, most = 1000, 80 * time.Millisecond
			var mu sync.Mutex // guards latest
			var latest time.Duration
			var alone atomic.Bool
			slow := func(e balancer.Event) {
				if alone.Load() {
					return
				}
				time.Sleep(c.takes(e))
				mu.Lock()
				defer mu.Unlock()
				latest = max(latest, time.Since(e.Data.(*balancertest.Message).At))
			}
			crowd(t, shards, balancer.Config{}, nil, slow, func(f *fleet, ks []balancer.Key) {
				for round := range 6 {
					alone.Store(true)
					for i := range c.single {
						f.net.Publish(ks[i])
						time.Sleep(10 * time.Millisecond)
					}
					alone.Store(false)
					for _, k := range ks {
						f.net.Publish(k)
					}
					time.Sleep(500 * time.Millisecond)
					mu.Lock()
					if round > 0 && latest > most { // the first one teaches how long they take
						t.Errorf("round %d: the last one was handled %v after it was sent, want at most %v", round, latest, most)
					}
					latest = 0
					mu.Unlock()
				}
				f.clean(t)
			})
		})
	}
}

// TestStuckHandlersHoldUpNoOther has a Handler that does not return for half of
// the shards.
func TestStuckHandlersHoldUpNoOther(t *testing.T) {
	const shards = 80
	stuck := make(map[balancer.Key]bool)
	for _, k := range keys(shards)[:shards/2] {
		stuck[k] = true
	}
	var gate chan struct{}
	var latest atomic.Int64
	wait := func(e balancer.Event) {
		if stuck[e.Key] {
			<-gate
		} else if d := int64(time.Since(e.Data.(*balancertest.Message).At)); d > latest.Load() {
			latest.Store(d)
		}
	}
	crowd(t, shards, balancer.Config{Queue: balancer.QueueConfig{Bytes: 1000, BlockFor: time.Hour}}, nil, wait, func(f *fleet, ks []balancer.Key) {
		gate = make(chan struct{})
		f.chat(60, 500*time.Millisecond, ks) // more than a queue holds
		for _, k := range ks {
			if n := f.rec.Received(k); !stuck[k] && n != 60 || stuck[k] && n != 0 {
				t.Errorf("%s received %d of 60, stuck %v", k, n, stuck[k])
			}
		}
		if d := time.Duration(latest.Load()); d > 200*time.Millisecond {
			t.Errorf("one that is not stuck was handled %v after it was sent", d)
		}
		close(gate)
		time.Sleep(time.Minute)
		if v := f.clean(t); v.Received != 60*shards || v.Gaps != 0 {
			t.Errorf("verdict %+v, want all of it", v)
		}
	})
}

// TestStuckReadHoldsUpNoOther has a connection whose Poll does not return.
func TestStuckReadHoldsUpNoOther(t *testing.T) {
	gate := &stuckTransport{}
	wrap := func(tr balancer.Transport) balancer.Transport {
		gate.Transport, gate.open = tr, make(chan struct{})
		return gate
	}
	crowd(t, 8, balancer.Config{}, wrap, nil, func(f *fleet, ks []balancer.Key) {
		gate.closed.Store(true)
		f.chat(20, 100*time.Millisecond, ks)
		late := 0
		for _, k := range ks {
			if n := f.rec.Received(k); n != 20 {
				late++
			}
		}
		if late != 1 {
			t.Errorf("%d connections are late, want the one that is stuck", late)
		}
		gate.closed.Store(false)
		close(gate.open)
		f.chat(20, 100*time.Millisecond, ks)
		if v := f.clean(t); v.Received != 8*40 {
			t.Errorf("verdict %+v", v)
		}
	})
}

// stuckTransport has Poll of one of its connections wait while it is closed.
type stuckTransport struct {
	balancer.Transport
	dials  atomic.Int64
	closed atomic.Bool
	open   chan struct{}
}

func (s *stuckTransport) Dial(ctx context.Context, id balancer.ShardID, session *balancer.Session) (balancer.Conn, error) {
	c, err := s.Transport.Dial(ctx, id, session)
	if err != nil || s.dials.Add(1) != 3 {
		return c, err
	}
	return &stuckConn{polledJoiner: c.(polledJoiner), s: s}, nil
}

type polledJoiner interface {
	balancer.Joiner
	balancer.Prober
	balancer.Polled
}

type stuckConn struct {
	polledJoiner
	s *stuckTransport
}

func (c *stuckConn) Poll(buf []balancer.Event) (int, error) {
	if c.s.closed.Load() {
		<-c.s.open
	}
	return c.polledJoiner.Poll(buf)
}

// TestRunEndsWhileQuiet ends connections in each way there is while nobody reads
// them.
func TestRunEndsWhileQuiet(t *testing.T) {
	crowd(t, 20, balancer.Config{}, nil, nil, func(f *fleet, ks []balancer.Key) {
		for i := range 5 {
			f.net.Drop(i)
		}
		f.Part(ks[7], ks[8])
		f.net.HalfOpen(9, time.Minute)
		f.chat(100, time.Second, append(ks[:7:7], ks[9:]...))
		if n := f.Count()[balancer.Member]; n != 18 {
			t.Errorf("%d keys joined, want 18", n)
		}
		f.clean(t)
	})
}
