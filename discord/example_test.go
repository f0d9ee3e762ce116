package discord_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
)

// A bot that answers. Its Handle goes to the Run of a balancer; here it is
// given two events by hand.
func ExampleHandlers() {
	cache := discord.NewMemoryCache(nil)
	bot := &discord.Handlers{
		Cache: cache,
		Message: func(ctx context.Context, e balancer.Event, m *discord.Message) {
			if m.Author.Bot || !strings.HasPrefix(m.Content, "!where") {
				return
			}
			guild, _ := cache.Guild(m.GuildID)
			channel, _ := cache.Channel(m.ChannelID)
			fmt.Printf("%s, you are in #%s of %s\n", m.Author.Name(), channel.Name, guild.Name)
		},
		Invalid: func(ctx context.Context, e balancer.Event, err error) { fmt.Println(err) },
	}
	for _, d := range []*discord.Dispatch{
		{Type: "GUILD_CREATE", Data: []byte(`{"id":"1","name":"Gophers","channels":[{"id":"2","name":"general"}]}`)},
		{Type: "MESSAGE_CREATE", Data: []byte(`{"id":"3","guild_id":"1","channel_id":"2","author":{"id":"4","username":"ada"},"content":"!where am I"}`)},
	} {
		bot.Handle(context.Background(), balancer.Event{Data: d})
	}
	// Output: ada, you are in #general of Gophers
}
