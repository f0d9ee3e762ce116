package relay_test

import (
	"context"
	"fmt"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

func ExampleHub() {
	ctx := context.Background()
	hub, err := relay.NewHub(ctx, nil, &relay.HubConfig{Epoch: "e1"}) // nil: without history
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()
	reader, err := hub.Subscribe(ctx, relay.SubscribeOptions{Filter: relay.Filter{Channels: []string{"go*"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	for i, channel := range []string{"golang", "rust", "gopher"} {
		body := fmt.Sprintf(`{"v":1,"id":"%d","channel":{"name":"%s"},"kind":"message"}`, i, channel)
		if err := hub.Append(uint64(i+1), []byte(body), nil); err != nil {
			fmt.Println(err)
		}
	}
	err = reader.Next(ctx, func(it *relay.Item) bool {
		fmt.Printf("%s\n", it.Line)
		return true
	})
	fmt.Println(err, reader.Cursor())
	// Output:
	// {"v":1,"cursor":{"epoch":"e1","seq":1},"id":"0","channel":{"name":"golang"},"kind":"message"}
	// {"v":1,"cursor":{"epoch":"e1","seq":3},"id":"2","channel":{"name":"gopher"},"kind":"message"}
	// <nil> e1:3
}
