package discord_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// TestSockets is the whole over sockets of the system, with and without TLS and
// in each compression: thousands of messages, a guild of 20 MB in between, and a
// connection that is dropped.
func TestSockets(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, c := range []discord.Compression{discord.ZlibStream, discord.ZstdStream, discord.Uncompressed} {
			t.Run(fmt.Sprintf("TLS %v, %v", secure, c), func(t *testing.T) { overSockets(t, secure, c) })
		}
	}
}

const patience = 20 * time.Second

func overSockets(t *testing.T, secure bool, c discord.Compression) {
	s := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{MaxConcurrency: 16}}})
	defer s.Close()
	listen, scheme := s.Listen, "http"
	if secure {
		listen, scheme = s.ListenTLS, "https"
	}
	at, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	roots := &tls.Config{RootCAs: s.CertPool()}
	web := &http.Transport{TLSClientConfig: roots}
	defer web.CloseIdleConnections()
	bot := discord.NewClient(discord.FixedToken("bot-token"), &discord.ClientConfig{
		Shards: 2, Balancer: balancer.Config{Reuse: true},
		Transport: discord.Config{API: fmt.Sprintf("%s://%v/api/v10", scheme, at), HTTPClient: &http.Client{Transport: web}, TLS: roots, Compression: c},
	})
	j := s.Judge()
	var got, ready atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- bot.Run(ctx, func(_ context.Context, e balancer.Event) {
			switch d := e.Data.(type) {
			case *discord.Dispatch:
				if d.Type == "MESSAGE_CREATE" {
					j.Received(string(e.Key), e.ID, time.Now())
					got.Add(1)
				}
			case discord.Available:
				ready.Add(1)
			}
		})
	}()
	waitFor(t, "shards", func() bool { return ready.Load() == 2 })
	guilds := s.Guilds("")
	sent := int64(0)
	say := func(n int) {
		for i := range n {
			g := guilds[i%len(guilds)]
			s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "user", "hello"))
		}
		sent += int64(n)
	}
	say(1500)
	s.Inject(discordtest.Fault{Kind: discordtest.BigGuild}, discordtest.Target{})
	say(1500)
	waitFor(t, "messages", func() bool { return got.Load() == sent })
	s.Inject(discordtest.Fault{Kind: discordtest.Drop}, discordtest.Target{})
	say(50)
	waitFor(t, "messages after a drop", func() bool { return got.Load() == sent })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if v := j.Verdict(); v.Lost+v.Doubled+v.OutOfOrder != 0 {
		t.Errorf("verdict %+v", v)
	}
	if b := s.Stats().Bots[0]; b.Identifies != 2 || b.Resumes != 2 {
		t.Errorf("%+v, want 2 identifies and 2 resumes", b)
	}
	for _, v := range s.Violations() {
		t.Errorf("violation: %v", v)
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}
