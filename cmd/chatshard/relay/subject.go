package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// Parts is how many parts the channels of a log are spread over. It is part of
// every subject that was ever stored, and so never changes.
const Parts = 64

const (
	defaultStream = "EV"
	subjectRoot   = "ev"
	maxToken      = 120 // bytes; a longer one is hashed: a subject over 4 KB ends the connection
	emptyToken    = "="
	hashedToken   = "=h"
	tokenAlphabet = "0123456789ABCDEF"
)

// Name returns the name under which NATS keeps entries of the subject:
//
//	ev.PLATFORM.NETWORK-OR-ACCOUNT.PART.KIND.CHANNEL
//
// with each of them as [SubjectToken] writes it, and the part of the channel as
// [Part] counts it. NATS consumers filter by it: "ev.twitch.*.*.message.*". What
// is a wildcard in a name is none in a subject.
func (s Subject) Name() string {
	owner := s.Network
	if owner == "" {
		owner = s.Account
	}
	b := make([]byte, 0, 96)
	b = append(b, subjectRoot+"."...)
	b = append(appendToken(b, s.Platform), '.')
	b = append(appendToken(b, owner), '.')
	b = append(strconv.AppendInt(b, int64(Part(s.Channel)), 10), '.')
	b = append(appendToken(b, s.Kind), '.')
	return string(appendToken(b, s.Channel))
}

// SubjectToken returns s as one token of a subject and of a key: ASCII letters in
// lower case, digits, "-" and "_" as they are, every other byte as =XX. What
// is longer than 120 bytes then is =h and a hash, and nothing at all is =.
//
// Only ASCII is folded. Where a network folds more, the caller has done so.
func SubjectToken(s string) string { return string(appendToken(nil, s)) }

func appendToken(b []byte, s string) []byte {
	if s == "" {
		return append(b, emptyToken...)
	}
	start := len(b)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			b = append(b, c)
		default:
			b = append(b, '=', tokenAlphabet[c>>4], tokenAlphabet[c&15])
		}
		if len(b)-start > maxToken {
			sum := sha256.Sum256([]byte(foldedASCII(s)))
			return hex.AppendEncode(append(b[:start], hashedToken...), sum[:16])
		}
	}
	return b
}

// Part returns the part of a channel, in [0, Parts). All that happens in a
// channel has the same one, whichever connection carries it, so that consumers
// can share the channels among them.
func Part(channel string) int {
	h := fnv.New32a()
	h.Write([]byte(foldedASCII(channel)))
	return int(h.Sum32() % Parts)
}

// foldedASCII folds ASCII alone, and leaves bytes that are not UTF-8 as they are.
func foldedASCII(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
