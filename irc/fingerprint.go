package irc

import (
	"hash/maphash"
	"strings"
)

var seed = maphash.MakeSeed()

// Fingerprint returns a hash of the message that is the same for every
// connection which the message may come over, whatever the order of its tags.
// Left out are the tags that tell about the delivery and not the message (time,
// batch, label), and, of a numeric, the server and the nick that it is sent to.
// Values of two processes cannot be compared.
func (m *Message) Fingerprint() uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	verb := m.Command()
	_, _ = h.WriteString(verb)
	skip := numeric(verb) >= 0
	if !skip {
		_ = h.WriteByte(0)
		_, _ = h.WriteString(m.Source())
	}
	for p := range m.Params() {
		if !skip {
			_ = h.WriteByte(0)
			_, _ = h.WriteString(p)
		}
		skip = false
	}
	sum := h.Sum64()
	for rest := m.tags(); rest != ""; {
		var tag string
		tag, rest = cutTag(rest)
		switch name, _, _ := strings.Cut(tag, "="); name {
		case "", "time", "batch", "label":
		default:
			sum += maphash.String(seed, tag)
		}
	}
	return sum
}
