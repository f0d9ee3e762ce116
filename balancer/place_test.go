package balancer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

// TestServiceLowersTheCap has connections that may hold fewer keys than
// configured, which is known once they are up.
func TestServiceLowersTheCap(t *testing.T) {
	ks := keys(30)
	net := balancertest.Config{Cap: 7, Limits: balancertest.Limits{KeysPerConn: 7}}
	play(t, net, balancer.Config{ChannelsPerShard: 25}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(10 * time.Second)
		f.chat(10, time.Second, ks)
		if n := f.Count()[balancer.Member]; n != 30 || len(f.Shards()) != 5 {
			t.Errorf("%d joined on %d shards, want 30 on 5", n, len(f.Shards()))
		}
		for _, s := range f.Shards() {
			if s.Cap != 7 || s.Keys > 7 {
				t.Errorf("shard %v holds %d of %d, want the service's cap of 7", s.ID, s.Keys, s.Cap)
			}
		}
		f.clean(t)
	})
}

func TestSingle(t *testing.T) {
	play(t, balancertest.Config{}, balancer.Config{Policy: balancer.Single, ChannelsPerShard: 10}, false, func(f *fleet) {
		f.Join(keys(12)...)
		time.Sleep(time.Second)
		if c := f.Count(); len(f.Shards()) != 1 || c[balancer.Member] != 10 || c[balancer.Denied] != 2 {
			t.Errorf("%d shards, %v, want one with 10 joined and 2 refused", len(f.Shards()), c)
		}
	})
}

func TestAsAskedNeverGrows(t *testing.T) {
	play(t, balancertest.Config{}, balancer.Config{Policy: balancer.AsAsked, InitialShardCount: 2, ChannelsPerShard: 10}, false, func(f *fleet) {
		f.Join(keys(25)...)
		time.Sleep(time.Second)
		if c := f.Count(); len(f.Shards()) != 2 || c[balancer.Member] != 20 {
			t.Errorf("%d shards, %v, want two with 20 joined", len(f.Shards()), c)
		}
		if err := f.Resize(3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if c := f.Count(); len(f.Shards()) != 3 || c[balancer.Member] != 25 {
			t.Errorf("after Resize(3): %d shards, %v, want three with 25 joined", len(f.Shards()), c)
		}
	})
}

func TestResizeDownMovesKeysFirst(t *testing.T) {
	ks := keys(20)
	play(t, balancertest.Config{Limits: balancertest.Limits{KeysPerConn: 25}}, balancer.Config{InitialShardCount: 4}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		if err := f.Resize(1); err != nil {
			t.Fatal(err)
		}
		f.chat(200, 100*time.Millisecond, ks)
		if v := f.clean(t); v.Gaps != 0 || len(f.Shards()) != 1 || len(f.net.Live()) != 1 {
			t.Errorf("verdict %+v, %d shards, want one and no gap", v, len(f.Shards()))
		}
		if err := f.Resize(9); err == nil {
			t.Error("Resize beyond MaxShardCount returned nil")
		}
		f.Join(keys(100)...)
		time.Sleep(time.Second)
		if err := f.Resize(2); !errors.Is(err, balancer.ErrFull) {
			t.Errorf("Resize to fewer shards than the keys need returned %v", err)
		}
	})
}

func TestEmptyShardIsClosed(t *testing.T) {
	ks := keys(50)
	play(t, balancertest.Config{}, balancer.Config{}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		if len(f.Shards()) != 2 {
			t.Fatalf("%d shards", len(f.Shards()))
		}
		f.Part(ks...)
		time.Sleep(2 * time.Minute)
		if n := len(f.Shards()); n != 1 || len(f.net.Live()) != 1 {
			t.Errorf("%d shards and %d connections without keys, want the one asked for", n, len(f.net.Live()))
		}
	})
}

// TestSenderChoosesTheShard sends over the shard that holds the key, over any
// where none does, and over the one that a function names.
func TestSenderChoosesTheShard(t *testing.T) {
	ks := keys(3)
	var asked []balancer.Key
	cfg := balancer.Config{ChannelsPerShard: 1, MaxShardCount: 3}
	slow := func(balancer.ShardID) error { time.Sleep(100 * time.Millisecond); return nil }
	play(t, balancertest.Config{Dial: slow}, cfg, false, func(f *fleet) {
		if err := f.Send(context.Background(), "k000", []byte("x")); !errors.Is(err, balancer.ErrNotReady) {
			t.Errorf("Send before anything is up returned %v", err)
		}
		f.Join(ks...)
		time.Sleep(time.Second)
		for _, k := range append(ks, "elsewhere") {
			if err := f.Send(context.Background(), k, []byte(k)); err != nil {
				t.Errorf("Send(%s): %v", k, err)
			}
		}
		for _, k := range ks {
			st, _ := f.Locate(k)
			if got := f.net.Sent(st.Shard); len(got) == 0 || got[0] != string(k) {
				t.Errorf("shard %v was sent %q, want what is for %s", st.Shard, got, k)
			}
		}
	})
	cfg.Sender = func(v balancer.View, k balancer.Key) (int, bool) {
		asked = append(asked, k)
		return 2, len(v.Shards) == 3
	}
	playOnce(t, balancertest.Config{}, cfg, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		if err := f.Send(context.Background(), ks[0], []byte("x")); err != nil {
			t.Error(err)
		}
		if got := f.net.Sent(balancer.ShardID{Index: 2}); len(asked) != 1 || len(got) != 1 {
			t.Errorf("asked for %v, shard 2 was sent %q", asked, got)
		}
	})
}

// TestNodeRunsSomeShards is a node of a cluster under free placement: it runs
// the shards that it was given and opens none.
func TestNodeRunsSomeShards(t *testing.T) {
	ks := keys(30)
	play(t, balancertest.Config{}, balancer.Config{InitialShardCount: -1, ChannelsPerShard: 10, MaxShardCount: 10}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		if len(f.Shards()) != 0 {
			t.Fatal("shards without Acquire")
		}
		for _, i := range []int{7, 4} {
			if err := f.Acquire(balancer.ShardID{Index: i}, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if c := f.Count(); c[balancer.Member] != 20 {
			t.Errorf("%v, want 20 joined on two shards", c)
		}
		if _, err := f.Release(context.Background(), balancer.ShardID{Index: 7}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if c := f.Count(); c[balancer.Member] != 10 || len(f.net.Live()) != 1 {
			t.Errorf("after Release: %v on %d connections, want 10 on one", c, len(f.net.Live()))
		}
		if err := f.Acquire(balancer.ShardID{Index: 1, Count: 3}, nil); !errors.Is(err, balancer.ErrPlacement) {
			t.Errorf("Acquire of a shard of fixed placement returned %v", err)
		}
		if _, err := f.Release(context.Background(), balancer.ShardID{Index: 99}); !errors.Is(err, balancer.ErrUnknownShard) {
			t.Errorf("Release of an unknown shard returned %v", err)
		}
	})
}

// TestLoweredCapWithoutRoomElsewhere has nowhere to put what the service does
// not let one connection hold.
func TestLoweredCapWithoutRoomElsewhere(t *testing.T) {
	net := balancertest.Config{Cap: 3, Limits: balancertest.Limits{KeysPerConn: 3}}
	play(t, net, balancer.Config{ChannelsPerShard: 25, MaxShardCount: 1}, false, func(f *fleet) {
		f.Join(keys(10)...)
		time.Sleep(10 * time.Second)
		if c := f.Count(); c[balancer.Member] != 3 || c[balancer.Denied] != 7 {
			t.Errorf("%v, want 3 joined and 7 refused", c)
		}
	})
}

// TestCappedPlaceIsNotLost parts a key that was let in to the account's last
// place before its join was sent.
func TestCappedPlaceIsNotLost(t *testing.T) {
	cfg := balancer.Config{KeyCap: 1, Limiter: balancer.Windows{balancer.BudgetJoin: balancer.NewWindow(1, 10*time.Second)}}
	play(t, balancertest.Config{Limits: balancertest.Limits{Keys: 1}}, cfg, false, func(f *fleet) {
		f.Join("a")
		time.Sleep(time.Second)
		f.Join("b", "c")
		time.Sleep(time.Second)
		f.Part("a")
		time.Sleep(time.Second)
		f.Part("b")
		time.Sleep(30 * time.Second)
		if st, _ := f.Locate("c"); st.State != balancer.Member {
			t.Errorf("%+v, want c joined", st)
		}
		for i := range 500 {
			k := balancer.Key(fmt.Sprint("churn", i))
			f.Join(k)
			time.Sleep(2 * time.Millisecond)
			f.Part(k)
			time.Sleep(2 * time.Millisecond)
		}
		if n := len(f.Keys()); n != 1 {
			t.Errorf("%d keys left, want c alone", n)
		}
	})
}

// TestRefusedByTheSource has the service refuse a key that is joined, on the
// connection that it is just being moved from.
func TestRefusedByTheSource(t *testing.T) {
	ks := keys(4)
	play(t, balancertest.Config{}, balancer.Config{InitialShardCount: 2, Policy: balancer.Manual}, false, func(f *fleet) {
		f.Join(ks...)
		time.Sleep(time.Second)
		for _, k := range ks {
			f.Move(k, 0)
		}
		time.Sleep(time.Second)
		for i, k := range ks {
			f.Move(k, 1)
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
			f.net.Refuse(0, k, errors.New("no longer"))
		}
		f.chat(300, 100*time.Millisecond, ks)
		for _, k := range ks {
			if st, _ := f.Locate(k); st.State != balancer.Member || st.Moving {
				t.Errorf("%+v, want it joined", st)
			}
		}
	})
}
