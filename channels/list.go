package channels

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxLineErrors is how many bad lines of a file are named.
const maxLineErrors = 50

// ParseList reads the text of a file of channels (the format is described at
// the top of this package); file is its name for messages. The error joins one
// [*LineError] for each bad line, 50 at most.
func ParseList(file string, text []byte) (Set, error) {
	p := listParser{file: file, set: Set{index: map[Name]int{}}}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	for line := range bytes.Lines(text) {
		p.line++
		p.parse(strings.TrimRight(string(line), "\r\n"))
		if len(p.errs) == maxLineErrors {
			break
		}
	}
	if p.errs != nil {
		return Set{}, errors.Join(p.errs...)
	}
	return p.set, nil
}

type listParser struct {
	file string
	line int
	text string // of the line
	set  Set
	errs []error
}

func (p *listParser) fail(at int, what, fix string) {
	p.errs = append(p.errs, &LineError{
		File: p.file, Line: p.line, Column: utf8.RuneCountInString(p.text[:at]) + 1, What: what, Fix: fix,
	})
}

func (p *listParser) parse(line string) {
	p.text = line
	if !utf8.ValidString(line) {
		p.fail(invalidUTF8(line), "not UTF-8", "save the file as UTF-8")
		return
	}
	at, word := field(line, 0)
	switch {
	case word == "" || isComment(word):
		return
	case word[0] == '#':
		if _, next := field(line, at+len(word)); next == "" && !strings.ContainsRune(word, ':') && word[1] != '#' {
			p.fail(at, quote(word)+" looks like a channel and begins a comment", "write "+qualify(word)+", or a blank after the # for a comment")
		}
		return
	}
	name, err := Parse(word)
	if err != nil {
		var ne *NameError
		errors.As(err, &ne)
		p.fail(at+byteOf(word, ne.Position), quote(word)+": "+ne.What, ne.Fix)
		return
	}
	e := Entry{Name: name, Origin: fmt.Sprintf("%s:%d:%d", p.file, p.line, utf8.RuneCountInString(line[:at])+1)}
	if !p.settings(&e.Settings, at+len(word)) {
		return
	}
	if i, ok := p.set.index[name]; ok {
		p.fail(at, fmt.Sprintf("%v: listed twice", name), "remove this line or "+p.set.entries[i].Origin)
		return
	}
	p.set.add(e)
}

func (p *listParser) settings(s *Settings, from int) bool {
	seen := map[string]bool{}
	for {
		at, word := field(p.text, from)
		if word == "" || isComment(word) {
			return true
		}
		from = at + len(word)
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			p.fail(at, quote(word)+": not a setting", "write one channel a line, then settings as in account=bot2")
			return false
		case seen[key]:
			p.fail(at, "setting "+quote(key)+" given twice", "remove one")
			return false
		}
		seen[key] = true
		if what, fix := s.set(key, value); what != "" {
			p.fail(at, what, fix)
			return false
		}
	}
}

// set sets one setting by its name in a file. It returns what is wrong and
// what to do, or two empty strings.
func (s *Settings) set(key, value string) (what, fix string) {
	yes := value == "true"
	isBool := yes || value == "false"
	switch key {
	case "account":
		if value == "" {
			return "account: empty", "name an account, or remove the setting"
		}
		s.Account = value
		return "", ""
	case "cap_exempt":
		s.CapExempt = yes
	case "enabled":
		s.Disabled = !yes
	default:
		return "unknown setting " + quote(key), "use account, cap_exempt or enabled"
	}
	if !isBool {
		return key + ": " + quote(value) + " is neither true nor false", "write " + key + "=true or " + key + "=false"
	}
	return "", ""
}

// isComment reports whether a field begins a comment wherever it stands.
func isComment(word string) bool {
	return word == "#" || word[0] == ';' || strings.HasPrefix(word, "//")
}

// field returns the next run of characters other than blanks and where it begins.
func field(s string, from int) (at int, word string) {
	for from < len(s) && (s[from] == ' ' || s[from] == '\t') {
		from++
	}
	end := from
	for end < len(s) && s[end] != ' ' && s[end] != '\t' {
		end++
	}
	return from, s[from:end]
}

// byteOf returns the index of the character at a position counted from 1.
func byteOf(s string, position int) int {
	for i := range s {
		if position--; position == 0 {
			return i
		}
	}
	return len(s)
}
