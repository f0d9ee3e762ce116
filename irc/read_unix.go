//go:build unix

package irc

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// parked reads a socket of the system's: it asks the descriptor itself, and
// while there is nothing its goroutine is parked in the runtime's poller and
// holds no buffer.
type parked struct {
	rc   syscall.RawConn
	in   *reader
	wait bool
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

func (s *parked) fill(wait bool) error {
	s.err, s.wait = nil, wait
	if err := s.rc.Read(s.read); err != nil {
		return err
	}
	return s.err
}

// readFD is called when there may be something to read, and again whenever
// the socket becomes readable until it returns true.
func (s *parked) readFD(fd uintptr) bool {
	p := s.in.space()
	n, again, err := readFD(fd, p)
	s.full = n == len(p)
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
	rest  bool // crypto/tls may have more without another read
	full  bool // the last read took all that there was room for
	wait  bool
	err   error
	read  func(fd uintptr) bool
}

func (s *parkedTLS) more() bool { return s.rest || s.full }

func (s *parkedTLS) fill(wait bool) error {
	got := false
	for {
		for s.rest {
			p := s.in.space()
			n, err := s.tls.Read(p)
			s.in.read(n)
			got = got || n > 0
			if err != nil {
				if _, empty := err.(errWouldBlock); !empty {
					return given(n, err)
				}
				s.rest = false
			} else if len(p)-n < minRead {
				return nil // cut this first
			}
		}
		if got {
			return nil
		}
		if wait {
			s.in.release()
		}
		s.err, s.wait = nil, wait
		if err := s.rc.Read(s.read); err != nil {
			return err
		}
		if s.err != nil || s.under.buf == nil {
			return s.err
		}
		s.rest = true
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
	s.under.buf, s.under.r, s.under.w = buf, 0, n
	return true
}

// impatient is what crypto/tls reads from. During the handshake its Read
// waits; after that it returns errWouldBlock where it would have to.
type impatient struct {
	net.Conn
	waits bool
	buf   *[recordBytes]byte // nil if r == w
	r, w  int
}

func newImpatient(nc net.Conn) net.Conn {
	if _, ok := nc.(syscall.Conn); !ok {
		return nc
	}
	return &impatient{Conn: nc, waits: true}
}

func (i *impatient) Read(p []byte) (int, error) {
	if i.waits {
		return i.Conn.Read(p)
	}
	if i.buf == nil {
		return 0, errWouldBlock{}
	}
	n := copy(p, i.buf[i.r:i.w])
	if i.r += n; i.r == i.w {
		records.Put(i.buf)
		i.buf, i.r, i.w = nil, 0, 0
	}
	return n, nil
}

// errWouldBlock is a temporary net.Error.
type errWouldBlock struct{}

func (errWouldBlock) Error() string   { return "irc: would block" }
func (errWouldBlock) Timeout() bool   { return false }
func (errWouldBlock) Temporary() bool { return true }
