package discordtest_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Bots run against "chatshard simulate discord" as they do against a Server:
// they hear its chat, and what is posted by REST, and break no rule.
func TestInteropCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGINT to end it with")
	}
	command := filepath.Join(t.TempDir(), "chatshard")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", command, "github.com/chatshard/chatshard/cmd/chatshard")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if text, err := exec.CommandContext(t.Context(), command, "simulate", "discord", "--help").CombinedOutput(); err != nil || !bytes.Contains(text, []byte("simulate discord")) {
		t.Skip("this chatshard does not simulate Discord")
	}
	for _, tt := range []struct {
		name  string
		start func(*testing.T, station) *guest
	}{
		{"discordgo", startDiscordgo},
		{"discord.js", startNode("discordjs.mjs")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			against(t, command, tt.start)
		})
	}
}

// against runs a client against the command.
func against(t *testing.T, command string, start func(*testing.T, station) *guest) {
	const guilds = 6
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cmd := exec.CommandContext(t.Context(), command, "simulate", "discord",
		"--listen-tls", "127.0.0.1:0", "--ca-file", ca, "--guilds", strconv.Itoa(guilds), "--rate", "50", "-o", "json")
	out, errs := new(output), new(output)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		defer time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() }).Stop()
		cmd.Process.Signal(os.Interrupt)
		err := cmd.Wait()
		if said := strings.Join(errs.lines(), "\n"); err != nil || !strings.Contains(said, " 0 breaches of the rules") {
			t.Errorf("%s: %v: %s", cmd, err, said)
		}
	}()

	simulator := &guest{t: t, seen: out.lines}
	simulator.until(func(seen []string) string {
		if len(seen) == 0 {
			return "an address"
		}
		return ""
	})
	var where struct{ Address string }
	if err := json.Unmarshal([]byte(out.lines()[0]), &where); err != nil {
		t.Fatalf("%v: %s", err, out.lines()[0])
	}
	host, port, err := net.SplitHostPort(where.Address)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	at := station{Host: host, API: "https://" + where.Address + "/api", Token: "bot-token", Shards: 1, authority: authority}
	if at.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}

	g := start(t, at)
	defer g.stop()
	g.await(fmt.Sprintf("ready 0 %d", guilds))
	channel := ""
	g.until(func(seen []string) string {
		n := 0
		for _, l := range seen {
			if strings.HasPrefix(l, "message ") {
				channel = strings.Fields(l)[1]
				n++
			}
		}
		if n < 50 {
			return fmt.Sprintf("%d of 50 messages", 50-n)
		}
		return ""
	})
	post(t, at, channel, "!ping")
	for _, text := range []string{" !ping", " pong"} {
		g.until(func(seen []string) string {
			for _, l := range seen {
				if strings.HasPrefix(l, "message "+channel+" ") && strings.HasSuffix(l, text) {
					return ""
				}
			}
			return strconv.Quote(text)
		})
	}
}

// post sends a message as the bot.
func post(t *testing.T, at station, channel, text string) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(at.authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(map[string]string{"content": text})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.API+"/v10/channels/"+channel+"/messages", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bot "+at.Token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("posting: %s", answer.Status)
	}
}
