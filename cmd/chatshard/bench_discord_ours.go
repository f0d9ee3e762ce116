package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
)

// startOurDiscord reads with a Balancer over discord.Transport. It returns when
// every shard is up.
func startOurDiscord(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	web := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
	scheme := "http"
	if cfg != nil {
		scheme = "https"
	}
	compression := discord.Uncompressed
	switch gateCompression(m.task.Row) {
	case "zlib-stream":
		compression = discord.ZlibStream
	case "zstd-stream":
		compression = discord.ZstdStream
	}
	lazy := m.task.Row == "discord-type"
	t := discord.New(discord.FixedToken("bench"), &discord.Config{
		API: scheme + "://" + m.task.Addr + "/api/v10", HTTPClient: &http.Client{Transport: web}, TLS: cfg,
		Compression: compression, LazyKeys: lazy, Identify: anyTime{},
	})
	c := balancer.Config{Reuse: true, MaxShardCount: m.task.Conns}
	waiting := new(atomic.Int64) // for shards to come up
	waiting.Store(int64(m.task.Conns))
	ready := make(chan struct{})
	kinds := new(gateKinds)
	handle := func(ctx context.Context, e balancer.Event) {
		switch d := e.Data.(type) {
		case *discord.Dispatch:
			switch {
			case d.Type == "READY":
			case lazy:
				kinds.count(d.Type)
				m.add(len(d.Raw), 0)
			case m.task.Conns > 1:
				m.addAtomic(len(d.Raw) + len(e.Key) + len(d.ChannelID()))
			default:
				kinds.count(d.Type)
				m.add(len(d.Raw)+len(e.Key)+len(d.ChannelID()), len(e.ID))
			}
		case balancer.Up:
			if waiting.Add(-1) == 0 {
				close(ready)
			}
		case balancer.Gap:
			m.fail(errors.New("dispatches were lost"))
		case balancer.Refused:
			m.fail(d.Err)
		case balancer.Down:
			if ctx.Err() == nil {
				m.fail(d.Err)
			}
		}
	}
	b := balancer.New(t, t.Balancer(&c))
	if err := b.Resize(m.task.Conns); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, handle) }() // ends with ctx; stop waits for it
	select {
	case <-ready:
	case err := <-m.failed:
		return nil, err
	case err := <-ended:
		return nil, err
	}
	return func() error { return <-ended }, nil
}

// anyTime lets IDENTIFYs be sent at any time.
type anyTime struct{}

// Wait implements balancer.Limiter.
func (anyTime) Wait(ctx context.Context, _ balancer.Budget, _ balancer.ShardID, _ int) error {
	return ctx.Err()
}

// gateKinds counts dispatches by type: what a handler that goes by it does at
// least.
type gateKinds struct{ messages, presences, typing, reactions, guilds, other int }

func (k *gateKinds) count(typ string) {
	switch typ {
	case "MESSAGE_CREATE":
		k.messages++
	case "PRESENCE_UPDATE":
		k.presences++
	case "TYPING_START":
		k.typing++
	case "MESSAGE_REACTION_ADD":
		k.reactions++
	case "GUILD_CREATE":
		k.guilds++
	default:
		k.other++
	}
}
