package irctest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestChat(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		j := s.Judge()
		c := dial(t, s, "irc:6667").login("ann").join("a", "b", "c")
		got := make(chan map[string]int)
		go func() {
			n := map[string]int{}
			for {
				l := c.line()
				if l == "" {
					got <- n
					return
				}
				p, _ := parseLine(l[indexAfterTags(l):])
				n[p.verb]++
				n[p.params[0]]++
				if id := tagOf(l, "id"); id != "" {
					j.Received(p.params[0], id, time.Now())
				}
				if size := len(l); p.verb == "PRIVMSG" && (size < 250 || size > 600) {
					t.Errorf("%d bytes: %s", size, l)
				}
				if tagOf(l, "room-id") != s.RoomID(p.params[0]) {
					t.Errorf("room-id of %s", l)
				}
			}
		}()
		ctx, cancel := withTimeout(t, 10*time.Second)
		defer cancel()
		s.Chat(ctx, &Load{Rate: 300, Channels: []string{"a", "b", "c"}, Zipf: 1})
		synctest.Wait()
		s.Apply(Fault{Kind: Hangup}, Target{})
		n := <-got
		if n["PRIVMSG"] < 2800 || n["USERNOTICE"] == 0 || n["CLEARCHAT"] == 0 || n["#a"] <= n["#b"] || n["#b"] <= n["#c"] {
			t.Errorf("counts: %v", n)
		}
		if v := j.Verdict(); !v.OK() || v.Sent < 2800 {
			t.Errorf("verdict: %v", v)
		}
	})
}

func TestReplay(t *testing.T) {
	lines := strings.Join([]string{
		"@id=1;room-id=7;tmi-sent-ts=5;user-id=9 :bob!bob@bob.tmi.twitch.tv PRIVMSG #was :hello: there",
		"@room-id=7;target-user-id=3;tmi-sent-ts=5 :tmi.twitch.tv CLEARCHAT #was :eve",
		":tmi.twitch.tv 001 ann :Welcome, GLHF!",
		"PING :tmi.twitch.tv",
		"@emote-only=1;room-id=7 :tmi.twitch.tv ROOMSTATE #was",
	}, "\r\n")
	if _, err := Replay(strings.NewReader("PING\n")); err == nil {
		t.Errorf("no error for lines without a channel")
	}
	source, err := Replay(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	story(t, nil, func(t *testing.T, s *Server) {
		c := dial(t, s, "irc:6667").login("ann").join("x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.Chat(ctx, &Load{Rate: 10, Channels: []string{"x"}, Source: source})
		l := c.until("PRIVMSG #x :hello: there")
		if tagOf(l, "id") == "1" || tagOf(l, "user-id") != "9" || tagOf(l, "room-id") != s.RoomID("x") || tagOf(l, "tmi-sent-ts") == "5" {
			t.Errorf("rewritten: %s", l)
		}
		c.until("CLEARCHAT #x :eve")
		c.until(":tmi.twitch.tv ROOMSTATE #x")
		if l := c.until("PRIVMSG"); tagOf(l, "id") == "" {
			t.Errorf("second round: %s", l)
		}
	})
}

// BenchmarkChat broadcasts over 1,000 connections with 20 channels each, all
// read by the same process, and reports what one message costs.
func BenchmarkChat(b *testing.B) {
	for _, judged := range []bool{false, true} {
		b.Run(fmt.Sprintf("judged=%v", judged), func(b *testing.B) {
			s := NewTwitch(&Config{Anonymous: Unlimited()})
			defer s.Close()
			if judged {
				s.Judge()
			}
			const conns, each = 1000, 20
			var chans []*channel
			for i := range conns {
				nc, err := s.DialContext(b.Context(), "tcp", "irc:6667")
				if err != nil {
					b.Fatal(err)
				}
				c := wrap(b, nc)
				c.send("CAP REQ :twitch.tv/tags twitch.tv/commands", "NICK justinfan1")
				var names []string
				for k := range each {
					names = append(names, fmt.Sprintf("c%d_%d", i, k))
					chans = append(chans, s.channel(names[k]))
				}
				c.send("JOIN #" + strings.Join(names, ",#"))
				c.until("ROOMSTATE #" + names[each-1])
				go io.Copy(io.Discard, nc)
			}
			source := Synthetic().(*templates)
			source.ordered = true
			var scratch []byte
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.post(chans[i*7919%len(chans)], source.next(nil), nil, &scratch)
				i++
			}
		})
	}
}
