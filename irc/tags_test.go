package irc

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTag(t *testing.T) {
	m := mustParse(t, `@a=1;b;c=;+d=x;v/e=\:\s\\\r\n\q\;a=2;f=\ PING`)
	testTag(t, m)
	var ix TagIndex
	for range 2 {
		testTag(t, ix.Of(m))
		if got, ok := ix.Of(mustParse(t, "PING")).Tag("a"); ok {
			t.Errorf("a message without tags has that of the one before: %q", got)
		}
	}
}

func testTag(t *testing.T, m *Message) {
	t.Helper()
	for name, want := range map[string]string{
		"a": "2", "b": "", "c": "", "+d": "x", "v/e": "; \\\r\nq", "f": "",
	} {
		if got, ok := m.Tag(name); got != want || !ok {
			t.Errorf("Tag(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "d", "e", "A", "a=", "a=2", "PING", "x"} {
		if got, ok := m.Tag(name); got != "" || ok {
			t.Errorf("Tag(%q) = %q, %v, want none", name, got, ok)
		}
	}
}

// slowTag is Tag without any cleverness.
func slowTag(line, name string) (value string, ok bool) {
	line = strings.TrimLeft(line, " ")
	if !strings.HasPrefix(line, "@") {
		return "", false
	}
	tags, _, _ := strings.Cut(line[1:], " ")
	for _, tag := range strings.Split(tags, ";") {
		n, v, _ := strings.Cut(tag, "=")
		if n == name && name != "" {
			value, ok = unescape(v), true
		}
	}
	return value, ok
}

// Tags are found wherever they lie about the borders of blocks, whatever is
// around them.
func TestTagIsFound(t *testing.T) {
	names := []string{"id", "i", "idx", "msgid", "room-id", "tmi-sent-ts", ":id", "d", "vip"}
	var ix TagIndex
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.Custom(func(t *rapid.T) string {
			s := rapid.SampledFrom(names).Draw(t, "name")
			if rapid.Bool().Draw(t, "=") {
				s += "=" + rapid.StringMatching(`[a-z=:;\\]{0,20}`).Draw(t, "value")
			}
			return s
		})
		line := "@" + strings.Join(rapid.SliceOfN(tag, 1, rapid.SampledFrom([]int{30, 2 * indexMax}).Draw(t, "most")).Draw(t, "tags"), ";") + " X" +
			rapid.StringMatching(`( [a-z;=]{0,40})?`).Draw(t, "rest")
		m, err := Parse(line)
		if err != nil {
			t.Fatalf("Parse(%q): %v", line, err)
		}
		for _, name := range names {
			want, wantOK := slowTag(line, name)
			if got, ok := m.Tag(name); got != want || ok != wantOK {
				t.Fatalf("%q: Tag(%q) = %q, %v, want %q, %v", line, name, got, ok, want, wantOK)
			}
			if got, ok := ix.Of(m).Tag(name); got != want || ok != wantOK {
				t.Fatalf("%q: with an index Tag(%q) = %q, %v, want %q, %v", line, name, got, ok, want, wantOK)
			}
		}
	})
}

func TestTagsStopEarly(t *testing.T) {
	n := 0
	for range mustParse(t, "@a=1;b=2;c=3 X").Tags() {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d tags before the break, want 2", n)
	}
}

func TestEventID(t *testing.T) {
	for line, want := range map[string]string{
		"@id=abc;tmi-sent-ts=1 :u PRIVMSG #a :x":                                       "abc",
		"@id=abc;msg-id=raid :tmi.twitch.tv USERNOTICE #a":                             "abc",
		"@id= :u PRIVMSG #a :x":                                                        "",
		"@msgid=m1;time=2024-01-02T03:04:05.678Z :u PRIVMSG #a :x":                     "m1",
		"@id=abc :tmi.twitch.tv USERSTATE #a":                                          "userstate:abc",
		"@mod=0 :tmi.twitch.tv USERSTATE #a":                                           "",
		"@room-id=7;target-user-id=9;tmi-sent-ts=5 :t CLEARCHAT #a :bad":               "clearchat:7:9:5",
		"@ban-duration=1;room-id=7;target-user-id=9;tmi-sent-ts=5 :t CLEARCHAT #a :b":  "clearchat:7:9:5",
		"@room-id=7;tmi-sent-ts=5 :t CLEARCHAT #a":                                     "clearchat:7::5",
		"@tmi-sent-ts=5 :t CLEARCHAT #a :bad":                                          "clearchat:#a:bad:5",
		"@room-id=7 :t CLEARCHAT #a :bad":                                              "",
		":t CLEARCHAT":                                                                 "",
		"@login=x;room-id=;target-msg-id=m-9;tmi-sent-ts=5 :t CLEARMSG #a :x":          "clearmsg:m-9",
		":t CLEARMSG #a :x":                                                            "",
		"@msg-id=slow_on :t NOTICE #a :slow":                                           "",
		":u!u@u JOIN #a":                                                               "",
		"@message-id=1;thread-id=2_3 :u WHISPER me :x":                                 "",
		"@batch=b;msgid=m;account=acc;time=2024-01-02T03:04:05Z :u!u@h SOMETHING #a x": "m",
	} {
		if got := mustParse(t, line).EventID(); got != want {
			t.Errorf("%q: EventID() = %q, want %q", line, got, want)
		}
	}
}

func TestSent(t *testing.T) {
	for line, want := range map[string]time.Time{
		"@tmi-sent-ts=1568505600501 X":                               time.UnixMilli(1568505600501),
		"@time=2024-01-02T03:04:05.678Z X":                           time.Date(2024, 1, 2, 3, 4, 5, 678e6, time.UTC),
		"@time=2024-01-02T03:04:05.678Z;tmi-sent-ts=1568505600501 X": time.UnixMilli(1568505600501),
		"@time=yesterday X":                                          {},
		"@tmi-sent-ts=99999999999999999999 X":                        {},
		"@tmi-sent-ts=-5 X":                                          {},
		"@tmi-sent-ts= X":                                            {},
		"X":                                                          {},
	} {
		if got := mustParse(t, line).Sent(); !got.Equal(want) {
			t.Errorf("%q: Sent() = %v, want %v", line, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	same := [][2]string{
		{"@a=1;b=2 :u!u@h JOIN #a", "@b=2;a=1 :u!u@h JOIN #a"},
		{"@time=2024-01-01T00:00:00Z :u!u@h PRIVMSG #a :x", "@time=2024-01-01T00:00:01Z :u!u@h PRIVMSG #a :x"},
		{"@batch=1;label=2 :u!u@h PRIVMSG #a :x", ":u!u@h PRIVMSG #a x"},
		{":one.example 366 nick1 #a :End", ":two.example 366 nick2 #a :End"},
	}
	for _, s := range same {
		if mustParse(t, s[0]).Fingerprint() != mustParse(t, s[1]).Fingerprint() {
			t.Errorf("%q and %q differ", s[0], s[1])
		}
	}
	differ := [][2]string{
		{":u!u@h PRIVMSG #a :x", ":u!u@h PRIVMSG #a :y"},
		{":u!u@h PRIVMSG #a :x", ":u!u@h PRIVMSG #b :x"},
		{":u!u@h PRIVMSG #a :x", ":v!u@h PRIVMSG #a :x"},
		{":u!u@h PRIVMSG #a :x", ":u!u@h NOTICE #a :x"},
		{":u!u@h FOO a b", ":u!u@h FOO :a b"},
		{"@a=1 :u!u@h JOIN #a", "@a=2 :u!u@h JOIN #a"},
		{"@tmi-sent-ts=1 :t NOTICE #a :x", "@tmi-sent-ts=2 :t NOTICE #a :x"},
	}
	for _, s := range differ {
		if mustParse(t, s[0]).Fingerprint() == mustParse(t, s[1]).Fingerprint() {
			t.Errorf("%q and %q are the same", s[0], s[1])
		}
	}
}
