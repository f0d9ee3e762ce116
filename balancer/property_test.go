package balancer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// op is one thing that happens in a script.
type op struct {
	kind string
	n    int
	wait time.Duration
}

// script is a random life of a fleet under free placement.
type script struct {
	NoIDs     bool
	Polled    bool
	Same      bool // messages repeat their text
	Keys      int
	PerShard  int
	MaxShards int
	KeyCap    int
	Joins     int
	Latencies []time.Duration
	Policy    string
	Slow      time.Duration // how long the handler takes now and then
	Queue     int
	Ops       []op
}

// drawScript draws a script; rapid shrinks it when it fails.
func drawScript(t *rapid.T) script {
	s := script{
		NoIDs:     rapid.Bool().Draw(t, "noIDs"),
		Polled:    rapid.Bool().Draw(t, "polled"),
		Keys:      rapid.IntRange(1, 30).Draw(t, "keys"),
		PerShard:  rapid.IntRange(2, 12).Draw(t, "perShard"),
		MaxShards: rapid.IntRange(1, 6).Draw(t, "maxShards"),
		Joins:     rapid.IntRange(5, 40).Draw(t, "joins"),
		Policy:    rapid.SampledFrom([]string{"distributed", "weighted", "manual"}).Draw(t, "policy"),
		Queue:     rapid.SampledFrom([]int{1000, 1 << 20}).Draw(t, "queue"),
	}
	if rapid.Bool().Draw(t, "capped") {
		s.KeyCap = rapid.IntRange(max(1, s.Keys-3), s.Keys+5).Draw(t, "keyCap")
	}
	if rapid.IntRange(0, 3).Draw(t, "slow") == 0 {
		s.Slow = time.Duration(rapid.IntRange(1, 250).Draw(t, "slowMs")) * time.Millisecond
	}
	for range 4 {
		s.Latencies = append(s.Latencies, time.Duration(rapid.IntRange(0, 1500).Draw(t, "latency"))*time.Millisecond)
	}
	kinds := []string{"drop", "drop2", "half", "cut", "cutshort", "kick", "move", "move", "resize", "part", "join", "wait", "refuse", "silent", "repeat"}
	for range rapid.IntRange(1, 25).Draw(t, "ops") {
		s.Ops = append(s.Ops, op{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			n:    rapid.IntRange(0, 1000).Draw(t, "n"),
			wait: time.Duration(rapid.IntRange(0, 6000).Draw(t, "waitMs")) * time.Millisecond,
		})
	}
	return s
}

// run plays the script and returns what is wrong.
func (s script) run(t *testing.T) (problems []string) {
	synctest.Test(t, func(t *testing.T) {
		bad := func(format string, a ...any) { problems = append(problems, fmt.Sprintf(format, a...)) }
		var answersMu sync.Mutex
		answers := map[balancer.Key]balancertest.Answer{}
		answer := func(k balancer.Key, a balancertest.Answer) {
			answersMu.Lock()
			defer answersMu.Unlock()
			answers[k] = a
		}
		net := balancertest.NewNetwork(balancertest.Config{
			NoIDs:   s.NoIDs,
			Polled:  s.Polled,
			Latency: func(i int) time.Duration { return s.Latencies[i%len(s.Latencies)] },
			Limits:  balancertest.Limits{KeysPerConn: s.PerShard, Keys: s.KeyCap, Joins: s.Joins, Logins: 20, Per: 10 * time.Second},
			Answer: func(k balancer.Key) balancertest.Answer {
				answersMu.Lock()
				defer answersMu.Unlock()
				a := answers[k]
				if a.Err != nil {
					a.Until = time.Now().Add(3 * time.Second)
				}
				delete(answers, k)
				return a
			},
		})
		rec := balancertest.NewRecorder()
		cfg := &balancer.Config{
			ChannelsPerShard: s.PerShard, MaxShardCount: s.MaxShards, KeyCap: s.KeyCap,
			Limiter: balancer.Windows{balancer.BudgetJoin: balancer.NewWindow(s.Joins, 10*time.Second), balancer.BudgetLogin: balancer.NewWindow(20, 10*time.Second)},
			Queue:   balancer.QueueConfig{Bytes: s.Queue},
			Policy:  map[string]balancer.Policy{"distributed": balancer.Distributed, "weighted": balancer.Weighted, "manual": balancer.Distributed}[s.Policy],
		}
		b := newBalancer(net.Free(), cfg, s.Polled)
		ks := keys(s.Keys)
		wanted := map[balancer.Key]bool{}
		var parted []balancer.Key
		join := func(k balancer.Key) { wanted[k] = true; b.Join(k) }
		for _, k := range ks {
			join(k)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		var handled atomic.Int64
		go func() {
			done <- b.Run(ctx, func(ctx context.Context, e balancer.Event) {
				if n := handled.Add(1); s.Slow > 0 && n%50 == 0 && s.MaxShards == 1 {
					time.Sleep(s.Slow)
				}
				rec.Handle(ctx, e)
			})
		}()
		every := 70 * time.Millisecond
		chat := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
				for _, k := range ks {
					net.Publish(k)
				}
			}
		}
		chat(3 * time.Second)
		for _, o := range s.Ops {
			k := ks[o.n%len(ks)]
			switch o.kind {
			case "drop":
				net.Drop(o.n)
			case "drop2":
				net.Drop(o.n)
				net.Drop(o.n + 1)
			case "half":
				net.HalfOpen(o.n, 5*time.Second)
			case "cut":
				net.CutOver(o.n, time.Minute)
			case "cutshort":
				net.CutOver(o.n, time.Duration(o.n*7)*time.Millisecond)
			case "kick":
				net.Kick(k, errors.New("kicked"))
			case "move":
				if sh := b.Shards(); len(sh) > 0 {
					_ = b.Move(k, sh[o.n%len(sh)].ID.Index)
				}
			case "resize":
				_ = b.Resize(1 + o.n%s.MaxShards)
			case "part":
				b.Part(k)
				delete(wanted, k)
				parted = append(parted, k)
			case "join":
				join(k)
			case "refuse":
				answer(k, balancertest.Answer{Err: errors.New("refused")})
			case "silent":
				answer(k, balancertest.Answer{Silent: true})
			case "repeat":
				net.Repeat(k)
			}
			chat(o.wait)
		}
		chat(20 * time.Second)
		every = time.Second // time for what backs off
		chat(4 * time.Minute)
		time.Sleep(time.Minute) // what a slow handler has left is handled
		for range 60 {          // what Weighted still moves has moved
			if !slices.ContainsFunc(b.Keys(), func(st balancer.KeyStatus) bool { return st.Moving }) {
				break
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for _, v := range net.Violations() {
			bad("limit exceeded: %s", v)
		}
		room := s.PerShard * s.MaxShards
		if s.KeyCap > 0 {
			room = min(room, s.KeyCap)
		}
		members := 0
		for k := range wanted {
			st, ok := b.Locate(k)
			m := net.Members(k)
			if ok && st.State == balancer.Member {
				members++
				if m != 1 || st.Moving {
					bad("%s is joined on %d connections: %+v", k, m, st)
				}
				continue
			}
			if st.Err == nil || m != 0 {
				bad("%s is not joined, without a reason: %+v, on %d connections", k, st, m)
			}
		}
		if members != min(room, len(wanted)) {
			bad("%d of %d keys joined, room for %d: %v", members, len(wanted), room, b.Count())
		}
		for _, k := range ks {
			if !wanted[k] && net.Members(k) > 0 {
				bad("%s was parted and is still joined", k)
			}
		}
		if v := rec.Verdict(net, parted...); !v.Clean() {
			bad("verdict %+v", v)
		}
		cancel()
		if err := <-done; err != nil {
			bad("Run: %v", err)
		}
	})
	return problems
}

// TestHandoverUnderFaults is the promise of the package, counted: under random
// faults, moves and resizes nothing is lost, doubled or out of order, and no
// cap or budget is exceeded.
func TestHandoverUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScript(rt)
		if p := s.run(t); len(p) > 0 {
			rt.Fatalf("%+v\n%s", s, strings.Join(p, "\n"))
		}
	})
}
