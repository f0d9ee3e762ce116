package irctest

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// channel is one channel. Lock order: channel.mu, conn.mu, track.mu; Server.mu
// is taken with none of them held.
type channel struct {
	num uint32

	label atomic.Pointer[label] // written under mu

	mu      sync.Mutex // guards all below
	wire    string     // as in lines
	roomID  string
	next    uint64 // serial of the next message
	members []*membership
	past    []*membership // ended, but a judge may still ask after them
	pruneAt int           // look again for those that nobody will ask after when there are so many
	tracks  []*track
	room    Room
	recent  []Sent // the last messages that may be replied to, a ring
	posts   int    // how many went through recent
	irc     ircRoom
}

// label is a channel's name, which may change.
type label struct {
	name, wire string // folded; as in lines
	old        string // the folded name before this one
}

func newChannel(num uint32, name, wire string) *channel {
	ch := &channel{
		num: num, next: 1,
		roomID: strconv.Itoa(100_000_000 + int(num)),
		room:   newRoom(),
	}
	ch.rename(name, wire)
	return ch
}

// rename sets the name. The caller holds ch.mu, or has ch for itself.
func (ch *channel) rename(name, wire string) {
	l := &label{name: name, wire: wire}
	if was := ch.label.Load(); was != nil && was.name != name {
		l.old = was.name
	}
	ch.label.Store(l)
	ch.wire = wire
}

func (ch *channel) folded() string { return ch.label.Load().name }

// exempt reports whether a membership of login does not count against its cap.
func (ch *channel) exempt(login string) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.room.privileged(ch.folded(), login, false)
}

// Sent is the record of one message that was broadcast.
type Sent struct {
	Channel string // as in lines
	ID      string // "" for what has none
	Serial  uint64 // in its channel, from 1; 0 for what has none
	Time    time.Time
	Login   string
	Text    string
	Conns   int // connections that it was queued for
}

// draft is a message before it has an id, a time and a channel.
type draft interface {
	// render appends the line, without its CR LF. The channel is locked.
	render(dst []byte, ch *channel, id []byte, ms int64) []byte
	// judged reports whether the message has an id and counts for judges.
	judged() bool
}

// draftFunc makes a draft of a function.
type draftFunc struct {
	f      func(dst []byte, ch *channel, id []byte, ms int64) []byte
	counts bool
}

func (d draftFunc) render(dst []byte, ch *channel, id []byte, ms int64) []byte {
	return d.f(dst, ch, id, ms)
}
func (d draftFunc) judged() bool { return d.counts }

// post broadcasts d to everyone in the channel but except. *scratch is used to
// render the line and may be kept between calls.
func (s *Server) post(ch *channel, d draft, except *conn, scratch *[]byte) Sent {
	now := time.Now()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return s.postLocked(ch, d, except, scratch, now)
}

func (s *Server) postLocked(ch *channel, d draft, except *conn, scratch *[]byte, now time.Time) Sent {
	sent := Sent{Channel: ch.wire, Time: now}
	var idbuf [36]byte
	var id []byte
	judged := d.judged()
	if judged {
		sent.Serial = ch.next
		ch.next++
		id = s.mint.append(idbuf[:0], ch.num, sent.Serial)
		for _, t := range ch.tracks {
			t.sent(sent.Serial, now)
		}
	}
	line := d.render((*scratch)[:0], ch, id, now.UnixMilli())
	*scratch = line
	s.stats.messages.Add(1)
	for _, m := range ch.members {
		if m.c != except {
			if l := s.shape(m.c, line); l != nil {
				m.c.deliver(m, sent.Serial, l)
				sent.Conns++
				continue
			}
		}
		if judged {
			for _, t := range m.tracks {
				t.excuse(sent.Serial)
			}
		}
	}
	if judged && len(id) > 0 {
		sent.ID = ""
		if _, fast := d.(*template); !fast {
			sent.ID = string(id)
		}
	}
	return sent
}

// keptMessages is how many messages of a channel can be replied to.
const keptMessages = 64

// keep remembers a message so that it can be replied to. The caller holds ch.mu.
func (ch *channel) keep(m Sent) {
	if len(ch.recent) < keptMessages {
		ch.recent = append(ch.recent, m)
	} else {
		ch.recent[ch.posts%keptMessages] = m
	}
	ch.posts++
}

// find returns a message that was kept. The caller holds ch.mu.
func (ch *channel) find(id string) (Sent, bool) {
	for _, m := range ch.recent {
		if m.ID == id && id != "" {
			return m, true
		}
	}
	return Sent{}, false
}

// Capabilities of a connection.
const (
	capTags uint32 = 1 << iota // twitch.tv/tags; message-tags
	capCommands
	capMembership
	capServerTime
	capEcho
	capNotify
	capAccountTag
)

// shape returns the line as the connection has asked for it: with or without
// its tags, nil if it did not ask for such lines at all.
func (s *Server) shape(c *conn, line []byte) []byte {
	caps := c.caps.Load()
	rest := line
	if len(line) > 0 && line[0] == '@' {
		rest = line[bytes.IndexByte(line, ' ')+1:]
	}
	if _, plain := s.prof.(ircd); plain {
		switch {
		case caps&capTags != 0:
			return line
		case caps&capServerTime != 0 && len(rest) < len(line):
			// time comes first in what ircd renders
			if i := bytes.IndexByte(line, ';'); i > 0 && i < len(line)-len(rest) {
				return append(append(line[:i:i], ' '), rest...)
			}
			return line
		}
		return rest
	}
	if caps&capCommands == 0 {
		if _, cmd, ok := bytes.Cut(rest, []byte(" ")); ok && !bytes.HasPrefix(cmd, []byte("PRIVMSG")) {
			return nil
		}
	}
	if caps&capTags != 0 {
		return line
	}
	return rest
}
