package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/discord/discordtest"
)

// discordOn returns a simulated Discord, and a configuration that reads it.
func discordOn(t *testing.T, cfg *discordtest.Config, more string) (*discordtest.Server, string) {
	t.Helper()
	s := discordtest.New(cfg)
	t.Cleanup(s.Close)
	at, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, written(t, "c.yaml", fmt.Sprintf("version: 1\ndiscord:\n  account: {token: bot-token, name: mybot}\n  api: http://%v/api/v10\n%s", at, more))
}

// ids returns the ids of the messages that were written, in their order.
func ids(t *testing.T, out string) (all []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		if e := read(t, []byte(line)); e.Platform == "discord" && e.Kind == "message" {
			all = append(all, e.ID)
		}
	}
	return all
}

// A relay that is stopped and started again while people talk resumes every
// shard: not one IDENTIFY, nothing lost, nothing twice.
func TestRunDiscordRestart(t *testing.T) {
	s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 40, MaxConcurrency: 16}}}, "  shards: 4\n")
	guilds := s.Guilds("")
	var sent []string
	say := func(n int) {
		for i := range n {
			g := guilds[i%len(guilds)]
			sent = append(sent, s.Publish("", g, discordtest.Message(discordtest.Channel(g, 0), "ann", "hello")).String())
		}
	}
	first := begin(t, nil, "run", "-c", file)
	until(t, "all shards", func() bool { return strings.Count(first.stdout.String(), `"kind":"ready"`) == 4 })
	say(100)
	first.stop()
	if code := first.end(t); code != exitOK {
		t.Fatalf("exit %d: %s", code, &first.stderr)
	}
	say(100)
	second := begin(t, nil, "run", "-c", file)
	until(t, "what was said meanwhile", func() bool {
		return len(ids(t, first.stdout.String()))+len(ids(t, second.stdout.String())) >= len(sent)
	})
	say(100)
	until(t, "what was said then", func() bool {
		return len(ids(t, first.stdout.String()))+len(ids(t, second.stdout.String())) >= len(sent)
	})
	second.stop()
	if code := second.end(t); code != exitOK {
		t.Fatalf("exit %d: %s", code, &second.stderr)
	}
	got := append(ids(t, first.stdout.String()), ids(t, second.stdout.String())...)
	slices.Sort(got)
	slices.Sort(sent)
	if !slices.Equal(got, sent) {
		t.Errorf("%d received of %d sent", len(got), len(sent))
	}
	st := s.Stats().Bot("")
	if st.Identifies != 4 || st.Resumes != 4 || st.SessionsKept != 4 {
		t.Errorf("%v, want 4 identifies, of the first run, and 4 resumes", st)
	}
	if out := second.stdout.String(); strings.Contains(out, `"kind":"gap"`) || strings.Count(out, `"flags":["resumed"]`) != 4 {
		t.Errorf("a gap, or not all resumed:\n%.2000s", out)
	}
	if strings.Contains(first.stdout.String()+second.stdout.String()+first.stderr.String()+second.stderr.String(), "bot-token") {
		t.Error("the token was printed")
	}
}

// Beyond what the service replays there is a gap, and one IDENTIFY per shard.
func TestRunDiscordRestartTooLate(t *testing.T) {
	s, file := discordOn(t, &discordtest.Config{ReplayMax: 10, Bots: []discordtest.Bot{{GuildCount: 4}}}, "  shards: 1\n")
	first := begin(t, nil, "run", "-c", file)
	until(t, "the shard", func() bool { return strings.Contains(first.stdout.String(), `"kind":"ready"`) })
	first.stop()
	if code := first.end(t); code != exitOK {
		t.Fatalf("exit %d: %s", code, &first.stderr)
	}
	g := s.Guilds("")[0]
	for range 20 {
		s.Publish("", g, discordtest.Message(0, "ann", "hello"))
	}
	second := begin(t, nil, "run", "-c", file)
	until(t, "the shard", func() bool { return strings.Contains(second.stdout.String(), `"kind":"ready"`) })
	until(t, "a gap", func() bool { return strings.Contains(second.stdout.String(), `"kind":"gap"`) })
	second.stop()
	if code := second.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &second.stderr)
	}
	if st := s.Stats().Bot(""); st.Identifies != 2 || st.Remaining != 998 {
		t.Errorf("%v, want 2 identifies", st)
	}
}

// Only channels that are listed are written, and the channels file is followed.
func TestRunDiscordChannels(t *testing.T) {
	s, file := discordOn(t, nil, "channels_file: list.txt\n")
	g := s.Guilds("")[0]
	one, other := discordtest.Channel(g, 0), discordtest.Channel(g, 1)
	list := filepath.Join(filepath.Dir(file), "list.txt")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(fmt.Sprintf("discord:%d\n", one))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the shard", func() bool { return strings.Contains(p.stdout.String(), `"kind":"ready"`) })
	s.Publish("", g, discordtest.Message(other, "ann", "not this"))
	s.Publish("", g, discordtest.Message(one, "ann", "this"))
	until(t, "a message", func() bool { return strings.Contains(p.stdout.String(), `"text":"this"`) })
	put(fmt.Sprintf("discord:%d\ndiscord:%d\n", one, other))
	until(t, "a word about it", func() bool { return strings.Contains(p.stderr.String(), `"channels":2`) })
	s.Publish("", g, discordtest.Message(other, "ann", "now this"))
	until(t, "a message", func() bool { return strings.Contains(p.stdout.String(), `"text":"now this"`) })
	p.stop()
	if code := p.end(t); code != exitOK || strings.Contains(p.stdout.String(), "not this") {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// What cannot work ends with one line that says what to do, at once, and burns
// at most the one IDENTIFY that found it out.
func TestRunDiscordBadInput(t *testing.T) {
	state := func(text string) func(*testing.T, *discordtest.Server, string) {
		return func(t *testing.T, _ *discordtest.Server, file string) {
			dir := filepath.Join(filepath.Dir(file), "state")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "sessions"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		bot    discordtest.Bot
		more   string
		before func(*testing.T, *discordtest.Server, string)
		want   string
		spent  int
	}{
		{"wrong token", discordtest.Bot{Token: "another"}, "", nil, "the token is not valid: copy the bot's token from the developer portal", 0},
		{"disallowed intents", discordtest.Bot{NoPrivileged: true}, "  intents: [guilds, guild_messages, message_content, guild_members]\n", nil,
			"not enabled: guild_members, message_content; enable them in the developer portal (", 1},
		{"shard count of a large bot", discordtest.Bot{ShardMultiple: 4}, "  shards: 3\n", nil, "4010", 1},
		{"too few shards", discordtest.Bot{GuildCount: 30, MaxGuildsPerShard: 10}, "  shards: 1\n", nil, "4011", 1},
		{"more shards than allowed", discordtest.Bot{GuildCount: 30}, "  channels_per_shard: 10\n  max_shard_count: 2\n", nil, "max_shard_count to 3", 0},
		{"nothing left today", discordtest.Bot{IdentifyRemaining: 20}, "  shards: 4\n", nil, "identify budget: 4 wanted, 20 left and ", 0},
		{"broken session file", discordtest.Bot{}, "", state("{\"v\":1,\"sess"), "move it away to start with new sessions", 0},
		{"session file of another bot", discordtest.Bot{ApplicationID: 4711}, "", func(t *testing.T, _ *discordtest.Server, file string) {
			// Written by a bot that is called otherwise.
			o, other := discordOn(t, nil, "  state_dir: "+filepath.Join(filepath.Dir(file), "state")+"\n")
			p := begin(t, nil, "run", "-c", other)
			until(t, "the shard", func() bool { return strings.Contains(p.stdout.String(), `"kind":"ready"`) })
			p.stop()
			p.end(t)
			if o.Stats().Bot("").Identifies != 1 {
				t.Error("the other bot did not run")
			}
		}, "another bot", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{c.bot}}, c.more)
			if c.before != nil {
				c.before(t, s, file)
			}
			left := s.Stats().Bot("").Remaining
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out, errs spool
			code := run(ctx, []string{"run", "-c", file}, nil, &out, &errs)
			said := ""
			for line := range strings.Lines(errs.String()) {
				if strings.HasPrefix(line, "chatshard: ") {
					said += line
				}
			}
			if code != exitFailure || ctx.Err() != nil || !strings.HasPrefix(said, `chatshard: run: discord account "mybot": `) ||
				!strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit %d: %s\nwant %s", code, errs.String(), c.want)
			}
			if spent := left - s.Stats().Bot("").Remaining; spent != c.spent {
				t.Errorf("%d IDENTIFYs spent, want %d", spent, c.spent)
			}
			if strings.Contains(out.String()+errs.String(), "bot-token") {
				t.Error("the token was printed")
			}
			t.Log(strings.TrimSpace(said))
		})
	}
}
