package irc

import (
	"strings"
	"sync"
	"time"
)

// SharedChat says which copies of Shared Chat messages are delivered. Each
// channel of a session gets its own copy, with an id of its own and the
// original's as source-id.
// https://dev.twitch.tv/docs/chat/irc/#shared-chat
type SharedChat int

// What can be done with copies.
const (
	SharedAll       SharedChat = iota // all are delivered
	SharedOriginals                   // only the original, in the channel where it was written
	SharedFirstSeen                   // the original if its channel is joined, else the first copy
)

// sharedTime is how long the source-id of a message is remembered at least.
const sharedTime = 10 * time.Second

// maxShared bounds how many are remembered.
const maxShared = 1 << 14

// sharedFilter drops copies.
type sharedFilter struct {
	mode   SharedChat
	joined func(roomID string) bool

	mu    sync.Mutex // guards all below
	young map[string]struct{}
	old   map[string]struct{}
	since time.Time // when young was begun
}

// admit reports whether a message is to be delivered.
func (f *sharedFilter) admit(m *Message, now time.Time) bool {
	id, ok := m.rawTag("source-id")
	if !ok || id == "" {
		return true
	}
	room, _ := m.rawTag("room-id")
	source, _ := m.rawTag("source-room-id")
	copied := source != "" && source != room
	switch {
	case f.mode == SharedAll:
		return true
	case f.mode == SharedOriginals:
		return !copied
	case copied && f.joined(source):
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) >= sharedTime || len(f.young) >= maxShared {
		f.young, f.old, f.since = make(map[string]struct{}), f.young, now
	}
	_, young := f.young[id]
	_, old := f.old[id]
	if young || old {
		return false
	}
	f.young[strings.Clone(id)] = struct{}{}
	return true
}
