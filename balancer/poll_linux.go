package balancer

import (
	"cmp"
	"os"
	"syscall"
)

// epoll is the readiness of Linux. Its own descriptor is waited for in the
// runtime's poller: a thread that blocks in epoll_wait would cost more than it
// saves.
type epoll struct {
	file *os.File
	self syscall.RawConn
	n    int // of the last wait, as are err and events
	err  error
	ask  func(fd uintptr) bool // made once, as outer and inner: they would be allocated for each call

	events [pollBatch]syscall.EpollEvent

	// Of control, with which it changes what is waited for.
	op           int
	event        syscall.EpollEvent
	socket       syscall.RawConn
	fd           int // of self
	done         error
	outer, inner func(fd uintptr)
}

func newReadiness() (readiness, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // tells os that it can be waited for
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	e := &epoll{file: os.NewFile(uintptr(fd), "epoll")}
	if e.self, err = e.file.SyscallConn(); err != nil {
		e.file.Close()
		return nil, err
	}
	e.ask = e.askFD
	e.outer = func(self uintptr) {
		e.fd = int(self)
		if closed := e.socket.Control(e.inner); closed != nil {
			e.done = closed
		}
	}
	e.inner = func(fd uintptr) {
		e.done = os.NewSyscallError("epoll_ctl", syscall.EpollCtl(e.fd, e.op, int(fd), &e.event))
	}
	return e, nil
}

func (e *epoll) add(socket syscall.RawConn, slot int) error {
	return e.control(socket, syscall.EPOLL_CTL_ADD, syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(slot)})
}

// remove does nothing if the socket was closed: that removed it.
func (e *epoll) remove(socket syscall.RawConn) {
	_ = e.control(socket, syscall.EPOLL_CTL_DEL, syscall.EpollEvent{})
}

func (e *epoll) control(socket syscall.RawConn, op int, event syscall.EpollEvent) error {
	e.socket, e.op, e.event, e.done = socket, op, event, nil
	closed := e.self.Control(e.outer)
	e.socket = nil
	return cmp.Or(closed, e.done)
}

func (e *epoll) wait(slots []int) (int, error) {
	if err := e.self.Read(e.ask); err != nil {
		return 0, err
	}
	for i := range e.events[:e.n] {
		slots[i] = int(e.events[i].Fd)
	}
	return e.n, e.err
}

func (e *epoll) askFD(fd uintptr) bool {
	for {
		e.n, e.err = syscall.EpollWait(int(fd), e.events[:], 0)
		if e.err != syscall.EINTR {
			return e.n != 0 || e.err != nil
		}
	}
}

func (e *epoll) close() { e.file.Close() }
