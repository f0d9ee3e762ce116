package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/irc/irctest"
)

// Who reads need not be who sends: an anonymous account cannot.
func TestRunSender(t *testing.T) {
	for name, accounts := range map[string]string{
		"sender":             "sender: {login: bot, token: " + goodToken + "}",
		"of several readers": "accounts: [{}, {login: bot, token: " + goodToken + "}]",
	} {
		t.Run(name, func(t *testing.T) { runSender(t, accounts) })
	}
}

func runSender(t *testing.T, accounts string) {
	twitch, twitchAddr := twitchOn(t, &irctest.Config{Accounts: []irctest.Account{{Login: "bot", Token: goodToken}}})
	addr := freeAddr(t)
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch: {address: %q, tls: false, %s, channels: [{name: forsen, account: anonymous}, {name: xqc, account: anonymous}]}
relay: {listen: %q, log: {dir: none}, stdout: true}
`, twitchAddr, accounts, addr))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the address", func() bool {
		resp, err := http.Get("http://" + addr + "/livez")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	until(t, "forsen and both accounts", func() bool { return twitch.Members("forsen") == 1 && twitch.Stats().Conns == 2 })
	code, stdout, stderr := chatshard(t, "send", "--url", "http://"+addr, "--to", "twitch:forsen", "hello from here", "-o", "json")
	if code != exitOK || !strings.Contains(stdout, `"sent"`) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	_, metrics := admin(t, "GET", "http://"+addr+"/metrics", "", "")
	for _, line := range []string{
		sample("chatshard_sends_total", "bot", "", "twitch", "outcome", "sent", "1"), sample("chatshard_budget_left", "bot", "", "twitch", "budget", "send", "19"),
		sample("chatshard_shards", "bot", "", "twitch", "state", "ready", "1"), sample("chatshard_account_running", "bot", "", "twitch", "", "", "1"),
	} {
		if !strings.Contains("\n"+metrics, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
	until(t, "what was sent", func() bool { return strings.Contains(p.stdout.String(), `"text":"hello from here"`) })
	if !strings.Contains(p.stdout.String(), `"login":"bot"`) {
		t.Errorf("said by another one: %s", &p.stdout)
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d:\n%s", code, &p.stderr)
	}
	http.DefaultClient.CloseIdleConnections()
}
