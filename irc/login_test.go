package irc

import (
	"errors"
	"strings"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

// script is a transcript of a login: "<" is from the server, ">" from us.
type script struct {
	name  string
	login loginMachine
	lines []string
	done  bool
	err   error  // wrapped by what the login ends with
	says  string // in its text
	never bool
}

func (s script) play(t *testing.T) {
	t.Helper()
	out, err := s.login.begin()
	sent := strings.Split(strings.TrimSuffix(string(out), "\r\n"), "\r\n")
	done := false
	for i, line := range s.lines {
		switch {
		case line[0] == '>':
			if len(sent) == 0 || sent[0] != line[2:] {
				t.Fatalf("line %d: sent %q, want %q", i, sent, line[2:])
			}
			sent = sent[1:]
		case err != nil || done:
			t.Fatalf("line %d: ended too early: %v", i, err)
		default:
			if len(sent) > 0 {
				t.Fatalf("line %d: also sent %q", i, sent)
			}
			msg, perr := Parse(line[2:])
			if perr != nil {
				t.Fatal(perr)
			}
			var step loginStep
			step, err = s.login.step(msg)
			sent, done = nil, step.done
			if len(step.send) > 0 {
				sent = strings.Split(strings.TrimSuffix(string(step.send), "\r\n"), "\r\n")
			}
		}
	}
	if done != s.done || len(sent) > 0 {
		t.Errorf("done %v with %q unsent, want %v", done, sent, s.done)
	}
	if s.err == nil && s.says == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	if err == nil || s.err != nil && !errors.Is(err, s.err) || !strings.Contains(err.Error(), s.says) {
		t.Fatalf("error %v, want %v with %q", err, s.err, s.says)
	}
	var ce *balancer.ConnError
	if never := errors.As(err, &ce) && ce.Retry == balancer.Never; never != s.never {
		t.Errorf("never again: %v, want %v (%v)", never, s.never, err)
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the secret is in %q", err)
	}
}

func TestTwitchLogin(t *testing.T) {
	named := twitchLogin{nick: "bot", token: NewSecret("oauth:s3cr3t")}
	first := []string{"> CAP REQ :twitch.tv/tags twitch.tv/commands", "> PASS oauth:s3cr3t", "> NICK bot"}
	ack := "< :tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands"
	with := func(lines ...string) []string { return append(append([]string{}, first...), lines...) }
	notice := func(text string) []string { return with(ack, "< :tmi.twitch.tv NOTICE * :"+text) }
	for _, s := range []script{
		{name: "named", login: new(named), done: true, lines: with(ack, "< :tmi.twitch.tv 001 bot :Welcome, GLHF!",
			"< :tmi.twitch.tv 002 bot :Your host is tmi.twitch.tv", "< :tmi.twitch.tv 375 bot :-", "< :tmi.twitch.tv 376 bot :>")},
		{name: "anonymous", login: &twitchLogin{nick: "justinfan1", membership: true}, done: true, lines: []string{
			"> CAP REQ :twitch.tv/tags twitch.tv/commands twitch.tv/membership", "> NICK justinfan1",
			"< :tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands twitch.tv/membership",
			"< :tmi.twitch.tv 001 justinfan1 :Welcome, GLHF!", "< :tmi.twitch.tv 376 justinfan1 :>"}},
		{name: "token without oauth:", login: &twitchLogin{nick: "bot", token: NewSecret("s3cr3t")}, lines: first},
		{name: "ping", login: new(named), lines: with("< PING :tmi.twitch.tv", "> PONG :tmi.twitch.tv")},
		{name: "no capabilities", login: new(named), err: ErrCapability, never: true,
			lines: with("< :tmi.twitch.tv CAP * NAK :twitch.tv/tags twitch.tv/commands")},
		{name: "not Twitch", login: new(named), err: ErrCapability, never: true,
			lines: with("< :irc.example.net 001 bot :Welcome", "< :irc.example.net 376 bot :End of MOTD")},
		{name: "bad token", login: new(named), err: ErrToken, says: "get a new token", never: true, lines: notice("Login authentication failed")},
		{name: "bad format", login: new(named), err: ErrToken, says: "OAuth", never: true, lines: notice("Improperly formatted auth")},
		{name: "unsuccessful", login: new(named), err: ErrToken, says: "Login unsuccessful", never: true, lines: notice("Login unsuccessful")},
		{name: "bad nick", login: new(named), err: ErrNick, says: "lower case", never: true, lines: notice("Invalid NICK")},
		{name: "error", login: new(named), err: ErrToken, says: "Error logging in", never: true, lines: notice("Error logging in")},
		{name: "other notice", login: new(named), lines: notice("Be nice")},
		{name: "reconnect", login: new(named), says: "come again", lines: with(ack, "< :tmi.twitch.tv RECONNECT")},
		{name: "broken token", login: &twitchLogin{nick: "bot", token: NewSecret("s3cr3t\r\nQUIT")}, err: nil, says: "irc: "},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.name == "broken token" {
				if _, err := s.login.begin(); err == nil || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("error %v, want one without the token", err)
				}
				return
			}
			s.play(t)
		})
	}
}

func TestIRCLogin(t *testing.T) {
	plain := ircLogin{nick: "bot"}
	user := ircLogin{nick: "bot", sasl: sasl{user: "me", password: NewSecret("s3cr3t"), secure: true}}
	first := []string{"> CAP LS 302", "> NICK bot", "> USER bot 0 * :bot"}
	with := func(lines ...string) []string { return append(append([]string{}, first...), lines...) }
	welcome := []string{"< :s 001 bot :Welcome", "< :s 005 bot CHANLIMIT=#:20 CASEMAPPING=ascii :are supported", "< :s 422 bot :No MOTD"}
	cat := func(a []string, b ...string) []string { return append(append([]string{}, a...), b...) }
	sasled := with("< :s CAP * LS :sasl=PLAIN", "> CAP REQ sasl")
	for i, l := range sasled {
		sasled[i] = strings.ReplaceAll(l, "REQ sasl", "REQ :sasl")
	}
	sasled = cat(sasled, "< :s CAP * ACK :sasl", "> AUTHENTICATE PLAIN", "< AUTHENTICATE +", "> AUTHENTICATE bWUAbWUAczNjcjN0")
	for _, s := range []script{
		{name: "no CAP", login: new(plain), done: true, lines: with(welcome...)},
		{name: "several lines of LS", login: new(plain), done: true, lines: cat(with("< :s CAP * LS * :server-time unknown", "< :s CAP * LS :message-tags=x batch",
			"> CAP REQ :message-tags server-time", "< :s CAP bot ACK :message-tags server-time", "> CAP END"), welcome...)},
		{name: "refused capabilities", login: new(plain), lines: with("< :s CAP * LS :server-time", "> CAP REQ :server-time",
			"< :s CAP bot NAK :server-time", "> CAP END")},
		{name: "nothing to ask for", login: new(plain), lines: with("< :s CAP * LS :x y", "> CAP END")},
		{name: "ping", login: new(plain), lines: with("< PING :abc", "> PONG :abc")},
		{name: "password", login: &ircLogin{nick: "bot", password: NewSecret("s3cr3t"), user: "u", real: "r e"},
			lines: []string{"> CAP LS 302", "> PASS s3cr3t", "> NICK bot", "> USER u 0 * :r e"}},
		{name: "bad password", login: new(plain), err: ErrToken, never: true, lines: with("< :s 464 bot :Password incorrect")},
		{name: "banned", login: new(plain), err: ErrBanned, never: true, lines: with("< :s 465 bot :You are banned")},
		{name: "ERROR of a ban", login: new(plain), err: ErrBanned, never: true, lines: with("< ERROR :Closing Link: (K-Lined)")},
		{name: "ERROR", login: new(plain), says: "too fast", lines: with("< ERROR :Closing Link: (Connecting too fast)")},
		{name: "nick in use", login: new(plain), done: true, lines: cat(with("< :s 433 * bot :in use", "> NICK bot_", "< :s 433 * bot_ :in use", "> NICK bot__"), welcome...)},
		{name: "bad nick", login: &ircLogin{nick: "9-bot"}, lines: []string{"> CAP LS 302", "> NICK 9-bot", "> USER 9-bot 0 * :9-bot",
			"< :s 432 * 9-bot :Erroneous", "> NICK c9bot"}},
		{name: "SASL", login: new(user), done: true, lines: cat(cat(sasled, "< :s 900 bot x me :logged in", "< :s 903 bot :success", "> CAP END"), welcome...)},
		{name: "SASL refused", login: new(user), err: ErrToken, says: "password", never: true, lines: cat(sasled, "< :s 904 bot :failed")},
		{name: "SASL mechanisms", login: new(user), err: ErrToken, says: "EXTERNAL", never: true,
			lines: cat(sasled, "< :s 908 bot EXTERNAL :are available", "< :s 904 bot :failed")},
		{name: "no SASL", login: new(user), err: ErrCapability, says: "no SASL", never: true, lines: with("< :s CAP * LS :server-time")},
		{name: "no SASL and no CAP", login: new(user), err: ErrCapability, says: "no SASL", never: true, lines: with(welcome...)},
		{name: "PLAIN in the clear", login: &ircLogin{nick: "bot", sasl: sasl{user: "me"}}, err: ErrCapability, says: "in the clear", never: true,
			lines: with("< :s CAP * LS :sasl=PLAIN")},
		{name: "server echoes the password", login: &ircLogin{nick: "bot", password: NewSecret("s3cr3t")}, says: "***",
			lines: []string{"> CAP LS 302", "> PASS s3cr3t", "> NICK bot", "> USER bot 0 * :bot", "< ERROR :bad password s3cr3t"}},
	} {
		t.Run(s.name, s.play)
	}
}

func TestNicksRunOut(t *testing.T) {
	m := &ircLogin{nick: "bot"}
	_, err := m.begin()
	seen := map[string]bool{"bot": true}
	for range nickTries - 1 {
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := Parse(":s 433 * x :in use")
		var s loginStep
		s, err = m.step(msg)
		nick := strings.TrimSpace(strings.TrimPrefix(string(s.send), "NICK "))
		if seen[nick] && len(seen) < 3 {
			t.Errorf("nick %q twice", nick)
		}
		seen[nick] = true
	}
	msg, _ := Parse(":s 433 * x :in use")
	if _, err = m.step(msg); !errors.Is(err, ErrNick) {
		t.Errorf("error %v, want ErrNick", err)
	}
}

func TestAuthenticateInPieces(t *testing.T) {
	for _, n := range []int{0, 1, 299, 300, 301, 600, 1000} {
		out := string(appendAuthenticate(nil, strings.Repeat("x", n)))
		lines := strings.Split(strings.TrimSuffix(out, "\r\n"), "\r\n")
		size := 0
		for i, l := range lines {
			arg := strings.TrimPrefix(l, "AUTHENTICATE ")
			if len(arg) > saslChunk || i < len(lines)-1 && len(arg) != saslChunk || i == len(lines)-1 && len(arg) == saslChunk {
				t.Errorf("%d bytes: line %d has %d characters", n, i, len(arg))
			}
			if arg != "+" {
				size += len(arg)
			}
		}
		if want := (n + 2) / 3 * 4; size != want {
			t.Errorf("%d bytes: %d characters, want %d", n, size, want)
		}
	}
}

func TestStamp(t *testing.T) {
	for text, want := range map[string]int64{"1700000000123": 1700000000123, "2023-11-14T22:13:20.123Z": 1700000000123, "": 0, "x": 0} {
		s := stamp{}
		s.n = uint8(copy(s.text[:], text))
		if got := s.time(); want == 0 && !got.IsZero() || want != 0 && got.UnixMilli() != want {
			t.Errorf("%q is %v, want %d", text, got, want)
		}
	}
}
