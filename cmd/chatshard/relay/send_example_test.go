package relay_test

import (
	"context"
	"fmt"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// One router sends for all accounts; each request has an answer.
func ExampleRouter() {
	s := discordtest.New(nil) // in the relay: Discord
	defer s.Close()
	client := s.HTTPClient()
	defer client.CloseIdleConnections()

	bot := relay.NewDiscordSender(discord.FixedToken("bot-token"), &relay.DiscordConfig{
		API: "http://discord.test/api/v10", HTTPClient: client,
	})
	r := relay.NewRouter(relay.Route{Platform: channels.Discord, Account: "bot", Sender: bot})

	to := fmt.Sprint("discord:", discordtest.Channel(s.Guilds("")[0], 0))
	for range 2 {
		res := r.Send(context.Background(), relay.SendRequest{To: to, Text: "hello", Key: "greeting-1"})
		fmt.Println(res.Status, len(res.IDs), "duplicate:", res.Duplicate)
	}
	res := r.Send(context.Background(), relay.SendRequest{To: "discord:1", Text: "hello"})
	fmt.Println(res.Status, res.Code, res.Reason)
	fmt.Println(len(s.Posts()), "message was posted")
	// Output:
	// sent 1 duplicate: false
	// sent 1 duplicate: true
	// refused 10003 Unknown Channel
	// 1 message was posted
}
