package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/discord/discordtest"
)

// doctorOf returns the status of each check by name, and the whole.
func doctorOf(t *testing.T, args ...string) (map[string]doctorCheck, int, string) {
	t.Helper()
	code, stdout, stderr := chatshard(t, append([]string{"doctor", "-o", "json"}, args...)...)
	var d diagnosis
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	by := map[string]doctorCheck{}
	for _, c := range d.Checks {
		by[c.Name] = c
		if (c.Status == "ok") != (c.Do == "") {
			t.Errorf("%+v: what to do is said exactly where something is to be done", c)
		}
	}
	if d.OK != (code == exitOK) || strings.Contains(stdout+stderr, "bot-token") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	return by, code, stderr
}

func TestDoctorWell(t *testing.T) {
	s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 30, MaxConcurrency: 16}}}, "  channels_per_shard: 10\n")
	want := map[string]string{
		"token": `of "bot", application `, "intents": "message_content", "identifies": "1000 of 1000 left today, 50 of them kept for emergencies",
		"shards": "3, about 10 guilds each; Discord advises 1", "gateway": "reached by TCP in ", "state_dir": "is not there yet, and can be made", "sessions": "none that could be resumed",
	}
	by, code, stderr := doctorOf(t, "-c", file)
	for name, what := range want {
		if c := by[name]; c.Status != "ok" || !strings.Contains(c.What, what) {
			t.Errorf("%s: %+v, want ok and %s", name, c, what)
		}
	}
	if code != exitOK || len(by) != len(want) {
		t.Errorf("exit %d, %d checks: %s", code, len(by), stderr)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "state")); err == nil {
		t.Error("the doctor made the directory")
	}

	p := begin(t, nil, "run", "-c", file)
	until(t, "the shards", func() bool { return strings.Count(p.stdout.String(), `"kind":"ready"`) == 3 })
	p.stop()
	p.end(t)
	by, _, _ = doctorOf(t, "-c", file)
	if c := by["sessions"]; !strings.Contains(c.What, "3 of 3 shards would be resumed") {
		t.Errorf("%+v", c)
	}
	if st := s.Stats().Bot(""); st.Identifies != 3 || len(s.Violations()) > 0 {
		t.Errorf("%v, %v: the doctor spends nothing", st, s.Violations())
	}

	token := written(t, "token", "bot-token\n")
	api := "http://" + strings.Split(strings.Split(readText(t, file), "http://")[1], "\n")[0]
	by, code, stderr = doctorOf(t, "--discord-token-file", token, "--discord-api", api)
	if code != exitOK || len(by) != 5 {
		t.Errorf("exit %d, %v: %s", code, by, stderr)
	}
	code, stdout, _ := chatshard(t, "doctor", "-c", file)
	if code != exitOK || strings.Count(stdout, "\n") != len(want) || !strings.HasPrefix(stdout, "ok  discord  token ") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDoctorIll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, c := range []struct {
		name, more   string
		bot          discordtest.Bot
		check        string
		status, what string
	}{
		{"token", "", discordtest.Bot{Token: "another"}, "token", "fail", "Discord does not know it"},
		{"intents", "  intents: [guilds, guild_messages, guild_members, message_content]\n", discordtest.Bot{AllowedIntents: discordtest.IntentMessageContent}, "intents", "fail", "(4014): guild_members"},
		{"no text", "  intents: [guilds, guild_messages]\n", discordtest.Bot{}, "intents", "warn", "without message_content"},
		{"no guilds", "  intents: [guild_messages, message_content]\n", discordtest.Bot{}, "intents", "warn", "without guilds"},
		{"budget", "", discordtest.Bot{IdentifyRemaining: 50}, "identifies", "fail", "50 of 1000 left today"},
		{"little left", "  shards: 10\n", discordtest.Bot{IdentifyRemaining: 70}, "identifies", "warn", "enough for 2 starts of 10 shards"},
		{"too few allowed", "  channels_per_shard: 2\n  max_shard_count: 3\n", discordtest.Bot{}, "shards", "fail", "10 guilds at 2 a shard need 5 shards, and max_shard_count is 3"},
		{"fuller than wanted", "  channels_per_shard: 2\n  shards: 3\n", discordtest.Bot{}, "shards", "warn", "3 make 4 guilds a shard, and channels_per_shard is 2"},
		{"no room", "  channels_per_shard: 10\n  max_shard_count: 1\n", discordtest.Bot{}, "shards", "warn", "max_shard_count has no room"},
		{"too full", "  shards: 1\n", discordtest.Bot{GuildCount: 2600}, "shards", "fail", "1 make 2600 guilds a shard, and Discord takes 2500 (4011)"},
		{"gateway", "  gateway: ws://" + nobody + "\n", discordtest.Bot{}, "gateway", "fail", "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, file := discordOn(t, &discordtest.Config{Bots: []discordtest.Bot{c.bot}}, c.more)
			by, code, stderr := doctorOf(t, "-c", file)
			got := by[c.check]
			if got.Status != c.status || !strings.Contains(got.What, c.what) || (code == exitFailure) != (c.status == "fail") {
				t.Errorf("exit %d, %+v, want %s: %s", code, got, c.what, stderr)
			}
			if code == exitFailure && (!strings.Contains(stderr, "checks failed: "+c.check) || strings.Count(stderr, "\n") != 1) {
				t.Errorf("stderr %s", stderr)
			}
			if s.Stats().Bot("").Identifies > 0 {
				t.Error("an IDENTIFY was spent")
			}
		})
	}
}

func TestDoctorOfBrokenState(t *testing.T) {
	_, file := discordOn(t, nil, "")
	dir := filepath.Join(filepath.Dir(file), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sessions"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	by, _, _ := doctorOf(t, "-c", file)
	if c := by["sessions"]; c.Status != "fail" || !strings.Contains(c.What, "corrupt") || !strings.Contains(c.Do, "move it away") {
		t.Errorf("%+v", c)
	}
	plain := written(t, "c.yaml", "version: 1\ntwitch: {}\n")
	if code, _, stderr := chatshard(t, "doctor", "-c", plain); code != exitUsage || !strings.Contains(stderr, "no section discord") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
