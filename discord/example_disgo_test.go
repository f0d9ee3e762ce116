package discord_test

import (
	"fmt"

	disgo "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/gateway"

	"github.com/chatshard/chatshard/discord"
)

// Handlers that were written for disgo get its structs.
func ExampleDispatch_Decode_disgo() {
	d := &discord.Dispatch{Type: "MESSAGE_CREATE", Data: []byte(
		`{"id":"3","guild_id":"1","channel_id":"2","timestamp":"2026-03-01T12:00:00.123000+00:00","author":{"id":"4","username":"ada"},"content":"hello","edited_timestamp":null}`)}

	var e gateway.EventMessageCreate
	if err := d.Decode(&e); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Author.Username, "said", e.Content, "in", e.ChannelID)

	var m disgo.Message
	if err := d.Decode(&m); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("in guild", *m.GuildID)
	// Output:
	// ada said hello in 2
	// in guild 1
}
