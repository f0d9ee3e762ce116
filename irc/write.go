package irc

import (
	"bytes"
	"net"
	"sync"
	"time"
)

const (
	writePiece = 4 << 10   // written at once, so that a PONG waits for no more
	maxQueued  = 256 << 10 // bytes that may wait to be written; then Send fails
	maxUrgent  = 16 << 10  // bytes of PONGs that may wait; more are dropped
)

// writer writes lines. There is no goroutine: who adds a line writes out what
// is there, unless somebody else is at it, who then writes that as well. Urgent
// lines go before all others. So nobody waits for another's write.
type writer struct {
	nc      net.Conn
	timeout time.Duration

	mu     sync.Mutex // guards all below; never held while writing
	urgent []byte
	queued []byte
	busy   bool // somebody writes
	err    error
}

// add queues whole lines; flush writes them.
func (w *writer) add(lines []byte, urgent bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case urgent && len(w.urgent)+len(lines) > maxUrgent:
		return nil
	case urgent:
		w.urgent = append(w.urgent, lines...)
	case len(w.queued)+len(lines) > maxQueued:
		return ErrQueueFull
	default:
		w.queued = append(w.queued, lines...)
	}
	return nil
}

// flush writes what is queued, or leaves it to who is writing already.
func (w *writer) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy || w.err != nil {
		return w.err
	}
	w.busy = true
	for w.err == nil {
		p := w.piece()
		if p == nil {
			break
		}
		w.mu.Unlock()
		err := w.nc.SetWriteDeadline(time.Now().Add(w.timeout))
		if err == nil {
			_, err = w.nc.Write(p)
		}
		w.mu.Lock()
		if w.err == nil {
			w.err = err
		}
	}
	w.busy = false
	return w.err
}

// piece takes the next lines to write. mu is held.
func (w *writer) piece() (p []byte) {
	switch {
	case len(w.urgent) > 0:
		p, w.urgent = w.urgent, nil
	case len(w.queued) > writePiece:
		n := bytes.LastIndexByte(w.queued[:writePiece], '\n') + 1
		if n == 0 { // one line that long
			n = bytes.IndexByte(w.queued, '\n') + 1
		}
		if n == 0 {
			n = len(w.queued)
		}
		p, w.queued = w.queued[:n:n], w.queued[n:]
	case len(w.queued) > 0:
		p, w.queued = w.queued, nil
	}
	return p
}

// stop makes every write from now on fail.
func (w *writer) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.urgent, w.queued = nil, nil
}
