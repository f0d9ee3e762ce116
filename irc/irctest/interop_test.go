package irctest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	twitchirc "github.com/gempir/go-twitch-irc/v4"
)

// Clients that others wrote, and that know nothing of this package, connect,
// join, hear, speak and come back. Those that are not Go are programs: the ones
// in testdata/interop need "npm ci" there, weechat needs to be installed. The
// environment variable CHATSHARD_INTEROP_REQUIRED turns what is missing from a
// reason to skip into a failure.
func TestInterop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(*testing.T, *Server, visit) *guest
		visit visit
	}{
		{"go-twitch-irc/tcp", startGoTwitchIRC, visit{login: "ann"}},
		{"go-twitch-irc/tls/anonymous", startGoTwitchIRC, visit{tls: true}},
		{"tmi.js/ws", startNode("tmi.mjs"), visit{web: true, login: "ann"}},
		{"tmi.js/wss/anonymous", startNode("tmi.mjs"), visit{web: true, tls: true}},
		{"twurple/ws", startNode("twurple.mjs"), visit{web: true, login: "ann"}},
		{"twurple/wss/anonymous", startNode("twurple.mjs"), visit{web: true, tls: true}},
		{"twurple/tcp/anonymous", startNode("twurple.mjs"), visit{port: 6667}},
		{"twurple/tls", startNode("twurple.mjs"), visit{port: 6697, tls: true, login: "ann"}},
		{"weechat/twitch", startWeechat, visit{tls: true, login: "ann", mum: true}},
		{"weechat/tcp", startWeechat, visit{irc: true}},
		{"weechat/tls", startWeechat, visit{irc: true, tls: true, login: "ann"}},
		{"irc-framework/tcp", startNode("framework.mjs"), visit{irc: true, settles: true}},
		{"irc-framework/tls", startNode("framework.mjs"), visit{irc: true, settles: true, tls: true, login: "ann"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			interop(t, tt.visit, tt.start)
		})
	}
}

// visit is how a client comes, and what it does not do.
type visit struct {
	irc      bool // a plain IRC network; default: Twitch
	web, tls bool
	port     int    // the service's own, if the client knows no other
	login    string // "": anonymous, or without an account
	mum      bool   // says nothing of USERSTATE
	settles  bool   // comes back only after it was there for a while, and says when it was

	addr *net.TCPAddr // of the server
}

// token is what accounts log in with.
const token = "hunter2"

// nick is what the client is called.
func (v visit) nick() string {
	if v.login == "" && v.irc {
		return "guest"
	}
	return v.login
}

// guest is a client that others wrote.
type guest struct {
	t    *testing.T
	seen func() []string // what the client has said so far; see testdata/interop/lines.mjs
	say  func(channel, text string)
	stop func()

	taken map[string]int // how often each line was waited for
}

// await waits until the client has said each line once more than before.
func (g *guest) await(lines ...string) {
	g.t.Helper()
	if g.taken == nil {
		g.taken = make(map[string]int)
	}
	for _, l := range lines {
		g.taken[l]++
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		seen := g.seen()
		count := make(map[string]int)
		for _, l := range seen {
			count[l]++
		}
		missing := ""
		for _, l := range lines {
			if count[l] < g.taken[l] {
				missing = l
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("not within a minute: %q for the %d. time; the client said:\n%s", missing, g.taken[missing], strings.Join(seen, "\n"))
		}
	}
}

// interop is what a client has to go through.
func interop(t *testing.T, v visit, start func(*testing.T, *Server, visit) *guest) {
	rooms := []string{"#alpha", "#beta", "#gamma"}
	host := "127.0.0.1"
	if v.port != 0 { // an address of our own, where that port is free
		host = fmt.Sprintf("127.%d.%d.1", 1+os.Getpid()>>8&0x7f, os.Getpid()&0xff)
	}
	cfg := Config{Accounts: []Account{{Login: "ann", Token: token}, {Login: "watcher"}}, Hosts: []string{host}}
	s := NewTwitch(&cfg)
	if v.irc {
		cfg.IRC.SASL = []string{"PLAIN"} // what every client knows
		s = NewIRC(&cfg)
	}
	defer s.Close()
	listen := s.Listen
	switch {
	case v.web:
		listen = func(addr string) (net.Addr, error) { return s.ListenWebSocket(addr, v.tls) }
	case v.tls:
		listen = s.ListenTLS
	}
	addr, err := listen(fmt.Sprintf("%s:%d", host, v.port))
	if err != nil && v.port != 0 {
		t.Skipf("the client connects to port %d alone, which cannot be had: %v", v.port, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.addr = addr.(*net.TCPAddr)

	watcher := dial(t, s, "irc:6667")
	defer time.AfterFunc(2*time.Minute, func() { watcher.nc.Close() }).Stop()
	if v.irc {
		watcher.send("NICK watcher", "USER watcher 0 * :watcher", "JOIN "+strings.Join(rooms, ","))
		watcher.until(" 366 watcher #gamma ")
	} else {
		watcher.login("watcher").join("alpha", "beta", "gamma")
	}

	g := start(t, s, v)
	defer g.stop()
	serial := 0
	hears := func() {
		t.Helper()
		serial++
		var want []string
		for _, room := range rooms {
			text := fmt.Sprintf("hello %s, for the %d. time; ñandú 🎉", room, serial)
			s.Say(room, "viewer", text)
			want = append(want, "message "+room+" viewer "+text)
		}
		g.await(want...)
	}
	arrives := func() {
		t.Helper()
		g.await("connected", "joined #alpha", "joined #beta", "joined #gamma")
		hears()
	}
	arrives()
	if v.login != "" || v.irc {
		g.say("#beta", "well met; ñandú 🎉")
		l := watcher.until("PRIVMSG #beta :well met")
		if !strings.Contains(l, ":"+v.nick()+"!") || !strings.HasSuffix(l, " :well met; ñandú 🎉") {
			t.Errorf("the watcher received %q", l)
		}
		if !v.irc && !v.mum {
			g.await("sent #beta")
		}
	}
	if v.irc && v.login != "" && !loggedIn(s, v.login) {
		t.Errorf("no connection is logged in as %s", v.login)
	}
	them := Target{Channel: "#alpha", Account: v.nick()}
	if them.Account == "" {
		them.Account = "justinfan"
	}
	if !v.irc {
		if n := s.Apply(Fault{Kind: Reconnect, For: 200 * time.Millisecond}, them); n != 1 {
			t.Errorf("RECONNECT for %d connections, want 1", n)
		}
		arrives()
	}
	if v.settles {
		g.await("settled")
	}
	if n := s.Apply(Fault{Kind: Drop}, them); n < 1 { // the one that RECONNECT closes may still be there
		t.Error("no connection to be dropped")
	}
	arrives()
	for _, violation := range s.Violations() {
		t.Errorf("violation: %v", violation)
	}
}

// loggedIn reports whether a connection has logged in to an account with SASL.
func loggedIn(s *Server, login string) bool {
	for _, c := range s.live() {
		if acc := c.account(); acc != nil && acc == s.lookupAccount(login) {
			return true
		}
	}
	return false
}

// absent skips the test, or fails it if nothing may be missing.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CHATSHARD_INTEROP_REQUIRED") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// authority writes the certificate that a client has to trust to a file.
func authority(t *testing.T, s *Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, s.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// output keeps what a program writes. Safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// lines returns the whole lines so far.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(o.buf.String(), "\n")
	return lines[:len(lines)-1]
}

// run starts a program. Its end is asked for with quit, and waited for.
func run(t *testing.T, cmd *exec.Cmd, quit func()) (out *output, stop func()) {
	t.Helper()
	var errs output
	out = new(output)
	cmd.Stdout, cmd.Stderr = out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() {
		defer time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() }).Stop()
		quit()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", cmd.Path, err)
		}
		if t.Failed() {
			for _, l := range errs.lines() {
				t.Log(l)
			}
		}
	}
}

// startNode returns a func that starts a script of testdata/interop.
func startNode(script string) func(*testing.T, *Server, visit) *guest {
	return func(t *testing.T, s *Server, v visit) *guest {
		node, err := exec.LookPath("node")
		if err != nil {
			absent(t, "Node.js is not installed")
		}
		dir := filepath.Join("testdata", "interop")
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			absent(t, `the clients are not installed: run "npm ci" in irc/irctest/testdata/interop`)
		}
		config, err := json.Marshal(map[string]any{
			"host": v.addr.IP.String(), "port": v.addr.Port, "tls": v.tls, "webSocket": v.web,
			"nick": v.nick(), "login": v.login, "token": token, "channels": []string{"#alpha", "#beta", "#gamma"},
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), node, script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "INTEROP="+string(config))
		if v.tls {
			cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+authority(t, s))
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, stop := run(t, cmd, func() { stdin.Close() })
		return &guest{t: t, seen: out.lines, stop: stop, say: func(channel, text string) {
			if _, err := fmt.Fprintf(stdin, "say %s %s\n", channel, text); err != nil {
				t.Error(err)
			}
		}}
	}
}

// startWeechat runs weechat without a terminal. What it says is read from its
// logs, what it shall do is written to its FIFO.
func startWeechat(t *testing.T, s *Server, v visit) *guest {
	program, err := exec.LookPath("weechat-headless")
	if err != nil {
		absent(t, "weechat-headless is not installed")
	}
	dir := t.TempDir()
	args := []string{"--dir", dir, "--stdout"}
	for _, c := range []string{
		"/set logger.file.flush_delay 0",
		fmt.Sprintf("/server add net %s/%d", v.addr.IP, v.addr.Port),
		"/set irc.server.net.nicks " + v.nick(),
		"/set irc.server.net.autojoin #alpha,#beta,#gamma",
		"/set irc.server.net.autoreconnect_delay 1",
	} {
		args = append(args, "--run-command", c)
	}
	if v.tls { // ssl is what version 4 calls tls
		ca := authority(t, s)
		for _, c := range []string{"ssl on", "ssl_verify on", "tls on", "tls_verify on"} {
			args = append(args, "--run-command", "/set irc.server.net."+c)
		}
		args = append(args, "--run-command", "/set weechat.network.gnutls_ca_user "+ca)
	}
	switch {
	case v.login != "" && v.irc:
		args = append(args, "--run-command", "/set irc.server.net.sasl_username "+v.login, "--run-command", "/set irc.server.net.sasl_password "+token)
	case v.login != "":
		args = append(args, "--run-command", "/set irc.server.net.password oauth:"+token)
	}
	args = append(args, "--run-command", "/connect net")
	cmd := exec.CommandContext(t.Context(), program, args...)
	fifo := ""
	do := func(line string) {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		fmt.Fprintln(f, line)
	}
	_, stop := run(t, cmd, func() { do("*/quit") })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); fifo == ""; <-tick.C {
		if found, _ := filepath.Glob(filepath.Join(dir, "weechat_fifo_*")); len(found) > 0 {
			fifo = found[0]
		} else if time.Now().After(end) {
			cmd.Process.Kill()
			cmd.Wait()
			absent(t, "weechat has no FIFO: are its plugins installed?")
		}
	}
	return &guest{t: t, stop: stop,
		seen: func() []string { return weechatLogs(t, filepath.Join(dir, "logs"), v.nick()) },
		say:  func(channel, text string) { do("irc.net." + channel + " *" + text) },
	}
}

// weechatLine is a line of a log: time, nick or sign, text.
var weechatLine = regexp.MustCompile(`^[^\t]*\t([^\t]*)\t(.*)$`)

// weechatLogs turns weechat's logs into what clients say.
func weechatLogs(t *testing.T, dir, nick string) (events []string) {
	files, err := filepath.Glob(filepath.Join(dir, "irc.*.weechatlog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "irc.net."), ".weechatlog")
		for l := range strings.Lines(string(text)) {
			m := weechatLine.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
			switch {
			case m == nil:
			case strings.HasPrefix(m[2], "Welcome"):
				events = append(events, "connected")
			case m[1] == "-->" && strings.HasPrefix(m[2], nick+" "):
				events = append(events, "joined "+room)
			default:
				events = append(events, "message "+room+" "+m[1]+" "+m[2])
			}
		}
	}
	return events
}

// startGoTwitchIRC runs go-twitch-irc's client.
func startGoTwitchIRC(t *testing.T, _ *Server, v visit) *guest {
	c := twitchirc.NewAnonymousClient()
	if v.login != "" {
		c = twitchirc.NewClient(v.login, "oauth:"+token)
	}
	c.IrcAddress, c.TLS = v.addr.String(), v.tls // it verifies no certificate of this machine
	out := new(output)
	c.OnConnect(func() { fmt.Fprintln(out, "connected") })
	c.OnSelfJoinMessage(func(m twitchirc.UserJoinMessage) { fmt.Fprintln(out, "joined #"+m.Channel) })
	c.OnPrivateMessage(func(m twitchirc.PrivateMessage) {
		fmt.Fprintln(out, "message #"+m.Channel, m.User.Name, m.Message)
	})
	c.OnUserStateMessage(func(m twitchirc.UserStateMessage) {
		if m.Tags["id"] != "" {
			fmt.Fprintln(out, "sent #"+m.Channel)
		}
	})
	c.Join("alpha", "beta", "gamma")
	ended := make(chan error, 1)
	go func() { ended <- c.Connect() }()
	return &guest{t: t, seen: out.lines,
		say: func(channel, text string) { c.Say(channel[1:], text) },
		stop: func() {
			c.Disconnect()
			if err := <-ended; err != twitchirc.ErrClientDisconnected {
				t.Errorf("Connect: %v", err)
			}
		}}
}
