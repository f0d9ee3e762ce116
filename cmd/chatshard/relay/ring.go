package relay

import "sort"

const (
	blockBytes   = 256 << 10 // of lines, unless one line is longer
	blockEntries = 512
)

// ring holds the newest entries as lines that are ready to be handed out. It is
// a list of blocks; what is in a block does not change while it is there or
// used, so that a reader needs the hub's lock only to get at it and to give it
// back. Blocks leave as a whole. A reader keeps none while it waits or writes: a
// slow one costs no memory.
type ring struct {
	blocks     []*block // in order, their numbers join
	maxBytes   int
	maxEntries int
	bytes      int
	entries    int
	total      uint64 // bytes of all lines ever appended
	spare      *block // left the ring, and nobody reads it: the next one
}

type block struct {
	first uint64 // number of entries[0]
	start uint64 // ring.total before it
	buf   []byte // never grows beyond its capacity: readers share it
	list  []ringEntry
	using int // readers that look at it without the hub's lock, which guards this
}

type ringEntry struct {
	end  uint32 // in buf
	meta Meta
}

// lineAt returns the line of list[i], without a line break.
func lineAt(buf []byte, list []ringEntry, i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = list[i-1].end
	}
	return buf[start:list[i].end:list[i].end]
}

func (b *block) last() uint64 { return b.first + uint64(len(b.list)) - 1 }

// before returns how many bytes were appended before list[i].
func (b *block) before(i int) uint64 {
	if i == 0 {
		return b.start
	}
	return b.start + uint64(b.list[i-1].end)
}

// first returns the number of the oldest entry, 0 for none.
func (r *ring) first() uint64 {
	if len(r.blocks) == 0 {
		return 0
	}
	return r.blocks[0].first
}

// append adds an entry, which follows the one before: see reset.
func (r *ring) append(epoch string, seq uint64, body []byte, meta *Meta) {
	need := len(body) + len(epoch) + 64
	var b *block
	if n := len(r.blocks); n > 0 {
		b = r.blocks[n-1]
	}
	if b == nil || len(b.list) == blockEntries || len(b.buf)+need > cap(b.buf) {
		b = r.block(need)
		b.first, b.start = seq, r.total
		r.blocks = append(r.blocks, b)
		r.bytes += cap(b.buf)
	}
	at := len(b.buf)
	b.buf = AppendEnvelope(b.buf, Cursor{epoch, seq}, body)
	b.list = append(b.list, ringEntry{end: uint32(len(b.buf)), meta: *meta})
	b.list[len(b.list)-1].meta.shift(uint32(len(b.buf) - at - len(body)))
	r.total += uint64(len(b.buf) - at)
	r.entries++
	for len(r.blocks) > 1 && (r.bytes > r.maxBytes || r.entries > r.maxEntries) {
		r.bytes -= cap(r.blocks[0].buf)
		r.entries -= len(r.blocks[0].list)
		if b := r.blocks[0]; b.using == 0 && cap(b.buf) == blockBytes {
			r.spare = b
		}
		r.blocks[0] = nil
		r.blocks = r.blocks[1:]
	}
}

// block returns an empty block. One that is used again need not be cleared, nor
// collected.
func (r *ring) block(need int) *block {
	if b := r.spare; b != nil && need <= blockBytes {
		r.spare = nil
		b.buf, b.list = b.buf[:0], b.list[:0]
		return b
	}
	return &block{buf: make([]byte, 0, max(blockBytes, need)), list: make([]ringEntry, 0, blockEntries)}
}

// reset forgets all entries: the next one does not follow the last.
func (r *ring) reset() { r.blocks, r.bytes, r.entries = nil, 0, 0 }

// find returns where an entry is, or nil.
func (r *ring) find(seq uint64) (*block, int) {
	n := len(r.blocks)
	if n == 0 || seq < r.blocks[0].first || seq > r.blocks[n-1].last() {
		return nil, 0
	}
	if b := r.blocks[n-1]; seq >= b.first { // almost always
		return b, int(seq - b.first)
	}
	i := sort.Search(n, func(i int) bool { return r.blocks[i].last() >= seq })
	return r.blocks[i], int(seq - r.blocks[i].first)
}

// behind returns the number of the entry from which on no more than limit bytes
// were appended.
func (r *ring) behind(limit uint64) uint64 {
	i := sort.Search(len(r.blocks), func(i int) bool { return r.total-r.blocks[i].start <= limit })
	if i > 0 { // somewhere in the block before
		b := r.blocks[i-1]
		return b.first + uint64(sort.Search(len(b.list), func(k int) bool { return r.total-b.before(k) <= limit }))
	}
	return r.first()
}
