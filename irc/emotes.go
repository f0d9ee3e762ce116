package irc

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// Emote is one emote in a text.
type Emote struct {
	ID   string
	Name string // the text that stands for it

	Start, End int // where Name is: text[Start:End]
	Rune       int // where Name begins, in characters as Twitch counts
}

// emotes goes over a list like "25:0-4,12-16/1902:6-10", whose positions are
// characters and include the last one. What lies outside of text is left out.
func emotes(list, text string) iter.Seq[Emote] {
	return func(yield func(Emote) bool) {
		at := cursor{text: text}
		for rest := list; rest != ""; { // not by listOf: iterators within iterators allocate
			var item string
			item, rest, _ = strings.Cut(rest, "/")
			id, spans, _ := strings.Cut(item, ":")
			for spans != "" {
				var span string
				span, spans, _ = strings.Cut(spans, ",")
				from, to, _ := strings.Cut(span, "-")
				first, ok1 := number(from)
				last, ok2 := number(to)
				if !ok1 || !ok2 || first > last || last >= len(text) {
					continue
				}
				start, ok1 := at.seek(first)
				end, ok2 := at.seek(last + 1)
				if !ok1 || !ok2 {
					continue
				}
				if !yield(Emote{ID: id, Name: text[start:end], Start: start, End: end, Rune: first}) {
					return
				}
			}
		}
	}
}

// cursor finds the byte at which a character begins. It goes on from the last
// place where it can: emotes come in order, mostly.
type cursor struct {
	text        string
	char, index int
}

// seek returns the index of a character, of which the text must have as many.
func (c *cursor) seek(char int) (index int, ok bool) {
	if char < c.char {
		c.char, c.index = 0, 0
	}
	for c.char < char {
		if c.index == len(c.text) {
			return 0, false
		}
		_, n := utf8.DecodeRuneInString(c.text[c.index:])
		c.index += n
		c.char++
	}
	return c.index, true
}
