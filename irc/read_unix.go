//go:build unix

package irc

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// parked reads a socket of the system's: it asks the descriptor itself, and
// while there is nothing its goroutine is parked in the runtime's poller and
// holds no buffer.
type parked struct {
	rc   syscall.RawConn
	in   *reader
	wait bool
	got  bool
	full bool // the last read took all that there was room for
	err  error
	read func(fd uintptr) bool // made once: a method value would be allocated for each read
}

// newSource returns what reads nc, which stands on c.raw, and whether the
// deadlines of its reads end in fill.
func (c *conn) newSource(nc net.Conn) (source, bool) {
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return nil, false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil, false
	}
	switch nc := nc.(type) {
	case *tls.Conn:
		patient, ok := nc.NetConn().(*impatient)
		if !ok {
			return nil, false
		}
		s := &parkedTLS{tls: nc, under: patient, rc: rc, in: &c.in}
		s.read = s.readFD
		patient.waits = false
		return s, true
	case syscall.Conn:
		c.plain = parked{rc: rc, in: &c.in}
		c.plain.read = c.plain.readFD
		return &c.plain, true
	}
	return nil, false
}

func (s *parked) more() bool { return s.full }

func (s *parked) socket() syscall.RawConn { return s.rc }

func (s *parked) fill(wait bool) (got bool, err error) {
	s.got, s.err, s.wait = false, nil, wait
	if err := s.rc.Read(s.read); err != nil {
		return false, err
	}
	return s.got, s.err
}

// readFD is called when there may be something to read, and again whenever
// the socket becomes readable until it returns true.
func (s *parked) readFD(fd uintptr) bool {
	p := s.in.space()
	n, again, err := readFD(fd, p)
	s.got, s.full = n > 0, n == len(p)
	if again && s.wait {
		s.in.release()
		return false
	}
	s.in.read(n)
	s.err = err
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
const recordBytes = 64 << 10

var records = sync.Pool{New: func() any { return new([recordBytes]byte) }}

// parkedTLS is parked for a TLS connection. What crypto/tls reads from is
// filled beforehand; when that is used up, crypto/tls gets a temporary error,
// which it does not keep.
type parkedTLS struct {
	tls   *tls.Conn
	under *impatient
	rc    syscall.RawConn
	in    *reader
	full  bool // the last read took all that there was room for
	wait  bool
	err   error
	read  func(fd uintptr) bool
}

func (s *parkedTLS) more() bool { return s.under.rest() || s.full }

func (s *parkedTLS) socket() syscall.RawConn { return s.rc }

func (s *parkedTLS) fill(wait bool) (got bool, err error) {
	for {
		for s.under.rest() {
			p := s.in.space()
			n, err := s.tls.Read(p)
			s.in.read(n)
			got = got || n > 0
			switch _, empty := err.(errWouldBlock); {
			case empty:
				s.under.records.whole = 0
			case err != nil:
				return got, given(n, err)
			case n < len(p):
				s.under.records.whole-- // at least
			}
			if err == nil && len(p)-n < minRead {
				return got, nil // cut this first
			}
		}
		if got {
			return true, nil
		}
		if wait {
			s.in.release()
		}
		s.err, s.wait = nil, wait
		if err := s.rc.Read(s.read); err != nil {
			return false, err
		}
		if s.err != nil || s.under.buf == nil {
			return false, s.err
		}
	}
}

func (s *parkedTLS) readFD(fd uintptr) bool {
	buf := records.Get().(*[recordBytes]byte)
	n, again, err := readFD(fd, buf[:])
	s.full = n == len(buf)
	if again || err != nil {
		records.Put(buf)
		s.err = err
		return !again || !s.wait
	}
	s.under.buf, s.under.r, s.under.w = buf, 0, int32(n)
	s.under.records.take(buf[:n])
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

func (errWouldBlock) Error() string   { return "irc: would block" }
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
