package discord

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	chunkBytes      = 64 << 10
	chunkDispatches = 64
	minRead         = 2 << 10 // room that is worth a read
)

// chunk is memory that payloads are read or inflated into and stay in. Chunks
// are shared by all connections of the process: a connection borrows one when
// there is something to read and gives it back, with what room is left, before
// it waits again. Bytes that belong to a Dispatch are never written again, unless
// every Dispatch of the chunk was released; else the garbage collector frees
// them with the last one. A payload that is larger than a chunk has one of its
// own, which is not kept.
type chunk struct {
	buf   []byte
	used  int        // buf[:used] belongs to dispatches
	ds    []Dispatch // not handed out yet
	first [chunkDispatches]Dispatch
	more  [][]Dispatch // where the first were not enough; kept for the next time
	nth   int          // of more, the ones that are used
	given int64        // dispatches handed out
	live  atomic.Int64 // minus the dispatches released; once no more are handed out, those not released
}

var (
	chunks sync.Pool // with room, maybe
	spare  shelf     // empty ones, whose dispatches were all released
)

// shelf keeps a few chunks for good, which a collection would take from a pool
// in the midst of a rush: to make them anew brings the next collection on.
type shelf struct {
	mu   sync.Mutex // guards kept
	kept []*chunk
	rest sync.Pool
}

const shelfMost = 4 // 300 KiB: a process of idle shards keeps them too

func (s *shelf) put(c *chunk) {
	s.mu.Lock()
	full := len(s.kept) == shelfMost
	if !full {
		s.kept = append(s.kept, c)
	}
	s.mu.Unlock()
	if full {
		s.rest.Put(c)
	}
}

// get returns nil if there is none.
func (s *shelf) get() *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.kept); n > 0 {
		c := s.kept[n-1]
		s.kept[n-1] = nil
		s.kept = s.kept[:n-1]
		return c
	}
	c, _ := s.rest.Get().(*chunk)
	return c
}

func newChunk(n int) *chunk {
	c := &chunk{buf: make([]byte, n)}
	c.ds = c.first[:]
	return c
}

// borrow returns a chunk with room for n bytes at least.
func borrow(n int) *chunk {
	if c, ok := chunks.Get().(*chunk); ok {
		if len(c.buf)-c.used >= n {
			return c
		}
		c.close()
	}
	if n > chunkBytes {
		return newChunk(n)
	}
	if c := spare.get(); c != nil {
		return c
	}
	return newChunk(chunkBytes)
}

// giveBack returns a chunk to the others.
func (c *chunk) giveBack() {
	if len(c.buf) == chunkBytes && len(c.buf)-c.used >= minRead {
		chunks.Put(c)
		return
	}
	c.close()
}

// close says that no more Dispatches are handed out.
func (c *chunk) close() {
	if c.live.Add(c.given) == 0 {
		c.reset()
	}
}

// reset makes a full chunk whose dispatches were all released usable again.
func (c *chunk) reset() {
	c.used, c.given, c.nth, c.ds = 0, 0, 0, c.first[:]
	c.live.Store(0)
	if len(c.buf) == chunkBytes {
		spare.put(c)
	}
}

// dispatch returns the next Dispatch, zeroed. It is the same one until keep is called.
func (c *chunk) dispatch() *Dispatch {
	if len(c.ds) == 0 {
		if c.nth == len(c.more) {
			c.more = append(c.more, make([]Dispatch, chunkDispatches))
		}
		c.ds = c.more[c.nth]
		c.nth++
	}
	c.ds[0] = Dispatch{}
	return &c.ds[0]
}

// keep hands out what dispatch returned.
func (c *chunk) keep() {
	c.ds[0].chunk = c
	c.ds = c.ds[1:]
	c.given++
}

// Release implements [balancer.Releaser]: nobody looks at d or at anything of
// it any more. It is called at most once for a Dispatch, by a Balancer whose
// Config.Reuse says that its Handler keeps nothing.
func (d *Dispatch) Release() {
	if c := d.chunk; c != nil && c.live.Add(-1) == 0 {
		c.reset()
	}
}

// view returns b as a string without a copy: b is never written again.
func view(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
