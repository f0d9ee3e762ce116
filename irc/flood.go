package irc

import (
	"context"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// flood keeps one connection to the rate of lines that a plain IRC server
// allows. What has to wait is queued and written by a goroutine that ends when
// the queue is empty or the connection is closed. JOINs that wait are put
// together into as few lines as hold them.
type flood struct {
	c   *conn
	log *balancer.Window
	wg  sync.WaitGroup

	mu      sync.Mutex // guards all below; never held while waiting or writing
	items   []floodItem
	bytes   int
	running bool
}

// floodItem is one line, or channels of one verb that become as many lines as needed.
type floodItem struct {
	line     []byte
	verb     string
	channels []string
}

func newFlood(c *conn, r Rate) *flood {
	if r.N <= 0 {
		return nil
	}
	return &flood{c: c, log: balancer.NewWindow(r.N, r.Per)}
}

// line sends one line when the rate allows. It does not wait for that.
func (f *flood) line(b []byte) error {
	return f.push(floodItem{line: b})
}

// list sends a JOIN or PART of channels.
func (f *flood) list(verb string, channels []string) error {
	f.mu.Lock()
	if n := len(f.items); n > 0 && f.items[n-1].verb == verb && verb != "" {
		f.items[n-1].channels = append(f.items[n-1].channels, channels...)
		f.mu.Unlock()
		return nil
	}
	f.mu.Unlock()
	return f.push(floodItem{verb: verb, channels: channels})
}

func (f *flood) push(it floodItem) error {
	f.mu.Lock()
	if f.bytes+len(it.line) > maxQueued {
		f.mu.Unlock()
		return ErrQueueFull
	}
	f.items = append(f.items, it)
	f.bytes += len(it.line)
	due, _ := f.due(time.Now())
	if len(f.items) > 0 && !f.running && !f.c.isClosed() {
		f.running = true
		f.wg.Go(f.run)
	}
	f.mu.Unlock()
	return f.c.send(due)
}

// due takes what may be written now, and says how long to wait for more. mu is held.
func (f *flood) due(now time.Time) (out []byte, wait time.Duration) {
	for len(f.items) > 0 {
		if wait, _ = f.log.Take(now, 1); wait > 0 {
			return out, wait
		}
		it := &f.items[0]
		if it.verb == "" {
			f.bytes -= len(it.line)
			out = append(out, it.line...)
			f.items = f.items[1:]
			continue
		}
		n := f.c.encoder.fits(it.verb, it.channels)
		if line, err := f.c.encoder.appendList(nil, it.verb, it.channels[:n]); err == nil {
			out = append(out, line...)
		}
		if it.channels = it.channels[n:]; len(it.channels) == 0 {
			f.items = f.items[1:]
		}
	}
	return out, 0
}

// run writes what had to wait.
func (f *flood) run() {
	for {
		f.mu.Lock()
		if len(f.items) == 0 || f.c.isClosed() {
			f.items, f.bytes, f.running = nil, 0, false
			f.mu.Unlock()
			return
		}
		out, wait := f.due(time.Now())
		f.mu.Unlock()
		if len(out) > 0 && f.c.send(out) != nil {
			f.c.hangUp() // its reader says why
		}
		if wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-f.c.done:
			case <-t.C:
			}
			t.Stop()
		}
	}
}

// wait waits until a line may be sent, behind all that waits, and counts it.
func (f *flood) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		wait := 100 * time.Millisecond // those that wait go first
		if len(f.items) == 0 {
			wait, _ = f.log.Take(time.Now(), 1)
		}
		f.mu.Unlock()
		if wait == 0 {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-f.c.done:
			t.Stop()
			return ErrClosed
		case <-t.C:
		}
	}
}

// spend counts a line that goes at once, such as a PONG.
func (f *flood) spend() {
	if f != nil {
		f.log.Take(time.Now(), 1)
	}
}

// fits returns how many channels, one at least, go into one line.
func (e Encoder) fits(verb string, channels []string) int {
	size := len(verb) + len("\r\n")
	for i, c := range channels {
		size += len(" ") + len(c)
		if i > 0 && (size > e.lineLen() || e.Targets > 0 && i >= e.Targets) {
			return i
		}
	}
	return len(channels)
}
