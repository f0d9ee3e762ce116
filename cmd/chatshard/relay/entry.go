package relay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Entry is one envelope on its way. Its bytes are never changed after Append.
type Entry struct {
	ID      string // the envelope's id: what a second copy is known by; "" has none
	Subject Subject
	Body    []byte    // the envelope without its cursor: {"v":1,"id":…}, no line break
	Time    time.Time // when it was received
	Meta    *Meta     // where in Body the values are that filters ask for; nil: not known
}

// Subject is what an entry is about: the parts of the name under which it is
// stored, each as it is, not yet escaped.
type Subject struct {
	Platform string // twitch, irc, discord
	Network  string // of IRC
	Account  string
	Channel  string // its id or, where there is none, its name; "" for none
	Kind     string
}

// Cursor is a place in the log: the entry after it is the next one to be read.
type Cursor struct {
	Epoch string
	Seq   uint64
}

// String returns "EPOCH:SEQ", which ParseCursor reads.
func (c Cursor) String() string { return c.Epoch + ":" + strconv.FormatUint(c.Seq, 10) }

// ErrCursor says that a text is no cursor.
var ErrCursor = errors.New("relay: cursor")

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	epoch, seq, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if !ok || epoch == "" || err != nil {
		return Cursor{}, fmt.Errorf("%w: %.64q: want EPOCH:SEQ as in an envelope's cursor", ErrCursor, s)
	}
	return Cursor{epoch, n}, nil
}

// envelopeStart is how every Body begins; the cursor goes behind it.
const envelopeStart = `{"v":1,`

// AppendEnvelope appends an entry's envelope with its cursor, without a line break.
func AppendEnvelope(dst []byte, c Cursor, body []byte) []byte {
	dst = append(dst, envelopeStart+`"cursor":{"epoch":"`...)
	dst = append(dst, c.Epoch...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, c.Seq, 10)
	dst = append(dst, `},`...)
	return append(dst, body[len(envelopeStart):]...)
}
