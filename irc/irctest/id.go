package irctest

import (
	"encoding/binary"
	"encoding/hex"
)

// idMint makes message ids that look like the service's UUIDs and from which
// the server reads channel and serial back, so that a judge needs no table of
// ids. Safe for concurrent use: it never changes.
type idMint struct{ seed uint64 }

func (m idMint) masks(serial uint64) (ch uint32, ser uint64) {
	x := mix(m.seed)
	return uint32(x) ^ uint32(mix(m.seed^serial)), (x >> 16) & (1<<48 - 1)
}

func (m idMint) check(ch uint32, serial uint64) uint32 {
	return uint32(mix(m.seed ^ serial ^ uint64(ch)<<40))
}

// append appends the id of a channel's message as 36 characters.
func (m idMint) append(dst []byte, ch uint32, serial uint64) []byte {
	var b [16]byte
	mc, ms := m.masks(serial)
	sum := m.check(ch, serial)
	binary.BigEndian.PutUint32(b[0:], ch^mc)
	binary.BigEndian.PutUint16(b[4:], uint16(sum))
	binary.BigEndian.PutUint16(b[6:], 0x4000|uint16(sum>>16)&0x0fff)
	binary.BigEndian.PutUint64(b[8:], (serial^ms)&(1<<48-1))
	binary.BigEndian.PutUint16(b[8:], 0x8000|uint16(sum>>4)&0x3fff)
	dst = hex.AppendEncode(dst, b[0:4])
	dst = hex.AppendEncode(append(dst, '-'), b[4:6])
	dst = hex.AppendEncode(append(dst, '-'), b[6:8])
	dst = hex.AppendEncode(append(dst, '-'), b[8:10])
	return hex.AppendEncode(append(dst, '-'), b[10:16])
}

// parse is the inverse of append; ok is false for ids of another origin.
func (m idMint) parse(id string) (ch uint32, serial uint64, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0, 0, false
	}
	var hi, sum, ser uint64
	if hi, ok = unhex(id[0:8]); !ok {
		return 0, 0, false
	}
	if sum, ok = unhex(id[9:13]); !ok {
		return 0, 0, false
	}
	if ser, ok = unhex(id[24:36]); !ok {
		return 0, 0, false
	}
	_, ms := m.masks(0)
	serial = ser ^ ms
	mc, _ := m.masks(serial)
	ch = uint32(hi) ^ mc
	return ch, serial, uint16(m.check(ch, serial)) == uint16(sum)
}

func unhex(s string) (uint64, bool) {
	var v uint64
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, true
}

// mix is the finalizer of splitmix64: a cheap bijection that spreads bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
