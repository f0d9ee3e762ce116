package relay

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/chatshard/chatshard/channels"
)

// checkText returns what is wrong with a text, "" if nothing is. Line breaks
// and tabs are for Discord, the codes of colours and styles for plain IRC.
func checkText(p channels.Platform, text string) string {
	if !utf8.ValidString(text) {
		return fmt.Sprintf("the text is not UTF-8 at byte %d", fitBytes(text, len(text)))
	}
	allowed := ""
	switch p {
	case channels.Discord:
		allowed = "\n\t"
	case channels.IRC: // https://modern.ircdocs.horse/formatting
		allowed = "\x02\x03\x04\x0f\x11\x16\x1d\x1e\x1f"
	}
	for i, r := range text {
		if !unicode.IsControl(r) || strings.ContainsRune(allowed, r) {
			continue
		}
		if r == '\n' || r == '\r' {
			return fmt.Sprintf("a line break at byte %d: send each line by itself", i)
		}
		return fmt.Sprintf("the control character %U at byte %d cannot be sent", r, i)
	}
	if strings.TrimFunc(text, unicode.IsSpace) == "" {
		return "the text is empty"
	}
	return ""
}

// splitText cuts a text into parts of at most so many bytes and characters, 0
// being any number: at the end of a line if one is in the second half of what
// fits, else between words, else between characters as people see them, else
// between code points. White space around a cut is dropped: nothing is left of a
// text that is longer and has nothing else.
func splitText(text string, maxBytes, maxChars int) []string {
	empty := text == ""
	if maxBytes <= 0 {
		maxBytes = len(text)
	}
	maxBytes = max(maxBytes, utf8.UTFMax)
	var parts []string
	for {
		n := fitText(text, maxBytes, maxChars)
		if n == len(text) {
			if empty || text != "" {
				parts = append(parts, text)
			}
			return parts
		}
		n = cutText(text, n)
		if part := strings.TrimRight(text[:n], " \t\n"); part != "" {
			parts = append(parts, part)
		}
		text = strings.TrimLeft(text[n:], " \t\n")
	}
}

// fitText returns how many bytes of s, in whole code points, keep to both bounds.
func fitText(s string, maxBytes, maxChars int) int {
	chars := 0
	for i, r := range s {
		if i+utf8.RuneLen(r) > maxBytes || maxChars > 0 && chars == maxChars {
			return i
		}
		chars++
	}
	return len(s)
}

// fitBytes returns how many bytes of s up to most are whole and valid code points.
func fitBytes(s string, most int) int {
	i := 0
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || i+n > most {
			break
		}
		i += n
	}
	return i
}

// cutText returns where to cut s, of which n bytes fit and more are there.
func cutText(s string, n int) int {
	if i := strings.LastIndexByte(s[:n], '\n'); i > n/2 {
		return i
	}
	if c := s[n]; c == ' ' || c == '\n' || c == '\t' {
		return n
	}
	if i := strings.LastIndexAny(s[:n], " \t\n"); i > 0 && strings.TrimLeft(s[:i], " \t\n") != "" {
		return i
	}
	for at, tries := n, 0; at > 0 && tries < 16; tries++ {
		if !oneGlyph(s, at) {
			return at
		}
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return n
}

// oneGlyph reports whether the code points on both sides of a place are parts of
// what people see as one character: a cheap form of the rules of UAX #29.
func oneGlyph(s string, at int) bool {
	const joiner = '\u200d'
	before, size := utf8.DecodeLastRuneInString(s[:at])
	after, _ := utf8.DecodeRuneInString(s[at:])
	switch {
	case after == joiner, before == joiner, unicode.Is(unicode.M, after),
		after >= 0x1f3fb && after <= 0x1f3ff, // skin
		after >= 0xe0020 && after <= 0xe007f: // flags of regions
		return true
	case isFlag(before) && isFlag(after): // pairs of letters: flags of countries
		pairs := 0
		for rest := s[:at-size]; ; pairs++ {
			r, n := utf8.DecodeLastRuneInString(rest)
			if !isFlag(r) {
				return pairs%2 == 0
			}
			rest = rest[:len(rest)-n]
		}
	}
	return false
}

func isFlag(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }
