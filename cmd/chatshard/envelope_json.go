package main

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// appendField appends a key and a string, unless that is empty.
func appendField(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, key...), value)
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
		if len(s)-i >= 8 {
			i += plainPrefix(s[i:])
		}
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

// plainPrefix returns how many bytes s begins with, in eights, none of which
// needs an escape or is part of a rune of several bytes. They may be more.
func plainPrefix(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		control := w - ' '*ones // borrows where a byte is less
		quote, slash := w^'"'*ones, w^'\\'*ones
		if (w|control|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0 {
			break
		}
	}
	return i
}
