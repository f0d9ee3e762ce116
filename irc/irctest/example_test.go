package irctest_test

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chatshard/chatshard/irc/irctest"
)

// A client joins a channel, receives a message and is judged.
func Example() {
	s := irctest.NewTwitch(&irctest.Config{Channels: []string{"somechannel"}})
	defer s.Close()
	judge := s.Judge("mybot")

	nc, err := s.DialContext(context.Background(), "tcp", "irc.chat.twitch.tv:6667")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	fmt.Fprint(nc, "CAP REQ :twitch.tv/tags twitch.tv/commands\r\n"+
		"PASS oauth:secret\r\nNICK mybot\r\nJOIN #somechannel\r\n")
	lines := bufio.NewScanner(nc)
	for lines.Scan() && !strings.Contains(lines.Text(), "ROOMSTATE") {
	}

	sent := s.Say("somechannel", "viewer", "!hello")
	lines.Scan()
	_, text, _ := strings.Cut(lines.Text(), "PRIVMSG ")
	fmt.Println(text)
	judge.Received("#somechannel", sent.ID, time.Now())

	fmt.Println(judge.Verdict())
	fmt.Println(len(s.Violations()), "violations")
	// Output:
	// #somechannel :!hello
	// 1 channels: 1 sent, 1 received, 0 lost (0 deliverable, 0 without a gap), 0 doubled, 0 out of order, 0 in 0 gaps
	// 0 violations
}

// The service breaks the connection, and refuses the next one.
func ExampleServer_Apply() {
	s := irctest.NewTwitch(nil)
	defer s.Close()
	nc, err := s.DialContext(context.Background(), "tcp", "irc.chat.twitch.tv:6667")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	n := s.Apply(irctest.Fault{Kind: irctest.Drop}, irctest.Target{})
	s.Refuse(1)
	_, err = s.DialContext(context.Background(), "tcp", "irc.chat.twitch.tv:6667")
	fmt.Println(n, "dropped, then:", err)
	// Output:
	// 1 dropped, then: dial tcp irc.chat.twitch.tv:6667: connect: connection refused
}
