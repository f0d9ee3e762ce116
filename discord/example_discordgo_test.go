package discord_test

import (
	"fmt"

	"github.com/bwmarrin/discordgo"

	"github.com/chatshard/chatshard/discord"
)

// Handlers that were written for discordgo get its structs.
func ExampleDispatch_Decode_discordgo() {
	d := &discord.Dispatch{Type: "MESSAGE_CREATE", Data: []byte(
		`{"id":"3","guild_id":"1","channel_id":"2","timestamp":"2026-03-01T12:00:00.123000+00:00","author":{"id":"4","username":"ada"},"content":"hello","edited_timestamp":null}`)}

	var e discordgo.MessageCreate
	if err := d.Decode(&e); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Author.Username, "said", e.Content, "in", e.ChannelID)

	var m discordgo.Message
	if err := d.Decode(&m); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("at", m.Timestamp.UTC())
	// Output:
	// ada said hello in 2
	// at 2026-03-01 12:00:00.123 +0000 UTC
}
