package irctest

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// client is a raw client: it writes lines and reads lines.
type client struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

// dial connects in memory.
func dial(t testing.TB, s *Server, addr string) *client {
	t.Helper()
	nc, err := s.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatalf("DialContext: %v", err)
	}
	return wrap(t, nc)
}

// dialFrom connects from another address.
func dialFrom(t testing.TB, s *Server, ip string) *client {
	t.Helper()
	nc, err := s.DialContext(WithClientAddr(context.Background(), ip), "tcp", "irc:6667")
	if err != nil {
		t.Fatalf("DialContext: %v", err)
	}
	return wrap(t, nc)
}

func wrap(t testing.TB, nc net.Conn) *client {
	return &client{t: t, nc: nc, br: bufio.NewReader(nc)}
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	if _, err := c.nc.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		c.t.Fatalf("write %q: %v", lines, err)
	}
}

// line reads one line, or "" at the end of the connection.
func (c *client) line() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(2 * time.Hour))
	l, err := c.br.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(l, "\r\n")
}

// until reads up to the first line that contains part, and returns it.
func (c *client) until(part string) string {
	c.t.Helper()
	var seen []string
	for {
		l := c.line()
		if strings.Contains(l, part) {
			return l
		}
		if l == "" {
			c.t.Fatalf("connection ended before %q; lines: %q", part, seen)
		}
		seen = append(seen, l)
	}
}

// sync makes a round trip and returns the lines that came before its end.
func (c *client) sync() []string {
	c.t.Helper()
	c.send("PING :sync")
	var seen []string
	for {
		l := c.line()
		if l == "" || strings.Contains(l, "PONG") {
			return seen
		}
		seen = append(seen, l)
	}
}

const allCaps = "CAP REQ :twitch.tv/tags twitch.tv/commands twitch.tv/membership"

// twitchLogin logs in with tags and commands.
func (c *client) login(nick string) *client {
	c.t.Helper()
	c.send("CAP REQ :twitch.tv/tags twitch.tv/commands", "PASS oauth:secret", "NICK "+nick)
	c.until(" 376 ")
	c.sync()
	return c
}

// twitchJoin joins and waits for the confirmations.
func (c *client) join(channels ...string) *client {
	c.t.Helper()
	for _, ch := range channels {
		c.send("JOIN #" + ch)
		c.until("ROOMSTATE #" + ch)
	}
	return c
}

// ended reads to the end of the connection and returns what came.
func (c *client) ended() []string {
	c.t.Helper()
	var seen []string
	for {
		l := c.line()
		if l == "" {
			return seen
		}
		seen = append(seen, l)
	}
}

// tagOf returns the value of a tag.
func tagOf(line, key string) string {
	tags, _, _ := strings.Cut(strings.TrimPrefix(line, "@"), " ")
	for kv := range strings.SplitSeq(tags, ";") {
		if k, v, _ := strings.Cut(kv, "="); k == key {
			return v
		}
	}
	return ""
}

// waitFor polls until cond holds. It is for tests on real sockets only.
func waitFor(t testing.TB, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Error("waited for a minute in vain")
			return
		}
	}
}
