package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/chatshard/chatshard/discord/discordtest"
	"github.com/chatshard/chatshard/irc/irctest"
)

// A scrape tells how accounts stand, with names as Prometheus wants them and
// without one label that a service could make up.
func TestMetrics(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, &irctest.Config{Accounts: []irctest.Account{{Login: "bot", Token: goodToken}}})
	twitch.RefuseJoin("gone", "msg_banned", -1)
	ircd := irctest.NewIRC(nil)
	t.Cleanup(ircd.Close)
	ircAddr, err := ircd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := discordtest.New(&discordtest.Config{Bots: []discordtest.Bot{{GuildCount: 20, MaxConcurrency: 16}}})
	t.Cleanup(d.Close)
	discordAddr, err := d.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch:
  address: %q
  tls: false
  account: {login: bot, token: %s}
  channels_per_shard: 2
  limits: {joins: 20/1h, logins: 10/1h, sends: 20/1h}
  channels: [forsen, xqc, lirik, gone]
irc:
  net: {address: %q, tls: false, nick: bot, channels: ["#go"]}
  other: {address: %[3]q, tls: false, nick: bot, channels: ["#go"]}
discord: {account: {token: bot-token, name: mybot}, api: "http://%s/api/v10", shards: 2}
relay: {listen: %q}
`, twitchAddr, goodToken, ircAddr, discordAddr, addr))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool { _, err := http.Get("http://" + addr + "/livez"); return err == nil })
	body := ""
	missing := func(want []string) (all []string) {
		_, body = admin(t, "GET", "http://"+addr+"/metrics", "", "")
		for _, line := range want {
			if !strings.Contains("\n"+body, "\n"+line+"\n") {
				all = append(all, line)
			}
		}
		return all
	}
	standing := []string{
		sample("chatshard_shards", "bot", "", "twitch", "state", "ready", "2"),
		sample("chatshard_shards", "bot", "", "twitch", "state", "dialing", "0"),
		sample("chatshard_channels", "bot", "", "twitch", "state", "joined", "3"),
		sample("chatshard_channels", "bot", "", "twitch", "state", "refused", "1"),
		sample("chatshard_channels", "", "", "twitch", "state", "refused", "0"),
		sample("chatshard_budget_left", "bot", "", "twitch", "budget", "join", "16"),
		sample("chatshard_budget_left", "bot", "", "twitch", "budget", "login", "8"),
		sample("chatshard_budget_left", "bot", "", "twitch", "budget", "send", "20"),
		sample("chatshard_account_running", "bot", "", "twitch", "", "", "1"),
		sample("chatshard_channels", "bot", "net", "irc", "state", "joined", "1"),
		sample("chatshard_channels", "bot", "other", "irc", "state", "joined", "1"), // of the same nick
		sample("chatshard_shards", "mybot", "", "discord", "state", "ready", "2"),
		sample("chatshard_guilds", "mybot", "", "discord", "state", "available", "20"),
		sample("chatshard_budget_left", "mybot", "", "discord", "budget", "identify", "998"),
		sample("chatshard_budget_left", "mybot", "", "discord", "budget", "send", "40"),
		sample("chatshard_budget_left", "mybot", "", "discord", "budget", "invalid", "2000"),
		`chatshard_log_healthy 1`, `chatshard_log_waiting_entries 0`,
		`chatshard_events_total{kind="ready",platform="discord"} 2`,
	}
	until(t, "all accounts", func() bool { return len(missing(standing)) == 0 })

	for _, c := range []struct {
		to   string
		code int
	}{{"twitch:forsen", exitOK}, {fmt.Sprint("discord:", discordtest.Channel(d.Guilds("")[0], 0)), exitOK}, {"discord:4711", exitFailure}} {
		if code, _, stderr := chatshard(t, "send", "--url", "http://"+addr, "--to", c.to, "hello"); code != c.code {
			t.Errorf("send to %s: exit %d: %s", c.to, code, stderr)
		}
	}
	sent := []string{
		sample("chatshard_sends_total", "bot", "", "twitch", "outcome", "sent", "1"),
		sample("chatshard_sends_total", "mybot", "", "discord", "outcome", "sent", "1"),
		sample("chatshard_sends_total", "mybot", "", "discord", "outcome", "refused", "1"),
		sample("chatshard_budget_left", "bot", "", "twitch", "budget", "send", "19"),
	}
	if no := missing(sent); no != nil {
		t.Errorf("missing:\n%s\nin\n%s", strings.Join(no, "\n"), body)
	}
	for _, name := range []string{"forsen", "lirik", "#go", "gone"} {
		if strings.Contains(body, name) {
			t.Errorf("%s is among the metrics:\n%s", name, body)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "chatshard_") {
			t.Errorf("a metric of another name: %s", line)
		}
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// sample is a line of a scrape: an account's, with one more label if it has a name.
func sample(name, account, network, platform, label, value, n string) string {
	labels := []string{fmt.Sprintf("account=%q", account), fmt.Sprintf("network=%q", network), fmt.Sprintf("platform=%q", platform)}
	if label != "" {
		labels = append(labels, fmt.Sprintf("%s=%q", label, value))
	}
	slices.Sort(labels)
	return fmt.Sprintf("%s{%s} %s", name, strings.Join(labels, ","), n)
}
