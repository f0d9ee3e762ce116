package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Pipe returns the two ends of an in-memory connection. Each direction is a
// buffer of size bytes, as a TCP connection's is: a writer whose peer does not
// read blocks once it is full. Both ends block durably in the sense of
// testing/synctest.
func Pipe(size int, client, server net.Addr) (c, s *End) {
	up, down := newFlow(size), newFlow(size)
	c = &End{in: down, out: up, local: client, remote: server}
	s = &End{in: up, out: down, local: server, remote: client}
	return c, s
}

// flow is one direction of a pipe.
type flow struct {
	mu      sync.Mutex // guards all below; held for copies only
	cond    *sync.Cond
	size    int
	buf     []byte
	head    int   // buf[head:] is unread
	wrote   int64 // bytes ever written
	read    int64 // bytes ever read
	ended   bool  // the writer closed: EOF once the buffer is empty
	gone    bool  // the reader closed: writing fails
	reset   bool  // aborted: both fail at once
	cut     func() int
	readBy  deadline
	writeBy deadline
}

func newFlow(size int) *flow {
	f := &flow{size: size}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// deadline is a point in time after which a call fails. Guarded by flow.mu.
type deadline struct {
	timer  *time.Timer
	passed bool
	turn   int // tells a stopped timer that fires all the same from the current one
}

func (f *flow) setDeadline(d *deadline, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.turn++
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		f.cond.Broadcast()
		return
	}
	turn := d.turn
	d.timer = time.AfterFunc(wait, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if d.turn == turn {
			d.passed = true
			f.cond.Broadcast()
		}
	})
}

func (f *flow) get(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.gone:
			return 0, net.ErrClosed
		case f.reset:
			return 0, syscall.ECONNRESET
		case f.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case f.head < len(f.buf):
			if f.cut != nil {
				p = p[:min(len(p), max(1, f.cut()))]
			}
			n := copy(p, f.buf[f.head:])
			f.head += n
			f.read += int64(n)
			if f.head == len(f.buf) {
				f.buf, f.head = f.buf[:0], 0
			}
			f.cond.Broadcast()
			return n, nil
		case f.ended:
			return 0, io.EOF
		}
		f.cond.Wait()
	}
}

func (f *flow) put(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for {
		switch {
		case f.ended:
			return n, net.ErrClosed
		case f.reset:
			return n, syscall.ECONNRESET
		case f.gone:
			return n, syscall.EPIPE
		case f.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		room := f.size - (len(f.buf) - f.head)
		if room == 0 {
			f.cond.Wait()
			continue
		}
		if f.head > len(f.buf)/2 && len(f.buf)+len(p)-n > cap(f.buf) {
			f.buf = f.buf[:copy(f.buf, f.buf[f.head:])]
			f.head = 0
		}
		k := min(room, len(p)-n)
		f.buf = append(f.buf, p[n:n+k]...)
		f.wrote += int64(k)
		n += k
		f.cond.Broadcast()
	}
}

// end sets one of the flow's final flags and wakes everyone.
func (f *flow) end(flag *bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*flag = true
	if flag != &f.ended {
		f.buf, f.head = nil, 0
	}
	f.cond.Broadcast()
}

func (f *flow) counts() (wrote, read int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrote, f.read
}

// End is one end of a pipe.
type End struct {
	in, out       *flow
	local, remote net.Addr
}

func (m *End) Read(p []byte) (int, error) {
	n, err := m.in.get(p)
	return n, m.wrap("read", err)
}

func (m *End) Write(p []byte) (int, error) {
	n, err := m.out.put(p)
	return n, m.wrap("write", err)
}

func (m *End) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: m.local, Addr: m.remote, Err: err}
}

// Close is a graceful close: what was written stays readable for the peer.
func (m *End) Close() error {
	m.out.end(&m.out.ended)
	m.in.end(&m.in.gone)
	m.SetDeadline(time.Time{}) // no timer outlives the connection
	return nil
}

// abort is a reset: what the peer has not read is lost.
func (m *End) Abort() {
	m.out.end(&m.out.reset)
	m.in.end(&m.in.reset)
	m.SetDeadline(time.Time{})
}

// written and delivered count the bytes written to the peer and those that the
// peer has read.
func (m *End) Written() int64   { n, _ := m.out.counts(); return n }
func (m *End) Delivered() int64 { _, n := m.out.counts(); return n }

// unread reports whether the peer may still read what was written.
func (m *End) Unread() bool {
	if m.Left() {
		return false
	}
	m.out.mu.Lock()
	defer m.out.mu.Unlock()
	return !m.out.reset
}

// prompt reports that delivered is exact.
func (m *End) Prompt() bool { return true }

// chop makes every Read of the peer return at most next() bytes.
func (m *End) Chop(next func() int) {
	m.out.mu.Lock()
	defer m.out.mu.Unlock()
	m.out.cut = next
}

// left reports whether the peer has closed its end.
func (m *End) Left() bool {
	m.in.mu.Lock()
	defer m.in.mu.Unlock()
	return m.in.ended || m.in.reset
}

// awaitClose reads nothing and blocks until either end is closed.
func (m *End) AwaitClose() {
	f := m.in
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ended && !f.gone && !f.reset {
		f.cond.Wait()
	}
}

func (m *End) LocalAddr() net.Addr  { return m.local }
func (m *End) RemoteAddr() net.Addr { return m.remote }

func (m *End) SetDeadline(t time.Time) error {
	m.SetReadDeadline(t)
	return m.SetWriteDeadline(t)
}

func (m *End) SetReadDeadline(t time.Time) error {
	m.in.setDeadline(&m.in.readBy, t)
	return nil
}

func (m *End) SetWriteDeadline(t time.Time) error {
	m.out.setDeadline(&m.out.writeBy, t)
	return nil
}
