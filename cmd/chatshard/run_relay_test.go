package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/chatshard/chatshard/irc"
	"github.com/rs/zerolog"
)

// freeAddr returns an address of this machine that nobody has.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// reads reads envelopes from a relay after a cursor until ok says that it is
// enough, and returns them with the last cursor.
func reads(t *testing.T, addr, after string, ok func([]envelope) bool) ([]envelope, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	url := "http://" + addr + "/v1/stream?platform=discord&kind=message"
	if after != "" {
		url += "&from=" + after
	} else {
		url += "&last=10000"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []envelope
	for in := bufio.NewScanner(res.Body); !ok(all); {
		if !in.Scan() {
			t.Fatalf("the stream ended after %d envelopes: %v", len(all), in.Err())
		}
		if len(in.Bytes()) == 0 {
			continue
		}
		e := read(t, in.Bytes())
		after = fmt.Sprintf("%s:%d", e.Cursor.Epoch, e.Cursor.Seq)
		if e.Kind == "message" {
			all = append(all, e)
		}
	}
	return all, after
}

// A program that reads over HTTP goes on at its cursor although the relay was
// stopped and started again meanwhile: nothing is missing, nothing comes twice,
// no IDENTIFY is spent, and what it sends arrives.
func TestRunRelay(t *testing.T) {
	s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 20, MaxConcurrency: 16}}}, "  shards: 2\n")
	addr := freeAddr(t)
	more := fmt.Sprintf("relay:\n  listen: %s\n", addr)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = io.WriteString(f, more)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	guilds := s.Guilds("")
	var sent []string
	say := func(n int) {
		for i := range n {
			g := guilds[i%len(guilds)]
			sent = append(sent, s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "ann", "hello")).String())
		}
	}
	ready := func() bool {
		res, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), `chatshard_events_total{kind="ready",platform="discord"} 2`)
	}
	enough := func(n int) func([]envelope) bool { return func(all []envelope) bool { return len(all) >= n } }

	first := begin(t, nil, "run", "-c", file)
	until(t, "all shards", ready)
	say(300)
	got, cursor := reads(t, addr, "", enough(300))
	say(50) // nobody reads these
	first.stop()
	if code := first.end(t); code != exitOK || first.stdout.String() != "" {
		t.Fatalf("exit %d: %s%s", code, first.stdout.String(), &first.stderr)
	}
	say(50) // nobody is there
	second := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool { _, err := http.Get("http://" + addr + "/livez"); return err == nil })
	say(50)
	rest, _ := reads(t, addr, cursor, enough(150))
	seen := map[string]int{}
	for _, e := range append(got, rest...) {
		seen[e.ID]++
	}
	for _, id := range sent {
		if seen[id] != 1 {
			t.Errorf("message %s came %d times", id, seen[id])
		}
	}
	if b := s.Stats().Bots[0]; b.Identifies != 2 || b.Resumes != 2 {
		t.Errorf("%d identifies and %d resumes, want 2 and 2", b.Identifies, b.Resumes)
	}

	channel := fmt.Sprint(discordtest.Channel(guilds[0], 0))
	code, stdout, stderr := chatshard(t, "send", "--url", "http://"+addr, "--to", "discord:"+channel, "hello from here", "-o", "json")
	if code != exitOK || !strings.Contains(stdout, `"sent"`) {
		t.Errorf("send: exit %d: %s%s", code, stdout, stderr)
	}
	second.stop()
	if code := second.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &second.stderr)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "state", "log", "jetstream")); err != nil {
		t.Error(err)
	}
}

func TestRelayConfig(t *testing.T) {
	const head = "version: 1\ntwitch: {channels: [a]}\nrelay:\n"
	for _, c := range []struct{ name, relay, want string }{
		{"public", "  listen: 0.0.0.0:80\n", `:4:11: relay.listen: "0.0.0.0:80" can be reached by others, and there are no tokens; set relay.tokens, or listen on 127.0.0.1`},
		{"no address", "  listen: here\n", `:4:11: relay.listen: "here" is not an address; write host:port`},
		{"half of TLS", "  cert_file: x\n", `relay: TLS needs both cert_file and key_file; set both or neither`},
		{"hash", "  tokens: [{name: a, hash: hunter2, roles: [read]}]\n", `hash is not sha256: and 64 hexadecimal digits; write the token's hash`},
		{"role", "  tokens: [{name: a, hash: \"sha256:" + strings.Repeat("0", 64) + "\", roles: [write]}]\n", `not a role; use some of read, send, admin`},
		{"NATS twice", "  nats: {url: \"nats://127.0.0.1:4222\", listen: \"127.0.0.1:4222\", token: x}\n", "relay.nats: listen is for the embedded engine, and url names another one; remove one of the two"},
		{"NATS open", "  nats: {listen: \"127.0.0.1:4222\"}\n", "relay.nats.listen: no token for those who connect; set relay.nats.token_file"},
		{"NATS without a log", "  log: {dir: none}\n  nats: {listen: \"127.0.0.1:4222\", token: x}\n", "relay.nats: there is no engine without a log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := chatshard(t, "config", "check", "-c", written(t, "c.yaml", head+c.relay))
			stderr += stdout
			if code != exitUsage || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "hunter2") {
				t.Errorf("exit %d: %s\nwant %s", code, stderr, c.want)
			}
		})
	}
	if code, _, stderr := chatshard(t, "config", "check", "-c", written(t, "c.yaml", head)); code != exitOK {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// What is written twice is in the log once, over a restart of the relay too.
func TestPipelineKnowsItsEntriesAfterARestart(t *testing.T) {
	c := new(relayConfig)
	c.defaults()
	c.Log.Dir = t.TempDir()
	enc := &encoder{platform: "twitch", account: "anonymous", cursor: newCursor(), now: now}
	for i, line := range []string{
		"@id=b34ccfc7;room-id=22484632 :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :hi",
		`@id=say\sI"m;room-id= :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :hi`,
	} {
		m, err := irc.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			p, err := newPipeline(t.Context(), c, newCursor(), nil, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				acked := make(chan struct{})
				p.write(enc, balancer.Event{Key: "forsen", Data: m}, func() { close(acked) })
				<-acked
			}
			if _, _, last, err := p.log.Bounds(t.Context()); err != nil || last != uint64(i+1) {
				t.Errorf("%s: the log ends at %d, want %d; %v", line, last, i+1, err)
			}
			if err := p.close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Without a log an event passes through memory that is used again.
func TestPassAllocatesNothing(t *testing.T) {
	c := new(relayConfig)
	c.defaults()
	c.Log.Dir = noLog
	p, err := newPipeline(t.Context(), c, newCursor(), nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer p.abandon(t.Context())
	enc := &encoder{platform: "twitch", account: "anonymous", cursor: newCursor(), now: now}
	m, err := irc.Parse("@id=b34ccfc7;room-id=22484632;user-id=5;display-name=Ann :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :hi")
	if err != nil {
		t.Fatal(err)
	}
	acked := 0
	ack := func() { acked++ }
	e := balancer.Event{Key: "forsen", Data: m}
	least := 100.0
	for range 1000 { // the race detector has pools forget some of what they are given
		least = min(least, testing.AllocsPerRun(1, func() {
			e.ID = strconv.Itoa(1000 + acked) // one allocation
			p.write(enc, e, ack)
		}))
	}
	if least > 1 {
		t.Errorf("%v allocations an event, want 1", least)
	}
	if at := p.hub.Cursor(); at.Seq != uint64(acked) || acked != 2000 || at.Epoch != p.none.Epoch() {
		t.Errorf("%v after %d events", at, acked)
	}
}

// An entry on its way to the log keeps the places of its own values, while the
// next one is encoded.
func TestEntriesKeepTheirPlaces(t *testing.T) {
	p, enc := &pipeline{ids: newCursor()}, testEncoder("twitch", "")
	var all []*relay.Entry
	for i, text := range []string{"a", "some words more", "", "\"quoted\""} {
		m, err := irc.Parse(fmt.Sprintf("@id=%d;room-id=9 :ann!ann@ann PRIVMSG #ann :%s", i, text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.entry(enc, balancer.Event{Key: "ann", Data: m}, i%2 == 1))
	}
	for _, e := range all {
		var found relay.Meta
		found.Find(e.Body)
		if e.Meta == nil || *e.Meta != found {
			t.Errorf("noted %v, found %v in %s", e.Meta, found, e.Body)
		}
	}
}
