package balancer_test

import (
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// table is a View by hand: rates of keys by shard.
func table(cap, max int, rates ...[]float64) balancer.View {
	v := balancer.View{KeyCap: cap, MaxShards: max, Asked: len(rates), MeasureFor: time.Hour}
	for i, rs := range rates {
		s := balancer.ShardView{ID: balancer.ShardID{Index: i}, Keys: len(rs), Cap: cap, Up: true}
		for _, r := range rs {
			s.Rate.Bytes += r
		}
		v.Shards = append(v.Shards, s)
	}
	v.KeysOf = func(i int) iter.Seq2[balancer.Key, balancer.Rate] {
		return func(yield func(balancer.Key, balancer.Rate) bool) {
			for j, r := range rates[i] {
				if !yield(balancer.Key(fmt.Sprintf("%d/%d", i, j)), balancer.Rate{Bytes: r}) {
					return
				}
			}
		}
	}
	return v
}

func TestPoliciesKeepCaps(t *testing.T) {
	policies := map[string]balancer.Policy{"Distributed": balancer.Distributed, "Weighted": balancer.Weighted, "AsAsked": balancer.AsAsked}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				cap := rapid.IntRange(1, 6).Draw(t, "cap")
				max := rapid.IntRange(1, 8).Draw(t, "max")
				var rates [][]float64
				for range rapid.IntRange(0, max).Draw(t, "shards") {
					rates = append(rates, rapid.SliceOfN(rapid.Float64Range(0, 100), 0, cap).Draw(t, "rates"))
				}
				v := table(cap, max, rates...)
				v.Asked = rapid.IntRange(1, max).Draw(t, "asked")
				v.Resized = rapid.Bool().Draw(t, "resized")
				for i := range rapid.IntRange(0, 40).Draw(t, "unplaced") {
					v.Unplaced = append(v.Unplaced, balancer.Key(fmt.Sprint("new", i)))
				}
				p := policy(v)
				n := len(v.Shards) + p.Open
				if n > max {
					t.Fatalf("%d shards, want at most %d", n, max)
				}
				count := make([]int, n)
				for i, s := range v.Shards {
					count[i] = s.Keys
				}
				placed := 0
				for _, to := range p.Place {
					if to >= 0 {
						count[to]++
						placed++
					}
				}
				for _, m := range p.Move {
					var from, nth int
					if _, err := fmt.Sscanf(string(m.Key), "%d/%d", &from, &nth); err != nil {
						t.Fatal(err)
					}
					count[from]--
					count[m.To]++
				}
				for i, c := range count {
					if c > cap {
						t.Fatalf("%d keys on shard %d, cap %d: %+v", c, i, cap, p)
					}
				}
				if name != "AsAsked" {
					room := max * cap
					for _, s := range v.Shards {
						room -= s.Keys
					}
					if want := min(len(v.Unplaced), room); placed != want {
						t.Fatalf("%d placed, want %d", placed, want)
					}
				}
			})
		})
	}
}

// TestDistributedMovesTheLeast checks that evening out leaves no two shards
// more than one key apart, with no move more than that takes.
func TestDistributedMovesTheLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rates [][]float64
		total := 0
		for range rapid.IntRange(1, 20).Draw(t, "shards") {
			n := rapid.IntRange(0, 30).Draw(t, "keys")
			rates = append(rates, make([]float64, n))
			total += n
		}
		v := table(1000, 100, rates...)
		v.Asked = len(rates) + rapid.IntRange(0, 5).Draw(t, "more")
		v.Resized = true
		p := balancer.Distributed(v)
		n := len(rates) + p.Open
		count := make([]int, n)
		for i := range rates {
			count[i] = len(rates[i])
		}
		least := 0
		share, rest := total/n, total%n
		over := 0
		for _, c := range count {
			least += max(0, c-share-1)
			if c > share {
				over++
			}
		}
		least += max(0, over-rest) // of those above their share, only rest may keep one more
		for _, m := range p.Move {
			var from, nth int
			fmt.Sscanf(string(m.Key), "%d/%d", &from, &nth)
			count[from]--
			count[m.To]++
		}
		for _, c := range count {
			if c < share || c > share+1 {
				t.Fatalf("counts %v after the moves, want %d or %d each", count, share, share+1)
			}
		}
		if len(p.Move) != least {
			t.Fatalf("%d moves, the least possible is %d", len(p.Move), least)
		}
	})
}

func TestWeightedHysteresis(t *testing.T) {
	ten := func(r float64) []float64 {
		rs := make([]float64, 10)
		for i := range rs {
			rs[i] = r
		}
		return rs
	}
	for _, c := range []struct {
		name  string
		rates [][]float64
		moves bool
	}{
		{"even", [][]float64{ten(1), ten(1), ten(1)}, false},
		{"below start", [][]float64{ten(1.4), ten(0.8), ten(0.8)}, false},
		{"above start", [][]float64{ten(2), ten(0.5), ten(0.5)}, true},
		{"a giant alone is not moved", [][]float64{{100}, ten(1), ten(1)}, false},
		{"what stands with a giant is", [][]float64{append(ten(10), 100), ten(1), ten(1)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := balancer.Weighted(table(50, 3, c.rates...))
			if (len(p.Move) > 0) != c.moves {
				t.Errorf("moves %v", p.Move)
			}
			load := make([]float64, len(c.rates))
			sum := 0.0
			for i := range c.rates {
				for _, r := range c.rates[i] {
					load[i] += r
					sum += r
				}
			}
			for _, m := range p.Move {
				var from, nth int
				fmt.Sscanf(string(m.Key), "%d/%d", &from, &nth)
				if c.rates[from][nth] == 100 {
					t.Error("the giant was moved")
				}
				load[from] -= c.rates[from][nth]
				load[m.To] += c.rates[from][nth]
			}
			if again := balancer.Weighted(table(50, 3, c.rates...)); len(again.Move) != len(p.Move) {
				t.Errorf("the same View gives %d and %d moves", len(p.Move), len(again.Move))
			}
			if c.name == "above start" {
				for i, l := range load {
					if l > 1.2*sum/3+1e-9 {
						t.Errorf("shard %d carries %.1f after the moves, want at most 1.2 of %.1f", i, l, sum/3)
					}
				}
			}
		})
	}
}

// TestWeightedSpreadsLoad has one shard's keys carry nearly everything.
func TestWeightedSpreadsLoad(t *testing.T) {
	ks := keys(20)
	cfg := balancer.Config{ChannelsPerShard: 20, MaxShardCount: 4, InitialShardCount: 4, Policy: balancer.Weighted}
	play(t, balancertest.Config{}, cfg, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		var hot []balancer.Key
		for _, st := range f.Keys() {
			if st.Shard.Index == 0 {
				hot = append(hot, st.Key)
			}
		}
		f.chat(20*60*10, 100*time.Millisecond, hot)
		at := map[int]int{}
		for _, k := range hot {
			st, _ := f.Locate(k)
			at[st.Shard.Index]++
		}
		if len(at) < 4 {
			t.Errorf("the busy keys are on shards %v, want them on all four", at)
		}
		time.Sleep(5 * time.Second)
		if v := f.clean(t); v.Gaps != 0 {
			t.Errorf("verdict %+v", v)
		}
	})
}

// TestFatalAnswerIsNotRetried has every login refused for good.
func TestFatalAnswerIsNotRetried(t *testing.T) {
	bad := errors.New("login refused: the token is not valid: get a new one")
	dials := 0
	cfg := balancertest.Config{Dial: func(balancer.ShardID) error {
		dials++
		return &balancer.ConnError{Err: bad, Retry: balancer.Never}
	}}
	var err error
	playOnce(t, cfg, balancer.Config{}, false, func(f *fleet) {
		f.Join("a")
		time.Sleep(time.Hour)
		<-f.end
		err = f.err
	})
	var se *balancer.ShardError
	if !errors.As(err, &se) || !errors.Is(err, bad) || dials != 1 {
		t.Errorf("Run returned %v after %d dials, want a ShardError with the reason after one", err, dials)
	}
}

// TestBackoffPacesDials counts dials while the service is away.
func TestBackoffPacesDials(t *testing.T) {
	var dials atomic.Int64
	var back atomic.Bool
	cfg := balancertest.Config{Dial: func(balancer.ShardID) error {
		dials.Add(1)
		if !back.Load() {
			return errors.New("connection refused")
		}
		return nil
	}}
	playOnce(t, cfg, balancer.Config{}, false, func(f *fleet) {
		f.Join("a")
		time.Sleep(10 * time.Minute)
		if n := dials.Load(); n < 12 || n > 30 {
			t.Errorf("%d dials in 10 minutes, want between 12 and 30: 1 s doubling to 1 min", n)
		}
		back.Store(true)
		time.Sleep(2 * time.Minute)
		if st, _ := f.Locate("a"); st.State != balancer.Member {
			t.Errorf("%+v, want it joined once the service is back", st)
		}
	})
}

// TestReconnectStorm ends every connection as soon as it is up: the number of
// dials stays within the back-off, however quick the service is.
func TestReconnectStorm(t *testing.T) {
	play(t, balancertest.Config{}, balancer.Config{}, false, func(f *fleet) {
		f.Join("a")
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			f.net.Drop(0)
		}
		if n := f.Shards()[0].Conns; n > 12 {
			t.Errorf("%d connections in a minute, want at most 12", n)
		}
	})
}

// TestJoinPace joins with the default budget of Twitch in no more than 1.05
// times what the budget dictates, and never over it.
func TestJoinPace(t *testing.T) {
	ks := keys(200)
	net := balancertest.Config{Limits: balancertest.Limits{Joins: 20, Per: 11 * time.Second}}
	cfg := balancer.Config{MaxShardCount: 8, Limiter: balancer.Windows{balancer.BudgetJoin: balancer.NewWindow(20, 11*time.Second)}}
	playOnce(t, net, cfg, false, func(f *fleet) {
		start := time.Now()
		f.Join(ks...)
		for f.Count()[balancer.Member] < len(ks) {
			time.Sleep(100 * time.Millisecond)
		}
		dictated := time.Duration((len(ks)-1)/20) * 11 * time.Second
		if took := time.Since(start); took > dictated*105/100 {
			t.Errorf("joining %d keys took %v, the budget dictates %v", len(ks), took, dictated)
		}
	})
}

func TestUnconfirmedIsRefused(t *testing.T) {
	cfg := balancertest.Config{Answer: func(k balancer.Key) balancertest.Answer { return balancertest.Answer{Silent: k == "ghost"} }}
	play(t, cfg, balancer.Config{}, false, func(f *fleet) {
		f.Join("real", "ghost")
		time.Sleep(5 * time.Minute)
		if st, _ := f.Locate("real"); st.State != balancer.Member {
			t.Errorf("%+v", st)
		}
		st, _ := f.Locate("ghost")
		if st.State != balancer.Denied && st.State != balancer.Sent || !errors.Is(st.Err, balancer.ErrUnconfirmed) {
			t.Errorf("%+v, want it refused as not confirmed", st)
		}
		if n := f.net.Joins(); n > 12 {
			t.Errorf("%d joins sent in 5 minutes, want at most 12", n)
		}
	})
}
