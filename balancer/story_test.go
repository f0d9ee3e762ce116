package balancer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// fleet is a Balancer that runs against a Network inside a synctest bubble.
type fleet struct {
	*balancer.Balancer
	net *balancertest.Network
	rec *balancertest.Recorder
	err error
	end chan struct{} // closed when Run has returned err
}

// play runs a story: once with a goroutine for each connection, and once with
// connections that are waited for together.
func play(t *testing.T, ncfg balancertest.Config, cfg balancer.Config, fixed bool, story func(f *fleet)) {
	t.Helper()
	playOnce(t, ncfg, cfg, fixed, story)
	if ncfg.Polled = true; !t.Failed() {
		playOnce(t, ncfg, cfg, fixed, story)
	}
}

// playOnce runs a story and stops the fleet.
func playOnce(t *testing.T, ncfg balancertest.Config, cfg balancer.Config, fixed bool, story func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{net: balancertest.NewNetwork(ncfg), rec: balancertest.NewRecorder()}
		tr := f.net.Free()
		if fixed {
			tr = f.net.Fixed()
		}
		f.Balancer = newBalancer(tr, &cfg, ncfg.Polled)
		ctx, cancel := context.WithCancel(context.Background())
		f.end = make(chan struct{})
		go func() {
			defer close(f.end)
			f.err = f.Run(ctx, f.rec.Handle)
		}()
		story(f)
		cancel()
		<-f.end
		if v := f.net.Violations(); len(v) > 0 {
			t.Errorf("limits exceeded: %v", v)
		}
	})
	if t.Failed() {
		t.Logf("polled: %v", ncfg.Polled)
	}
}

func newBalancer(tr balancer.Transport, cfg *balancer.Config, polled bool) *balancer.Balancer {
	b := balancer.New(tr, cfg)
	if polled {
		b.PollInMemory()
	}
	return b
}

// chat publishes n rounds over keys, a message to each every d.
func (f *fleet) chat(n int, d time.Duration, keys []balancer.Key) {
	for range n {
		for _, k := range keys {
			f.net.Publish(k)
		}
		time.Sleep(d)
	}
}

func (f *fleet) clean(t *testing.T) balancertest.Verdict {
	t.Helper()
	synctest.Wait()
	v := f.rec.Verdict(f.net)
	if !v.Clean() {
		t.Errorf("verdict %+v", v)
	}
	return v
}

func keys(n int) []balancer.Key {
	ks := make([]balancer.Key, n)
	for i := range ks {
		ks[i] = balancer.Key(fmt.Sprintf("k%03d", i))
	}
	return ks
}

func TestJoinSpreads(t *testing.T) {
	ks := keys(100)
	play(t, balancertest.Config{Limits: balancertest.Limits{KeysPerConn: 25}}, balancer.Config{}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		f.chat(10, time.Second, ks)
		if n := f.Count()[balancer.Member]; n != 100 {
			t.Errorf("%d members, want 100", n)
		}
		if n := len(f.Shards()); n != 4 {
			t.Errorf("%d shards, want 4", n)
		}
		v := f.clean(t)
		if v.Received != 1000 || v.Gaps != 0 {
			t.Errorf("verdict %+v, want 1000 received and no gap", v)
		}
	})
}

func TestFullRefuses(t *testing.T) {
	ks := keys(130)
	play(t, balancertest.Config{Limits: balancertest.Limits{KeysPerConn: 25}}, balancer.Config{}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		c := f.Count()
		if c[balancer.Member] != 125 || c[balancer.Denied] != 5 {
			t.Fatalf("states %v, want 125 joined and 5 refused", c)
		}
		var refused []balancer.Key
		for _, e := range f.rec.Events() {
			if r, ok := e.Data.(balancer.Refused); ok && errors.Is(r.Err, balancer.ErrFull) {
				refused = append(refused, e.Key)
			}
		}
		if len(refused) != 5 {
			t.Errorf("%d keys refused, want 5", len(refused))
		}
		f.Part(ks[:5]...)
		time.Sleep(time.Second)
		if c := f.Count(); c[balancer.Member] != 125 || c[balancer.Denied] != 0 {
			t.Errorf("after parting 5: states %v, want 125 joined", c)
		}
	})
}

func TestDropRejoins(t *testing.T) {
	ks := keys(50)
	play(t, balancertest.Config{}, balancer.Config{}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		f.chat(5, 100*time.Millisecond, ks)
		f.net.Drop(0)
		f.chat(100, 100*time.Millisecond, ks)
		v := f.clean(t)
		if v.InGaps == 0 || v.Gaps != 25 {
			t.Errorf("verdict %+v, want 25 gaps with messages in them", v)
		}
	})
}

func TestCutOverLosesNothing(t *testing.T) {
	for _, noIDs := range []bool{false, true} {
		t.Run(fmt.Sprintf("noIDs=%v", noIDs), func(t *testing.T) {
			ks := keys(20)
			cfg := balancertest.Config{NoIDs: noIDs, Latency: func(i int) time.Duration {
				return []time.Duration{900 * time.Millisecond, 10 * time.Millisecond, 700 * time.Millisecond}[i%3]
			}}
			play(t, cfg, balancer.Config{}, false, func(f *fleet) {
				f.Join(ks...)
				time.Sleep(3 * time.Second)
				for i := range 3 {
					f.chat(20, 50*time.Millisecond, ks)
					f.net.CutOver(i*0, time.Minute)
					f.chat(400, 50*time.Millisecond, ks)
				}
				time.Sleep(3 * time.Second)
				v := f.clean(t)
				if v.Gaps != 0 || v.Received != v.Owed {
					t.Errorf("verdict %+v, want no gap", v)
				}
				if s := f.Shards(); len(s) != 1 || s[0].Conns != 4 {
					t.Errorf("shards %+v, want one with 4 connections", s)
				}
				if l := f.net.Live(); len(l) != 1 {
					t.Errorf("live %v, want one", l)
				}
			})
		})
	}
}

// TestMoveKeepsOrder moves keys between connections of which one brings all
// later than the others, by less than an overlap and by more.
func TestMoveKeepsOrder(t *testing.T) {
	ks := keys(10)
	for _, c := range []struct {
		name    string
		latency []time.Duration
		rounds  int // of chat, 25 ms each, for each move
	}{
		{"within an overlap", []time.Duration{1500 * time.Millisecond, 0, 900 * time.Millisecond}, 400},
		{"over an overlap", []time.Duration{5 * time.Second, 0, 2500 * time.Millisecond}, 1600},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := balancertest.Config{Latency: func(i int) time.Duration { return c.latency[i%3] }}
			play(t, cfg, balancer.Config{InitialShardCount: 3, Policy: balancer.Manual}, false, func(f *fleet) {
				f.Join(ks...)
				time.Sleep(10 * time.Second)
				for _, k := range ks {
					if err := f.Move(k, 0); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(40 * time.Second)
				for to := range 6 {
					for _, k := range ks {
						if err := f.Move(k, (to+1)%3); err != nil {
							t.Fatal(err)
						}
					}
					f.chat(c.rounds, 25*time.Millisecond, ks)
					for _, k := range ks {
						if st, _ := f.Locate(k); st.Shard.Index != (to+1)%3 || st.Moving || f.net.Members(k) != 1 {
							t.Errorf("%+v with %d members, want on shard %d", st, f.net.Members(k), (to+1)%3)
						}
					}
				}
				time.Sleep(10 * time.Second)
				if v := f.clean(t); v.Gaps != 0 {
					t.Errorf("verdict %+v, want no gap", v)
				}
			})
		})
	}
}

func TestReshardFixed(t *testing.T) {
	for _, noIDs := range []bool{false, true} {
		for _, to := range []int{1, 2, 3, 4, 5, 7, 8} {
			t.Run(fmt.Sprintf("4to%d/noIDs=%v", to, noIDs), func(t *testing.T) {
				ks := keys(60)
				cfg := balancertest.Config{NoIDs: noIDs, Replay: 1000, Latency: func(i int) time.Duration { return time.Duration(i*331%1900) * time.Millisecond }}
				play(t, cfg, balancer.Config{InitialShardCount: 4, MaxShardCount: 10}, true, func(f *fleet) {
					f.Join(ks...)
					time.Sleep(3 * time.Second)
					f.chat(20, 50*time.Millisecond, ks)
					if err := f.Resize(to); err != nil {
						t.Fatal(err)
					}
					f.chat(400, 50*time.Millisecond, ks)
					time.Sleep(3 * time.Second)
					v := f.clean(t)
					if v.Gaps != 0 || v.Received != v.Owed {
						t.Errorf("verdict %+v, want no gap", v)
					}
					want := 4 + to
					if to == 4 {
						want = 4
					}
					if id, _ := f.net.Identifies(); id != want {
						t.Errorf("%d identifies, want %d", id, want)
					}
					if n := len(f.Shards()); n != to {
						t.Errorf("%d shards, want %d", n, to)
					}
				})
			})
		}
	}
}

// TestGapCoversWhatWasOnItsWay loses a connection that has brought nothing yet
// that says when it was sent, with a message on its way.
func TestGapCoversWhatWasOnItsWay(t *testing.T) {
	cfg := balancertest.Config{Latency: func(int) time.Duration { return 500 * time.Millisecond }}
	play(t, cfg, balancer.Config{InitialShardCount: 1}, false, func(f *fleet) {
		f.Join("a")
		time.Sleep(3 * time.Second)
		f.Join("b")
		time.Sleep(100 * time.Millisecond)
		f.net.Publish("a")
		time.Sleep(410 * time.Millisecond) // the confirmation of b has arrived by now
		f.net.Drop(0)
		time.Sleep(10 * time.Second)
		if v := f.clean(t); v.InGaps != 1 {
			t.Errorf("verdict %+v, want the one message in a gap", v)
		}
	})
}

// TestRepeatOverThreeConnections has a message come again on the third of a
// shard's connections, which was dialled when the first had ended and the second,
// which delivered it, had not.
func TestRepeatOverThreeConnections(t *testing.T) {
	late := func(conn int) time.Duration { return time.Duration(conn/2) * 500 * time.Millisecond }
	play(t, balancertest.Config{Latency: late}, balancer.Config{MaxShardCount: 1}, false, func(f *fleet) {
		ks := keys(1)
		f.Join(ks...)
		time.Sleep(time.Second)
		f.net.Drop(0)
		time.Sleep(5 * time.Second)
		f.net.CutOver(0, 100*time.Millisecond) // before the third is up
		time.Sleep(50 * time.Millisecond)
		f.net.Publish(ks[0])
		time.Sleep(2 * time.Second)
		f.net.Repeat(ks[0])
		time.Sleep(time.Minute)
		if s := f.Shards()[0]; s.Conns != 3 {
			t.Fatalf("%d connections, want 3: the test is not what it says", s.Conns)
		}
		if v := f.clean(t); v.Received != 1 {
			t.Errorf("verdict %+v", v)
		}
	})
}
