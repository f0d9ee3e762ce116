package channels

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Name
	}{
		{"twitch:forsen", Name{Twitch, "", "forsen"}},
		{"twitch:#Forsen", Name{Twitch, "", "forsen"}},
		{"twitch:A_1", Name{Twitch, "", "a_1"}},
		{"twitch:" + strings.Repeat("x", 25), Name{Twitch, "", strings.Repeat("x", 25)}},
		{"irc:libera/#go", Name{IRC, "libera", "#go"}},
		{"irc:libera/##C++", Name{IRC, "libera", "##C++"}},
		{"irc:a-1/&local", Name{IRC, "a-1", "&local"}},
		{"irc:net/#a/b:c#d", Name{IRC, "net", "#a/b:c#d"}},
		{"irc:net/#", Name{IRC, "net", "#"}},
		{"irc:net/#köln", Name{IRC, "net", "#köln"}},
		{"discord:1", Name{Discord, "", "1"}},
		{"discord:18446744073709551615", Name{Discord, "", "18446744073709551615"}},
	} {
		got, err := Parse(c.in)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		in  string
		pos int
		fix string // part of what the error says to do
	}{
		{"", 1, "twitch:forsen"},
		{"forsen", 1, "write twitch:forsen"},
		{"Forsen", 1, "write twitch:forsen"},
		{"#forsen", 1, "write twitch:forsen or irc:NETWORK/#forsen"},
		{"#go-nuts", 1, "write irc:NETWORK/#go-nuts"},
		{"Twitch:forsen", 1, "write twitch:forsen"},
		{"youtube:x", 1, "use twitch, irc or discord"},
		{"https://www.twitch.tv/Forsen", 1, "write twitch:forsen"},
		{"twitch:", 8, "write one after the colon"},
		{"twitch:#", 9, "write one after the colon"},
		{"twitch:##a", 9, "a-z"},
		{"twitch:for sen", 11, "a-z"},
		{"twitch:forsen,xqc", 14, "a-z"},
		{"twitch:föö", 9, "a-z"},
		{"twitch:\u212aelvin", 8, "a-z"}, // the Kelvin sign folds to k elsewhere
		{"twitch:" + strings.Repeat("x", 26), 33, "25"},
		{"irc:#go", 5, "irc:NETWORK/#channel"},
		{"irc:/#go", 5, "irc:libera/#go"},
		{"irc:Libera/#go", 5, `write "libera"`},
		{"irc:lib.era/#go", 8, "hyphens"},
		{"irc:libera/go", 12, "write irc:libera/#go"},
		{"irc:libera/", 12, "write irc:libera/#"},
		{"irc:libera/#a,#b", 14, "one by one"},
		{"irc:libera/#a b", 14, "remove"},
		{"irc:libera/#a\ab", 14, "remove"},
		{"irc:libera/#a\r\nQUIT", 14, "remove"},
		{"irc:libera/#" + strings.Repeat("x", 200), 212, "200"},
		{"irc:" + strings.Repeat("n", 64) + "/#a", 68, "63"},
		{"discord:", 9, "developer mode"},
		{"discord:#general", 9, "developer mode"},
		{"discord:007", 9, "developer mode"},
		{"discord:-1", 9, "developer mode"},
		{"discord:18446744073709551616", 9, "developer mode"},
		{"twitch:a\xff", 9, "UTF-8"},
		{"köln\xff", 5, "UTF-8"},
	} {
		n, err := Parse(c.in)
		var ne *NameError
		if !errors.As(err, &ne) {
			t.Errorf("Parse(%q) = %v, %v, want a NameError", c.in, n, err)
			continue
		}
		if ne.Position != c.pos || !strings.Contains(ne.Fix, c.fix) {
			t.Errorf("Parse(%q): position %d, fix %q, want %d, %q", c.in, ne.Position, ne.Fix, c.pos, c.fix)
		}
		if s := err.Error(); strings.ContainsAny(s, "\r\n") || len(s) > 400 {
			t.Errorf("Parse(%q): the error is not one short line: %q", c.in, s)
		}
	}
}

func TestNameText(t *testing.T) {
	in := map[Name]int{{Twitch, "", "forsen"}: 1, {IRC, "libera", "#go"}: 2}
	b, err := json.Marshal(in)
	if want := `{"irc:libera/#go":2,"twitch:forsen":1}`; err != nil || string(b) != want {
		t.Fatalf("Marshal = %s, %v, want %s", b, err, want)
	}
	var back map[Name]int
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 2 || back[Name{IRC, "libera", "#go"}] != 2 {
		t.Fatalf("Unmarshal = %v, %v", back, err)
	}
	for _, n := range []Name{{}, {Twitch, "", "Forsen"}, {IRC, "", "#go"}, {Twitch, "x", "forsen"}} {
		if b, err := n.MarshalText(); err == nil {
			t.Errorf("%#v.MarshalText() = %s, want an error", n, b)
		}
	}
	keep := Name{Twitch, "", "kept"}
	if err := keep.UnmarshalText([]byte("nope")); err == nil || keep.Channel != "kept" {
		t.Errorf("UnmarshalText of a bad name: %v, left %v", err, keep)
	}
}

func drawName(t *rapid.T) Name {
	switch rapid.IntRange(0, 2).Draw(t, "platform") {
	case 0:
		return Name{Twitch, "", rapid.StringMatching(`[a-z0-9_]{1,25}`).Draw(t, "login")}
	case 1:
		return Name{IRC, rapid.StringMatching(`[a-z0-9-]{1,10}`).Draw(t, "network"),
			rapid.StringMatching(`[#&+!][^\x00-\x20,\x7f]{0,20}`).Draw(t, "channel")}
	}
	return Name{Discord, "", rapid.StringMatching(`[1-9][0-9]{0,18}`).Draw(t, "id")}
}

func TestNamesPrintAsTheyParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawName(t)
		got, err := Parse(n.String())
		if err != nil || got != n {
			t.Fatalf("Parse(%q) = %+v, %v, want %+v", n, got, err, n)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "twitch:forsen", "twitch:#Forsen", "irc:libera/#go", "discord:123", "forsen", "irc:/", "x:y", "twitch:\xff", "https://x/y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			var ne *NameError
			if !errors.As(err, &ne) || ne.Position < 1 || ne.Fix == "" || len(err.Error()) > 1000 {
				t.Fatalf("Parse(%q): %v", s, err)
			}
			return
		}
		again, err := Parse(n.String())
		if err != nil || again != n {
			t.Fatalf("Parse(%q) = %v, which parses to %v, %v", s, n, again, err)
		}
		if _, err := n.MarshalText(); err != nil {
			t.Fatal(err)
		}
	})
}
