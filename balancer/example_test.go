package balancer_test

import (
	"context"
	"fmt"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
)

func Example() {
	network := balancertest.NewNetwork(balancertest.Config{})
	b := balancer.New(network.Free(), &balancer.Config{ChannelsPerShard: 2, MaxShardCount: 3})
	b.Join("forsen", "nymn", "xqc")

	ctx, cancel := context.WithCancel(context.Background())
	joined := make(chan balancer.Key, 3)
	done := make(chan error, 1)
	go func() {
		done <- b.Run(ctx, func(ctx context.Context, e balancer.Event) {
			switch d := e.Data.(type) {
			case balancer.Joined:
				joined <- e.Key
			case balancer.Gap:
				fmt.Println("missed", e.Key, "from", d.From, "to", d.To)
			}
		})
	}()
	for range 3 {
		<-joined
	}
	fmt.Println(len(b.Shards()), "shards,", b.Count()[balancer.Member], "keys joined")
	cancel()
	fmt.Println(<-done)
	// Output:
	// 2 shards, 3 keys joined
	// <nil>
}

// A policy is a function: this one keeps each network's channels together.
func ExamplePolicy() {
	byFirstLetter := func(v balancer.View) balancer.Plan {
		p := balancer.Plan{Open: max(0, 2-len(v.Shards))}
		for _, k := range v.Unplaced {
			p.Place = append(p.Place, int(k[0])%2)
		}
		return p
	}
	fmt.Println(byFirstLetter(balancer.View{Unplaced: []balancer.Key{"a", "b", "c"}}).Place)
	// Output: [1 0 1]
}
