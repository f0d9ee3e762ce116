package irctest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// simpleton is a whole client in one loop: it keeps its channels joined until
// stop is closed and tells the judge what it sees. It returns how often it had
// to connect again.
func simpleton(t *testing.T, dial func() (net.Conn, error), j *Judge, channels []string, stop chan struct{}) (again int) {
	last := map[string]time.Time{}
	for ; ; again++ {
		nc, err := dial()
		if err == nil {
			c := wrap(t, nc)
			nc.SetWriteDeadline(time.Now().Add(time.Hour))
			c.visit(j, channels, last, stop)
			nc.Close()
		}
		if !sleep(100*time.Millisecond, stop) {
			return again
		}
	}
}

// visit uses one connection until it ends or is silent for too long.
func (c *client) visit(j *Judge, channels []string, last map[string]time.Time, stop chan struct{}) {
	fmt.Fprint(c.nc, "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan1\r\n")
	waiting := slices.Clone(channels)
	asked, pinged := time.Time{}, time.Now()
	for {
		if now := time.Now(); now.Sub(asked) > 2*time.Second && len(waiting) > 0 {
			fmt.Fprintf(c.nc, "JOIN #%s\r\n", strings.Join(waiting, ",#"))
			asked = now
		}
		c.nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		l, err := c.br.ReadString('\n')
		select {
		case <-stop:
			return
		default:
		}
		if err != nil {
			if !strings.Contains(err.Error(), "timeout") || time.Since(pinged) > 5*time.Second || l != "" {
				return
			}
			fmt.Fprint(c.nc, "PING :x\r\n")
			continue
		}
		pinged = time.Now()
		p, _ := parseLine(strings.TrimRight(l[indexAfterTags(l):], "\r\n"))
		ch := strings.TrimPrefix(p.param(0), "#")
		switch p.verb {
		case "ROOMSTATE":
			if i := slices.Index(waiting, ch); i >= 0 {
				waiting = slices.Delete(waiting, i, i+1)
				if !last[ch].IsZero() {
					j.Gap(last[ch], time.Now(), ch)
				}
				last[ch] = time.Now()
			}
		case "PRIVMSG", "USERNOTICE":
			j.Received(ch, tagOf(l, "id"), time.Now())
			last[ch] = time.Now()
		}
	}
}
