package balancer

import (
	"sync"
	"syscall"
)

// PollInMemory has the Balancer wait for sockets in memory, as those of
// balancertest, as it does for the system's.
func (b *Balancer) PollInMemory() {
	b.newReadiness = func() (readiness, error) {
		return &memory{sockets: make(map[memorySocket]int), told: make(chan struct{}, 1), closed: make(chan struct{})}, nil
	}
}

type memorySocket interface {
	Readable() bool
	Notify(f func())
}

// memory is a readiness, level-triggered as epoll's.
type memory struct {
	told   chan struct{}
	closed chan struct{}

	mu      sync.Mutex
	sockets map[memorySocket]int // and their slots
}

func (m *memory) add(socket syscall.RawConn, slot int) error {
	s := socket.(memorySocket)
	m.mu.Lock()
	m.sockets[s] = slot
	m.mu.Unlock()
	s.Notify(m.tell)
	m.tell()
	return nil
}

func (m *memory) remove(socket syscall.RawConn) {
	s := socket.(memorySocket)
	s.Notify(nil)
	m.mu.Lock()
	delete(m.sockets, s)
	m.mu.Unlock()
}

func (m *memory) tell() {
	select {
	case m.told <- struct{}{}:
	default:
	}
}

func (m *memory) wait(slots []int) (int, error) {
	for {
		if n := m.readable(slots); n > 0 {
			return n, nil
		}
		select {
		case <-m.told:
		case <-m.closed:
			return 0, syscall.EBADF
		}
	}
}

func (m *memory) readable(slots []int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for s, slot := range m.sockets {
		if n < len(slots) && s.Readable() {
			slots[n] = slot
			n++
		}
	}
	return n
}

func (m *memory) close() { close(m.closed) }
