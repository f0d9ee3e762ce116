package irc

import (
	"math/bits"
	"strings"
)

// A tag is looked for by its separator and its first letter, 64 bytes at a time
// with plain 64-bit arithmetic. Twitch sends some seventeen short tags with
// every message: to walk from one to the next takes three times as long.

const block = 64

const (
	lowBits  = 0x0101010101010101
	highBits = 0x80 * lowBits
)

// findTag returns where in s, which is '@' and tags, the last tag called name
// begins, or -1. More is what follows the tags: bytes that may be read but not
// found. Name is not empty. It looks from the end: the last tag is the one that
// counts, and what is asked for with every message stands behind the middle.
func findTag(s string, end int, name string) int {
	found := -1
	if len(s) <= block {
		for i := end; found < 0 && i > 0; {
			if i = strings.LastIndexByte(s[:i], ';'); i > 0 && tagAt(s[:end], i+1, name) {
				found = i + 1
			}
		}
	} else {
		first := uint64(name[0]) * lowBits
		for base := end; found < 0 && base > 0; {
			// The first block may reach beyond the tags, the last one overlap the
			// one before: to find a tag twice does no harm.
			base = min(max(base-block, 0), len(s)-block-1)
			for hits := pairs(s[base:], ';'*lowBits, first); hits != 0; hits &= hits - 1 {
				i := bits.TrailingZeros64(hits)
				p := base + i&7<<3 + i>>3 + 1
				if p > found && p < end && s[p-1] == ';' && tagAt(s[:end], p, name) {
					found = p
				}
			}
		}
	}
	if found < 0 && tagAt(s[:end], 1, name) {
		return 1
	}
	return found
}

// tagAt reports whether a tag called name begins at s[i].
func tagAt(s string, i int, name string) bool {
	s = s[i:]
	return strings.HasPrefix(s, name) && (len(s) == len(name) || s[len(name)] == '=' || s[len(name)] == ';')
}

// pairs returns where in the first 64 bytes of s the byte of a stands, and that
// of b behind it: bit 8*j+k is for s[8*k+j]. A bit may also be set by mistake
// if the one for the byte before is set rightly. S has 65 bytes, and a and b
// are 8 times the same byte.
func pairs(s string, a, b uint64) uint64 {
	s = s[:block+1]
	return zeros(load(s)^a|load(s[1:])^b)>>7 |
		zeros(load(s[8:])^a|load(s[9:])^b)>>6 |
		zeros(load(s[16:])^a|load(s[17:])^b)>>5 |
		zeros(load(s[24:])^a|load(s[25:])^b)>>4 |
		zeros(load(s[32:])^a|load(s[33:])^b)>>3 |
		zeros(load(s[40:])^a|load(s[41:])^b)>>2 |
		zeros(load(s[48:])^a|load(s[49:])^b)>>1 |
		zeros(load(s[56:])^a|load(s[57:])^b)
}

// zeros sets the top bit of each byte of w that is 0. The byte above such a one
// may get it wrongly.
func zeros(w uint64) uint64 { return (w - lowBits) &^ w & highBits }

// load returns the first 8 bytes of s, the first of them lowest.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
