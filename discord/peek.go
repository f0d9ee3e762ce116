package discord

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// peeked is what was found at the top of a payload. What d holds is only
// located: it may be megabytes.
type peeked struct {
	op   int
	seq  uint64 // 0 for null
	typ  []byte // without quotes; nil for null
	d    int    // where d begins; 0: there is none
	last bool   // d comes behind the others
}

var (
	errJSON  = fmt.Errorf("%w: payload is no JSON object", ErrProtocol)
	errShort = fmt.Errorf("%w: payload ends too early", ErrProtocol)
)

// peek finds op, s, t and d, in whatever order they stand. Once the other three
// are known and d begins, the rest is not looked at.
func peek(b []byte) (peeked, error) {
	if p, ok := glance(b); ok {
		return p, nil
	}
	p := peeked{op: -1}
	var have int
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return p, errJSON
	}
	i++
	for {
		i = space(b, i)
		if i >= len(b) {
			return p, errShort
		}
		if b[i] == '}' {
			break
		}
		if b[i] == ',' {
			i++
			continue
		}
		key, at, err := member(b, i)
		if err != nil {
			return p, err
		}
		i = at
		switch string(key) {
		case "op":
			n, end, ok := number(b, i)
			if !ok || n > 1000 {
				return p, fmt.Errorf("%w: op is no number", ErrProtocol)
			}
			p.op, i = int(n), end
			have |= 1
		case "s":
			if n, end, ok := number(b, i); ok {
				p.seq, i = n, end
			} else if i = skip(b, i); i < 0 {
				return p, errShort
			}
			have |= 2
		case "t":
			if b[i] == '"' {
				end := stringEnd(b, i)
				if end < 0 {
					return p, errShort
				}
				p.typ, i = b[i+1:end-1], end
			} else if i = skip(b, i); i < 0 {
				return p, errShort
			}
			have |= 4
		case "d":
			p.d = i
			if have == 7 {
				p.last = true
				return p, nil
			}
			if i = skip(b, i); i < 0 {
				return p, errShort
			}
		default:
			if i = skip(b, i); i < 0 {
				return p, errShort
			}
		}
	}
	if p.op < 0 {
		return p, fmt.Errorf("%w: payload without op", ErrProtocol)
	}
	return p, nil
}

// glance is peek for a dispatch that is written as Discord writes it: t, s, op, d
// without a space. It reports false for anything else.
func glance(b []byte) (p peeked, ok bool) {
	const t, s, d = `{"t":"`, `","s":`, `,"op":0,"d":`
	if len(b) < len(t) || string(b[:len(t)]) != t {
		return p, false
	}
	i := quote(b, len(t))
	if i < 0 || len(b)-i < len(s) || string(b[i:i+len(s)]) != s || b[i-1] == '\\' {
		return p, false
	}
	p.typ = b[len(t):i]
	i += len(s)
	from := i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		p.seq = p.seq*10 + uint64(b[i]-'0')
	}
	if i == from || i-from > 18 || len(b)-i <= len(d) || string(b[i:i+len(d)]) != d {
		return p, false
	}
	p.d, p.last = i+len(d), true
	return p, b[p.d] > ' '
}

// fields are those that search looks for.
type fields uint8

const (
	fieldGuild   fields = 1 << iota // guild_id
	fieldChannel                    // channel_id
	fieldID                         // id
	fieldsAll    = fieldGuild | fieldChannel | fieldID
)

// within is what was found in the object d.
type within struct{ guild, channel, id []byte }

// search finds fields of the object that begins at i, in whatever order they
// stand, and stops when it has all that are wanted. It reports false if there is
// no object or it ends too early.
func search(b []byte, i int, want fields) (w within, ok bool) {
	if i >= len(b) || b[i] != '{' {
		return w, false
	}
	i++
	for {
		for i < len(b) && (b[i] == ',' || b[i] <= ' ') {
			i++
		}
		if i >= len(b) {
			return w, false
		}
		if b[i] == '}' {
			return w, true
		}
		key, at, err := member(b, i)
		if err != nil {
			return w, false
		}
		i = at
		var into *[]byte
		switch len(key) {
		case len("id"):
			if key[0] == 'i' && key[1] == 'd' {
				into, want = &w.id, want&^fieldID
			}
		case len("guild_id"):
			if string(key) == "guild_id" {
				into, want = &w.guild, want&^fieldGuild
			}
		case len("channel_id"):
			if string(key) == "channel_id" {
				into, want = &w.channel, want&^fieldChannel
			}
		}
		if into == nil {
			if i = skip(b, i); i < 0 {
				return w, false
			}
			continue
		}
		end := skip(b, i)
		if end < 0 {
			return w, false
		}
		*into = scalar(b[i:end])
		i = end
		if want == 0 {
			return w, true
		}
	}
}

// scalar returns a string without its quotes or a number; nil for anything else.
func scalar(v []byte) []byte {
	switch {
	case len(v) >= 2 && v[0] == '"':
		return v[1 : len(v)-1]
	case len(v) > 0 && v[0] >= '0' && v[0] <= '9':
		return v
	}
	return nil
}

// member returns the key that begins at i and where its value begins.
func member(b []byte, i int) (key []byte, at int, err error) {
	if b[i] != '"' {
		return nil, 0, errJSON
	}
	end := stringEnd(b, i)
	if end < 0 {
		return nil, 0, errShort
	}
	key = b[i+1 : end-1]
	if end < len(b) && b[end] == ':' {
		at = end + 1
	} else if at = space(b, end); at >= len(b) || b[at] != ':' {
		return nil, 0, errJSON
	} else {
		at++
	}
	if at < len(b) && b[at] > ' ' {
		return key, at, nil
	}
	if at = space(b, at); at >= len(b) {
		return nil, 0, errShort
	}
	return key, at, nil
}

func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// number returns the unsigned number at i and where it ends.
func number(b []byte, i int) (n uint64, end int, ok bool) {
	for end = i; end < len(b) && b[end] >= '0' && b[end] <= '9'; end++ {
		hi, lo := bits.Mul64(n, 10)
		sum, carry := bits.Add64(lo, uint64(b[end]-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, 0, false
		}
		n = sum
	}
	return n, end, end > i
}

// stringEnd returns the position after the string that begins with the quote
// at i, -1 if it does not end.
func stringEnd(b []byte, i int) int {
	for j := i + 1; ; {
		n := quote(b, j)
		if n < 0 {
			return -1
		}
		j = n
		// A quote after an odd number of backslashes belongs to the string.
		k := j
		for b[k-1] == '\\' {
			k--
		}
		if (j-k)%2 == 0 {
			return j + 1
		}
		j++
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// quote returns the position of the first quote at or after i, -1 if there is
// none. Most strings are short: calling bytes.IndexByte costs more than they do.
func quote(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ ones*'"'
		if m := (x - ones) &^ x & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	if n := bytes.IndexByte(b[min(i, len(b)):], '"'); n >= 0 {
		return i + n
	}
	return -1
}

// skip returns the position after the value that begins at i, -1 if it does not
// end. Brackets are counted and not matched: the payload comes from the
// service, and what is not JSON is found out when it is decoded.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
	default:
		for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
			i++
		}
		return i
	}
	depth := 0
	for i < len(b) {
		switch class[b[i]] {
		case 0:
			i++
		case 1:
			depth++
			i++
		case 2:
			i++
			if depth--; depth == 0 {
				return i
			}
		default:
			if i = stringEnd(b, i); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// class says what a byte outside of a string means for the depth.
var class = [256]uint8{'{': 1, '[': 1, '}': 2, ']': 2, '"': 3}

// find returns where the value of a field of the object b begins, -1 if there
// is no such field.
func find(b []byte, name string) int {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	for i++; i < len(b) && b[i] != '}'; {
		if b[i] == ',' || b[i] <= ' ' {
			i++
			continue
		}
		key, at, err := member(b, i)
		if err != nil {
			return -1
		}
		if string(key) == name {
			return at
		}
		if i = skip(b, at); i < 0 {
			return -1
		}
	}
	return -1
}

// isTrue reports whether a field of the object b is true.
func isTrue(b []byte, name string) bool {
	i := find(b, name)
	return i >= 0 && b[i] == 't'
}

// timeOf returns the time that a field of the object b is, zero if it is none.
func timeOf(b []byte, name string) time.Time {
	i := find(b, name)
	if i < 0 {
		return time.Time{}
	}
	end := skip(b, i)
	if end < 0 {
		return time.Time{}
	}
	t, _ := time.Parse(time.RFC3339, string(scalar(b[i:end]))) // the zero Time if it is none
	return t
}
