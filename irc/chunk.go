package irc

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	chunkBytes    = 64 << 10
	chunkMessages = 192
	minRead       = 2 << 10 // room that is worth a read
)

// chunk is memory that lines are read into and stay in: what a connection has
// read it cuts into Messages in place. Chunks are shared by all connections of
// the process. A connection borrows one when there is something to read and
// gives it back, with what room is left, before it waits again. Bytes that
// belong to a Message are never written again, unless every Message of the
// chunk was released; else the garbage collector frees them with the last one.
type chunk struct {
	buf   []byte
	used  int       // buf[:used] belongs to messages
	msgs  []Message // not handed out yet
	first [chunkMessages]Message
	ids   []byte       // EventIDs that are not a part of their line
	given int64        // messages handed out
	live  atomic.Int64 // minus the messages released; once no more are handed out, those not released
}

var (
	chunks = sync.Pool{New: func() any { return newChunk(chunkBytes) }} // with room, maybe
	spare  sync.Pool                                                    // full ones, whose messages were all released
)

func newChunk(n int) *chunk {
	c := &chunk{buf: make([]byte, n)}
	c.msgs = c.first[:]
	return c
}

// borrow returns a chunk with room for n bytes at least.
func borrow(n int) *chunk {
	c := chunks.Get().(*chunk)
	if len(c.buf)-c.used >= n {
		return c
	}
	c.close()
	if n > chunkBytes {
		return newChunk(n)
	}
	if c, ok := spare.Get().(*chunk); ok {
		return c
	}
	return newChunk(chunkBytes)
}

// close says that no more Messages are handed out.
func (c *chunk) close() {
	if c.live.Add(c.given) == 0 {
		c.reset()
	}
}

// reset makes a full chunk whose messages were all released usable again.
func (c *chunk) reset() {
	c.used, c.given, c.msgs, c.ids = 0, 0, c.first[:], c.ids[:0]
	c.live.Store(0)
	if len(c.buf) == chunkBytes {
		spare.Put(c)
	}
}

// peek returns the next Message. It is the same one until keep is called.
func (c *chunk) peek() *Message {
	if len(c.msgs) == 0 {
		c.msgs = make([]Message, chunkMessages)
	}
	return &c.msgs[0]
}

// eventID is m.EventID in memory of the chunk's.
func (c *chunk) eventID(m *Message) string {
	if id, plain := m.plainID(); plain {
		return id
	}
	if cap(c.ids)-len(c.ids) < 128 {
		c.ids = make([]byte, 0, 2<<10)
	}
	n := len(c.ids)
	ids := m.appendEventID(c.ids)
	if len(ids) == n {
		return ""
	}
	if cap(ids) == cap(c.ids) { // else it was too long and has memory of its own
		c.ids = ids
	}
	return unsafe.String(&ids[n], len(ids)-n)
}

// keep hands out what peek returned.
func (c *chunk) keep() {
	c.msgs[0].chunk = c
	c.msgs = c.msgs[1:]
	c.given++
}

// Release implements [balancer.Releaser]: nobody looks at m or at a string of
// it any more. It is called at most once for a Message, by a Balancer whose
// Config.Reuse says that its Handler keeps nothing.
func (m *Message) Release() {
	if c := m.chunk; c != nil && c.live.Add(-1) == 0 {
		c.reset()
	}
}
