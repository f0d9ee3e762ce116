package discordtest

import (
	"encoding/json"
	"slices"
	"strconv"
)

// payload is one dispatch, shared by all sessions that get it. It does not
// change once it is made.
type payload struct {
	t      string
	need   uint64 // one of these intents; 0: none
	d      []byte
	bare   []byte   // without message content; nil: there is none
	open   []uint64 // users who see the content all the same
	id     ID       // as a judge knows it; 0: nobody asks
	g      *guild   // of the event, if it has an id
	create *guild   // GUILD_CREATE: d is made when it is written
	pad    int
	ready  bool // READY; with an id, direct messages come from now on
}

// append appends the payload as the session sees it.
func (p *payload) append(b []byte, sess *session, seq uint64) []byte {
	b = append(b, `{"t":"`...)
	b = append(b, p.t...)
	b = append(b, `","s":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"op":0,"d":`...)
	switch {
	case p.create != nil:
		b = appendGuild(b, p.create, sess.b, sess.intents, p.pad)
	case p.bare != nil && sess.intents&IntentMessageContent == 0 && !slices.Contains(p.open, sess.b.UserID):
		b = append(b, p.bare...)
	default:
		b = append(b, p.d...)
	}
	return append(b, '}')
}

// quote returns s as a JSON string.
func quote(s string) string {
	q, _ := json.Marshal(s)
	return string(q)
}

// quoteID returns a snowflake as JSON has it.
func quoteID(id uint64) string { return `"` + strconv.FormatUint(id, 10) + `"` }

// withField returns the JSON object d with one more field in front, unless it
// is there already. d is a valid object.
func withField(d []byte, name, value string) []byte {
	var has map[string]json.RawMessage
	if json.Unmarshal(d, &has) != nil || has[name] != nil {
		return d
	}
	i := slices.Index(d, '{') + 1
	out := append([]byte(`{"`+name+`":`), value...)
	if len(has) > 0 {
		out = append(out, ',')
	}
	return append(out, d[i:]...)
}
