package irc

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// MaxLine is the longest line in bytes, without CRLF, that is tokenized. Tags
// may take 8,191 of it and the rest of a line 512 where a server keeps to the
// letter; nothing that a server of today sends comes near this bound.
const MaxLine = 1<<16 - 1

// ErrSyntax is wrapped by every error of [Parse] and [Message.Tokenize].
var ErrSyntax = errors.New("irc: not a message")

var (
	errEmpty     = fmt.Errorf("%w: empty line", ErrSyntax)
	errNoCommand = fmt.Errorf("%w: no command", ErrSyntax)
	errTooLong   = fmt.Errorf("%w: longer than %d bytes", ErrSyntax, MaxLine)
)

// Message is one IRC line, split but not decoded: it holds the line and a few
// offsets into it. Every string that it returns is a part of the line, except
// where a tag's value had to be unescaped, so whoever keeps one keeps the whole
// block of memory that the line was read into; see [Message.Clone].
//
// The zero Message has no command. Any number of goroutines may read a Message.
type Message struct {
	raw string

	tagsEnd            uint16 // tags are raw[1:tagsEnd]; 0 if there are none
	srcStart, srcEnd   uint16
	cmdStart, cmdEnd   uint16
	headStart, headEnd uint16 // the first parameter
	lastStart, lastEnd uint16 // the last parameter
	params             uint16

	chunk *chunk    // whose memory the line stands in; nil: its own
	index *TagIndex // of its tags; nil: none
}

// Parse splits line, which should not have its CR LF any more; what there is of
// them at the end is cut. The error wraps [ErrSyntax].
func Parse(line string) (*Message, error) {
	m := new(Message)
	if err := m.Tokenize(line); err != nil {
		return nil, err
	}
	return m, nil
}

// Tokenize is [Parse] into m, without an allocation. It looks at neither tags
// nor what is in the parameters. On error m is the zero Message.
func (m *Message) Tokenize(line string) error {
	*m = Message{}
	end := len(line)
	for end > 0 && (line[end-1] == '\n' || line[end-1] == '\r') {
		end--
	}
	if end > MaxLine {
		return errTooLong
	}
	line = line[:end]
	i := skipSpace(line, 0)
	if i == end {
		return errEmpty
	}
	if i > 0 {
		line, end, i = line[i:], end-i, 0
	}

	var t Message
	if line[0] == '@' {
		n := strings.IndexByte(line, ' ')
		if n < 0 {
			return errNoCommand
		}
		t.tagsEnd = uint16(n)
		i = skipSpace(line, n+1)
	}
	if i < end && line[i] == ':' {
		n := strings.IndexByte(line[i:], ' ')
		if n < 0 {
			return errNoCommand
		}
		t.srcStart, t.srcEnd = uint16(i+1), uint16(i+n)
		i = skipSpace(line, i+n+1)
	}
	if i == end {
		return errNoCommand
	}
	t.cmdStart = uint16(i)
	for i < end && line[i] != ' ' {
		i++
	}
	t.cmdEnd = uint16(i)

	for i = skipSpace(line, i); i < end; i = skipSpace(line, i) {
		start := i
		if line[i] == ':' {
			start, i = i+1, end
		} else if n := strings.IndexByte(line[i:], ' '); n >= 0 {
			i += n
		} else {
			i = end
		}
		if t.params == 0 {
			t.headStart, t.headEnd = uint16(start), uint16(i)
		}
		t.lastStart, t.lastEnd = uint16(start), uint16(i)
		t.params++
	}
	t.raw = line
	*m = t
	return nil
}

// skipSpace returns the index of the first byte of s at or after i that is not a space.
func skipSpace(s string, i int) int {
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return i
}

// Raw returns the line as it was received, without CR LF and leading spaces.
func (m *Message) Raw() string { return m.raw }

// Clone returns a copy of m with a line of its own.
func (m *Message) Clone() *Message {
	c := new(Message)
	// The line was tokenized before. That of the zero Message fails and leaves a zero Message.
	_ = c.Tokenize(strings.Clone(m.raw))
	return c
}

// Command returns the verb in capitals or the numeric: "PRIVMSG", "001".
func (m *Message) Command() string {
	verb := m.raw[m.cmdStart:m.cmdEnd]
	for i := 0; i < len(verb); i++ {
		if 'a' <= verb[i] && verb[i] <= 'z' {
			return upperVerb(verb)
		}
	}
	return verb
}

// Source returns who sent the line, without the colon: "nick!user@host" or the
// name of a server; "" if the line does not say.
func (m *Message) Source() string { return m.raw[m.srcStart:m.srcEnd] }

// Nick returns the nick in the source, or the server's name.
func (m *Message) Nick() string { nick, _, _ := SplitSource(m.Source()); return nick }

// User returns the user name in the source or "".
func (m *Message) User() string { _, user, _ := SplitSource(m.Source()); return user }

// Host returns the host in the source or "".
func (m *Message) Host() string { _, _, host := SplitSource(m.Source()); return host }

// SplitSource splits "nick!user@host". What is not there is "".
func SplitSource(source string) (nick, user, host string) {
	nick = source
	if i := strings.IndexByte(nick, '!'); i >= 0 {
		nick, user = nick[:i], nick[i+1:]
		if i := strings.IndexByte(user, '@'); i >= 0 {
			user, host = user[:i], user[i+1:]
		}
		return nick, user, host
	}
	if i := strings.IndexByte(nick, '@'); i >= 0 {
		nick, host = nick[:i], nick[i+1:]
	}
	return nick, "", host
}

// NumParams returns the number of parameters, the trailing one included.
func (m *Message) NumParams() int { return int(m.params) }

// Param returns parameter i, counted from 0, or "" if there is none.
func (m *Message) Param(i int) string {
	switch n := int(m.params); {
	case i < 0 || i >= n:
		return ""
	case i == 0:
		return m.raw[m.headStart:m.headEnd]
	case i == n-1:
		return m.raw[m.lastStart:m.lastEnd]
	}
	// What lies between the first and the last has neither colon nor end of line.
	at := int(m.headEnd)
	for {
		at = skipSpace(m.raw, at)
		n := strings.IndexByte(m.raw[at:], ' ')
		if i--; i == 0 {
			return m.raw[at : at+n]
		}
		at += n
	}
}

// Params goes over the parameters. For many of them it is quicker than Param.
func (m *Message) Params() iter.Seq[string] {
	return func(yield func(string) bool) {
		n := int(m.params)
		if n == 0 || !yield(m.raw[m.headStart:m.headEnd]) {
			return
		}
		for at := int(m.headEnd); n > 2; n-- {
			at = skipSpace(m.raw, at)
			end := at + strings.IndexByte(m.raw[at:], ' ')
			if !yield(m.raw[at:end]) {
				return
			}
			at = end
		}
		if n > 1 {
			yield(m.Text())
		}
	}
}

// Text returns the last parameter: what was said, for a message that says
// something. An action's frame is part of it; see [Message.Action].
func (m *Message) Text() string { return m.raw[m.lastStart:m.lastEnd] }

// Action returns what a "/me" said. Ok is false if the text is no CTCP ACTION.
func (m *Message) Action() (text string, ok bool) {
	text, ok = strings.CutPrefix(m.Text(), "\x01ACTION ")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(text, "\x01"), true
}

// IsAction reports whether the text is a CTCP ACTION, as "/me" sends it.
func (m *Message) IsAction() bool { return strings.HasPrefix(m.Text(), "\x01ACTION ") }

// Channel returns the name of the channel that the message is about, as sent,
// or "". That of a STATUSMSG ("@#go") comes without its prefix.
func (m *Message) Channel() string {
	head := m.raw[m.headStart:m.headEnd]
	if m.raw[m.cmdStart:m.cmdEnd] == "PRIVMSG" && head != "" && head[0] == '#' {
		return head
	}
	return m.channelElsewhere()
}

// channelElsewhere is Channel for all but the plain case.
func (m *Message) channelElsewhere() string {
	at := 0
	switch m.Command() {
	case "PRIVMSG", "NOTICE", "TAGMSG":
		name := m.Param(0)
		if len(name) > 1 && strings.IndexByte("@%+~", name[0]) >= 0 && strings.IndexByte("#&", name[1]) >= 0 {
			name = name[1:]
		}
		if looksLikeChannel(name) {
			return name
		}
		return ""
	case "JOIN", "PART", "KICK", "TOPIC", "MODE", "RENAME",
		"CLEARCHAT", "CLEARMSG", "HOSTTARGET", "ROOMSTATE", "USERNOTICE", "USERSTATE":
	case "INVITE":
		at = 1
	case "353", "341", "441", "443":
		at = 2
	case "322", "324", "325", "328", "329", "331", "332", "333", "346", "347", "348", "349", "352", "366", "367", "368",
		"401", "403", "404", "405", "407", "408", "437", "442", "467", "470", "471", "472", "473", "474", "475", "476", "477",
		"478", "479", "480", "482", "485", "488", "489", "499", "500", "520", "524":
		at = 1
	case "FAIL", "WARN", "NOTE":
		at = 2
	default:
		return ""
	}
	if name := m.Param(at); looksLikeChannel(name) {
		return name
	}
	return ""
}

// looksLikeChannel goes by the channel types that any network uses (RFC 2811
// §2.1); what a network's CHANTYPES says is for its connection to look at.
func looksLikeChannel(name string) bool {
	return len(name) > 0 && strings.IndexByte("#&+!", name[0]) >= 0
}
