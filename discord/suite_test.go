package discord_test

import (
	"fmt"
	"testing"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/balancer/balancertest"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestTransport is the suite that every transport must pass.
func TestTransport(t *testing.T) {
	balancertest.TestTransport(t, func(t *testing.T) balancertest.Harness {
		s := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{MaxConcurrency: 16}}})
		t.Cleanup(s.Close)
		cfg := config(s)
		var keys []balancer.Key
		for _, g := range s.Guilds("") {
			keys = append(keys, balancer.Key(fmt.Sprint(g)))
		}
		return balancertest.Harness{
			Transport: discord.New(discord.FixedToken("bot-token"), &cfg),
			Keys:      keys,
			Publish: func(k balancer.Key) {
				var g uint64
				fmt.Sscan(string(k), &g)
				s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello"))
			},
			Drop:  func() { s.Inject(discordtest.Fault{Kind: discordtest.Drop}, discordtest.Target{}) },
			Frame: []byte(`{"op":3,"d":{"since":null,"activities":[],"status":"online","afk":false}}`),
		}
	})
}
