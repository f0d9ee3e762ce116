package irc

import (
	"iter"
	"strings"
	"time"
)

// Tag returns the unescaped value of a tag, and whether the line has it at all.
// Of a tag that is given twice the last one counts. A value without escapes is
// a part of the line.
func (m *Message) Tag(name string) (value string, ok bool) {
	switch ix := m.index; {
	case ix != nil: // has no such name, and knows whether there is an escape
		if value, ok = m.rawTag(name); !ix.escapes {
			return value, ok
		}
	case strings.IndexByte(name, '=') >= 0 || strings.IndexByte(name, ';') >= 0:
		return "", false
	default:
		value, ok = m.rawTag(name)
	}
	return unescape(value), ok
}

// rawTag is Tag for a name that can be one, without unescaping.
func (m *Message) rawTag(name string) (value string, ok bool) {
	end := int(m.tagsEnd)
	if end == 0 || name == "" {
		return "", false
	}
	if m.index != nil {
		return m.index.find(name)
	}
	i := findTag(m.raw, end, name)
	if i < 0 {
		return "", false
	}
	value = m.raw[i+len(name) : end]
	if n := strings.IndexByte(value, ';'); n >= 0 {
		value = value[:n]
	}
	return strings.TrimPrefix(value, "="), true
}

// Tags goes over all tags in the line's order with their values unescaped. A
// tag that is given twice comes twice.
func (m *Message) Tags() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := m.tags(); rest != ""; {
			var tag string
			tag, rest = cutTag(rest)
			name, value, _ := strings.Cut(tag, "=")
			if name != "" && !yield(name, unescape(value)) {
				return
			}
		}
	}
}

// tags returns the tags as sent, without '@'.
func (m *Message) tags() string {
	if m.tagsEnd == 0 {
		return ""
	}
	return m.raw[1:m.tagsEnd]
}

func cutTag(s string) (tag, rest string) {
	if i := strings.IndexByte(s, ';'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// ID returns the id that the service gave the message (the tag id on Twitch,
// msgid elsewhere), or "".
func (m *Message) ID() string {
	id, _ := m.rawTag("id")
	if id == "" {
		id, _ = m.rawTag("msgid")
	}
	return unescape(id)
}

// Sent returns when the service sent the message by its own clock (tmi-sent-ts
// on Twitch, server-time elsewhere), or the zero time.
func (m *Message) Sent() time.Time {
	if s, _ := m.rawTag("tmi-sent-ts"); s != "" {
		if ms, ok := parseMillis(s); ok {
			return time.UnixMilli(ms)
		}
	}
	if s, _ := m.rawTag("time"); s != "" {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// parseMillis reads a count of milliseconds. It refuses what lies beyond the year 5138.
func parseMillis(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 14 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// EventID returns what identifies the message on every connection that it may
// come over, or "" if nothing does. Only Twitch's CLEARCHAT, CLEARMSG and
// USERSTATE allocate.
func (m *Message) EventID() string {
	if id, plain := m.plainID(); plain {
		return id
	}
	return string(m.appendEventID(nil))
}

// plainID returns the tag id, and whether that is all of the EventID.
func (m *Message) plainID() (id string, plain bool) {
	id = m.ID()
	// The id of a USERSTATE is that of the message which it answers.
	verb := m.raw[m.cmdStart:m.cmdEnd]
	return id, id != "" && len(verb) != len("USERSTATE")
}

// appendEventID appends an EventID that is not the tag id alone.
func (m *Message) appendEventID(dst []byte) []byte {
	id := m.ID()
	switch m.Command() {
	case "USERSTATE":
		if id != "" {
			dst = append(dst, "userstate:"...)
		}
	case "CLEARMSG":
		if target, _ := m.Tag("target-msg-id"); target != "" {
			return append(append(dst, "clearmsg:"...), target...)
		}
	case "CLEARCHAT":
		sent, _ := m.rawTag("tmi-sent-ts")
		if sent == "" {
			return dst
		}
		room, _ := m.Tag("room-id")
		if room == "" {
			room = m.Channel()
		}
		target, _ := m.Tag("target-user-id")
		if target == "" && m.params > 1 {
			target = m.Text()
		}
		dst = append(append(dst, "clearchat:"...), room...)
		dst = append(append(dst, ':'), target...)
		return append(append(dst, ':'), sent...)
	}
	return append(dst, id...)
}

// unescape undoes the escapes of a tag's value.
// https://ircv3.net/specs/extensions/message-tags.html#escaping-values
func unescape(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for ; i >= 0; i = strings.IndexByte(s, '\\') {
		b = append(b, s[:i]...)
		if i+1 == len(s) {
			return string(b)
		}
		c := s[i+1]
		switch c {
		case ':':
			c = ';'
		case 's':
			c = ' '
		case 'r':
			c = '\r'
		case 'n':
			c = '\n'
		}
		b = append(b, c)
		s = s[i+2:]
	}
	return string(append(b, s...))
}
