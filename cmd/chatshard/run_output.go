package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

const (
	outputBatch = 64 << 10             // bytes that are written at once, and that may wait
	outputDelay = 5 * time.Millisecond // for which the first of a batch waits for others
)

// errOutputStuck ends an output that nobody reads.
var errOutputStuck = errors.New("the output was not read")

// output writes envelopes to one writer, one a line. Encoders share it and its
// lock, so that the cursor counts what is written in its order. When a batch is
// full, write waits until the writer has taken it: a reader that is slow slows
// the connections' queues, where the configuration says what happens then.
type output struct {
	w io.Writer

	mu   sync.Mutex // guards all below; never held while writing
	some sync.Cond  // there is something to write, or the end has come
	room sync.Cond  // there is room, or the end has come
	buf  []byte
	err  error // of the writer: nothing is written any more
	over bool  // no more will come
	done chan struct{}
}

// newOutput starts to write to w, until close.
func newOutput(w io.Writer) *output {
	o := &output{w: w, done: make(chan struct{})}
	o.some.L, o.room.L = &o.mu, &o.mu
	if f, ok := w.(*os.File); ok && f == os.Stdout {
		// A reader that went away shall be an error, not the end by a signal.
		signal.Ignore(syscall.SIGPIPE)
	}
	go func() { // ended and waited for by close
		defer close(o.done)
		o.run()
	}()
	return o
}

// write implements sink. What is in the buffer counts as written: it is at the
// end, if the reader takes it.
func (o *output) write(enc *encoder, e balancer.Event, acked func()) {
	if acked != nil {
		defer acked()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) >= outputBatch && o.err == nil {
		o.room.Wait()
	}
	if o.err != nil {
		return
	}
	empty := len(o.buf) == 0
	o.buf = append(enc.append(o.buf, e), '\n')
	if empty || len(o.buf) >= outputBatch {
		o.some.Signal()
	}
}

// run writes what is there, batch by batch.
func (o *output) run() {
	var spare []byte
	for {
		batch, ok := o.take(spare)
		if !ok {
			return
		}
		_, err := o.w.Write(batch)
		spare = batch[:0]
		if err != nil {
			o.fail(err)
			return
		}
	}
}

// take waits for a batch: until outputDelay after its first envelope, until it
// is full, or until the end.
func (o *output) take(spare []byte) (batch []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) == 0 && !o.over && o.err == nil {
		o.some.Wait()
	}
	if len(o.buf) < outputBatch && !o.over {
		late := false
		t := time.AfterFunc(outputDelay, func() {
			o.mu.Lock()
			late = true
			o.mu.Unlock()
			o.some.Signal()
		})
		for len(o.buf) < outputBatch && !o.over && !late && o.err == nil {
			o.some.Wait()
		}
		t.Stop()
	}
	if len(o.buf) == 0 || o.err != nil {
		return nil, false
	}
	batch, o.buf = o.buf, spare
	o.room.Broadcast()
	return batch, true
}

// fail makes every write return at once from now on.
func (o *output) fail(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
	}
	o.mu.Unlock()
	o.room.Broadcast()
	o.some.Signal()
}

// failed is closed when the output can take no more, or is closed.
func (o *output) failed() <-chan struct{} { return o.done }

// close writes what is left, for as long as ctx lives, and returns what went
// wrong, if anything did. A writer that is stuck by then is left to the end of
// the process.
func (o *output) close(ctx context.Context) error {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	o.some.Signal()
	select {
	case <-o.done:
	case <-ctx.Done():
		o.fail(errOutputStuck)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.explain()
}

// explain says what to make of the output's error. mu is held.
func (o *output) explain() error {
	switch {
	case o.err == nil:
		return nil
	case errors.Is(o.err, syscall.EPIPE), errors.Is(o.err, io.ErrClosedPipe):
		return errors.New("standard output was closed by its reader; what was not read is gone")
	case errors.Is(o.err, errOutputStuck):
		return fmt.Errorf("standard output was not read in time; %d bytes are gone", len(o.buf))
	}
	return fmt.Errorf("standard output: %w; free some space or mend it, and start again", o.err)
}
