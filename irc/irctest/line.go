package irctest

import "strings"

// maxClientLine bounds a line from a client, tags included (4,094 bytes of
// client tags and 512 of the rest by the IRCv3 specification, with room).
const maxClientLine = 8192

// clientLine is one parsed line from a client. Its strings share the memory of
// the line.
type clientLine struct {
	tags   string // as received, without the @
	verb   string // upper case
	params []string
}

// parseLine parses one line without its CR LF, as a lenient server does. ok is
// false if there is no command in it. It reads what a stranger sent: it never
// panics and keeps at most 15 parameters (RFC 1459 §2.3).
func parseLine(s string) (l clientLine, ok bool) {
	if strings.HasPrefix(s, "@") {
		l.tags, s, _ = strings.Cut(s[1:], " ")
	}
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, ":") { // a client has no business to name a source
		_, s, _ = strings.Cut(s, " ")
		s = strings.TrimLeft(s, " ")
	}
	verb, rest, _ := strings.Cut(s, " ")
	if verb == "" || verb[0] == '@' || verb[0] == ':' {
		return clientLine{}, false
	}
	l.verb = strings.ToUpper(verb)
	for {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			return l, true
		}
		if rest[0] == ':' || len(l.params) == 14 {
			l.params = append(l.params, strings.TrimPrefix(rest, ":"))
			return l, true
		}
		var p string
		p, rest, _ = strings.Cut(rest, " ")
		l.params = append(l.params, p)
	}
}

// String prints the line so that parsing it gives the same line.
func (l clientLine) String() string {
	var b strings.Builder
	if l.tags != "" {
		b.WriteString("@" + l.tags + " ")
	}
	b.WriteString(l.verb)
	for i, p := range l.params {
		b.WriteByte(' ')
		if i == len(l.params)-1 {
			b.WriteByte(':')
		}
		b.WriteString(p)
	}
	return b.String()
}

// param returns parameter i or "".
func (l clientLine) param(i int) string {
	if i >= 0 && i < len(l.params) {
		return l.params[i]
	}
	return ""
}

// tag returns the raw value of a client tag, without its + if it has one.
func (l clientLine) tag(key string) string {
	for rest := l.tags; rest != ""; {
		var kv string
		kv, rest, _ = strings.Cut(rest, ";")
		if k, v, _ := strings.Cut(strings.TrimPrefix(kv, "+"), "="); k == key {
			return v
		}
	}
	return ""
}

var tagEscaper = strings.NewReplacer(";", `\:`, " ", `\s`, `\`, `\\`, "\r", `\r`, "\n", `\n`)

// escapeTag writes a tag's value as IRCv3 message tags ask for it.
func escapeTag(s string) string { return tagEscaper.Replace(s) }
