//go:build unix

package discord

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// newFiller returns what fills the socket of a connection: nc, which stands on
// raw. Where the system lets it, a reader is parked in the runtime's poller
// while there is nothing, and holds no buffer.
func newFiller(raw, nc net.Conn) filler {
	sc, ok := raw.(syscall.Conn)
	if !ok {
		return &portable{nc: nc}
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return &portable{nc: nc}
	}
	switch nc := nc.(type) {
	case *tls.Conn:
		if under, ok := nc.NetConn().(*impatient); ok {
			f := &parkedTLS{tls: nc, under: under, rc: rc}
			f.read = f.readFD
			under.waits = false
			return f
		}
	case syscall.Conn:
		f := &parked{rc: rc}
		f.read = f.readFD
		return f
	}
	return &portable{nc: nc}
}

// parked reads a plain socket of the system's.
type parked struct {
	rc   syscall.RawConn
	buf  *[socketBytes]byte
	n    int
	err  error
	read func(fd uintptr) bool // made once: a method value would be allocated for each read
}

func (p *parked) fill() (*[socketBytes]byte, int, error) {
	p.buf, p.n, p.err = nil, 0, nil
	if err := p.rc.Read(p.read); err != nil {
		return nil, 0, err
	}
	return p.buf, p.n, p.err
}

// readFD is called when there may be something to read, and again whenever
// there is until it returns true.
func (p *parked) readFD(fd uintptr) bool {
	buf := socketBufs.Get().(*[socketBytes]byte)
	n, again, err := readFD(fd, buf[:])
	if again || err != nil {
		socketBufs.Put(buf)
		p.err = err
		return !again
	}
	p.buf, p.n = buf, n
	return true
}

func readFD(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("read", err)
		case n == 0:
			return 0, false, io.EOF
		}
		return n, false, nil
	}
}

// recordBytes is how much of a TLS connection is read at once.
const recordBytes = 32 << 10

var records = sync.Pool{New: func() any { return new([recordBytes]byte) }}

// parkedTLS is parked for a TLS connection. What crypto/tls reads from is
// filled beforehand; when that is used up crypto/tls gets a temporary error,
// which it does not keep.
type parkedTLS struct {
	tls   *tls.Conn
	under *impatient
	rc    syscall.RawConn
	err   error
	read  func(fd uintptr) bool
}

func (p *parkedTLS) fill() (*[socketBytes]byte, int, error) {
	for {
		for p.under.rest() {
			buf := socketBufs.Get().(*[socketBytes]byte)
			n, err := p.tls.Read(buf[:])
			if n < len(buf) {
				p.under.records.whole-- // at least
			}
			if n > 0 {
				return buf, n, nil
			}
			socketBufs.Put(buf)
			if _, empty := err.(errWouldBlock); err != nil && !empty {
				return nil, 0, err
			} else if empty {
				p.under.records.whole = 0
			}
		}
		p.err = nil
		takeRaw(p.tls)
		if err := p.rc.Read(p.read); err != nil {
			return nil, 0, err
		}
		if p.err != nil {
			return nil, 0, p.err
		}
		lendRaw(p.tls)
	}
}

func (p *parkedTLS) readFD(fd uintptr) bool {
	buf := records.Get().(*[recordBytes]byte)
	n, again, err := readFD(fd, buf[:])
	if again || err != nil {
		records.Put(buf)
		p.err = err
		return !again
	}
	p.under.buf, p.under.r, p.under.w = buf, 0, int32(n)
	p.under.records.take(buf[:n])
	return true
}

// impatient is what crypto/tls reads from. During the handshake its Read
// waits; after that it returns errWouldBlock where it would have to.
type impatient struct {
	net.Conn
	timeout time.Duration // of a write
	records tlsRecords
	waits   bool
	buf     *[recordBytes]byte // nil if r == w
	r, w    int32
}

func newImpatient(nc net.Conn, timeout time.Duration) net.Conn {
	if _, ok := nc.(syscall.Conn); !ok {
		return nc
	}
	return &impatient{Conn: nc, timeout: timeout, waits: true}
}

// Write gives each write its own time: crypto/tls answers a KeyUpdate from within
// Read (RFC 8446 §4.6.3), when the time of the last write has long passed. The
// handshake has that of the dial.
func (i *impatient) Write(p []byte) (int, error) {
	if !i.waits {
		if err := i.Conn.SetWriteDeadline(time.Now().Add(i.timeout)); err != nil {
			return 0, err
		}
	}
	return i.Conn.Write(p)
}

func (i *impatient) Read(p []byte) (int, error) {
	if i.waits {
		n, err := i.Conn.Read(p)
		i.records.take(p[:n])
		return n, err
	}
	if i.buf == nil {
		return 0, errWouldBlock{}
	}
	n := copy(p, i.buf[i.r:i.w])
	if i.r += int32(n); i.r == i.w {
		records.Put(i.buf)
		i.buf, i.r, i.w = nil, 0, 0
	}
	return n, nil
}

// rest reports whether crypto/tls has a record yet that has arrived, or has not
// taken all that has.
func (i *impatient) rest() bool { return i.records.whole > 0 || i.buf != nil }

// errWouldBlock is a temporary net.Error.
type errWouldBlock struct{}

func (errWouldBlock) Error() string   { return "discord: would block" }
func (errWouldBlock) Timeout() bool   { return false }
func (errWouldBlock) Temporary() bool { return true }

// tlsRecords follows the records of a TLS stream (RFC 8446 §5.1), so that
// crypto/tls is not asked for one that is not there yet: it would allocate an
// error to say so.
type tlsRecords struct {
	head  [5]byte // of a record, as far as it has arrived
	n     uint8
	left  uint16 // bytes of the record that have not arrived
	whole int32  // records that have arrived whole, less those that crypto/tls has certainly taken
}

func (t *tlsRecords) take(b []byte) {
	for len(b) > 0 {
		if int(t.n) < len(t.head) {
			n := copy(t.head[t.n:], b)
			t.n += uint8(n)
			b = b[n:]
			if int(t.n) == len(t.head) {
				t.left = uint16(t.head[3])<<8 | uint16(t.head[4])
			}
		}
		n := min(int(t.left), len(b))
		b = b[n:]
		if t.left -= uint16(n); t.left == 0 && int(t.n) == len(t.head) {
			t.whole++
			t.n = 0
		}
	}
}
