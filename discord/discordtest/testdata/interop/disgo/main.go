// Command disgo is a bot with disgo. See ../lines.mjs for what it says and when it ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/disgoorg/disgo"
	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/disgo/sharding"
)

func main() {
	var config struct {
		API, Token string
		Shards     int
		Compress   bool
	}
	if err := json.Unmarshal([]byte(os.Getenv("INTEROP")), &config); err != nil {
		log.Fatal(err)
	}
	compression := gateway.CompressionZstdStream // its default
	if config.Compress {
		compression = gateway.CompressionZlibPayload
	}
	guilds := make([]int, config.Shards) // there since READY; a shard's events come one after another
	coming := make([]int, config.Shards)
	ctx := context.Background()
	client, err := disgo.New(config.Token,
		bot.WithRestClientConfigOpts(rest.WithURL(config.API+"/v10")),
		bot.WithShardManagerConfigOpts(sharding.WithGatewayConfigOpts(
			gateway.WithIntents(gateway.IntentGuilds, gateway.IntentGuildMessages, gateway.IntentMessageContent),
			gateway.WithCompression(compression),
		)),
		bot.WithEventListenerFunc(func(e *events.Ready) { guilds[e.ShardID()], coming[e.ShardID()] = 0, len(e.Guilds) }),
		bot.WithEventListenerFunc(func(e *events.Resumed) { fmt.Println("resumed", e.ShardID()) }),
		bot.WithEventListenerFunc(func(e *events.GuildReady) {
			if guilds[e.ShardID()]++; guilds[e.ShardID()] == coming[e.ShardID()] {
				fmt.Println("ready", e.ShardID(), guilds[e.ShardID()])
			}
		}),
		bot.WithEventListenerFunc(func(e *events.MessageCreate) {
			fmt.Println("message", e.ChannelID, e.Message.Author.Username, e.Message.Content)
			if e.Message.Content == "!ping" {
				if _, err := e.Client().Rest.CreateMessage(e.ChannelID, discord.MessageCreate{Content: "pong"}); err != nil {
					log.Print(err)
				}
			}
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.OpenShardManager(ctx); err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
	client.Close(ctx)
}
