package irc

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

type appendFunc func(dst []byte) ([]byte, error)

func TestEncode(t *testing.T) {
	tests := []struct {
		want string
		f    appendFunc
	}{
		{"PRIVMSG #a :hi there\r\n", func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "hi there") }},
		{"PRIVMSG nick ::)\r\n", func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "nick", ":)") }},
		{"@a=1\\s2;+b PRIVMSG #a :x\r\n", func(b []byte) ([]byte, error) {
			return AppendPrivMsg(b, "#a", "x", Tag{"a", "1 2"}, Tag{"+b", ""})
		}},
		{"@reply-parent-msg-id=m-1 PRIVMSG #a :yes\r\n", func(b []byte) ([]byte, error) { return AppendReply(b, "#a", "m-1", "yes") }},
		{"PRIVMSG #a :\x01ACTION waves\x01\r\n", func(b []byte) ([]byte, error) { return Encoder{}.AppendAction(b, "#a", "waves") }},
		{"NOTICE nick :hi\r\n", func(b []byte) ([]byte, error) { return Encoder{}.AppendNotice(b, "nick", "hi") }},
		{"JOIN #a\r\n", func(b []byte) ([]byte, error) { return AppendJoin(b, "#a") }},
		{"JOIN #a,#b\r\n", func(b []byte) ([]byte, error) { return AppendJoin(b, "#a", "#b") }},
		{"", func(b []byte) ([]byte, error) { return AppendJoin(b) }},
		{"PART #a,#b\r\nPART #c\r\n", func(b []byte) ([]byte, error) { return Encoder{Targets: 2}.AppendPart(b, "#a", "#b", "#c") }},
		{"JOIN #a,#b\r\nJOIN #c\r\n", func(b []byte) ([]byte, error) { return Encoder{LineLen: 12}.AppendJoin(b, "#a", "#b", "#c") }},
		{"PASS oauth:x\r\n", func(b []byte) ([]byte, error) { return AppendPass(b, "oauth:x") }},
		{"PASS :a b\r\n", func(b []byte) ([]byte, error) { return AppendPass(b, "a b") }},
		{"NICK justinfan1\r\n", func(b []byte) ([]byte, error) { return AppendNick(b, "justinfan1") }},
		{"CAP LS 302\r\n", func(b []byte) ([]byte, error) { return AppendCap(b, "LS", "302") }},
		{"CAP END\r\n", func(b []byte) ([]byte, error) { return AppendCap(b, "END") }},
		{"CAP REQ :a b\r\n", func(b []byte) ([]byte, error) { return AppendCap(b, "REQ", "a", "b") }},
		{"PING :x\r\n", func(b []byte) ([]byte, error) { return AppendPing(b, "x") }},
		{"PONG :tmi.twitch.tv\r\n", func(b []byte) ([]byte, error) { return AppendPong(b, "tmi.twitch.tv") }},
		{"QUIT\r\n", func(b []byte) ([]byte, error) { return AppendQuit(b, "") }},
		{"QUIT :bye bye\r\n", func(b []byte) ([]byte, error) { return AppendQuit(b, "bye bye") }},
		{":s 001 me :a b\r\n", func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "s", "001", "me", "a b") }},
	}
	for _, test := range tests {
		got, err := test.f([]byte("before"))
		if string(got) != "before"+test.want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, test.want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", 600)
	tests := []struct {
		field string
		pos   int
		f     appendFunc
	}{
		{"text", 1, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "x\r\nQUIT") }},
		{"text", 1, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "x\nQUIT") }},
		{"text", 0, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "\x00") }},
		{"text", 0, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "") }},
		{"line", 612, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", long) }},
		{"text", 600, func(b []byte) ([]byte, error) { return TwitchEncoder().AppendPrivMsg(b, "#a", long) }},
		{"target", 2, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a b", "x") }},
		{"target", 2, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a,#b", "x") }},
		{"target", 0, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "", "x") }},
		{"target", 0, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, ":a", "x") }},
		{"tag name", 1, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "x", Tag{"a;b", ""}) }},
		{"tag name", 0, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "x", Tag{"", ""}) }},
		{"tag a", 1, func(b []byte) ([]byte, error) { return AppendPrivMsg(b, "#a", "x", Tag{"a", "b\x00"}) }},
		{"tags", 4095, func(b []byte) ([]byte, error) {
			return AppendPrivMsg(b, "#a", "x", Tag{"a", strings.Repeat("x", 4093)})
		}},
		{"parent", 0, func(b []byte) ([]byte, error) { return AppendReply(b, "#a", "", "x") }},
		{"text", 1, func(b []byte) ([]byte, error) { return Encoder{}.AppendAction(b, "#a", "x\x01y") }},
		{"channel", 0, func(b []byte) ([]byte, error) { return AppendJoin(b, "#ok", "a") }},
		{"channel", 0, func(b []byte) ([]byte, error) { return AppendJoin(b, "#ok", "") }},
		{"channel", 2, func(b []byte) ([]byte, error) { return AppendJoin(b, "#ok", "#a,0") }},
		{"channel", 2, func(b []byte) ([]byte, error) { return AppendPart(b, "#a b") }},
		{"channel", 2, func(b []byte) ([]byte, error) { return AppendPart(b, "#a\r\nQUIT") }},
		{"channel", 601, func(b []byte) ([]byte, error) { return AppendJoin(b, "#"+long) }},
		{"password", 0, func(b []byte) ([]byte, error) { return AppendPass(b, "") }},
		{"password", 6, func(b []byte) ([]byte, error) { return AppendPass(b, "secret\r\n") }},
		{"nick", 1, func(b []byte) ([]byte, error) { return AppendNick(b, "a b") }},
		{"nick", 1, func(b []byte) ([]byte, error) { return AppendNick(b, "a!b") }},
		{"nick", 0, func(b []byte) ([]byte, error) { return AppendNick(b, "") }},
		{"parameter 0", 1, func(b []byte) ([]byte, error) { return AppendPong(b, "x\r\nQUIT") }},
		{"parameter 0", 0, func(b []byte) ([]byte, error) { return AppendQuit(b, "\n") }},
		{"parameter 1", 3, func(b []byte) ([]byte, error) { return AppendCap(b, "REQ", "abc\n") }},
		{"command", 0, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "", "") }},
		{"command", 1, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "", "A B") }},
		{"source", 1, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "a b", "X") }},
		{"parameter 0", 0, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "", "X", "", "y") }},
		{"parameter 0", 0, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "", "X", ":x", "y") }},
		{"parameter 0", 1, func(b []byte) ([]byte, error) { return Encoder{}.AppendMessage(b, nil, "", "X", "x y", "y") }},
	}
	for i, test := range tests {
		got, err := test.f([]byte("before"))
		var le *LineError
		if string(got) != "before" || !errors.As(err, &le) || le.Field != test.field || le.Pos != test.pos {
			t.Errorf("%d: got %q, %v, want it as before and an error at byte %d of the %s", i, got, err, test.pos, test.field)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.ContainsAny(err.Error(), "\r\n")) {
			t.Errorf("%d: %q repeats the value", i, err)
		}
	}
}

// A text of Twitch may have 500 characters, whatever their bytes.
func TestTwitchTextCountsCharacters(t *testing.T) {
	text := strings.Repeat("😀", 500)
	if _, err := TwitchEncoder().AppendPrivMsg(nil, "#"+strings.Repeat("c", 25), text); err != nil {
		t.Errorf("500 characters: %v", err)
	}
	if _, err := TwitchEncoder().AppendAction(nil, "#a", text); err != nil {
		t.Errorf("500 characters of an action: %v", err)
	}
	if _, err := TwitchEncoder().AppendPrivMsg(nil, "#a", text+"x"); err == nil {
		t.Error("501 characters: no error")
	}
}

func TestJoinNamesEveryChannelOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channels := rapid.SliceOfN(rapid.StringMatching(`#[a-z]{1,60}`), 0, 60).Draw(t, "channels")
		e := Encoder{Targets: rapid.IntRange(0, 5).Draw(t, "targets")}
		b, err := e.AppendJoin(nil, channels...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
			if len(channels) == 0 {
				break
			}
			if len(line) > 510 {
				t.Fatalf("a line of %d bytes", len(line))
			}
			m, err := Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			names := strings.Split(m.Param(0), ",")
			if e.Targets > 0 && len(names) > e.Targets {
				t.Fatalf("%d channels in a line, %d are allowed", len(names), e.Targets)
			}
			got = append(got, names...)
		}
		if !slices.Equal(got, channels) {
			t.Fatalf("joined %v, want %v", got, channels)
		}
	})
}

func TestEncodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 1024)
	tags := []Tag{{"a", "b c"}}
	if n := testing.AllocsPerRun(100, func() {
		out, err := TwitchEncoder().AppendPrivMsg(buf, "#a", "hello", tags...)
		if err != nil {
			t.Fatal(err)
		}
		sink += len(out)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestSplitText(t *testing.T) {
	tests := []struct {
		text string
		max  int
		want []string
	}{
		{"", 10, nil},
		{"   ", 10, nil},
		{"short", 10, []string{"short"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"one two three", 9, []string{"one two", "three"}},
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"a bcdefghij", 4, []string{"a", "bcde", "fghi", "j"}},
		{"one\r\ntwo\n\nthree", 20, []string{"one", "two", "three"}},
		{"üüü", 4, []string{"üü", "ü"}},
		{"😀😀", 5, []string{"😀", "😀"}},
		{"😀😀", 1, []string{"😀", "😀"}},
		{"  a   b  ", 4, []string{"a", "b"}},
		{"a\x00b", 10, []string{"a", "b"}},
	}
	for _, test := range tests {
		if got := SplitText(test.text, test.max); !slices.Equal(got, test.want) {
			t.Errorf("SplitText(%q, %d) = %q, want %q", test.text, test.max, got, test.want)
		}
	}
}

// Whatever is split can be sent, and no word is lost.
func TestSplitIsSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab ü😀 \n\r,:")), 0, 1500, -1).Draw(t, "text")
		e := rapid.SampledFrom([]Encoder{{}, TwitchEncoder(), {LineLen: 200, TextLen: 10}}).Draw(t, "encoder")
		pieces := e.Split("#a", text)
		for _, p := range pieces {
			if _, err := e.AppendPrivMsg(nil, "#a", p); err != nil {
				t.Fatalf("%q: %v", p, err)
			}
			if !utf8.ValidString(p) {
				t.Fatalf("%q is cut in a character", p)
			}
		}
		strip := strings.NewReplacer(" ", "", "\n", "", "\r", "")
		if got, want := strip.Replace(strings.Join(pieces, "")), strip.Replace(text); got != want {
			t.Fatalf("the pieces say %q, want %q", got, want)
		}
	})
}
