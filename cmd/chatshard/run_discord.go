package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/discord"
	"github.com/rs/zerolog"
)

// botCarrier is one bot of Discord: a Client, and the channels of which it
// outputs what is said. What the bot receives Discord decides.
type botCarrier struct {
	name    string // for people: discord account "bot"
	account string
	client  *discord.Client
	encoder *encoder
	only    atomic.Pointer[map[string]bool] // channels by id; nil: all
	ended   atomic.Bool                     // Discord has turned it away
}

// newBotCarrier returns a carrier of the configured bot. Nothing is dialled yet.
// Its events are acknowledged when they are where they cannot be lost.
func newBotCarrier(c *discordConfig, cursor *cursor, log zerolog.Logger) (*botCarrier, error) {
	account := c.Account.Name
	k := &botCarrier{name: fmt.Sprintf("discord account %q", account), account: account}
	cfg, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	cfg.Balancer.ManualAck = true
	cfg.Transport.Logger = log.With().Str("platform", "discord").Str("account", account).Logger()
	k.client = discord.NewClient(discord.FixedToken(string(c.Account.Token)), cfg)
	k.encoder = &encoder{platform: "discord", account: account, cursor: cursor, now: now}
	return k, nil
}

// httpClient returns a client with TLS settings of its own; nil where there are
// none: the library has one.
func httpClient(cfg *tls.Config) *http.Client {
	if cfg == nil {
		return nil
	}
	return &http.Client{Timeout: restTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg}}
}

// carry outputs exactly those channels of set that are Discord's; all if none is.
func (k *botCarrier) carry(set channels.Set, log zerolog.Logger) {
	only, listed := make(map[string]bool), false
	for e := range set.All() {
		if e.Name.Platform == channels.Discord {
			listed = true
			if !e.Settings.Disabled {
				only[e.Name.Channel] = true
			}
		}
	}
	if !listed {
		k.only.Store(nil)
		return
	}
	if old := k.only.Swap(&only); old == nil || len(*old) != len(only) {
		log.Info().Str("account", k.account).Int("channels", len(only)).Msg("only listed channels are output")
	}
}

func (k *botCarrier) who() string { return k.account }

// run relays until the Balancer is drained, ctx ends, or Discord turns the bot
// away.
func (k *botCarrier) run(ctx context.Context, out sink) error {
	err := k.client.Run(ctx, func(_ context.Context, e balancer.Event) {
		if only := k.only.Load(); only != nil {
			if d, ok := e.Data.(*discord.Dispatch); ok && !(*only)[d.ChannelID()] {
				e.Ack()
				return
			}
		}
		out.write(k.encoder, e, e.Ack)
	})
	if err != nil {
		k.ended.Store(true)
		return fmt.Errorf("%s: %w", k.name, err)
	}
	return nil
}

// drain ends the connections so that their sessions stay resumable.
func (k *botCarrier) drain(ctx context.Context) error {
	err := k.client.Balancer().Drain(ctx)
	if errors.Is(err, balancer.ErrClosed) {
		return nil // it has not begun: the end of its context ends it
	}
	return err
}
