package irc

import (
	"strings"
	"unicode/utf8"
)

// SplitText cuts text into pieces of at most limit bytes: at the end of a line,
// else between words, else between characters. Spaces around a cut are dropped,
// empty pieces too. A limit below 4 is taken
// as 4, the longest character.
func SplitText(text string, limit int) []string { return splitText(text, limit, 0) }

// Split cuts text into pieces that [Encoder.AppendPrivMsg] takes for this
// target, and that the line still holds once the server has put a source of
// ordinary length before it.
func (e Encoder) Split(target, text string) []string {
	const source = 100 // ":nick!user@host "
	room := e.lineLen() - len("PRIVMSG  :\r\n") - len(target) - source
	return splitText(text, room, e.TextLen)
}

// splitText is SplitText with a bound in characters as well, unless that is 0.
func splitText(text string, maxBytes, maxChars int) []string {
	maxBytes = max(maxBytes, utf8.UTFMax)
	var pieces []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' || r == 0 }) {
		for line = strings.Trim(line, " "); line != ""; {
			n := fit(line, maxBytes, maxChars)
			piece := line[:n]
			if n < len(line) && line[n] != ' ' {
				if i := strings.LastIndexByte(piece, ' '); i > 0 {
					piece = piece[:i]
				}
			}
			line = strings.TrimLeft(line[len(piece):], " ")
			pieces = append(pieces, strings.TrimRight(piece, " "))
		}
	}
	return pieces
}

// fit returns how many bytes of s, in whole characters, keep to both bounds.
func fit(s string, maxBytes, maxChars int) int {
	at := 0
	for chars := 0; at < len(s) && (maxChars <= 0 || chars < maxChars); chars++ {
		_, n := utf8.DecodeRuneInString(s[at:])
		if at+n > maxBytes {
			break
		}
		at += n
	}
	return at
}
