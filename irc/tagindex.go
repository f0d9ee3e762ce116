package irc

import "strings"

// TagIndex finds the tags of one message at a time quickly: it is for who looks
// for many of them, or for many that are not there. The zero TagIndex is ready;
// to use it again allocates nothing. It is used by one goroutine at a time.
type TagIndex struct {
	m       Message
	escapes bool // there are escapes among the values
	tags    []indexedTag
	heads   [indexHeads]uint8 // of a chain of tags of one hash, the last first: a place in tags plus 1
}

type indexedTag struct {
	at, eq, end uint16 // raw[at:eq] is the name, raw[eq:end] the value with its '='
	next        uint8  // as in heads
}

const (
	indexHeads = 64
	indexMax   = 128 // tags; a line with more is searched as ever
)

// Of returns a copy of m that finds its tags in the index, until Of or Reset is
// called.
func (ix *TagIndex) Of(m *Message) *Message {
	ix.m = *m
	ix.m.chunk = nil // the memory is m's to release
	ix.tags = ix.tags[:0]
	ix.heads = [indexHeads]uint8{}
	end := int(m.tagsEnd)
	ix.escapes = strings.IndexByte(m.raw[:end], '\\') >= 0
	for at := 1; at < end; {
		tag := m.raw[at:end]
		if i := strings.IndexByte(tag, ';'); i >= 0 {
			tag = tag[:i]
		}
		eq := strings.IndexByte(tag, '=')
		if eq < 0 {
			eq = len(tag)
		}
		if eq > 0 {
			if len(ix.tags) == indexMax {
				return &ix.m
			}
			head := &ix.heads[tagHash(tag[:eq])]
			ix.tags = append(ix.tags, indexedTag{uint16(at), uint16(at + eq), uint16(at + len(tag)), *head})
			*head = uint8(len(ix.tags))
		}
		at += len(tag) + 1
	}
	ix.m.index = ix
	return &ix.m
}

// Reset forgets the message, so that its memory is not kept.
func (ix *TagIndex) Reset() { ix.m = Message{} }

// find is rawTag. Name is not empty.
func (ix *TagIndex) find(name string) (value string, ok bool) {
	for n := ix.heads[tagHash(name)]; n > 0; {
		t := &ix.tags[n-1]
		if ix.m.raw[t.at:t.eq] == name {
			return strings.TrimPrefix(ix.m.raw[t.eq:t.end], "="), true
		}
		n = t.next
	}
	return "", false
}

// tagHash tells apart what Twitch sends with a message, but for a few.
func tagHash(name string) uint8 {
	return (name[0]*7 + name[len(name)-1] + name[len(name)/2]*3 + uint8(len(name))*11) % indexHeads
}
