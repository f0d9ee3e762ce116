package balancertest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Harness is a Transport and the service behind it, for [TestTransport].
type Harness struct {
	Transport balancer.Transport
	Keys      []balancer.Key       // at least two that can be joined
	Publish   func(k balancer.Key) // has the service send one message to k
	Drop      func()               // has the service end every connection
	Frame     []byte               // something that Send may send
}

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// TestTransport checks what the Balancer takes for granted of a Transport.
// start is called once for each part and registers its own clean-up. It works
// with real sockets and with fakes; nothing in it sleeps.
func TestTransport(t *testing.T, start func(t *testing.T) Harness) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"UpFirst", upFirst},
		{"DialObeysContext", dialObeysContext},
		{"CloseUnblocksReceive", closeUnblocks},
		{"CloseTwiceAndQuit", closeTwice},
		{"UsedUpByFirstError", usedUp},
		{"DropIsAnError", dropped},
		{"JoinIsConfirmed", joinConfirmed},
		{"MessagesCarryKeyAndID", messages},
		{"PartIsConfirmed", partConfirmed},
		{"SmallBuffer", smallBuffer},
		{"SendFromManyGoroutines", sendMany},
		{"ProbeComesAfterDelivery", probed},
		{"PolledTakesWhatReceiveDoes", polled},
		{"PlaceIsPure", placePure},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, start(t)) })
	}
}

func dial(t *testing.T, h Harness) balancer.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := balancer.ShardID{}
	if _, ok := h.Transport.(balancer.Placer); ok {
		id.Count = 1
	}
	c, err := h.Transport.Dial(ctx, id, nil)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pump receives in the background; what it hands over it has copied.
type pump struct {
	mu     sync.Mutex
	events []balancer.Event
	err    error
	more   chan struct{}
}

func receive(t *testing.T, c balancer.Conn, size int) *pump {
	p := &pump{more: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]balancer.Event, size)
		for {
			n, err := c.Receive(buf)
			if n < 0 || n > size {
				t.Errorf("Receive wrote %d events into %d", n, size)
				return
			}
			p.mu.Lock()
			p.events = append(p.events, buf[:n]...)
			p.err = err
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return p
}

// until waits until ok holds for what was received.
func (p *pump) until(t *testing.T, what string, ok func(es []balancer.Event, err error) bool) []balancer.Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		es, err := append([]balancer.Event(nil), p.events...), p.err
		p.mu.Unlock()
		if ok(es, err) {
			return es
		}
		select {
		case <-p.more:
		case <-deadline:
			t.Fatalf("no %s within %v; received %v, error %v", what, patience, es, err)
		}
	}
}

func find[T any](es []balancer.Event, k balancer.Key) (T, bool) {
	for _, e := range es {
		if d, ok := e.Data.(T); ok && e.Key == k {
			return d, true
		}
	}
	var none T
	return none, false
}

func join(t *testing.T, c balancer.Conn, p *pump, keys ...balancer.Key) {
	t.Helper()
	j, ok := c.(balancer.Joiner)
	if !ok {
		return
	}
	if err := j.Join(context.Background(), keys...); err != nil {
		t.Fatalf("Join: %v", err)
	}
	for _, k := range keys {
		p.until(t, "Joined of "+string(k), func(es []balancer.Event, _ error) bool {
			_, ok := find[balancer.Joined](es, k)
			return ok
		})
	}
}

func upFirst(t *testing.T, h Harness) {
	p := receive(t, dial(t, h), 4)
	es := p.until(t, "event", func(es []balancer.Event, _ error) bool { return len(es) > 0 })
	if _, ok := es[0].Data.(balancer.Up); !ok {
		t.Errorf("the first event is %T, want balancer.Up", es[0].Data)
	}
}

func dialObeysContext(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := h.Transport.Dial(ctx, balancer.ShardID{}, nil); err == nil {
		c.Close()
		t.Error("Dial with a context that has ended returned a Conn")
	}
	// The context bounds the call alone.
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	id := balancer.ShardID{}
	if _, ok := h.Transport.(balancer.Placer); ok {
		id.Count = 1
	}
	c, err := h.Transport.Dial(ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	p := receive(t, c, 4)
	p.until(t, "Up", func(es []balancer.Event, _ error) bool { return len(es) > 0 })
	join(t, c, p, h.Keys[0])
	h.Publish(h.Keys[0])
	p.until(t, "message after Dial's context ended", func(es []balancer.Event, err error) bool {
		return err == nil && has(es, h.Keys[0])
	})
}

// has reports whether a message of k is among es.
func has(es []balancer.Event, k balancer.Key) bool { return len(messagesOf(es, k)) > 0 }

func messagesOf(es []balancer.Event, k balancer.Key) (ms []balancer.Event) {
	for _, e := range es {
		switch e.Data.(type) {
		case balancer.Up, balancer.Joined, balancer.Parted, balancer.Refused, balancer.CutOver, balancer.Gap, balancer.Down:
		default:
			if e.Key == k && e.ID != "" {
				ms = append(ms, e)
			}
		}
	}
	return ms
}

func closeUnblocks(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 4)
	p.until(t, "Up", func(es []balancer.Event, _ error) bool { return len(es) > 0 })
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	p.until(t, "error after Close", func(_ []balancer.Event, err error) bool { return err != nil })
}

func closeTwice(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 4)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { c.Quit(ctx) })
		wg.Go(func() { c.Close() })
	}
	wg.Wait()
	p.until(t, "error after Quit", func(_ []balancer.Event, err error) bool { return err != nil })
	if err := c.Send(ctx, h.Frame); err == nil {
		t.Error("Send on a closed Conn returned nil")
	}
}

func usedUp(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 4)
	c.Close()
	p.until(t, "error", func(_ []balancer.Event, err error) bool { return err != nil })
	if n, err := c.Receive(make([]balancer.Event, 4)); err == nil {
		t.Errorf("Receive after its first error returned %d, nil", n)
	}
}

func dropped(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 4)
	p.until(t, "Up", func(es []balancer.Event, _ error) bool { return len(es) > 0 })
	h.Drop()
	p.until(t, "error", func(_ []balancer.Event, err error) bool { return err != nil })
	p.mu.Lock()
	defer p.mu.Unlock()
	var ce *balancer.ConnError
	if errors.As(p.err, &ce) && ce.Retry == balancer.Never {
		t.Errorf("a connection that merely broke must not be the last: %v", p.err)
	}
}

func joinConfirmed(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 256)
	join(t, c, p, h.Keys...)
}

func messages(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 256)
	join(t, c, p, h.Keys...)
	for range 3 {
		for _, k := range h.Keys {
			h.Publish(k)
		}
	}
	ids := make(map[string]bool)
	for _, k := range h.Keys {
		es := p.until(t, "three messages of "+string(k), func(es []balancer.Event, _ error) bool { return len(messagesOf(es, k)) >= 3 })
		for _, e := range messagesOf(es, k) {
			if ids[e.ID] {
				t.Errorf("two messages with the ID %q", e.ID)
			}
			ids[e.ID] = true
			if e.Size <= 0 {
				t.Errorf("message %q has size %d", e.ID, e.Size)
			}
		}
	}
}

func partConfirmed(t *testing.T, h Harness) {
	c := dial(t, h)
	j, ok := c.(balancer.Joiner)
	if !ok {
		t.Skip("keys of this transport are not joined one by one")
	}
	p := receive(t, c, 4)
	join(t, c, p, h.Keys[0])
	if err := j.Part(context.Background(), h.Keys[0]); err != nil {
		t.Fatalf("Part: %v", err)
	}
	es := p.until(t, "Parted", func(es []balancer.Event, _ error) bool {
		_, ok := find[balancer.Parted](es, h.Keys[0])
		return ok
	})
	if d, _ := find[balancer.Parted](es, h.Keys[0]); d.Err != nil {
		t.Errorf("Parted with %v although it was asked for", d.Err)
	}
}

func smallBuffer(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 1)
	join(t, c, p, h.Keys[0])
	for range 50 {
		h.Publish(h.Keys[0])
	}
	es := p.until(t, "fifty messages", func(es []balancer.Event, _ error) bool { return len(messagesOf(es, h.Keys[0])) >= 50 })
	if n := len(messagesOf(es, h.Keys[0])); n != 50 {
		t.Errorf("%d messages, want 50", n)
	}
}

func sendMany(t *testing.T, h Harness) {
	c := dial(t, h)
	p := receive(t, c, 4)
	p.until(t, "Up", func(es []balancer.Event, _ error) bool { return len(es) > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := c.Send(ctx, h.Frame); err != nil {
				t.Errorf("Send: %v", err)
			}
		})
	}
	wg.Wait()
}

func probed(t *testing.T, h Harness) {
	c := dial(t, h)
	pr, ok := c.(balancer.Prober)
	if !ok {
		t.Skip("connections of this transport are no balancer.Probers")
	}
	p := receive(t, c, 4)
	join(t, c, p, h.Keys[0])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sent := 0
	for range 5 {
		for range 10 {
			h.Publish(h.Keys[0])
			sent++
		}
		if err := pr.Probe(ctx); err != nil {
			t.Fatalf("Probe: %v", err)
		}
		p.mu.Lock()
		got := len(messagesOf(p.events, h.Keys[0]))
		p.mu.Unlock()
		if got != sent {
			t.Errorf("Probe returned when %d of %d messages had been delivered", got, sent)
		}
	}
	c.Close()
	if pr.Probe(ctx) == nil {
		t.Error("Probe of a closed Conn returned nil")
	}
}

// polled does with Poll what a worker of the Balancer does.
func polled(t *testing.T, h Harness) {
	c, ok := dial(t, h).(balancer.Polled)
	if !ok {
		t.Skip("connections of this transport are no balancer.Polled")
	}
	woken := make(chan struct{}, 1)
	wake := func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
	if c.Park(wake) == nil {
		t.Skip("this connection has no socket")
	}
	var es []balancer.Event
	buf := make([]balancer.Event, 4)
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !ok(); {
			n, err := c.Poll(buf)
			if err != nil || n < 0 || n > len(buf) || time.Now().After(end) {
				t.Fatalf("no %s: Poll = %d, %v; so far %d events", what, n, err, len(es))
			}
			es = append(es, buf[:n]...)
			if n == 0 {
				runtime.Gosched()
			}
		}
	}
	until("Up", func() bool { return len(es) > 0 })
	if j, ok := c.(balancer.Joiner); ok {
		if err := j.Join(context.Background(), h.Keys[0]); err != nil {
			t.Fatalf("Join: %v", err)
		}
		until("Joined", func() bool { _, ok := find[balancer.Joined](es, h.Keys[0]); return ok })
	}
	for range 50 {
		h.Publish(h.Keys[0])
	}
	until("fifty messages", func() bool { return len(messagesOf(es, h.Keys[0])) >= 50 })
	if n := len(messagesOf(es, h.Keys[0])); n != 50 {
		t.Errorf("%d messages, want 50", n)
	}
	c.Delivered()
	if c.Park(wake) == nil {
		t.Error("a connection was not parked again")
	}
	c.Close()
	select {
	case <-woken:
	case <-time.After(patience):
		t.Error("Close did not wake a parked connection")
	}
	for {
		if _, err := c.Poll(buf); err != nil {
			break
		}
	}
	if c.Park(wake) != nil {
		t.Error("a closed connection was parked")
	}
}

func placePure(t *testing.T, h Harness) {
	pl, ok := h.Transport.(balancer.Placer)
	if !ok {
		t.Skip("free placement")
	}
	for _, k := range append([]balancer.Key{""}, h.Keys...) {
		for count := 1; count < 100; count++ {
			a, b := pl.Place(k, count), pl.Place(k, count)
			if a != b || a < 0 || a >= count {
				t.Fatalf("Place(%q, %d) = %d, then %d", k, count, a, b)
			}
		}
	}
}
