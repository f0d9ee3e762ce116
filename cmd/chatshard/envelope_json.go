package main

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// appendField appends a key and a string, unless that is empty.
func appendField(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, key...), value)
}

// places returns where the values of what was written last are that filters ask
// for; nil if that is not known of all.
func (e *encoder) places() *relay.Meta {
	if !e.noted {
		return nil
	}
	return &e.meta
}

// note notes where the value of a field is, without quotes.
func (e *encoder) note(f relay.Field, at, end int, escaped bool) {
	e.meta.Note(f, at-e.start, end-e.start, escaped)
}

// noteString is appendString of the value of a field.
func (e *encoder) noteString(dst []byte, f relay.Field, value string) []byte {
	at := len(dst) + len(`"`)
	dst = appendString(dst, value)
	end := len(dst) - len(`"`)
	e.note(f, at, end, end-at != len(value) && bytes.IndexByte(dst[at:end], '\\') >= 0)
	return dst
}

// appendNoted is appendField of the value of a field.
func (e *encoder) appendNoted(dst []byte, f relay.Field, key, value string) []byte {
	if value == "" {
		return dst
	}
	return e.noteString(append(dst, key...), f, value)
}

// appendNumber appends a key and a number, unless that is 0.
func appendNumber(dst []byte, key string, n int) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), int64(n), 10)
}

// Times have four digits of a year.
const minTime, maxTime = -62135596800, 253402300799

// appendTime appends a key and a time, unless that is zero or none that can be
// written.
func appendTime(dst []byte, key string, t time.Time) []byte {
	if t.IsZero() || t.Unix() < minTime || t.Unix() > maxTime {
		return dst
	}
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	const zero = `"0000-00-00T00:00:00.000Z"`
	var text [len(zero)]byte
	copy(text[:], zero)
	digits(text[1:5], year)
	digits(text[6:8], int(month))
	digits(text[9:11], day)
	digits(text[12:14], hour)
	digits(text[15:17], minute)
	digits(text[18:20], second)
	digits(text[21:24], t.Nanosecond()/int(time.Millisecond))
	return append(append(dst, key...), text[:]...)
}

// digits writes a number that is not too large for dst.
func digits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
}

// appendRaw appends what was received, or how much it was.
func (e *encoder) appendRaw(dst []byte, raw string) []byte {
	if e.bare {
		return appendNumber(dst, `,"raw_omitted":`, len(raw))
	}
	if raw == "" {
		return dst
	}
	dst, valid := appendText(append(dst, `,"raw":`...), raw)
	if !valid {
		dst = append(dst, `,"raw_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(raw))
		dst = append(dst, '"')
	}
	return dst
}

// appendString appends s as a JSON string (RFC 8259 §7). Bytes that are not
// UTF-8 become U+FFFD; U+2028 and U+2029 are escaped, for readers that take
// them for ends of a line.
func appendString(dst []byte, s string) []byte {
	dst, _ = appendText(dst, s)
	return dst
}

// appendText is appendString; it also reports whether s is UTF-8.
func appendText(dst []byte, s string) (out []byte, valid bool) {
	const hexDigits = "0123456789abcdef"
	dst, valid = append(dst, '"'), true
	plain := 0 // s[plain:i] needs no escape and is not appended yet
	for i := 0; i < len(s); {
		i += plainPrefix(s[i:])
		for i < len(s) && isPlain[s[i]] {
			i++
		}
		if i == len(s) {
			break
		}
		if c := s[i]; c < utf8.RuneSelf {
			dst = append(dst, s[plain:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			plain = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, "\ufffd"...)
			plain, valid = i+n, false
		} else if r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
			plain = i + n
		}
		i += n
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"'), valid
}

// isPlain says which bytes are characters that need no escape.
var isPlain = func() (is [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// plainPrefix returns how many bytes s begins with none of which needs an escape
// or is part of a rune of several bytes. It looks at eight at a time, and stops
// before eight among which there is one, or in a string that is shorter: there
// may be more.
func plainPrefix(s string) int {
	if len(s) < 8 {
		return 0
	}
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if special(eight(s[i:])) != 0 {
			return i
		}
	}
	if i < len(s) && special(eight(s[len(s)-8:])) != 0 {
		return i
	}
	return len(s)
}

// eight returns the first eight bytes of s.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// special returns 0 if none of eight bytes needs an escape or is part of a rune
// of several bytes.
func special(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	control := w - ' '*ones // borrows where a byte is less
	quote, slash := w^'"'*ones, w^'\\'*ones
	return (w | control | (quote-ones)&^quote | (slash-ones)&^slash) & tops
}
