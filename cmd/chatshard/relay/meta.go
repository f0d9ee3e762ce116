package relay

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"time"
)

// Field is one of the things that filters ask of an envelope.
type Field uint8

const (
	FieldID Field = iota
	FieldReceived
	FieldPlatform
	FieldNetwork
	FieldAccount
	FieldKind
	FieldText
	FieldFlags // the array with its brackets
	FieldChannelID
	FieldChannelName
	FieldUserID
	FieldUserLogin
	fields
)

type span struct{ at, n uint32 }

// Meta says where in an envelope the values are that filters ask for. It has no
// pointers: a ring full of it costs the garbage collector nothing.
type Meta struct {
	spans   [fields]span
	escaped uint16 // a bit for each field that has an escape of JSON in it
}

// Note says where in a body the value of a field is, without its quotes, and of
// [FieldFlags] with the brackets; escaped, whether there is an escape of JSON in
// it. Who notes one field notes all that the envelope has, as Find finds them.
func (m *Meta) Note(f Field, at, end int, escaped bool) {
	m.spans[f] = span{uint32(at), uint32(end - at)}
	if escaped {
		m.escaped |= 1 << f
	}
}

// within reports whether all places are in a body of n bytes, before its last brace.
func (m *Meta) within(n int) bool {
	for _, s := range m.spans {
		if uint64(s.at)+uint64(s.n) >= uint64(n) {
			return false
		}
	}
	return true
}

// Find finds the fields of an envelope, which is at line[0:]. It reads as far
// as "raw", which encoders write last, and believes nothing: of what is not
// JSON it finds what comes before that.
func (m *Meta) Find(line []byte) {
	*m = Meta{}
	if len(line) > 0 && line[0] == '{' {
		m.object(line, 1, inTop)
	}
}

type where uint8

const (
	inTop where = iota
	inChannel
	inUser
)

// object reads the members of an object whose brace is before b[i], and returns
// the place behind it, or len(b).
func (m *Meta) object(b []byte, i int, in where) int {
	for i < len(b) {
		switch b[i] {
		case '}':
			return i + 1
		case ',', ' ':
			i++
			continue
		case '"':
		default:
			return len(b)
		}
		end, _ := stringEnd(b, i+1)
		if end >= len(b) {
			return len(b)
		}
		key := b[i+1 : end]
		i = end + 1
		for i < len(b) && (b[i] == ':' || b[i] == ' ') {
			i++
		}
		if i >= len(b) {
			return len(b)
		}
		f := fields
		switch in {
		case inTop:
			switch string(key) {
			case "id":
				f = FieldID
			case "received":
				f = FieldReceived
			case "platform":
				f = FieldPlatform
			case "network":
				f = FieldNetwork
			case "account":
				f = FieldAccount
			case "kind":
				f = FieldKind
			case "text":
				f = FieldText
			case "flags":
				f = FieldFlags
			case "channel":
				if b[i] == '{' {
					i = m.object(b, i+1, inChannel)
					continue
				}
			case "user":
				if b[i] == '{' {
					i = m.object(b, i+1, inUser)
					continue
				}
			case "raw":
				return len(b)
			}
		case inChannel:
			switch string(key) {
			case "id":
				f = FieldChannelID
			case "name":
				f = FieldChannelName
			}
		case inUser:
			switch string(key) {
			case "id":
				f = FieldUserID
			case "login":
				f = FieldUserLogin
			}
		}
		start := i
		if b[i] == '"' {
			var escaped bool
			end, escaped = stringEnd(b, i+1)
			if end >= len(b) {
				return len(b)
			}
			if f < fields && f != FieldFlags {
				m.spans[f] = span{uint32(i + 1), uint32(end - i - 1)}
				if escaped {
					m.escaped |= 1 << f
				}
			}
			i = end + 1
			continue
		}
		i = skipValue(b, i)
		if f == FieldFlags && b[start] == '[' && i <= len(b) {
			m.spans[f] = span{uint32(start), uint32(i - start)}
		}
	}
	return i
}

// stringEnd returns the place of the quote that ends the string whose first
// byte is b[i], or len(b). It looks at eight bytes at a time: most of the time
// that an entry takes here goes by in it.
func stringEnd(b []byte, i int) (end int, escaped bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for {
		for ; i+8 <= len(b); i += 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			quote, slash := x^('"'*ones), x^('\\'*ones)
			// The lowest bit is that of the first of them; higher ones may lie.
			if found := ((quote-ones)&^quote | (slash-ones)&^slash) & highs; found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i >= len(b) {
			return len(b), escaped
		}
		if b[i] == '"' {
			return i, escaped
		}
		escaped = true
		i += 2
	}
}

// skipValue returns the place behind a value that is no string.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i, _ = stringEnd(b, i+1)
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of the object around a number
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

// shift moves all places, for a line in which n bytes were put before them.
func (m *Meta) shift(n uint32) {
	for i := range m.spans {
		m.spans[i].at += n
	}
}

// raw returns a field as it stands in the line.
func (m *Meta) raw(line []byte, f Field) []byte {
	s := m.spans[f]
	return line[s.at : s.at+s.n]
}

// value returns a field. What has escapes is decoded into scratch.
func (m *Meta) value(line []byte, f Field, scratch *[]byte) []byte {
	s := m.spans[f]
	if m.escaped&(1<<f) == 0 {
		return line[s.at : s.at+s.n]
	}
	var text string // rare: a quote, a backslash or a control character
	if json.Unmarshal(line[s.at-1:s.at+s.n+1], &text) != nil {
		return line[s.at : s.at+s.n]
	}
	*scratch = append((*scratch)[:0], text...)
	return *scratch
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func (m *Meta) time(line []byte) time.Time {
	t, _ := time.Parse(timeFormat, string(m.raw(line, FieldReceived)))
	return t
}

// channelHash is the same for all entries of one channel, in every process.
func (m *Meta) channelHash(line []byte) uint64 {
	h := hashBytes(hashStart, m.raw(line, FieldPlatform))
	h = hashBytes(h, m.raw(line, FieldNetwork))
	if id := m.raw(line, FieldChannelID); len(id) > 0 {
		return hashBytes(h, id)
	}
	return hashBytes(h, m.raw(line, FieldChannelName))
}

// FNV-1a, with a byte between parts.
const hashStart = 14695981039346656037

func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return (h ^ 0xff) * 1099511628211
}

// hashMix spreads what FNV leaves in the low bits (the end of MurmurHash3).
func hashMix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
