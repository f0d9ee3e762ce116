package channels

import (
	"errors"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	const text = "\ufeff// streamers\r\n" +
		"\n" +
		"  twitch:#Forsen  // trailing\r\n" +
		"twitch:xqc\taccount=bot2 cap_exempt=true ; note\n" +
		"; old\n" +
		"# twitch:gone\n" +
		"#twitch:gone\n" +
		"#---- irc\n" +
		"## more\n" +
		"irc:libera/#go # the compiler people\n" +
		"irc:libera/#off enabled=false\n" +
		"irc:libera/;odd\n"
	s, err := ParseList("f", []byte(strings.Replace(text, "irc:libera/;odd\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := list(s), "forsen xqc irc:libera/#go irc:libera/#off"; got != want {
		t.Errorf("ParseList = %s, want %s", got, want)
	}
	e, _ := s.Lookup(Name{Twitch, "", "xqc"})
	if e.Settings != (Settings{Account: "bot2", CapExempt: true}) || e.Origin != "f:4:1" {
		t.Errorf("xqc: %+v", e)
	}
	e, _ = s.Lookup(Name{Twitch, "", "forsen"})
	if e.Origin != "f:3:3" {
		t.Errorf("forsen: origin %s, want f:3:3", e.Origin)
	}
	e, _ = s.Lookup(Name{IRC, "libera", "#off"})
	if !e.Settings.Disabled {
		t.Errorf("#off is enabled")
	}
}

func TestParseListNamesEachBadLine(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"forsen", `f:1:1: "forsen": no platform; write twitch:forsen`},
		{"  twitch:for-sen", `f:1:13: "twitch:for-sen": '-' cannot be part`},
		{"irc:köln/#x", `f:1:6: `},
		{"#forsen", `f:1:1: "#forsen" looks like a channel and begins a comment; write twitch:forsen or irc:NETWORK/#forsen`},
		{"twitch:a twitch:b", `f:1:10: "twitch:b": not a setting; write one channel a line`},
		{"twitch:a acount=b", `f:1:10: unknown setting "acount"; use account, cap_exempt or enabled`},
		{"twitch:a account=", `f:1:10: account: empty`},
		{"twitch:a account=b account=c", `f:1:20: setting "account" given twice`},
		{"twitch:a cap_exempt=yes", `f:1:10: cap_exempt: "yes" is neither true nor false; write cap_exempt=true`},
		{"twitch:a\ntwitch:b\ntwitch:#A", `f:3:1: twitch:a: listed twice; remove this line or f:1:1`},
		{"twitch:\xff", `f:1:8: not UTF-8`},
	} {
		_, err := ParseList("f", []byte(c.line))
		var le *LineError
		if !errors.As(err, &le) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("ParseList(%q): %v, want %s…", c.line, err, c.want)
		}
	}
	_, err := ParseList("f", []byte("a\nb\ntwitch:ok\nc\n"))
	if got := strings.Count(err.Error(), "\n") + 1; got != 3 {
		t.Errorf("%d errors, want 3: %v", got, err)
	}
	_, err = ParseList("f", []byte(strings.Repeat("x\n", 1000)))
	if got := strings.Count(err.Error(), "\n") + 1; got != maxLineErrors {
		t.Errorf("%d errors of 1000 bad lines, want %d", got, maxLineErrors)
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"", "twitch:a\n", "twitch:a account=b // x\r\nirc:n/#c enabled=false", "# x\n;y\n//z\n#w", "\xff\xfe", "\ufefftwitch:a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseList("f", text)
		if err != nil {
			var le *LineError
			if !errors.As(err, &le) || le.Line < 1 || le.Column < 1 || s.Len() != 0 {
				t.Fatalf("ParseList: %d channels, %v", s.Len(), err)
			}
			return
		}
		var out strings.Builder
		for e := range s.All() {
			if _, err := e.Name.MarshalText(); err != nil {
				t.Fatal(err)
			}
			out.WriteString(e.Name.String())
			if e.Settings.Account != "" {
				out.WriteString(" account=" + e.Settings.Account)
			}
			if e.Settings.CapExempt {
				out.WriteString(" cap_exempt=true")
			}
			if e.Settings.Disabled {
				out.WriteString(" enabled=false")
			}
			out.WriteByte('\n')
		}
		back, err := ParseList("f", []byte(out.String()))
		if err != nil || !Diff(s, back).Empty() {
			t.Fatalf("%q prints as %q, which reads otherwise: %v", text, out.String(), err)
		}
	})
}
