package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// chatshard run reads what chatshard simulate serves, over TLS too.
func TestSimulateDiscord(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	sim := begin(t, nil, "simulate", "discord", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--guilds", "30", "--max-concurrency", "16",
		"--rate", "200", "--chatter", "--token", "one-token", "--token", "two-token", "--ca-file", ca, "-o", "json")
	at := sim.addresses(t, 2)
	if at[0].URL != "http://"+at[0].Address+"/api/v10" || at[0].Gateway != "ws://"+at[0].Address || at[0].Tokens != nil ||
		at[1].URL != "https://"+at[1].Address+"/api/v10" || at[1].Gateway != "wss://"+at[1].Address || !at[1].TLS {
		t.Fatalf("%+v", at)
	}
	for i, l := range at {
		file := written(t, "c.yaml", fmt.Sprintf("version: 1\ndiscord:\n  account: {token: %s}\n  api: %s\n  gateway: %s\n  tls: {ca_file: %s}\n  shards: 3\n  compression: %s\n",
			[]string{"one-token", "two-token"}[i], l.URL, l.Gateway, ca, []string{"zstd-stream", "none"}[i]))
		p := begin(t, nil, "run", "-c", file)
		until(t, "messages", func() bool { return strings.Count(p.stdout.String(), `"kind":"message"`) > 50 })
		p.stop()
		if code := p.end(t); code != exitOK {
			t.Errorf("exit %d: %s", code, &p.stderr)
		}
		if i == 0 && strings.Count(p.stdout.String(), `"kind":"ready"`) != 3 {
			t.Error("not ready on three shards")
		}
	}
	sim.stop()
	if code := sim.end(t); code != exitOK || !strings.Contains(sim.stderr.String(), "bot2: 3 identifies (0 refused)") || !strings.Contains(sim.stderr.String(), "; 0 breaches of the rules") {
		t.Errorf("exit %d: %s", code, &sim.stderr)
	}
}

func TestSimulateDiscordText(t *testing.T) {
	sim := begin(t, nil, "simulate", "discord", "--listen", "127.0.0.1:0", "--token", "secretsecret", "--rate", "0")
	until(t, "an address", func() bool { return strings.HasSuffix(sim.stdout.String(), "\n") })
	out := sim.stdout.String()
	if !strings.HasPrefix(out, "discord: listening on http://127.0.0.1:") || !strings.Contains(out, "/api/v10, gateway ws://127.0.0.1:") || strings.Contains(out, "secretsecret") {
		t.Errorf("printed %s", out)
	}
}
