package irc_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

// ngircd is an IRC server that others wrote, on a port of this machine.
type ngircd struct {
	t       *testing.T
	program string
	config  string
	addr    string
	cmd     *exec.Cmd
	log     bytes.Buffer // read once the program has ended
}

// maxJoins is how many channels ngircd lets a connection join.
const maxJoins = 5

// startNgircd starts a server, or skips the test where there is none to start.
// The environment variable CHATSHARD_INTEROP_REQUIRED makes that a failure.
func startNgircd(t *testing.T) *ngircd {
	t.Helper()
	program, err := exec.LookPath("ngircd")
	if err != nil && os.Getenv("CHATSHARD_INTEROP_REQUIRED") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("ngircd is not installed: what a real IRC server says to us is not tested")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	s := &ngircd{t: t, program: program, addr: addr.String(), config: filepath.Join(t.TempDir(), "ngircd.conf")}
	text := fmt.Sprintf(`[Global]
Name = irc.real.test
Info = a real server
Listen = 127.0.0.1
Ports = %d
MotdPhrase = hello
[Limits]
MaxJoins = %d
MaxConnections = 0
MaxPenaltyTime = 0
MaxConnectionsIP = 0
MaxNickLength = 20
[Options]
DNS = no
Ident = no
PAM = no
[Operator]
Name = operator
Password = secret
`, addr.Port, maxJoins)
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

// start runs the server until stop.
func (s *ngircd) start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(s.t.Context(), s.program, "--nodaemon", "--config", s.config)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "ngircd takes connections", func() bool {
		nc, err := net.Dial("tcp", s.addr)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

// stop ends the server at once, as a crash would.
func (s *ngircd) stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait() // which says that it was killed
	s.cmd = nil
	if s.t.Failed() {
		s.t.Logf("ngircd said:\n%s", s.log.Bytes())
	}
}

// speaker is a second client, and a plain one.
type speaker struct {
	t  *testing.T
	nc net.Conn
	br *bufio.Reader
}

func (s *ngircd) speaker(nick string) *speaker {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &speaker{s.t, nc, bufio.NewReader(nc)}
	c.send("NICK "+nick, "USER "+nick+" 0 * :"+nick)
	c.until(" 376 ")
	return c
}

func (c *speaker) send(lines ...string) {
	c.t.Helper()
	if _, err := fmt.Fprint(c.nc, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// until reads up to a line that contains part.
func (c *speaker) until(part string) {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(time.Minute))
	var seen []string
	for {
		l, err := c.br.ReadString('\n')
		if err != nil {
			c.t.Fatalf("no %q: %v; lines: %q", part, err, seen)
		}
		if strings.Contains(l, part) {
			return
		}
		seen = append(seen, l)
	}
}

// listener counts what it receives. Its methods are safe for concurrent use.
type listener struct {
	mu   sync.Mutex // guards all below
	said map[balancer.Key]map[string]int
	gaps map[balancer.Key]int
	caps map[balancer.ShardID]int
}

func (l *listener) handle(_ context.Context, e balancer.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch d := e.Data.(type) {
	case *irc.Message:
		if d.Command() == "PRIVMSG" {
			if l.said[e.Key] == nil {
				l.said[e.Key] = make(map[string]int)
			}
			l.said[e.Key][d.Text()]++
		}
	case balancer.Gap:
		l.gaps[e.Key]++
	case balancer.Up:
		l.caps[e.Shard] = d.Cap
	}
}

func (l *listener) count(k balancer.Key, text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[k][text]
}

func (l *listener) gapped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.gaps)
}

// More channels than a connection of a real server may join are spread over
// several, each message of theirs arrives once, and they come back after a
// connection was killed and after the server was.
func TestRealServer(t *testing.T) {
	srv := startNgircd(t)
	defer func() { srv.stop() }()
	ch := rooms(12)
	tr := irc.New(irc.NewIRCAccount("", nil, &irc.AccountConfig{Limits: fast}), &irc.Config{Profile: irc.Generic, Address: srv.addr, Plain: true, Nick: "bot{shard}"})
	b := balancer.New(tr, tr.Balancer(&balancer.Config{ChannelsPerShard: 50}))
	heard := &listener{said: make(map[balancer.Key]map[string]int), gaps: make(map[balancer.Key]int), caps: make(map[balancer.ShardID]int)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx, heard.handle) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	joined := func() {
		t.Helper()
		eventually(t, fmt.Sprintf("12 channels joined; states %v, shards %+v", b.Count(), b.Shards()),
			func() bool { return b.Count()[balancer.Member] == 12 })
		sum := 0
		for _, s := range b.Shards() {
			sum += s.Joined
			if s.Joined > maxJoins || s.Conns > 0 && s.Cap != maxJoins {
				t.Errorf("shard %+v, want a cap of %d", s, maxJoins)
			}
		}
		if n := len(b.Shards()); n < 3 || sum != 12 {
			t.Errorf("%d channels on %d shards, want 12 on at least 3", sum, n)
		}
	}
	round := 0
	hears := func(c *speaker) {
		t.Helper()
		round++
		text := func(i int) string { return fmt.Sprintf("round %d, number %d; ñandú 🎉", round, i) }
		const last = 3
		for i := range last + 1 {
			for _, name := range ch {
				c.send("PRIVMSG " + name + " :" + text(i))
			}
		}
		// A connection has one order: when the last one is there, so are all,
		// and would be second copies.
		for _, name := range ch {
			k := balancer.Key(name)
			eventually(t, name+" heard "+text(last), func() bool { return heard.count(k, text(last)) > 0 })
			for i := range last + 1 {
				if n := heard.count(k, text(i)); n != 1 {
					t.Errorf("%s received %q %d times, want once", name, text(i), n)
				}
			}
		}
	}

	b.Join(keys(ch...)...)
	joined()
	heard.mu.Lock()
	for id, n := range heard.caps {
		if n != maxJoins {
			t.Errorf("shard %v says that its cap is %d, want %d", id, n, maxJoins)
		}
	}
	heard.mu.Unlock()
	c := srv.speaker("speaker")
	hears(c)

	st, _ := b.Locate(balancer.Key(ch[0]))
	lost := 0
	for _, s := range b.Shards() {
		if s.ID == st.Shard {
			lost = s.Joined
		}
	}
	c.send("OPER operator secret")
	c.until(" 381 ")
	c.send(fmt.Sprintf("KILL bot%d :test", st.Shard.Index))
	eventually(t, "a gap for each channel of the killed connection", func() bool { return heard.gapped() == lost })
	joined()
	hears(c)
	c.nc.Close()

	srv.stop()
	eventually(t, "no channel is joined", func() bool { return b.Count()[balancer.Member] == 0 })
	srv.start()
	eventually(t, "a gap for each channel", func() bool { return heard.gapped() == len(ch) })
	joined()
	c = srv.speaker("speaker")
	defer c.nc.Close()
	hears(c)

	if _, err := irc.New(irc.NewIRCAccount("", nil, nil), &irc.Config{Profile: irc.Generic, Address: srv.addr, Plain: true, Nick: "not allowed"}).Dial(t.Context(), balancer.ShardID{}, nil); err == nil {
		t.Error("a nick that the server does not take was accepted")
	} else if ce := new(balancer.ConnError); !errors.As(err, &ce) {
		t.Errorf("Dial: %v, want a ConnError", err)
	}
}
