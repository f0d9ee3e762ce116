package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/discord/discordtest"
)

// life runs a client until done says that it may be killed, which it then is.
// It reports whether the client ended by itself.
func life(t testing.TB, cmd *exec.Cmd, g *sightings, add func(line []byte), done func() bool) bool {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return true
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewReader(out); ; {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return // half a line was not said
			}
			if line = bytes.TrimPrefix(line, []byte("data: ")); line[0] == '{' { // else it is about SSE
				add(line)
			}
		}
	}()
	p := patience{g: g}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	ended, stuck := false, false
	for !ended && !stuck && !done() {
		select {
		case <-read:
			ended = true
		case <-tick.C:
			stuck = p.over()
		}
	}
	cmd.Process.Kill()
	<-read
	cmd.Wait() // it was killed
	if stuck {
		t.Errorf("%v: nothing new came within %v: %s", cmd.Args, within, &errs)
	}
	return ended
}

// Clients that others wrote read from a relay under load: they are killed at
// random, 8 times each, and the relay is restarted twice meanwhile. Those of Node.js
// need "npm ci" in testdata/interop. The environment variable
// CHATSHARD_INTEROP_REQUIRED turns what is missing from a reason to skip into a
// failure.
func TestInterop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	natsGo := filepath.Join(t.TempDir(), "natsgo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", natsGo, "./testdata/interop/natsgo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := newLiveRelay(t)
	r.say(100)
	stop := r.speak(5)
	defer stop()
	program := func(path string, args ...string) func(*testing.T, string) *exec.Cmd {
		return func(t *testing.T, _ string) *exec.Cmd { return exec.CommandContext(t.Context(), path, args...) }
	}
	curl := func(path string, header ...string) func(*testing.T, string) *exec.Cmd {
		return func(t *testing.T, from string) *exec.Cmd {
			if _, err := exec.LookPath("curl"); err != nil {
				absent(t, "curl is not installed")
			}
			args := []string{"-sN"}
			for _, h := range header {
				args = append(args, "-H", strings.ReplaceAll(h, "FROM", from))
			}
			return exec.CommandContext(t.Context(), "curl", append(args, "http://"+r.http+strings.ReplaceAll(path, "FROM", from))...)
		}
	}
	talk := []string{"ev.twitch.bot.*.message.*", Subject{"irc", "libera", "", "*", "message"}.Name(), "ev.irc.a=2Eb.>"}
	talked := func(s Subject) bool {
		return s.Platform == "twitch" && s.Kind == "message" || s.Network == "libera" && s.Channel == "*" && s.Kind == "message" || s.Network == "a.b"
	}
	type clients []func(*testing.T, string) *exec.Cmd
	cases := []*struct {
		name    string
		clients clients // of one name; each begins at the last cursor that was seen
		durable string
		filter  []string
		is      func(Subject) bool

		seen sightings
		last func(t *testing.T) *exec.Cmd // one more; nil: it was skipped
	}{
		{name: "curl/ndjson", clients: clients{curl("/v1/stream?from=FROM")}},
		{name: "curl/sse", clients: clients{curl("/v1/sse", "Last-Event-ID: FROM")}},
		{name: "curl/filtered", clients: clients{curl("/v1/stream?from=FROM&platform=twitch&kind=message")}, is: func(s Subject) bool { return s.Platform == "twitch" && s.Kind == "message" }},
		{name: "ws", clients: clients{node("ws.mjs")}},
		{name: "eventsource", clients: clients{node("sse.mjs")}},
		{name: "nats.go", clients: clients{program(natsGo)}, durable: "go"},
		{name: "nats.go/filtered", clients: clients{program(natsGo)}, durable: "go-talk", filter: talk, is: talked},
		{name: "nats npm", clients: clients{node("nats.mjs")}, durable: "node"},
		{name: "nats/group", clients: clients{node("nats.mjs"), program(natsGo), node("nats.mjs")}, durable: "team", filter: talk, is: talked},
	}
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for range 2 {
			time.Sleep(time.Second) // clients come and go meanwhile
			r.restart()
		}
	}()
	t.Run("killed", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				var lives sync.WaitGroup
				for _, start := range c.clients {
					begin := func(t *testing.T) *exec.Cmd {
						from := c.seen.cursor(r)
						config, err := json.Marshal(map[string]any{"http": r.http, "nats": "nats://" + r.nats, "token": interopToken, "from": from, "durable": c.durable, "filter": c.filter})
						if err != nil {
							t.Error(err)
						}
						cmd := start(t, from)
						cmd.Env = append(os.Environ(), "INTEROP="+string(config))
						return cmd
					}
					begin(t) // skips the test if there is no such program
					c.last = begin
					lives.Go(func() {
						for n := 0; (n < 8 || !closed(restarted)) && !t.Failed() && !r.t.Failed(); {
							more := c.seen.count() + rand.IntN(300)
							if !life(t, begin(t), &c.seen, c.seen.add, func() bool { return c.seen.count() > more }) {
								n++
								continue
							}
							time.Sleep(20 * time.Millisecond) // the relay is away
						}
					})
				}
				lives.Wait()
			})
		}
	})
	<-restarted
	stop()
	until(t, "all is safe", func() bool { return len(r.wanted(nil)) == r.n })
	for _, c := range cases {
		if c.last == nil {
			continue
		}
		t.Run("in the end/"+c.name, func(t *testing.T) {
			want := r.wanted(c.is)
			life(t, c.last(t), &c.seen, c.seen.add, func() bool { return c.seen.count() >= len(want) })
			c.seen.check(t, want)
		})
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// absent skips the test, or fails it if nothing may be missing.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CHATSHARD_INTEROP_REQUIRED") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// node returns a func that prepares a script of testdata/interop.
func node(script string) func(*testing.T, string) *exec.Cmd {
	return func(t *testing.T, _ string) *exec.Cmd {
		t.Helper()
		path, err := exec.LookPath("node")
		if err != nil {
			absent(t, "Node.js is not installed")
		}
		dir := filepath.Join("testdata", "interop")
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			absent(t, `the clients are not installed: run "npm ci" in cmd/chatshard/relay/testdata/interop`)
		}
		cmd := exec.CommandContext(t.Context(), path, script)
		cmd.Dir = dir
		return cmd
	}
}

// A program asks over NATS for messages to be sent, is killed at random and asks
// again for what it has no answer to: each message is sent once.
func TestInteropSend(t *testing.T) {
	client := node("send.mjs")
	client(t, "")
	router, d := toDiscord(t)
	r := newLiveRelay(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- ServeNATS(ctx, r.engine.Conn(), router, nil) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	var to []string
	for _, g := range d.Guilds("") {
		to = append(to, "discord:"+discordtest.ID(discordtest.Channel(g, 0)).String())
	}
	answers, copies := 0, 0
	add := func(line []byte) {
		var res SendResult
		if err := json.Unmarshal(line, &res); err != nil || res.Status != StatusSent || len(res.IDs) != 1 {
			t.Errorf("%v: %s", err, line)
		}
		if answers++; res.Duplicate {
			copies++
		}
	}
	const lives = 10
	for range lives {
		config, err := json.Marshal(map[string]any{"nats": "nats://" + r.nats, "token": interopToken, "to": to, "first": answers})
		if err != nil {
			t.Fatal(err)
		}
		cmd := client(t, "")
		cmd.Env = append(os.Environ(), "INTEROP="+string(config))
		before, posts := answers, len(d.Posts())+1+rand.IntN(10)
		if life(t, cmd, new(sightings), add, func() bool { return len(d.Posts()) >= posts }) {
			t.Fatalf("it ended by itself after %d answers", answers-before)
		}
	}
	times := map[string]int{}
	for _, p := range d.Posts() {
		times[p.Content]++
	}
	for n := range answers {
		if text := fmt.Sprint("message ", n); times[text] != 1 {
			t.Errorf("%q was sent %d times", text, times[text])
		}
	}
	t.Logf("%d messages in %d lives, %d asked for again", len(times), lives, copies)
}
