package relay

import (
	"strings"
	"testing"
)

func TestSubjectName(t *testing.T) {
	for _, c := range []struct {
		s    Subject
		want string
	}{
		{Subject{"twitch", "", "Bot", "22484632", "message"}, "ev.twitch.bot.30.message.22484632"},
		{Subject{"irc", "Libera", "me", "#Go", "join"}, "ev.irc.libera.0.join.=23go"},
		{Subject{"irc", "a.b", "", "*", ">"}, "ev.irc.a=2Eb.61.=3E.=2A"},
		{Subject{"discord", "", "", "", "up"}, "ev.discord.=.5.up.="},
		{Subject{"irc", "n", "", "#a b\x00\r\n\xff\u00e4", "m"}, "ev.irc.n.16.m.=23a=20b=00=0D=0A=FF=C3=A4"},
	} {
		if got := c.s.Name(); got != c.want {
			t.Errorf("%+q.Name() = %q, want %q", c.s, got, c.want)
		}
	}
	if Part("#Go") != Part("#gO") {
		t.Error("a channel's part depends on how it is spelled")
	}
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "a", "*", ">", ".", " ", "\x00", "ä", strings.Repeat("x", 121), strings.Repeat("#", 4096)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := SubjectToken(s)
		if got == "" || len(got) > maxToken {
			t.Fatalf("SubjectToken(%q) has %d bytes", s, len(got))
		}
		for _, c := range []byte(got) {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '=' || 'A' <= c && c <= 'F') {
				t.Fatalf("SubjectToken(%q) = %q", s, got)
			}
		}
		if SubjectToken(foldedASCII(s)) != got {
			t.Fatalf("SubjectToken(%q) depends on the case", s)
		}
		if p := Part(s); p < 0 || p >= Parts {
			t.Fatalf("Part(%q) = %d", s, p)
		}
	})
}

// Names that would be wildcards, end a connection or be nothing arrive like others.
func TestNATSLogNames(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{})
	g := newLedger()
	names := []string{"*", ">", ".", "a.b", "", " ", "\x00", "\r\nPUB x 1", strings.Repeat("n", 4096), "#c++", "ü", "=41", "\xff"}
	for i, name := range names {
		e := entry("a", i)
		e.Subject = Subject{Platform: name, Network: name, Account: name, Channel: name, Kind: name}
		g.append(t, l, e)
	}
	g.wait(t)
	g.check(t, l)
	if len(g.seqs) != len(names) {
		t.Errorf("%d entries are safe, want %d: %v", len(g.seqs), len(names), g.errs)
	}
}
