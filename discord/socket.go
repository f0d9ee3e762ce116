package discord

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// socket is what the WebSocket library reads from and writes to. It reads ahead
// into a buffer that it holds only while there is something in it, and walks
// the frames that arrive (RFC 6455 §5.2), so that it is known whether a whole
// message is there before the library, which cannot be interrupted, is asked for it.
type socket struct {
	net.Conn          // what is written goes here
	raw      net.Conn // below TLS
	fillFrom filler
	heard    *atomic.Uint32 // counts reads that gave something

	upgrade headEnd // a Read ends with it: what follows is not the WebSocket library's to read

	buf  *[socketBytes]byte // nil: nothing was read ahead
	r, w int

	whole int    // messages, and frames that end the connection, which have arrived whole, less those taken
	walk  walker // at the end of what was read

	broken  error // of the filler, told when all before it was read
	late    bool  // woken while the library was reading: await is to say so
	woken   atomic.Bool
	waiting atomic.Bool // the reader waits for the service, and not for its handler
}

// filler fills a buffer from the network. It waits without holding one.
type filler interface {
	// fill returns a buffer of the pool's with n bytes.
	fill() (buf *[socketBytes]byte, n int, err error)
}

const socketBytes = 64 << 10

var socketBufs = sync.Pool{New: func() any { return new([socketBytes]byte) }}

// Read implements net.Conn for the WebSocket library.
func (s *socket) Read(p []byte) (int, error) {
	for s.r == s.w {
		switch err := s.more(); {
		case err == errWoken:
			s.late = true // the library cannot be interrupted in the midst of a message
		case err != nil:
			return 0, err
		}
	}
	n := copy(p, s.buf[s.r:s.w])
	if int(s.upgrade) < len(endOfHead) {
		n = s.upgrade.in(p[:n])
	}
	if s.r += n; s.r == s.w {
		s.release()
	}
	return n, nil
}

func (s *socket) release() {
	if s.buf != nil {
		socketBufs.Put(s.buf)
		s.buf, s.r, s.w = nil, 0, 0
	}
}

// errWoken says that somebody has something to say to the reader.
var errWoken = errors.New("discord: woken")

// more reads what has arrived, and waits if nothing has. All that was read
// before has been taken.
func (s *socket) more() error {
	if s.broken != nil {
		return s.broken
	}
	s.waiting.Store(true)
	buf, n, err := s.fillFrom.fill()
	s.waiting.Store(false)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) && s.woken.Swap(false) {
			_ = s.raw.SetReadDeadline(time.Time{}) // the next read tells
			return errWoken
		}
		s.broken = err
		return err
	}
	s.heard.Add(1)
	s.buf, s.r, s.w = buf, 0, n
	s.whole += s.walk.take(buf[:n])
	return nil
}

// await waits until a message is there, whole or so large that the library may
// begin to read it. It returns errWoken if wake was called.
func (s *socket) await() error {
	for s.whole <= 0 && s.r == s.w {
		if s.late {
			s.late = false
			return errWoken
		}
		if err := s.more(); err != nil {
			return err
		}
	}
	return nil
}

// ready reports whether a whole message is there.
func (s *socket) ready() bool { return s.whole > 0 }

// wake makes await return. Anybody may call it.
func (s *socket) wake() {
	s.woken.Store(true)
	_ = s.raw.SetReadDeadline(time.Unix(1, 0)) // a closed socket needs no waking
}

// walker follows the frames of a stream.
type walker struct {
	head headEnd
	need [10]byte // of the frame's header, as far as it has arrived
	n    int
	left uint64 // of the frame's payload
	last bool   // the frame ends a message
}

const endOfHead = "\r\n\r\n"

// headEnd is how much of the end of an HTTP head has been seen.
type headEnd int

// in returns how much of b belongs to the head.
func (h *headEnd) in(b []byte) int {
	for i, c := range b {
		if c == endOfHead[*h] {
			if *h++; int(*h) == len(endOfHead) {
				return i + 1
			}
		} else if *h = 0; c == '\r' {
			*h = 1
		}
	}
	return len(b)
}

// take goes on with what has arrived and returns how many messages end in it.
func (w *walker) take(b []byte) (whole int) {
	if int(w.head) < len(endOfHead) {
		b = b[w.head.in(b):]
	}
	for len(b) > 0 {
		if w.left > 0 {
			n := min(uint64(len(b)), w.left)
			b = b[n:]
			if w.left -= n; w.left == 0 && w.last {
				whole++
			}
			continue
		}
		if w.n == 0 && len(b) > 4 && b[1] < 127 { // the head of most frames is there as a whole
			head, size := 2, uint64(b[1])
			if size == 126 {
				head, size = 4, uint64(b[2])<<8|uint64(b[3])
			}
			op := b[0] & 0x0f
			w.last, w.left = b[0]&0x80 != 0 && op <= 8, size
			if b = b[head:]; size == 0 && w.last {
				whole++
			}
			continue
		}
		w.need[w.n] = b[0]
		w.n++
		b = b[1:]
		size, ok := w.header()
		if !ok {
			continue
		}
		op := w.need[0] & 0x0f
		// A frame of data that is final, or a close, which is one of its own.
		w.last = w.need[0]&0x80 != 0 && (op < 8 || op == 8)
		w.left, w.n = size, 0
		if size == 0 && w.last {
			whole++
		}
	}
	return whole
}

// header returns the size of a frame whose header is complete. A server does
// not mask.
func (w *walker) header() (size uint64, ok bool) {
	if w.n < 2 {
		return 0, false
	}
	switch l := w.need[1] & 0x7f; {
	case l < 126:
		return uint64(l), true
	case l == 126 && w.n == 4:
		return uint64(w.need[2])<<8 | uint64(w.need[3]), true
	case l == 127 && w.n == 10:
		for _, c := range w.need[2:10] {
			size = size<<8 | uint64(c)
		}
		return size, true
	}
	return 0, false
}

// portable reads any net.Conn. While it waits it holds a small buffer.
type portable struct {
	nc    net.Conn
	small [1 << 10]byte
	busy  bool // the small buffer was full
}

func (p *portable) fill() (*[socketBytes]byte, int, error) {
	if p.busy {
		buf := socketBufs.Get().(*[socketBytes]byte)
		n, err := p.nc.Read(buf[:])
		if n == 0 {
			socketBufs.Put(buf)
			return nil, 0, err
		}
		p.busy = n > len(p.small)
		return buf, n, nil
	}
	n, err := p.nc.Read(p.small[:])
	if n == 0 {
		return nil, 0, err
	}
	p.busy = n == len(p.small)
	buf := socketBufs.Get().(*[socketBytes]byte)
	copy(buf[:], p.small[:n])
	return buf, n, nil
}

// shut makes what reads and writes the socket end. The other end sees a reset
// or an end, and the session stays resumable.
func (s *socket) shut() { s.raw.Close() }
