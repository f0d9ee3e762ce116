package discordtest

import "encoding/binary"

// WebSocket opcodes (RFC 6455, section 11.8).
const (
	wsText   = 1
	wsBinary = 2
	wsClose  = 8
	wsPong   = 10
)

// appendFrame appends a final, unmasked frame, as a server sends it.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// closeFrame is a close frame with a code.
func closeFrame(code int) []byte {
	text := closeText[code]
	return appendFrame(nil, wsClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), text...))
}

// appendFragments appends a message in two frames.
func appendFragments(b []byte, op byte, one, two []byte) []byte {
	first := len(b)
	b = appendFrame(b, op, one)
	b[first] &^= 0x80 // not final
	return appendFrame(b, 0, two)
}
