package irctest

import (
	"slices"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for _, tt := range []struct {
		in, verb string
		params   []string
		ok       bool
	}{
		{"PING", "PING", nil, true},
		{"ping :a b", "PING", []string{"a b"}, true},
		{"@a=b;c=d  PRIVMSG  #x  :hello  there ", "PRIVMSG", []string{"#x", "hello  there "}, true},
		{":me!x@y JOIN #a,#b key", "JOIN", []string{"#a,#b", "key"}, true},
		{"A :", "A", []string{""}, true},
		{"", "", nil, false},
		{"@tags", "", nil, false},
		{":prefix", "", nil, false},
		{"A" + strings.Repeat(" x", 20), "A", append(slices.Repeat([]string{"x"}, 14), "x x x x x x"), true},
	} {
		l, ok := parseLine(tt.in)
		if ok != tt.ok || l.verb != tt.verb || !slices.Equal(l.params, tt.params) {
			t.Errorf("parseLine(%q) = %+v, %v", tt.in, l, ok)
		}
	}
	l, _ := parseLine("@+a=1;b=;client-nonce=xyz PRIVMSG #x :hi")
	if l.tag("a") != "1" || l.tag("b") != "" || l.tag("client-nonce") != "xyz" || l.tag("c") != "" {
		t.Errorf("tags of %+v", l)
	}
}

// FuzzParseLine: no line from a stranger panics; parse, print, parse is stable.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{
		"CAP REQ :twitch.tv/tags twitch.tv/commands", "PASS oauth:x", "NICK ann", "JOIN #a,#b",
		"@client-nonce=1;reply-parent-msg-id=2 PRIVMSG #x :hi", "@ :", " ", ":", "@a=b :p V :", "\x00 \xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := parseLine(s)
		if !ok {
			return
		}
		if len(l.params) > 15 || l.verb == "" {
			t.Fatalf("parseLine(%q) = %+v", s, l)
		}
		l.tag("id")
		again, ok := parseLine(l.String())
		if !ok || again.String() != l.String() {
			t.Fatalf("%q, then %q (%v)", l.String(), again.String(), ok)
		}
	})
}

func TestIDs(t *testing.T) {
	m := idMint{42}
	seen := map[string]bool{}
	for ch := range uint32(50) {
		for serial := uint64(1); serial < 50; serial++ {
			id := string(m.append(nil, ch, serial))
			if seen[id] || len(id) != 36 || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) {
				t.Fatalf("bad id %q", id)
			}
			seen[id] = true
			if c, s, ok := m.parse(id); !ok || c != ch || s != serial {
				t.Fatalf("parse(%q) = %d, %d, %v, want %d, %d", id, c, s, ok, ch, serial)
			}
		}
	}
	for _, id := range []string{"", "x", "00000000-0000-4000-8000-000000000000", strings.Repeat("-", 36)} {
		if _, _, ok := m.parse(id); ok {
			t.Errorf("parse(%q) is ok", id)
		}
	}
}
