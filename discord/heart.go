package discord

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// heart sends heartbeats and finds out that the other side is gone
// (events/gateway, "Sending Heartbeats"). A timer drives it, so that neither a
// Handler nor what is being sent delays it.
type heart struct {
	c        *conn
	interval time.Duration

	heard atomic.Uint32 // reads that gave something
	seq   atomic.Uint64 // last sequence number received; 0: none

	mu      sync.Mutex // guards all below; never held while writing
	timer   *time.Timer
	running sync.WaitGroup // of the timer's function and probes
	stopped bool
	sent    uint32 // heartbeats sent
	acked   uint32 // and answered: answers come in order
	told    uint32 // answers before which everything has been delivered
	ears    uint32 // heard, when the last heartbeat of the timer was sent
	beaten  bool
	open    bool      // the last heartbeat of the timer is not answered
	asked   time.Time // when one was last sent on demand
	waits   []probe
	awaking *time.Timer // wakes the reader at a time that it asked for
}

// probe waits for the answer to one heartbeat.
type probe struct {
	nth    uint32
	answer chan struct{}
}

// start begins to beat. The first beat comes at a random time within the
// interval, so that many connections do not beat together.
func (h *heart) start(interval time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || h.timer != nil {
		return
	}
	h.interval = interval
	h.running.Add(1)
	h.timer = time.AfterFunc(time.Duration(rand.Float64()*float64(interval)), h.beat)
}

// stop ends all and waits for what is running.
func (h *heart) stop() {
	h.mu.Lock()
	first := !h.stopped
	h.stopped = true
	for _, p := range h.waits {
		close(p.answer)
	}
	h.waits = nil
	if first && h.timer != nil && h.timer.Stop() {
		h.running.Done()
	}
	if h.awaking != nil && h.awaking.Stop() {
		h.running.Done()
	}
	h.awaking = nil
	h.mu.Unlock()
	h.running.Wait()
}

// beat is the timer's.
func (h *heart) beat() {
	defer h.running.Done()
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return
	}
	ears := h.heard.Load()
	// A reader that is kept from reading hears nothing, whoever speaks.
	if h.beaten && h.open && ears == h.ears && h.c.sock.waiting.Load() {
		h.mu.Unlock()
		h.c.fail(ErrDead)
		return
	}
	h.ears, h.beaten, h.open = ears, true, true
	h.sent++
	h.running.Add(1)
	h.timer.Reset(h.interval)
	h.mu.Unlock()
	if err := h.c.write(h.frame()); err != nil {
		h.c.fail(err)
	}
}

func (h *heart) frame() []byte {
	b := append(make([]byte, 0, 40), `{"op":1,"d":`...)
	if s := h.seq.Load(); s > 0 {
		b = strconv.AppendUint(b, s, 10)
	} else {
		b = append(b, "null"...)
	}
	return append(b, '}')
}

// onDemand answers op 1: at once, but not more often than once in a second.
func (h *heart) onDemand() error {
	now := time.Now()
	h.mu.Lock()
	if h.stopped || now.Sub(h.asked) < time.Second {
		h.mu.Unlock()
		return nil
	}
	h.asked = now
	h.sent++
	h.mu.Unlock()
	return h.c.write(h.frame())
}

// ack hears op 11.
func (h *heart) ack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acked < h.sent {
		h.acked++
	}
	if h.acked == h.sent {
		h.open = false
	}
}

// tell ends the probes that have been answered. The reader calls it when what it
// received before the answer has been taken off its hands.
func (h *heart) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = h.acked
	w := h.waits[:0]
	for _, p := range h.waits {
		if p.nth <= h.told {
			close(p.answer)
		} else {
			w = append(w, p)
		}
	}
	h.waits = w
}

// wakeIn wakes the reader after a while, to look at what is due.
func (h *heart) wakeIn(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	h.running.Add(1)
	h.awaking = time.AfterFunc(d, func() {
		defer h.running.Done()
		h.c.sock.wake()
	})
}

// reserved is how many of the 120 payloads per minute are kept for heartbeats:
// twice what the timer sends, and one for IDENTIFY or RESUME.
func (h *heart) reserved() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.interval <= 0 {
		return 5
	}
	return min(1+2*int((time.Minute+h.interval-1)/h.interval), sendLimit-1)
}

// Probe implements [balancer.Prober] with a heartbeat.
func (c *conn) Probe(ctx context.Context) error {
	if err := c.pace(ctx); err != nil {
		return err
	}
	h := &c.heart
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return ErrClosed
	}
	h.sent++
	p := probe{h.sent, make(chan struct{})}
	h.waits = append(h.waits, p)
	h.mu.Unlock()
	if err := c.write(h.frame()); err != nil {
		c.fail(err)
		return err
	}
	t := time.NewTimer(answerFor)
	defer t.Stop()
	for {
		select {
		case <-p.answer:
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.stopped && h.told < p.nth {
				return ErrClosed
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			if !c.sock.waiting.Load() {
				t.Reset(answerFor) // the answer may stand behind what is being handled
				continue
			}
			// Not even traffic excuses a missing answer here: what is asked is
			// whether everything has been received.
			c.fail(ErrDead)
			return ErrDead
		}
	}
}

// answerFor is how long the answer to a heartbeat may take.
const answerFor = 5 * time.Second
