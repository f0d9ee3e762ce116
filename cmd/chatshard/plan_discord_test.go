package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/discord/discordtest"
)

func planOf(t *testing.T, args string) (p plan, code int, stderr string) {
	t.Helper()
	code, stdout, stderr := chatshard(t, append(strings.Fields("plan -o json"), strings.Fields(args)...)...)
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		t.Fatalf("plan %s: %v, %s%s", args, err, stdout, stderr)
	}
	return p, code, stderr
}

func TestPlanDiscordByFlags(t *testing.T) {
	for _, c := range []struct {
		args           string
		code, shards   int
		seconds        float64
		restarts, then int
		memory         int64
	}{
		{"--guilds 5000", 0, 5, 26.5, 190, 8, 5 * 65 << 10},
		{"--guilds 5000 --guilds-per-shard 1250 --max-concurrency 16 --compression none", 0, 4, 5.3, 237, 7, 4 * 22 << 10},
		{"--guilds 700 --discord-max-shard-count 1 --identifies 60", 0, 1, 5.3, 10, 0, 65 << 10},
		{"--guilds 700 --identifies 50", 1, 1, 5.3, 0, 2, 65 << 10},
		{"--guilds 50000", 1, 50, 84.8, 59, 0, 16 * 65 << 10},
		{"--guilds 1024000 --discord-max-shard-count 1024 --max-concurrency 16 --compression zstd-stream", 1, 1024, 339.2, 0, 0, 1024 * 480 << 10},
	} {
		p, code, stderr := planOf(t, c.args)
		part := p.Parts[0]
		if code != c.code || p.OK != (code == 0) || part.Shards != c.shards || p.Seconds != c.seconds || part.Discord.Restarts != c.restarts ||
			part.Discord.ReshardsTo != c.then || part.MemoryBytes != c.memory {
			t.Errorf("plan %s: exit %d, %+v %+v, want %+v; %s", c.args, code, part, *part.Discord, c, stderr)
		}
		if code == 1 && (!strings.HasPrefix(stderr, "chatshard: plan: does not fit: discord: ") || strings.Count(stderr, "\n") != 1) {
			t.Errorf("plan %s: stderr %q", c.args, stderr)
		}
	}
	if p, _, _ := planOf(t, "--guilds 5000 --twitch-channels 50"); len(p.Parts) != 2 || p.Shards != 6 {
		t.Errorf("%+v, want two parts and 6 shards", p)
	}
}

func TestPlanDiscordOfConfig(t *testing.T) {
	s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 90, MaxConcurrency: 2, IdentifyTotal: 400, IdentifyRemaining: 100}}},
		"  channels_per_shard: 20\n")
	p, code, stderr := planOf(t, "-c "+file)
	part := p.Parts[0]
	if code != exitOK || part.Channels != 320 || part.Shards != 16 || len(part.Discord.Assumed) != 3 || part.Account != "mybot" {
		t.Errorf("exit %d, %+v %+v; %s", code, part, *part.Discord, stderr)
	}
	p, code, _ = planOf(t, "--guilds 41 -c "+file)
	if part = p.Parts[0]; code != exitOK || part.Shards != 3 || len(part.Discord.Assumed) != 2 {
		t.Errorf("exit %d, %+v %+v", code, part, *part.Discord)
	}
	if n := s.Stats().REST; n != 0 {
		t.Errorf("%d requests without --online", n)
	}
	p, code, stderr = planOf(t, "--online -c "+file)
	d := p.Parts[0].Discord
	if part = p.Parts[0]; code != exitOK || part.Channels != 90 || part.Shards != 5 || d.MaxConcurrency != 2 || d.IdentifiesLeft != 100 || d.Restarts != 16 || !d.Online || len(d.Assumed) != 0 {
		t.Errorf("exit %d, %+v %+v; %s", code, part, *d, stderr)
	}
	if st := s.Stats(); st.Bots[0].Remaining != 100 {
		t.Errorf("%d IDENTIFYs left, want 100: none is spent", st.Bots[0].Remaining)
	}
	s.SetToken("", "another")
	code, stdout, stderr := chatshard(t, "plan", "--online", "-c", file)
	if want := `chatshard: plan: discord account "mybot": discord: the token is not valid: `; code != exitFailure || stdout != "" || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit %d, %s%s, want %s", code, stdout, stderr, want)
	}
	code, stdout, _ = chatshard(t, "plan", "-c", file, "--guilds", "41")
	if code != exitOK || !strings.Contains(stdout, "assumed: 1000 IDENTIFYs a day") || !strings.Contains(stdout, "a restart within 3 minutes costs none") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
}
