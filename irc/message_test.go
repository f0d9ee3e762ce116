package irc

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func mustParse(t testing.TB, line string) *Message {
	t.Helper()
	m, err := Parse(line)
	if err != nil {
		t.Fatalf("Parse(%q): %v", line, err)
	}
	return m
}

func TestParse(t *testing.T) {
	tests := []struct {
		line    string
		source  string
		command string
		params  []string
	}{
		{"PING", "", "PING", nil},
		{"PING\r\n", "", "PING", nil},
		{"ping :x", "", "PING", []string{"x"}},
		{"pRiVmSg #a b", "", "PRIVMSG", []string{"#a", "b"}},
		{"x-ünknown", "", "X-üNKNOWN", nil},
		{"  PING  :a  b  ", "", "PING", []string{"a  b  "}},
		{":a!b@c   001   me   :hi", "a!b@c", "001", []string{"me", "hi"}},
		{": PING", "", "PING", nil},
		{"@ PING", "", "PING", nil},
		{"@;;=;=x PING", "", "PING", nil},
		{"@a=b :s PRIVMSG #c :", "s", "PRIVMSG", []string{"#c", ""}},
		{":s PRIVMSG #c", "s", "PRIVMSG", []string{"#c"}},
		{":s PRIVMSG #c hello", "s", "PRIVMSG", []string{"#c", "hello"}},
		{":s PRIVMSG #c :a\x00b\xff\xfe", "s", "PRIVMSG", []string{"#c", "a\x00b\xff\xfe"}},
		{"A 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 :18 19", "", "A",
			strings.Split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", " ")},
		{"FOO a :b:c :d", "", "FOO", []string{"a", "b:c :d"}},
		{"FOO a b:c d", "", "FOO", []string{"a", "b:c", "d"}},
		{":s\tt FOO a\tb", "s\tt", "FOO", []string{"a\tb"}},
	}
	tests[14].params = append(tests[14].params, "18 19")
	for _, test := range tests {
		m := mustParse(t, test.line)
		if m.Source() != test.source || m.Command() != test.command || !slices.Equal(params(m), test.params) {
			t.Errorf("Parse(%q) = %q %q %q, want %q %q %q", test.line,
				m.Source(), m.Command(), params(m), test.source, test.command, test.params)
		}
		if got := slices.Collect(m.Params()); !slices.Equal(got, test.params) {
			t.Errorf("%q: Params() = %q, want %q", test.line, got, test.params)
		}
		last := ""
		if n := len(test.params); n > 0 {
			last = test.params[n-1]
		}
		if m.Text() != last || m.Param(len(test.params)) != "" || m.Param(-1) != "" {
			t.Errorf("%q: text %q, beyond %q %q, want %q and nothing", test.line,
				m.Text(), m.Param(len(test.params)), m.Param(-1), last)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"", "\r\n", " ", "   \r\n", "@", "@a=b", "@a=b ", "@a=b  ", ":", ":src", ":src ", "@a=b :src", "@a=b :src  ",
		"PRIVMSG #a :" + strings.Repeat("x", MaxLine),
	} {
		m := mustParse(t, "@id=1 :s PRIVMSG #old :old")
		if err := m.Tokenize(line); !errors.Is(err, ErrSyntax) {
			t.Errorf("Tokenize(%.20q) = %v, want ErrSyntax", line, err)
		}
		if *m != (Message{}) {
			t.Errorf("Tokenize(%.20q) left %+v behind", line, *m)
		}
	}
	longest := "PRIVMSG #a :" + strings.Repeat("x", MaxLine-len("PRIVMSG #a :"))
	if m := mustParse(t, longest); len(m.Text()) != MaxLine-len("PRIVMSG #a :") {
		t.Errorf("the longest line has a text of %d bytes", len(m.Text()))
	}
}

func TestZeroMessage(t *testing.T) {
	var m Message
	for _, s := range []string{m.Raw(), m.Command(), m.Source(), m.Nick(), m.Text(), m.Channel(), m.ID(), m.EventID(), m.Clone().Raw()} {
		if s != "" {
			t.Errorf("a zero message says %q", s)
		}
	}
	if !m.Sent().IsZero() || m.NumParams() != 0 {
		t.Error("a zero message has a time or parameters")
	}
}

func TestChannel(t *testing.T) {
	for line, want := range map[string]string{
		":u!u@h PRIVMSG #Forsen :hi":                    "#Forsen",
		":u!u@h PRIVMSG nick :hi":                       "",
		":u!u@h PRIVMSG @#ops :hi":                      "#ops",
		":u!u@h PRIVMSG +#voiced :hi":                   "#voiced",
		":u!u@h PRIVMSG +modeless :hi":                  "+modeless",
		":u!u@h PRIVMSG &local :hi":                     "&local",
		":u!u@h privmsg &local :hi":                     "&local",
		":u!u@h JOIN :#a":                               "#a",
		":u!u@h PART !12345chan":                        "!12345chan",
		":u!u@h KICK #a b :c":                           "#a",
		":u!u@h MODE #a +o b":                           "#a",
		":me MODE me :+i":                               "",
		":u!u@h INVITE me :#a":                          "#a",
		":u!u@h QUIT :#a":                               "",
		":u NICK new":                                   "",
		":tmi.twitch.tv CLEARCHAT #a :b":                "#a",
		":tmi.twitch.tv GLOBALUSERSTATE":                "",
		":tmi.twitch.tv NOTICE * :Login":                "",
		":tmi.twitch.tv HOSTTARGET #a :b 1":             "#a",
		":a!a@a WHISPER b :hi":                          "",
		":s 001 me :Welcome":                            "",
		":s 005 me CHANTYPES=#& CHANLIMIT=#:10 :are ok": "",
		":s 221 me +i":                                  "",
		":s 324 me #a +nt":                              "#a",
		":s 353 me = #a :x y":                           "#a",
		":s 353 me @ #a :x y":                           "#a",
		":s 366 me #a :End":                             "#a",
		":s 401 me nick :No such nick":                  "",
		":s 401 me #a :No such channel":                 "#a",
		":s 403 me #a :No such channel":                 "#a",
		":s 405 me #a :too many":                        "#a",
		":s 441 me nick #a :not there":                  "#a",
		":s 470 me #a ##b :Forwarding":                  "#a",
		":s 471 me #a :full":                            "#a",
		":s 489 me #a :secure only":                     "#a",
		":s 433 * me :in use":                           "",
		"BATCH +ref chathistory #a":                     "",
		"FAIL JOIN CHANNEL_DISABLED #a :no":             "#a",
		"PING :#a":                                      "",
		":u AWAY :#a":                                   "",
		"JOIN":                                          "",
	} {
		if got := mustParse(t, line).Channel(); got != want {
			t.Errorf("%q: Channel() = %q, want %q", line, got, want)
		}
	}
}

func TestAction(t *testing.T) {
	for text, want := range map[string]string{
		"\x01ACTION waves\x01":  "waves",
		"\x01ACTION waves":      "waves",
		"\x01ACTION a\x01b\x01": "a\x01b",
		"\x01ACTION \x01":       "",
	} {
		m := mustParse(t, ":u PRIVMSG #a :"+text)
		if got, ok := m.Action(); got != want || !ok || !m.IsAction() || m.Text() != text {
			t.Errorf("%q: Action() = %q, %v, want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{"ACTION waves", "\x01VERSION\x01", "", "\x01ACTION\x01"} {
		m := mustParse(t, ":u PRIVMSG #a :"+text)
		if got, ok := m.Action(); ok || m.IsAction() {
			t.Errorf("%q: Action() = %q, true, want false", text, got)
		}
	}
}

func TestClone(t *testing.T) {
	chunk := strings.Repeat(benchLine, 3)
	m := mustParse(t, chunk[len(benchLine):2*len(benchLine)])
	c := m.Clone()
	if c.Raw() != m.Raw() || c.ID() != m.ID() || c.Text() != m.Text() {
		t.Errorf("Clone() = %q, want %q", c.Raw(), m.Raw())
	}
	if unsafe.StringData(c.Raw()) == unsafe.StringData(m.Raw()) {
		t.Error("a clone shares the line's memory")
	}
}

func TestMessageIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Message{}); n > 64 {
		t.Errorf("a Message takes %d bytes, 64 are allowed", n)
	}
}

func TestNoAllocations(t *testing.T) {
	var m Message
	check := func(name string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	check("the hot path", func() {
		if m.Tokenize(benchLine) == nil {
			sink += len(m.Channel()) + len(m.ID()) + len(m.EventID()) + len(m.Text()) + len(m.Command())
		}
	})
	check("a lower-case verb", func() {
		if m.Tokenize("privmsg #a :b") == nil {
			sink += len(m.Command())
		}
	})
	check("the time", func() {
		if m.Tokenize(benchLine) == nil {
			sink += m.Sent().Nanosecond()
		}
	})
	check("all tags", func() {
		if m.Tokenize(benchLine) == nil {
			for name, value := range m.Tags() {
				sink += len(name) + len(value)
			}
		}
	})
	check("the parameters", func() {
		for p := range m.Params() {
			sink += len(p)
		}
	})
	check("a fingerprint", func() { sink += int(m.Fingerprint()) })
}

// Every captured line is tokenized, and what is printed from the parts is the
// same message again.
func TestRecorded(t *testing.T) {
	lines := allRecorded(t)
	refused := 0
	for _, line := range lines {
		m, err := Parse(line)
		if err != nil {
			refused++
			t.Logf("%v: %.60q", err, line)
			continue
		}
		reprint(t, m)
	}
	if refused > 3 {
		t.Errorf("%d of %d lines were refused", refused, len(lines))
	}
}

// reprint fails the test if m, printed from its parts, is another message.
func reprint(t *testing.T, m *Message) {
	t.Helper()
	var tags []Tag
	for name, value := range m.Tags() {
		tags = append(tags, Tag{name, value})
	}
	wide := Encoder{LineLen: 2 * MaxLine}
	b, err := wide.AppendMessage(nil, tags, m.Source(), m.Command(), params(m)...)
	if err != nil {
		// What we would not send may still be received.
		t.Logf("%v: %.80q", err, m.Raw())
		return
	}
	again, err := Parse(string(b))
	if err != nil {
		t.Fatalf("%q became %q: %v", m.Raw(), b, err)
	}
	if again.Source() != m.Source() || again.Command() != m.Command() || !slices.Equal(params(again), params(m)) {
		t.Fatalf("%q became %q", m.Raw(), b)
	}
	for _, tag := range tags {
		want, _ := m.Tag(tag.Name)
		if got, ok := again.Tag(tag.Name); got != want || !ok {
			t.Fatalf("%q became %q: tag %q is %q, want %q", m.Raw(), b, tag.Name, got, want)
		}
	}
	b2, err := wide.AppendMessage(nil, tags, again.Source(), again.Command(), params(again)...)
	if err != nil || string(b2) != string(b) {
		t.Fatalf("%q became %q and then %q, %v", m.Raw(), b, b2, err)
	}
}
