package discord

import (
	"encoding/binary"
	"math/bits"
)

// searchBack is search from the end of the object that b is. It finds the same,
// whatever the order, and sooner where Discord has it its way: guild_id and
// channel_id stand at the end of most events, behind the author, the embeds and
// what was answered. It reports false if b is no object, or not only one.
func searchBack(b []byte, want fields) (w within, ok bool) {
	i := len(b) - 1
	for i > 0 && b[i] <= ' ' {
		i--
	}
	if i <= 0 || b[i] != '}' || b[0] != '{' {
		return w, false
	}
	if i = spaceBack(b, i-1); i == 0 {
		return w, true // nothing in it
	}
	for {
		end := i + 1
		start := skipBack(b, i)
		if start < 1 {
			return w, false
		}
		if i = spaceBack(b, start-1); b[i] != ':' || i < 1 {
			return w, false
		}
		if i = spaceBack(b, i-1); b[i] != '"' {
			return w, false
		}
		at := stringStart(b, i)
		if at < 1 {
			return w, false
		}
		switch key := b[at+1 : i]; len(key) {
		case len("id"):
			if key[0] == 'i' && key[1] == 'd' {
				w.id, want = scalar(b[start:end]), want&^fieldID
			}
		case len("guild_id"):
			if string(key) == "guild_id" {
				w.guild, want = scalar(b[start:end]), want&^fieldGuild
			}
		case len("channel_id"):
			if string(key) == "channel_id" {
				w.channel, want = scalar(b[start:end]), want&^fieldChannel
			}
		}
		if want == 0 {
			return w, true
		}
		if i = spaceBack(b, at-1); b[i] != ',' || i < 1 {
			return w, i == 0 && b[0] == '{'
		}
		i = spaceBack(b, i-1)
	}
}

// spaceBack returns the position of the last byte at or before i that is no space, at least 0.
func spaceBack(b []byte, i int) int {
	for i > 0 && b[i] <= ' ' {
		i--
	}
	return max(i, 0)
}

// skipBack returns where the value begins that ends with the byte at i, -1 if it
// does not begin.
func skipBack(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringStart(b, i)
	case '}', ']':
	default:
		for i > 0 && b[i-1] != ':' && b[i-1] != ',' && b[i-1] > ' ' {
			i--
		}
		return i
	}
	depth := 0
	for i >= 0 {
		switch class[b[i]] {
		case 0:
			i--
		case 1:
			if depth--; depth == 0 {
				return i
			}
			i--
		case 2:
			depth++
			i--
		default:
			if i >= 9 {
				// Most strings are short, and without a backslash.
				if m := quotes(binary.LittleEndian.Uint64(b[i-8:])); m != 0 {
					if j := i - 8 + (63-bits.LeadingZeros64(m))>>3; b[j-1] != '\\' {
						i = j - 1
						continue
					}
				}
			}
			i = stringStart(b, i) - 1
		}
	}
	return -1
}

const lows = 0x7f7f7f7f7f7f7f7f

// quotes has the highest bit set of each byte of x that is a quote.
func quotes(x uint64) uint64 {
	x ^= ones * '"'
	return ^((x&lows + lows) | x | lows)
}

// stringStart returns the position of the quote that begins the string which
// ends with the quote at i, -1 if there is none. A quote within a string stands
// behind an odd number of backslashes.
func stringStart(b []byte, i int) int {
	for {
		if i = quoteBack(b, i); i < 0 {
			return -1
		}
		k := i
		for k > 0 && b[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			return i
		}
	}
}

// quoteBack returns the position of the last quote before i, -1 if there is none.
func quoteBack(b []byte, i int) int {
	for ; i >= 8; i -= 8 {
		if m := quotes(binary.LittleEndian.Uint64(b[i-8:])); m != 0 {
			return i - 8 + (63-bits.LeadingZeros64(m))>>3
		}
	}
	for i--; i >= 0 && b[i] != '"'; i-- {
	}
	return i
}
