package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// addresses waits for n lines and returns what listens there.
func (p *process) addresses(t *testing.T, n int) []listening {
	t.Helper()
	until(t, "addresses", func() bool { return strings.Count(p.stdout.String(), "\n") == n })
	var all []listening
	for line := range strings.Lines(p.stdout.String()) {
		var l listening
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, l)
	}
	return all
}

func TestSimulateTwitch(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	p := begin(t, nil, "simulate", "twitch", "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--listen-ws", "localhost:0", "--listen-wss", "127.0.0.1:0",
		"--channels", "forsen,xqc", "--rate", "200", "--account", "bot:"+goodToken, "--ca-file", ca, "-o", "json")
	at := p.addresses(t, 4)
	for i, scheme := range []string{"irc", "ircs", "ws", "wss"} {
		if at[i].URL != scheme+"://"+at[i].Address || at[i].TLS != (scheme == "ircs" || scheme == "wss") || at[i].WebSocket != strings.HasPrefix(scheme, "ws") {
			t.Errorf("%+v, want %s", at[i], scheme)
		}
	}
	pem, err := os.ReadFile(ca)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s: %v", ca, err)
	}
	nc, err := tls.Dial("tcp", at[1].Address, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(nc, "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:%s\r\nNICK bot\r\nJOIN #nosuch\r\nJOIN #forsen\r\n", goodToken)
	r := bufio.NewScanner(nc)
	for r.Scan() && !strings.Contains(r.Text(), "PRIVMSG #forsen") {
		if strings.Contains(r.Text(), "#nosuch") || strings.Contains(r.Text(), "NOTICE") {
			t.Errorf("got %s", r.Text())
		}
	}
	if r.Err() != nil {
		t.Fatalf("no chat: %v", r.Err())
	}
	p.stop()
	if code := p.end(t); code != exitOK || !strings.Contains(p.stderr.String(), "1 logins") {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

func TestSimulateIRC(t *testing.T) {
	p := begin(t, nil, "simulate", "irc", "--listen", "127.0.0.1:0", "--channels", "3", "--rate", "100", "--faults", "gentle", "--unlimited", "-o", "json")
	nc, err := net.Dial("tcp", p.addresses(t, 1)[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(nc, "NICK bot\r\nUSER bot 0 * :bot\r\nJOIN #channel1\r\n")
	r := bufio.NewScanner(nc)
	for r.Scan() && !strings.Contains(r.Text(), "PRIVMSG #channel1") {
	}
	if r.Err() != nil {
		t.Fatalf("no chat: %v", r.Err())
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

func TestSimulatePortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	code, stdout, stderr := chatshard(t, "simulate", "twitch", "--listen", addr)
	want := "chatshard: simulate twitch: --listen " + addr + ": the port is in use; stop what listens there, or give another one (0: any that is free)\n"
	if code != exitFailure || stdout != "" || stderr != want {
		t.Errorf("exit %d, stdout %q, stderr %q, want exit 1 and %q", code, stdout, stderr, want)
	}
}

func TestSimulateUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", `chatshard: simulate: which one? discord, irc, twitch`},
		{"discordd", `chatshard: unknown command "discordd"`},
		{"twitch --listen 0.0.0.0:6667", `chatshard: simulate twitch: --listen "0.0.0.0:6667": other machines could connect; use 127.0.0.1, or give --public`},
		{"twitch --listen :6667", `chatshard: simulate twitch: --listen ":6667": other machines could connect`},
		{"twitch --listen-tls 192.168.1.1:6697", `chatshard: simulate twitch: --listen-tls "192.168.1.1:6697": other machines could connect`},
		{"twitch --listen 6667", `chatshard: simulate twitch: --listen "6667" is not HOST:PORT; write one as in 127.0.0.1:6667`},
		{"twitch --listen 127.0.0.1:99999", `chatshard: simulate twitch: --listen "127.0.0.1:99999": "99999" is not a port`},
		{"twitch --channels 0", `chatshard: simulate twitch: --channels 0: use a number from 1`},
		{"twitch --channels a,for-sen", `chatshard: simulate twitch: --channels: "for-sen": '-' cannot be part of a Twitch login`},
		{"twitch --channels a,#A", `chatshard: simulate twitch: --channels: a stands there twice; remove one`},
		{"irc --channels go", `chatshard: simulate irc: --channels: "go": `},
		{"twitch --account secretsecret", `chatshard: simulate twitch: --account wants LOGIN:TOKEN`},
		{"twitch --rate -5", `chatshard: simulate twitch: --rate -5: use a number from 0`},
		{"twitch --replay /nonexistent", `chatshard: simulate twitch: --replay /nonexistent: cannot be read: no such file or directory; check the path`},
		{"twitch --faults typhoon", `chatshard: invalid argument "typhoon" for "--faults" flag: use one of none, gentle, storm`},
		{"twitch --verified --unlimited", `chatshard: if any flags in the group [verified unlimited]`},
		{"discord --guilds 0", `chatshard: simulate discord: --guilds 0: use a number from 1`},
		{"discord --max-concurrency 0", `chatshard: simulate discord: --max-concurrency 0: use a number from 1 to 1000`},
		{"discord --rate NaN", `chatshard: simulate discord: --rate NaN: use a number from 0`},
		{"discord --heartbeat 1ms", `chatshard: simulate discord: --heartbeat 1ms: use a duration from 100ms`},
		{"discord --token secretsecret --token secretsecret", `chatshard: simulate discord: --token wants tokens that differ`},
		{"discord --listen 0.0.0.0:1", `chatshard: simulate discord: --listen "0.0.0.0:1": other machines could connect`},
		{"discord --listen 1", `chatshard: simulate discord: --listen "1" is not HOST:PORT; write one as in 127.0.0.1:8080`},
		{"twitch x", `chatshard: simulate twitch: unexpected argument "x"`},
	} {
		code, stdout, stderr := chatshard(t, append([]string{"simulate"}, strings.Fields(c.args)...)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "secretsecret") {
			t.Errorf("simulate %s: exit %d, stdout %q, stderr %q, want exit 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
	code, _, stderr := chatshard(t, "simulate", "twitch", "--listen", "127.0.0.1:0", "--ca-file", "/nonexistent/ca.pem")
	if want := "chatshard: simulate twitch: --ca-file /nonexistent/ca.pem: cannot be written: no such file or directory\n"; code != exitFailure || stderr != want {
		t.Errorf("exit %d, %q, want exit 1 and %q", code, stderr, want)
	}
}
