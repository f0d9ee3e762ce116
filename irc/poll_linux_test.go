package irc_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
	"github.com/chatshard/chatshard/irc/irctest"
)

// reading counts goroutines that have a connection to themselves.
func reading() int {
	buf := make([]byte, 16<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "balancer.(*keeper).keep(")
}

// TestQuietSockets has 30 connections that are waited for together: they receive
// lines whole and in pieces, notice a server that is silent, one that went away
// and one that asks for a new connection, and are closed.
func TestQuietSockets(t *testing.T) {
	for _, kind := range []string{"plain", "tls"} {
		t.Run(kind, func(t *testing.T) {
			srv := irctest.NewTwitch(&irctest.Config{Anonymous: irctest.Unlimited()})
			defer srv.Close()
			const shards = 30
			ch := names(shards)
			f := &fleet{t: t, srv: srv, judge: srv.Judge()}
			cfg := listen(t, srv, kind)
			cfg.PingInterval, cfg.PingTimeout = 300*time.Millisecond, 300*time.Millisecond
			f.tr = irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg)
			f.Balancer = balancer.New(f.tr, f.tr.Balancer(&balancer.Config{ChannelsPerShard: 1, MaxShardCount: shards,
				Overlap: 100 * time.Millisecond, Backoff: balancer.Backoff{Min: 10 * time.Millisecond, Max: 10 * time.Millisecond}}))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			var dead atomic.Int64
			go func() {
				done <- f.Run(ctx, func(ctx context.Context, e balancer.Event) {
					if d, ok := e.Data.(balancer.Down); ok && errors.Is(d.Err, irc.ErrDead) {
						dead.Add(1)
					}
					f.handle(ctx, e)
				})
			}()
			f.Join(keys(ch...)...)
			quiet := func() {
				t.Helper()
				eventually(t, "all joined", func() bool { return f.Count()[balancer.Member] == shards })
				eventually(t, "no goroutine for a quiet connection", func() bool { return reading() == 0 })
			}
			quiet()
			f.chat(500, 300*time.Millisecond, ch)
			srv.Apply(irctest.Fault{Kind: irctest.SplitLines}, irctest.Target{})
			f.chat(200, 300*time.Millisecond, ch)
			srv.Heal()
			eventually(t, "all received", func() bool {
				v := f.judge.Verdict()
				return v.Sent > 100 && v.Received == v.Sent
			})
			quiet()
			if dead.Load() > 0 {
				t.Error("a connection that answers was given up")
			}
			for nth, kind := range []irctest.FaultKind{irctest.Mute, irctest.Drop, irctest.Reconnect} {
				srv.Apply(irctest.Fault{Kind: kind, For: time.Second}, irctest.Target{})
				eventually(t, string(kind)+": a new connection each", func() bool {
					for _, s := range f.Shards() {
						if s.Conns < 2+nth {
							return false
						}
					}
					return true
				})
				quiet()
			}
			if dead.Load() < shards {
				t.Errorf("%d silent connections were given up, want %d", dead.Load(), shards)
			}
			f.chat(500, 300*time.Millisecond, ch)
			eventually(t, "all received or in a gap", func() bool {
				v := f.judge.Verdict()
				return v.Received+v.InGaps == v.Sent
			})
			f.judge.Unwant()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if v := f.judge.Verdict(); v.Lost > 0 || v.Duplicated > 0 || v.OutOfOrder > 0 {
				t.Errorf("verdict %v", v)
			}
		})
	}
}

// TestBacklogIsNoSilence reads what has arrived more slowly than the time for
// which a connection may be silent: the deadline of a read passes, and there is
// still something to be read.
func TestBacklogIsNoSilence(t *testing.T) {
	srv := irctest.NewTwitch(&irctest.Config{Anonymous: irctest.Unlimited()})
	defer srv.Close()
	cfg := listen(t, srv, "plain")
	cfg.PingInterval, cfg.PingTimeout = 50*time.Millisecond, time.Minute
	tr := irc.New(irc.NewAccount("", nil, &irc.AccountConfig{Limits: fast}), &cfg)
	c, err := tr.Dial(t.Context(), balancer.ShardID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(balancer.Joiner).Join(t.Context(), "forsen"); err != nil {
		t.Fatal(err)
	}
	const lines = 3000
	buf := make([]balancer.Event, 16)
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for got := 0; got < lines; {
		n, err := c.Receive(buf)
		if err != nil {
			t.Fatalf("after %d of %d lines: %v", got, lines, err)
		}
		for _, e := range buf[:n] {
			switch d := e.Data.(type) {
			case balancer.Joined:
				for range lines {
					srv.Say("forsen", "someone", "text")
				}
			case *irc.Message:
				if d.Command() == "PRIVMSG" {
					got++
				}
			}
		}
		<-pace.C
	}
}
