package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

// toDiscord is a router to a Discord that sets no limits.
func toDiscord(t *testing.T) (*Router, *discordtest.Server) {
	t.Helper()
	d := discordtest.New(&discordtest.Config{NoLimits: true})
	t.Cleanup(d.Close)
	h := d.HTTPClient()
	t.Cleanup(h.CloseIdleConnections)
	return NewRouter(Route{
		Platform: channels.Discord,
		Sender:   NewDiscordSender(discord.FixedToken("bot-token"), &DiscordConfig{API: "http://discord.test/api/v10", HTTPClient: h}),
	}), d
}

func TestServeNATS(t *testing.T) {
	router, d := toDiscord(t)
	to := "discord:" + discordtest.ID(discordtest.Channel(d.Guilds("")[0], 0)).String()

	ns, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	connect := func() *nats.Conn {
		t.Helper()
		nc, err := nats.Connect("", nats.InProcessServer(ns))
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
	client := connect()
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done, before := make(chan error, 2), ns.NumSubscriptions()
	var conns []*nats.Conn
	for range 2 { // relays in one group
		nc := connect()
		defer nc.Close()
		conns = append(conns, nc)
		go func() { done <- ServeNATS(ctx, nc, router, nil) }()
	}
	await := func(ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("waited for too long")
			}
		}
	}
	await(func() bool { return ns.NumSubscriptions() >= before+4 })
	ask := func(subject, body, key string) SendResult {
		t.Helper()
		m := nats.NewMsg(subject)
		if m.Data = []byte(body); key != "" {
			m.Header.Set("Idempotency-Key", key)
		}
		got, err := client.RequestMsg(m, 20*time.Second)
		if err != nil {
			t.Errorf("%s %.50s: %v", subject, body, err)
			return SendResult{}
		}
		var res SendResult
		if err := json.Unmarshal(got.Data, &res); err != nil {
			t.Errorf("%s: %v", got.Data, err)
		}
		return res
	}
	text := func(s string) string { return `{"to":"` + to + `","text":"` + s + `"}` }
	if r := ask("send", text("hello"), ""); r.Status != StatusSent || r.IDs[0] != d.Posts()[0].ID.String() {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		subject, body, key, status, code string
		duplicate                        bool
	}{
		{"send.app", text("keyed"), "k", StatusSent, "", false},
		{"send.app", text("keyed"), "k", StatusSent, "", true},
		{"send.app", text("other"), "k", StatusRefused, CodeKeyReused, false},
		{"send.app.two", text("other"), "k", StatusSent, "", false},
		{"send.app", `{"key":"j"}`, "k", StatusRefused, CodeBadRequest, false},
		{"send", ``, "", StatusRefused, CodeBadRequest, false},
		{"send", "\xff\x00", "", StatusRefused, CodeBadRequest, false},
		{"send", text(strings.Repeat("x", maxSendBody)), "", StatusRefused, CodeTooLong, false},
		{"send", `{"to":"twitch:forsen","text":"x"}`, "", StatusRefused, CodeNoRoute, false},
	} {
		if r := ask(c.subject, c.body, c.key); r.Status != c.status || r.Code != c.code || r.Duplicate != c.duplicate {
			t.Errorf("%s %.50s: %+v", c.subject, c.body, r)
		}
	}
	// A connection that is closed is an error, the end of ctx is none.
	conns[0].Close()
	if err := <-done; err == nil {
		t.Error("nil after the connection was closed")
	}
	await(func() bool { return ns.NumClients() == 2 }) // else it may get a request still
	// What has come when ctx ends is answered.
	d.Inject(discordtest.Fault{Kind: discordtest.Unavailable}, discordtest.Target{Host: discordtest.REST})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if r := ask("send", text("many"), ""); r.Status != StatusSent {
				t.Errorf("%+v", r)
			}
		})
	}
	await(func() bool { return router.sending.Load() == 20 })
	cancel()
	d.Heal()
	wg.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := client.Request("send", nil, time.Second); err != nats.ErrNoResponders {
		t.Errorf("%v after the end, want no responders", err)
	}
}

// No more messages are sent than may be, and who asks for more is told when.
func TestServeNATSLimit(t *testing.T) {
	router, d := toDiscord(t)
	r := newLiveRelay(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- ServeNATS(ctx, r.engine.Conn(), router, balancer.NewWindow(2, time.Hour)) }()
	body := fmt.Appendf(nil, `{"to":"discord:%d","text":"x"}`, discordtest.Channel(d.Guilds("")[0], 0))
	for i, want := range []string{StatusSent, StatusSent, StatusRefused, StatusRefused} {
		var m *nats.Msg
		until(t, "it serves", func() (ok bool) {
			var err error
			m, err = r.engine.Conn().Request("send", body, 20*time.Second)
			return err == nil
		})
		var res SendResult
		if err := json.Unmarshal(m.Data, &res); err != nil {
			t.Fatal(err)
		}
		if res.Status != want || want == StatusRefused && (res.Code != CodeBusy || res.RetryAfter < 50*time.Minute) {
			t.Errorf("%d: %+v, want %s", i, res, want)
		}
	}
	if n := len(d.Posts()); n != 2 {
		t.Errorf("%d messages were sent, want 2", n)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
