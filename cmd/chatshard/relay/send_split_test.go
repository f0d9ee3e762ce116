package relay

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/chatshard/chatshard/channels"
)

func TestSplitText(t *testing.T) {
	const family = "👨‍👩‍👧‍👦"
	for _, c := range []struct {
		text         string
		bytes, chars int
		want         []string
	}{
		{"hello", 0, 500, []string{"hello"}},
		{"  as it is \n", 0, 500, []string{"  as it is \n"}},
		{"one two three", 0, 7, []string{"one two", "three"}},
		{"one two three", 0, 8, []string{"one two", "three"}},
		{"one  two   three", 0, 5, []string{"one", "two", "three"}},
		{"      x", 0, 4, []string{"x"}},
		{"abcdefghij", 0, 4, []string{"abcd", "efgh", "ij"}},
		{"ab cdefghij", 0, 4, []string{"ab", "cdef", "ghij"}},
		{"one\ntwo three four", 0, 12, []string{"one\ntwo", "three four"}},
		{"line one\nb c d", 0, 12, []string{"line one", "b c d"}},
		{"ääää", 4, 0, []string{"ää", "ää"}},
		{"ääää", 5, 0, []string{"ää", "ää"}},
		{"a€b", 1, 0, []string{"a€", "b"}}, // 4 bytes at least
		{"ae\u0301e\u0301", 0, 4, []string{"ae\u0301", "e\u0301"}},
		{"xx" + family, 0, 5, []string{"xx", family[:18], family[18:]}},
		{"xx" + family, 0, 8, []string{"xx", family}},
		{"a👍🏽", 0, 2, []string{"a", "👍🏽"}},
		{"🇩🇪🇫🇷🇮🇹", 0, 3, []string{"🇩🇪", "🇫🇷", "🇮🇹"}},
		{"x" + strings.Repeat("\u0301", 40), 0, 20, []string{"x" + strings.Repeat("\u0301", 19), strings.Repeat("\u0301", 20), "\u0301"}},
	} {
		if got := splitText(c.text, c.bytes, c.chars); !slices.Equal(got, c.want) {
			t.Errorf("splitText(%q, %d, %d) = %q, want %q", c.text, c.bytes, c.chars, got, c.want)
		}
	}
}

func FuzzSplitText(f *testing.F) {
	f.Add("one two three", 8, 0)
	f.Add("\n\n\n\n\n", 4, 0)
	f.Add("ä\n\n €  👨‍👩‍👧‍👦 🇩🇪🇫🇷x", 0, 3)
	f.Add(strings.Repeat("é\u0301", 50), 17, 5)
	f.Fuzz(func(t *testing.T, text string, maxBytes, maxChars int) {
		if !utf8.ValidString(text) || len(text) > 4096 {
			return
		}
		parts := splitText(text, maxBytes, maxChars)
		squeeze := func(s string) string { return strings.NewReplacer(" ", "", "\t", "", "\n", "").Replace(s) }
		if got := strings.Join(parts, ""); squeeze(got) != squeeze(text) {
			t.Errorf("splitText(%q, %d, %d) = %q: something is missing", text, maxBytes, maxChars, parts)
		}
		for _, p := range parts {
			if !utf8.ValidString(p) || maxBytes > 0 && len(p) > max(maxBytes, 4) || maxChars > 0 && utf8.RuneCountInString(p) > maxChars || p == "" && text != "" {
				t.Errorf("splitText(%q, %d, %d): part %q", text, maxBytes, maxChars, p)
			}
		}
	})
}

func TestCheckText(t *testing.T) {
	for _, c := range []struct {
		p    channels.Platform
		text string
		want string // part of what is wrong; "": nothing
	}{
		{channels.Twitch, "hello ☃ 👨‍👩‍👧", ""},
		{channels.Twitch, "", "empty"},
		{channels.Twitch, " \u00a0\u2003", "empty"},
		{channels.Twitch, "a\r\nQUIT", "line break at byte 1"},
		{channels.Twitch, "a\x00b", "U+0000 at byte 1"},
		{channels.Twitch, "a\x03b", "U+0003"},
		{channels.Twitch, "a\u0085b", "U+0085"},
		{channels.Twitch, "a\x7f", "U+007F"},
		{channels.Twitch, "ok\xff", "not UTF-8 at byte 2"},
		{channels.IRC, "\x02bold\x0f \x0304red", ""},
		{channels.IRC, "\x01VERSION\x01", "U+0001"},
		{channels.IRC, "a\nb", "line break"},
		{channels.IRC, "a\tb", "U+0009"},
		{channels.Discord, "a\n\tb", ""},
		{channels.Discord, "a\rb", "line break"},
		{channels.Discord, "\n\n", "empty"},
		{channels.Discord, "a\x1bb", "U+001B"},
	} {
		if got := checkText(c.p, c.text); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("checkText(%s, %q) = %q, want %q", c.p, c.text, got, c.want)
		}
	}
}
