package irctest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// FuzzServer: nothing that a client may send, before the login or after it,
// makes a Server panic or leaves it without an answer.
func FuzzServer(f *testing.F) {
	for _, s := range []string{
		"PING", "PING a :b", "PONG", "CAP", "CAP REQ", "CAP REQ :", "CAP LS 302", "NICK", "USER", "PASS", "JOIN",
		"JOIN #", "JOIN #x,#y,,", "JOIN 0", "PART", "PART #x", "PRIVMSG", "PRIVMSG #x", "PRIVMSG #x :", "TAGMSG #x",
		"KICK #x", "MODE", "AUTHENTICATE", "AUTHENTICATE PLAIN\r\nAUTHENTICATE +", "QUIT", "@ PRIVMSG #x :a",
		"@reply-parent-msg-id= PRIVMSG #x :\x01ACTION\x01", "\x00", ":", " ", "\r\r\n\n",
	} {
		f.Add(s)
	}
	unlimited := Config{Normal: Unlimited(), Anonymous: Unlimited(), IRC: IRC{FloodBurst: -1}}
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range []*Server{NewTwitch(&unlimited), NewIRC(&unlimited)} {
			nc, err := s.DialContext(t.Context(), "tcp", "irc:6667")
			if err != nil {
				t.Fatal(err)
			}
			answers(t, nc, text)
			answers(t, nc, "CAP END\r\nPASS oauth:x\r\nNICK ann\r\nUSER ann 0 * :ann\r\nJOIN #x\r\n"+text)
			nc.Close()
			s.Close()
		}
	})
}

// answers sends text and reads until the server has taken it in, or hung up.
func answers(t *testing.T, nc net.Conn, text string) {
	nc.SetDeadline(time.Now().Add(time.Minute))
	go fmt.Fprintf(nc, "%s\r\nPING :that was all\r\n", text) // ends when nc is closed, at the latest
	for br := bufio.NewReader(nc); ; {
		l, err := br.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("no answer after %q", text)
		}
		if err != nil || strings.Contains(l, "that was all") {
			return
		}
	}
}
