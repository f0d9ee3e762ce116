package irc_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/chatshard/chatshard/irc"
)

// A Twitch bot: it answers "!ping" in two channels until it is interrupted.
func ExampleClient() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	account := irc.NewAccount("mybot", irc.FixedToken(os.Getenv("TWITCH_TOKEN")), nil)
	bot := irc.NewClient(account, nil)
	if err := bot.Join("forsen", "xqc"); err != nil {
		fmt.Println(err)
	}
	h := &irc.Handlers{PrivMsg: func(ctx context.Context, m irc.PrivMsg) {
		if m.Text() == "!ping" {
			go bot.Reply(ctx, m.Channel(), m.ID(), "pong")
		}
	}}
	if err := bot.Run(ctx, h.Handle); err != nil {
		fmt.Println(err)
	}
}
