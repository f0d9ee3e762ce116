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
	dst = append(dst, key...)
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	return append(dst, '"')
}

// appendRaw appends what was received, or how much it was.
func (e *encoder) appendRaw(dst []byte, raw string) []byte {
	if e.bare {
		return appendNumber(dst, `,"raw_omitted":`, len(raw))
	}
	dst = appendField(dst, `,"raw":`, raw)
	if !utf8.ValidString(raw) {
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
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escape and is not appended yet
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
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
			plain = i + n
		} else if r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
			plain = i + n
		}
		i += n
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}
