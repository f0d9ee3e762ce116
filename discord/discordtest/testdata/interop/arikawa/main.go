// Command arikawa is a bot with arikawa. See ../lines.mjs for what it says and when it ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/diamondburned/arikawa/v3/api"
	"github.com/diamondburned/arikawa/v3/gateway"
	"github.com/diamondburned/arikawa/v3/session"
	"github.com/diamondburned/arikawa/v3/session/shard"
)

func main() {
	var config struct{ API, Token string }
	if err := json.Unmarshal([]byte(os.Getenv("INTEROP")), &config); err != nil {
		log.Fatal(err)
	}
	api.Endpoint = config.API + "/v9/"
	api.EndpointGateway = api.Endpoint + "gateway"
	api.EndpointGatewayBot = api.EndpointGateway + "/bot"
	api.EndpointChannels = api.Endpoint + "channels/"

	manager, err := shard.NewManager("Bot "+config.Token, shard.NewSessionShard(func(_ *shard.Manager, s *session.Session) {
		s.AddIntents(gateway.IntentGuilds | gateway.IntentGuildMessages | 1<<15)
		id, guilds, coming := 0, 0, 0
		s.AddSyncHandler(func(e *gateway.ReadyEvent) { id, guilds, coming = e.Shard.ShardID(), 0, len(e.Guilds) })
		s.AddSyncHandler(func(e *gateway.ResumedEvent) { fmt.Println("resumed", id) })
		s.AddSyncHandler(func(e *gateway.GuildCreateEvent) {
			if guilds++; guilds == coming {
				fmt.Println("ready", id, guilds)
			}
		})
		s.AddSyncHandler(func(e *gateway.MessageCreateEvent) {
			fmt.Println("message", e.ChannelID, e.Author.Username, e.Content)
			if e.Content == "!ping" {
				if _, err := s.SendMessage(e.ChannelID, "pong"); err != nil {
					log.Print(err)
				}
			}
		})
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := manager.Open(context.Background()); err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
	if err := manager.Close(); err != nil {
		log.Fatal(err)
	}
}
