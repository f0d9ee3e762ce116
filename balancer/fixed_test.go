package balancer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

func TestResumeCostsNoIdentify(t *testing.T) {
	ks := keys(20)
	play(t, balancertest.Config{Replay: 1000}, balancer.Config{InitialShardCount: 4}, true, func(f *fleet) {
		time.Sleep(time.Second)
		for i := range 12 {
			f.chat(10, 50*time.Millisecond, ks)
			f.net.Drop(i)
			f.chat(100, 50*time.Millisecond, ks)
		}
		v := f.clean(t)
		if ids, resumes := f.net.Identifies(); ids != 4 || resumes != 12 {
			t.Errorf("%d identifies and %d resumes, want 4 and 12", ids, resumes)
		}
		if v.Gaps != 0 || v.Received != v.Owed {
			t.Errorf("verdict %+v, want everything", v)
		}
	})
}

func TestLostSessionIsAGap(t *testing.T) {
	ks := keys(20)
	play(t, balancertest.Config{Replay: 3}, balancer.Config{InitialShardCount: 2}, true, func(f *fleet) {
		time.Sleep(time.Second)
		f.chat(10, 50*time.Millisecond, ks)
		f.net.Drop(0)
		f.chat(100, 50*time.Millisecond, ks)
		v := f.clean(t)
		if ids, _ := f.net.Identifies(); ids != 3 || v.Gaps != 1 || v.InGaps == 0 {
			t.Errorf("%d identifies, verdict %+v, want 3 and one gap with messages in it", ids, v)
		}
	})
}

// TestFreshSessionIsAGap has the service say itself that the session is gone.
func TestFreshSessionIsAGap(t *testing.T) {
	ks := keys(20)
	play(t, balancertest.Config{Replay: 1000}, balancer.Config{InitialShardCount: 1}, true, func(f *fleet) {
		time.Sleep(time.Second)
		f.chat(10, 50*time.Millisecond, ks)
		f.net.DropWith(0, &balancer.ConnError{Err: errors.New("4007 invalid seq"), Retry: balancer.Fresh})
		f.chat(100, 50*time.Millisecond, ks)
		v := f.clean(t)
		if ids, _ := f.net.Identifies(); ids != 2 || v.Gaps != 1 || v.InGaps == 0 {
			t.Errorf("%d identifies, verdict %+v, want 2 and one gap with messages in it", ids, v)
		}
	})
}

// TestReshardOverALostSession loses a session of either generation while one
// takes over: what only the other one has by then comes before what the next
// session brings, and is neither lost nor late.
func TestReshardOverALostSession(t *testing.T) {
	ks := append(keys(20), "")
	lost := &balancer.ConnError{Err: errors.New("4007 invalid seq"), Retry: balancer.Fresh}
	cfg := balancertest.Config{Replay: 1000, Latency: func(i int) time.Duration { return time.Duration(i%3) * 100 * time.Millisecond }}
	for try := range 80 {
		wait, conn := try/5%8, try%5
		play(t, cfg, balancer.Config{InitialShardCount: 2, MaxShardCount: 8}, true, func(f *fleet) {
			time.Sleep(time.Second)
			f.chat(20, 50*time.Millisecond, ks)
			if err := f.Resize(3); err != nil {
				t.Fatal(err)
			}
			f.chat(10+5*wait, 50*time.Millisecond, ks)
			switch {
			case conn >= 2:
				f.net.HalfOpen(0, 2*time.Second) // the old generation lags behind
			case try >= 40:
				f.net.HalfOpen(2+wait%3, 2*time.Second) // a shard of the new one does
			}
			f.net.DropWith(conn, lost)
			f.chat(200, 50*time.Millisecond, ks)
			time.Sleep(3 * time.Second) // what is on its way arrives
			f.clean(t)
			if t.Failed() {
				t.Logf("connection %d, %d ms after the start", conn, 500+250*wait)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func TestRestartResumes(t *testing.T) {
	ks := keys(20)
	synctest.Test(t, func(t *testing.T) {
		net := balancertest.NewNetwork(balancertest.Config{Replay: 10_000})
		rec := balancertest.NewRecorder()
		ids := []balancer.ShardID{{Index: 0, Count: 2}, {Index: 1, Count: 2}}
		sessions := map[balancer.ShardID]*balancer.Session{}
		for range 5 {
			b := balancer.New(net.Fixed(), &balancer.Config{InitialShardCount: -1})
			for _, id := range ids {
				if err := b.Acquire(id, sessions[id]); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 1)
			go func() { done <- b.Run(context.Background(), rec.Handle) }()
			for range 50 {
				for _, k := range ks {
					net.Publish(k)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err := b.Drain(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				s, err := b.Session(id)
				if err != nil || s.Seq == 0 {
					t.Fatalf("Session(%v) = %v, %v", id, s, err)
				}
				sessions[id] = &s
			}
			for _, k := range ks {
				net.Publish(k) // while nobody is connected
			}
		}
		if n, r := net.Identifies(); n != 2 || r != 8 {
			t.Errorf("%d identifies and %d resumes, want 2 and 8", n, r)
		}
		v := rec.Verdict(net)
		if v.Doubled+v.OutOfOrder+v.Gaps != 0 || v.Owed-v.Received != len(ks) { // what was said after the last Drain
			t.Errorf("verdict %+v", v)
		}
	})
}

func TestReleaseHandsOver(t *testing.T) {
	ks := keys(20)
	synctest.Test(t, func(t *testing.T) {
		net := balancertest.NewNetwork(balancertest.Config{Replay: 10_000})
		rec := balancertest.NewRecorder()
		id := balancer.ShardID{Index: 0, Count: 1}
		ctx, cancel := context.WithCancel(context.Background())
		var nodes [2]*balancer.Balancer
		done := make(chan error, 2)
		for i := range nodes {
			nodes[i] = balancer.New(net.Fixed(), &balancer.Config{InitialShardCount: -1})
			go func() { done <- nodes[i].Run(ctx, rec.Handle) }()
		}
		synctest.Wait()
		s := balancer.Session{}
		if err := nodes[0].Acquire(id, nil); err != nil {
			t.Fatal(err)
		}
		for turn := range 6 {
			for range 30 {
				for _, k := range ks {
					net.Publish(k)
				}
				time.Sleep(20 * time.Millisecond)
			}
			var err error
			if s, err = nodes[turn%2].Release(ctx, id); err != nil {
				t.Fatal(err)
			}
			for _, k := range ks {
				net.Publish(k)
			}
			if err := nodes[(turn+1)%2].Acquire(id, &s); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if v := rec.Verdict(net); !v.Clean() || v.Gaps != 0 {
			t.Errorf("verdict %+v", v)
		}
		if n, _ := net.Identifies(); n != 1 {
			t.Errorf("%d identifies, want 1", n)
		}
		cancel()
		for range nodes {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestManualAckHoldsBack checks that a session taken for storage never claims
// an event that was not acknowledged.
func TestManualAckHoldsBack(t *testing.T) {
	play(t, balancertest.Config{Replay: 1000}, balancer.Config{InitialShardCount: 1, ManualAck: true}, true, func(f *fleet) {
		id := balancer.ShardID{Gen: 1, Index: 0, Count: 1}
		time.Sleep(time.Second)
		f.chat(10, time.Millisecond, keys(1))
		if s, err := f.Session(id); err != nil || s.Seq != 0 {
			t.Errorf("Session = %v, %v before any Ack, want seq 0", s, err)
		}
		f.Ack(id, 5)
		if s, _ := f.Session(id); s.Seq != 5 {
			t.Errorf("Session = %v after Ack(5)", s)
		}
		f.net.Drop(0)
		f.chat(10, time.Second, keys(1))
		if s, _ := f.Session(id); s.Seq != 5 {
			t.Errorf("Session = %v after a resume, want seq 5 still", s)
		}
		f.Ack(id, 1000)
		if s, _ := f.Session(id); s.Seq != 21 {
			t.Errorf("Session = %v after Ack(1000), want the last received, 21", s)
		}
		f.clean(t)
	})
}

func TestRollbackKeepsTheOldGeneration(t *testing.T) {
	ks := keys(40)
	refuse := func(id balancer.ShardID) error {
		if id.Count == 4 && id.Index == 3 {
			return &balancer.ConnError{Err: errors.New("4010 invalid shard"), Retry: balancer.Never}
		}
		return nil
	}
	play(t, balancertest.Config{Replay: 1000, Dial: refuse}, balancer.Config{InitialShardCount: 2}, true, func(f *fleet) {
		time.Sleep(time.Second)
		if err := f.Resize(4); err != nil {
			t.Fatal(err)
		}
		f.chat(300, 50*time.Millisecond, ks)
		v := f.clean(t)
		if v.Gaps != 0 || len(f.Shards()) != 2 || len(f.net.Live()) != 2 {
			t.Errorf("verdict %+v, %d shards, want the two of before and no gap", v, len(f.Shards()))
		}
		if err := f.Resize(3); err != nil {
			t.Fatal(err)
		}
		f.chat(300, 50*time.Millisecond, ks)
		if f.clean(t); len(f.Shards()) != 3 {
			t.Errorf("%d shards after a second Resize, want 3", len(f.Shards()))
		}
	})
}

// TestReshardUnderFaults resizes any number to any number while connections
// drop, with and without sessions that can be resumed.
func TestReshardUnderFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		noIDs := rapid.Bool().Draw(rt, "noIDs")
		polled := rapid.Bool().Draw(rt, "polled")
		start := rapid.IntRange(1, 6).Draw(rt, "start")
		lat := make([]time.Duration, 5)
		for i := range lat {
			lat[i] = time.Duration(rapid.IntRange(0, 1500).Draw(rt, "latency")) * time.Millisecond
		}
		var ops []op
		for range rapid.IntRange(1, 12).Draw(rt, "ops") {
			ops = append(ops, op{rapid.SampledFrom([]string{"resize", "resize", "drop", "half", "cut"}).Draw(rt, "kind"),
				rapid.IntRange(0, 100).Draw(rt, "n"), time.Duration(rapid.IntRange(0, 9000).Draw(rt, "wait")) * time.Millisecond})
		}
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			net := balancertest.NewNetwork(balancertest.Config{NoIDs: noIDs, Polled: polled, Replay: 100_000, Latency: func(i int) time.Duration { return lat[i%len(lat)] }})
			rec := balancertest.NewRecorder()
			b := newBalancer(net.Fixed(), &balancer.Config{InitialShardCount: start, MaxShardCount: 8}, polled)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- b.Run(ctx, rec.Handle) }()
			ks := append(keys(25), "")
			every := 70 * time.Millisecond
			chat := func(d time.Duration) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
					for _, k := range ks {
						net.Publish(k)
					}
				}
			}
			chat(3 * time.Second)
			want := start
			for _, o := range ops {
				switch o.kind {
				case "resize":
					want = 1 + o.n%8
					if err := b.Resize(want); err != nil {
						problems = append(problems, err.Error())
					}
				case "drop":
					net.Drop(o.n)
				case "half":
					net.HalfOpen(o.n, 4*time.Second)
				case "cut":
					net.CutOver(o.n, time.Minute)
				}
				chat(o.wait)
			}
			chat(20 * time.Second)
			every = time.Second
			chat(2 * time.Minute)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			v := rec.Verdict(net)
			if noIDs {
				v.Doubled, v.OutOfOrder = 0, 0 // what cannot be told apart and is replayed late may come twice
			}
			if !v.Clean() || v.Gaps != 0 {
				problems = append(problems, fmt.Sprintf("verdict %+v", v))
				for _, e := range rec.Events() {
					problems = append(problems, fmt.Sprintf("%v %T%+v", e.Shard, e.Data, e.Data))
				}
			}
			if n, l := len(b.Shards()), len(net.Live()); n != want || l != want {
				problems = append(problems, fmt.Sprintf("%d shards and %d connections, want %d", n, l, want))
			}
			cancel()
			<-done
		})
		if len(problems) > 0 {
			rt.Fatalf("start %d noIDs %v lat %v ops %v\n%s", start, noIDs, lat, ops, strings.Join(problems, "\n"))
		}
	})
}
