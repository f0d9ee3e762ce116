package main

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

// startOurs reads with a Balancer over irc.Transport. It returns when all is
// joined; for the idle row, where nothing is, when all is connected.
func startOurs(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	free := irc.Rate{N: -1}
	account := irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.Limits{Joins: free, Logins: free, Sends: free, ModSends: free, Channel: free, Channels: -1}})
	t := irc.New(account, &irc.Config{Address: m.task.Addr, Plain: cfg == nil, TLS: cfg})

	gate := &loginGate{some: make(chan struct{}, dialing)}
	c := balancer.Config{Limiter: gate, Reuse: true}
	var keys []balancer.Key
	waiting := new(atomic.Int64) // for what is not joined or connected yet
	switch m.task.Row {
	case "blast":
		for i := range corpusChannels {
			keys = append(keys, balancer.Key(channelName(i, false)))
		}
		c.ChannelsPerShard, c.MaxShardCount = corpusChannels, 1
	case "live":
		for i := range m.task.Conns {
			keys = append(keys, balancer.Key(channelName(i, true)))
		}
		c.ChannelsPerShard, c.MaxShardCount, c.InitialShardCount = 1, m.task.Conns, m.task.Conns
	case "idle":
		c.MaxShardCount, c.InitialShardCount = m.task.Conns, m.task.Conns
	}
	waiting.Store(int64(len(keys)))
	if keys == nil {
		waiting.Store(int64(m.task.Conns))
	}
	ready := make(chan struct{})
	count := func(text, rest int) { m.addAtomic(text) }
	if m.task.Row == "blast" {
		count = m.add
	}
	arrived := func() {
		if waiting.Add(-1) == 0 {
			close(ready)
		}
	}
	handle := func(ctx context.Context, e balancer.Event) {
		switch d := e.Data.(type) {
		case *irc.Message:
			if d.Command() == "PRIVMSG" {
				count(len(d.Text()), len(d.Channel())+len(e.ID))
			}
		case balancer.Up:
			<-gate.some
			if keys == nil {
				arrived()
			}
		case balancer.Joined:
			arrived()
		case balancer.Gap:
			m.fail(errors.New("messages were lost"))
		case balancer.Refused:
			m.fail(d.Err)
		case balancer.Down:
			if ctx.Err() == nil {
				m.fail(d.Err)
			}
		}
	}
	b := balancer.New(t, t.Balancer(&c))
	b.Join(keys...)
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

// loginGate lets so many connections be set up at a time, as the bare loops
// have it.
type loginGate struct{ some chan struct{} }

// Wait implements balancer.Limiter.
func (g *loginGate) Wait(ctx context.Context, kind balancer.Budget, _ balancer.ShardID, _ int) error {
	if kind != balancer.BudgetLogin {
		return nil
	}
	select {
	case g.some <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
