package irc

import "sync"

const (
	chunkBytes    = 64 << 10
	chunkMessages = 192
	minRead       = 2 << 10 // room that is worth a read
)

// chunk is memory that lines are read into and stay in: what a connection has
// read it cuts into Messages in place. Chunks are shared by all connections of
// the process. A connection borrows one when there is something to read and
// gives it back, with what room is left, before it waits again. Bytes that
// belong to a Message are never written again; the garbage collector frees
// them with the last Message of the chunk.
type chunk struct {
	buf  []byte
	used int       // buf[:used] belongs to messages
	msgs []Message // not handed out yet
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// borrow returns a chunk with room for n bytes at least.
func borrow(n int) *chunk {
	c := chunks.Get().(*chunk)
	if len(c.buf)-c.used < n {
		c.buf, c.used = make([]byte, max(chunkBytes, n)), 0
	}
	return c
}

// peek returns the next Message. It is the same one until keep is called.
func (c *chunk) peek() *Message {
	if len(c.msgs) == 0 {
		c.msgs = make([]Message, chunkMessages)
	}
	return &c.msgs[0]
}

// keep hands out what peek returned.
func (c *chunk) keep() { c.msgs = c.msgs[1:] }
