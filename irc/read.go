package irc

import (
	"bytes"
	"net"
	"unsafe"
)

// source fills a reader.
type source interface {
	// fill waits until something has arrived and puts it into the reader.
	// While it waits it holds as little memory as it can. If wait is false it
	// returns at once, even if got is false: there was nothing.
	fill(wait bool) (got bool, err error)
	// more reports whether there is probably more that has arrived.
	more() bool
}

// reader cuts what a connection receives into lines, in place in a [chunk]
// that it holds only while there is something to read.
type reader struct {
	chunk     *chunk
	pos, end  int    // chunk.buf[pos:end] is not cut yet
	scan      int    // and searched for the end of a line up to here
	carry     []byte // the begun line, while there is no chunk
	max       int    // longest line
	skip      bool   // the rest of a line that is too long is skipped
	oversized func(n int)
}

// space returns where to read to: minRead bytes at least.
func (r *reader) space() []byte {
	switch {
	case r.chunk == nil:
		r.chunk = borrow(len(r.carry) + minRead)
		r.pos = r.chunk.used
		r.scan = r.pos
		r.end = r.pos + copy(r.chunk.buf[r.pos:], r.carry)
	case len(r.chunk.buf)-r.end < minRead:
		r.release()
		return r.space()
	}
	return r.chunk.buf[r.end:]
}

// read notes that n bytes were read into the space.
func (r *reader) read(n int) { r.end += n }

// put copies bytes that were read elsewhere.
func (r *reader) put(p []byte) {
	for len(p) > 0 {
		n := copy(r.space(), p)
		r.read(n)
		p = p[n:]
	}
}

// release gives the chunk back and keeps the begun line.
func (r *reader) release() {
	c := r.chunk
	if c == nil {
		return
	}
	rest := c.buf[r.pos:r.end]
	switch {
	case len(rest) > 0:
		r.carry = append(r.carry[:0], rest...)
	case cap(r.carry) > 512:
		r.carry = nil
	default:
		r.carry = r.carry[:0]
	}
	c.used = r.pos
	r.chunk, r.pos, r.end, r.scan = nil, 0, 0, 0
	chunks.Put(c)
}

// next returns the next line without its end. Empty lines and those that are
// too long are passed over.
func (r *reader) next() (line string, ok bool) {
	for r.pos < r.end {
		buf := r.chunk.buf
		i := bytes.IndexByte(buf[r.scan:r.end], '\n')
		if i < 0 {
			r.scan = r.end
			if r.skip || r.end-r.pos > r.max+len("\r") {
				if !r.skip {
					r.skip = true
					r.oversized(r.end - r.pos)
				}
				r.end, r.scan = r.pos, r.pos // nothing refers to it
			}
			return "", false
		}
		b := buf[r.pos : r.scan+i]
		r.pos = r.scan + i + 1
		r.scan = r.pos
		if r.skip {
			r.skip = false
			continue
		}
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
		switch {
		case len(b) == 0:
		case len(b) > r.max:
			r.oversized(len(b))
		default:
			// The bytes are never written again: see chunk.
			return unsafe.String(&b[0], len(b)), true
		}
	}
	return "", false
}

// portable reads any net.Conn. While it waits it holds a small buffer, and a
// chunk only if the last read left more to be read.
type portable struct {
	nc    net.Conn
	in    *reader
	small [1 << 10]byte
	busy  bool
}

func (p *portable) more() bool { return false }

func (p *portable) fill(bool) (got bool, err error) {
	var n int
	if p.busy {
		n, err = p.nc.Read(p.in.space())
		p.in.read(n)
		p.busy = n > len(p.small)
		return n > 0, given(n, err)
	}
	p.in.release()
	n, err = p.nc.Read(p.small[:])
	p.in.put(p.small[:n])
	p.busy = n == len(p.small)
	return n > 0, given(n, err)
}

// given drops the error of a read that also gave something: it comes again.
func given(n int, err error) error {
	if n > 0 {
		return nil
	}
	return err
}
