package relay

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// Done is what becomes of an entry, as [Log] says.
type Done = func(seq uint64, dup bool, err error)

// NATSLogConfig says how a log is kept. The zero value works. It is copied.
type NATSLogConfig struct {
	Stream   string        // default EV
	MaxAge   time.Duration // of entries; default a day, negative for no limit
	MaxBytes int64         // of all entries; default three quarters of an embedded engine's MaxStore, else 8 GiB
	Replicas int           // default 1

	// SharedWriters says that other processes append to the same stream. Then
	// the engine looks for second copies too, at more than half its rate.
	SharedWriters bool

	Dedup   time.Duration // for how long IDs are remembered at least; default 30 s
	MaxIDs  int           // and how many at most, twice; default 1,000,000
	Buffer  int           // bytes that wait for the engine; default 64 MiB
	MaxBody int           // bytes of one entry; default 32 MiB
	AckWait time.Duration // without an acknowledgement for so long the engine is not healthy; default 3 s

	// Dropped is called when the engine is back, with all that did not fit the
	// buffer meanwhile; nil: it is only logged. What it returns is kept in the
	// place of what is missing. It must not call the log.
	Dropped func(Lost) []Pending
	// Changed is called with the new epoch, and the number of the last entry
	// that there is, when history was lost: cursors of the epoch before mean
	// nothing now. It comes before the first entry of the epoch is done, and
	// must not call the log.
	Changed func(Cursor)

	Logger zerolog.Logger
}

// Pending is an entry and what is called when it is safe; Done may be nil.
type Pending struct {
	Entry *Entry
	Done  Done
}

// Lost is the extent of what was dropped: so many entries, received from From
// to To, about Subjects. Of these there are at most 1,000, and More says that
// others lost something too.
type Lost struct {
	From, To time.Time
	N        int
	Subjects []Subject
	More     bool
}

const maxLostSubjects = 1000

// NATSLog is a Log in a stream of an Engine. Its methods may be called by many
// goroutines. One goroutine, which ends with Close, hands entries to the engine
// and calls every done but those of dropped entries, which must not block: all
// that follows waits for it.
//
// Without SharedWriters nobody else may write to the stream. The engine's
// answer to the last entry of a batch then answers for all of it, and what
// became of entries without an answer is read from the stream: nothing is
// stored twice, and the entries need no id of their own in it.
//
// The epoch changes when the stream was made anew, and when it ends before what
// this process knows to be safe. What a power cut took while no process ran is
// not noticed: with EngineConfig.SyncAlways it takes nothing.
type NATSLog struct {
	cfg    NATSLogConfig
	engine *Engine
	read   *nats.Conn
	js     jetstream.JetStream
	names  names
	wake   chan struct{}
	cut    chan *nats.Conn // a connection of the writer has ended
	stop   context.CancelFunc
	ended  chan struct{}

	readers readers

	mu       sync.Mutex // guards the fields below
	queue    queue      // what has not been handed to the engine
	bytes    int        // of the queue and of what is in flight
	inflight int        // entries handed to the engine
	copies   int        // second copies that wait in the queue
	seen     *window
	gone     map[uint64]struct{} // hashes dropped while copies of them may wait
	room     chan struct{}       // closed when there is room; nil while nobody waits
	lost     Lost
	lostSet  map[Subject]struct{}
	sick     error     // nil while healthy
	dropFrom time.Time // while sick: until then a full buffer is waited for
	serial   uint64    // of the last item
	epoch    string
	closing  bool

	w writer // the goroutine's own
}

// OpenNATSLog opens the log, which is made if there is none.
func OpenNATSLog(ctx context.Context, e *Engine, cfg *NATSLogConfig) (*NATSLog, error) {
	l := &NATSLog{engine: e, wake: make(chan struct{}, 1), cut: make(chan *nats.Conn, 1), ended: make(chan struct{})}
	if cfg != nil {
		l.cfg = *cfg
	}
	c := &l.cfg
	c.Stream = cmp.Or(c.Stream, defaultStream)
	c.MaxAge = cmp.Or(c.MaxAge, 24*time.Hour)
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Dedup = cmp.Or(c.Dedup, 30*time.Second)
	c.MaxIDs = cmp.Or(c.MaxIDs, 1_000_000)
	c.Buffer = cmp.Or(c.Buffer, 64<<20)
	c.MaxBody = cmp.Or(c.MaxBody, 32<<20)
	c.AckWait = cmp.Or(c.AckWait, 3*time.Second)
	if c.MaxBytes == 0 {
		c.MaxBytes = 8 << 30
		if e.Embedded() {
			c.MaxBytes = e.cfg.MaxStore / 4 * 3
		}
	}
	l.seen = newWindow(c.Dedup, c.MaxIDs)
	var err error
	if l.read, err = e.dial("chatshard log: reads", true); err != nil {
		return nil, err
	}
	if l.js, err = jetstream.New(l.read); err != nil {
		l.read.Close()
		return nil, fmt.Errorf("relay: log: %w", err)
	}
	l.w.log = l
	if err = l.w.open(ctx); err == nil {
		err = l.remember(ctx)
	}
	if err != nil {
		l.w.hangUp()
		l.read.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.w.run(running) // ends with Close, which waits for it
	return l, nil
}

// Append implements Log. When it returns an error, done is not called. Once the
// engine has been away for AckWait nothing waits for room: the oldest entries
// make it, and are done with ErrDropped.
func (l *NATSLog) Append(ctx context.Context, e *Entry, done func(seq uint64, dup bool, err error)) error {
	it, err := l.item(e, done)
	if err != nil {
		return err
	}
	it.hash = l.seen.key(e)
	var dropped []item
	l.mu.Lock()
	for !l.closing && l.bytes > 0 && l.bytes+it.cost() > l.cfg.Buffer {
		if l.sick != nil && l.queue.len() > 0 && !time.Now().Before(l.dropFrom) {
			dropped = append(dropped, l.drop())
			continue
		}
		if err := l.waitForRoom(ctx); err != nil {
			l.mu.Unlock()
			return err // nothing was dropped: that begins after the last wait
		}
	}
	if l.closing {
		l.mu.Unlock()
		return ErrClosed
	}
	if it.copy = l.seen.add(it.hash, time.Now()); it.copy {
		it = item{entry: &Entry{Subject: e.Subject, Time: e.Time}, done: done, hash: it.hash, copy: true}
		l.copies++
	}
	l.serial++
	it.serial = l.serial
	l.queue.push(it)
	l.bytes += it.cost()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	for i := range dropped {
		dropped[i].finish(0, false, ErrDropped)
	}
	return nil
}

// waitForRoom waits until something has changed, or entries may be dropped; mu
// is held before and after.
func (l *NATSLog) waitForRoom(ctx context.Context) error {
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	var over <-chan time.Time
	if l.sick != nil {
		timer := time.NewTimer(max(time.Millisecond, time.Until(l.dropFrom)))
		defer timer.Stop()
		over = timer.C
	}
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-room:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// drop takes the oldest entry out of the queue; mu is held.
func (l *NATSLog) drop() item {
	it := l.queue.pop()
	l.bytes -= it.cost()
	if it.copy {
		l.copies--
		return it
	}
	l.seen.forget(it.hash)
	if l.copies > 0 && it.hash != 0 {
		if l.gone == nil {
			l.gone = make(map[uint64]struct{})
		}
		l.gone[it.hash] = struct{}{}
	}
	t := it.entry.Time
	if l.lost.N == 0 || t.Before(l.lost.From) {
		l.lost.From = t
	}
	if l.lost.N == 0 || t.After(l.lost.To) {
		l.lost.To = t
	}
	l.lost.N++
	if _, ok := l.lostSet[it.entry.Subject]; !ok {
		if len(l.lostSet) >= maxLostSubjects {
			l.lost.More = true
			return it
		}
		if l.lostSet == nil {
			l.lostSet = make(map[Subject]struct{})
		}
		l.lostSet[it.entry.Subject] = struct{}{}
		l.lost.Subjects = append(l.lost.Subjects, it.entry.Subject)
	}
	return it
}

// makeRoom lets waiting Appends look again; mu is held.
func (l *NATSLog) makeRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// Healthy implements Log.
func (l *NATSLog) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	return l.sick
}

// Waiting returns how many entries, and bytes, have not been acknowledged.
func (l *NATSLog) Waiting() (entries, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.len() + l.inflight, l.bytes
}

// Close implements Log. What is not safe when ctx ends is done with ErrClosed.
func (l *NATSLog) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true
	l.makeRoom()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	var err error
	select {
	case <-l.ended:
	case <-ctx.Done():
		err = ctx.Err()
		l.stop()
		<-l.ended
	}
	l.stop()
	l.read.Close()
	if n, _ := l.Waiting(); n > 0 {
		return fmt.Errorf("relay: log: %d entries were not written: %w", n, cmp.Or(err, ErrClosed))
	}
	return nil
}
