package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// within bounds what a test waits for.
const within = 30 * time.Second

func newEngine(t testing.TB, cfg EngineConfig) *Engine {
	t.Helper()
	if cfg.Dir == "" && cfg.URL == "" {
		cfg.Dir = t.TempDir()
	}
	if testing.Verbose() {
		cfg.Logger = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	}
	e, err := StartEngine(t.Context(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

func openLog(t testing.TB, e *Engine, cfg NATSLogConfig) *NATSLog {
	t.Helper()
	if testing.Verbose() {
		cfg.Logger = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.DebugLevel)
	}
	l, err := OpenNATSLog(t.Context(), e, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.stop(); <-l.ended; l.read.Close() })
	return l
}

func closeLog(t testing.TB, l Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

func entry(channel string, n int) *Entry {
	id := channel + "-" + strconv.Itoa(n)
	return &Entry{
		ID: id, Subject: Subject{Platform: "twitch", Account: "bot", Channel: channel, Kind: "message"},
		Body: []byte(`{"v":1,"id":"` + id + `","text":"message ` + strconv.Itoa(n) + `"}`), Time: time.Now(),
	}
}

// ledger is what done was called with.
type ledger struct {
	mu    sync.Mutex
	seqs  map[string]uint64
	order []uint64
	dups  int
	errs  map[string]error
	left  int
	empty chan struct{} // closed when nothing is left
}

func newLedger() *ledger {
	return &ledger{seqs: map[string]uint64{}, errs: map[string]error{}, empty: make(chan struct{}, 1)}
}

func (g *ledger) append(t testing.TB, l Log, e *Entry) {
	t.Helper()
	g.mu.Lock()
	g.left++
	g.mu.Unlock()
	if err := l.Append(t.Context(), e, g.done(t, e)); err != nil {
		t.Errorf("Append: %v", err)
		g.finish()
	}
}

func (g *ledger) done(t testing.TB, e *Entry) Done {
	called := false
	return func(seq uint64, dup bool, err error) {
		g.mu.Lock()
		switch {
		case called:
			t.Errorf("done of %s called twice", e.ID)
		case err != nil:
			g.errs[e.ID] = err
		case dup:
			g.dups++
		default:
			g.seqs[e.ID] = seq
			g.order = append(g.order, seq)
		}
		called = true
		g.mu.Unlock()
		g.finish()
	}
}

func (g *ledger) finish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left--; g.left == 0 {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

// wait waits until all that was appended is done.
func (g *ledger) wait(t testing.TB) {
	t.Helper()
	timeout := time.After(within)
	for {
		g.mu.Lock()
		left := g.left
		g.mu.Unlock()
		if left == 0 {
			break
		}
		select {
		case <-g.empty:
		case <-timeout:
			t.Fatalf("%d entries are not done after %v", left, within)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := 1; i < len(g.order); i++ {
		if g.order[i] <= g.order[i-1] {
			t.Fatalf("done of %d came after done of %d", g.order[i], g.order[i-1])
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond) // polls a real server
	}
}

// readAll reads the whole log: the IDs by number.
func readAll(t testing.TB, l Log) map[uint64]string {
	t.Helper()
	_, first, last, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[uint64]string{}
	at, err := l.Read(t.Context(), first-1, last, func(seq uint64, body []byte) bool {
		all[seq] = bodyID(body)
		return true
	})
	if err != nil || at != last {
		t.Fatalf("Read(%d, %d) = %d, %v", first-1, last, at, err)
	}
	return all
}

// check compares the log with what done said: each entry once, where it is said to be.
func (g *ledger) check(t testing.TB, l Log) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	all := readAll(t, l)
	times := map[string]int{}
	for _, id := range all {
		times[id]++
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("%s is in the log %d times", id, n)
		}
	}
	for id, seq := range g.seqs {
		if all[seq] != id {
			t.Fatalf("entry %d is %q, want %q", seq, all[seq], id)
		}
	}
	// In order per channel.
	lastOf := map[string]int{}
	for seq := uint64(0); len(all) > 0; seq++ {
		id, ok := all[seq]
		if !ok {
			continue
		}
		delete(all, seq)
		if i := strings.LastIndexByte(id, '-'); i > 0 {
			n, _ := strconv.Atoi(id[i+1:])
			if before, ok := lastOf[id[:i]]; ok && n <= before {
				t.Errorf("%s: %d stands after %d", id[:i], n, before)
			}
			lastOf[id[:i]] = n
		}
	}
}

func TestNATSLog(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{})
	if _, first, last, err := l.Bounds(t.Context()); err != nil || first != 1 || last != 0 {
		t.Fatalf("Bounds = %d, %d, %v of an empty log", first, last, err)
	}
	g := newLedger()
	const channels, each = 8, 2000
	var wg sync.WaitGroup
	for c := range channels {
		wg.Go(func() {
			for n := range each {
				g.append(t, l, entry(fmt.Sprintf("c%d", c), n))
			}
		})
	}
	wg.Wait()
	g.wait(t)
	if len(g.seqs) != channels*each || g.dups > 0 || len(g.errs) > 0 {
		t.Fatalf("%d safe, %d copies, %d errors; want %d, 0, 0", len(g.seqs), g.dups, len(g.errs), channels*each)
	}
	g.check(t, l)

	// In pieces, each going on where the last one ended.
	at, total := uint64(0), 0
	made, err := l.read.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>")
	if err != nil {
		t.Fatal(err)
	}
	for at < channels*each {
		var n int
		next, err := l.Read(t.Context(), at, channels*each, func(seq uint64, _ []byte) bool {
			n++
			return n < 100+rand.IntN(500)
		})
		if err != nil || next != at+uint64(n) {
			t.Fatalf("Read(%d) = %d, %v after %d entries", at, next, err, n)
		}
		at, total = next, total+n
	}
	if total != channels*each {
		t.Errorf("%d entries read, want %d", total, channels*each)
	}
	if err := l.read.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := made.Pending(); n > 1 || err != nil {
		t.Errorf("the engine was asked to begin %d times, %v; want once at most", n, err)
	}
	closeLog(t, l)
	if err := l.Append(t.Context(), entry("c", 1), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append = %v after Close", err)
	}
}

func TestNATSLogBodies(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{SharedWriters: shared})
			g := newLedger()
			noise := make([]byte, 10<<20)
			for i := range noise {
				noise[i] = byte(rand.Uint32())
			}
			bodies := [][]byte{
				{}, []byte("x"), bytes.Repeat([]byte("wide "), 400_000), noise[:2<<20], []byte("y"), noise, noise[:13], bytes.Repeat([]byte("k"), 64<<10+1),
			}
			for i, body := range bodies {
				e := entry("big", i)
				e.Body = body
				g.append(t, l, e)
			}
			g.wait(t)
			for i, body := range bodies {
				seq, ok := g.seqs[entry("big", i).ID]
				if !ok {
					t.Fatalf("body %d is not safe: %v", i, g.errs)
				}
				n := 0
				_, err := l.Read(t.Context(), seq-1, seq, func(_ uint64, got []byte) bool {
					n++
					if !bytes.Equal(got, body) {
						t.Errorf("body %d of %d bytes came back with %d", i, len(body), len(got))
					}
					return true
				})
				if want := 1; err != nil || n != want && i != 5 {
					t.Errorf("Read of body %d: %d, %v", i, n, err)
				}
			}
			n := 0
			if _, err := l.Read(t.Context(), 0, g.order[len(g.order)-1], func(seq uint64, got []byte) bool {
				if seq != g.order[n] || !bytes.Equal(got, bodies[n]) {
					t.Errorf("entry %d of the whole read: %d with %d bytes, want %d with %d", n, seq, len(got), g.order[n], len(bodies[n]))
				}
				n++
				return true
			}); err != nil || n != len(bodies) {
				t.Errorf("%d entries, %v; want %d", n, err, len(bodies))
			}
			e := entry("big", 99)
			e.Body = make([]byte, 33<<20)
			if err := l.Append(t.Context(), e, nil); !errors.Is(err, ErrTooLarge) {
				t.Errorf("Append of 33 MiB = %v", err)
			}
		})
	}
}

// More than the engine lets wait for one connection is read without its end.
func TestNATSLogReadsMuch(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{})
	g := newLedger()
	noise := make([]byte, 2<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	const n = 50
	for i := range n {
		e := entry("big", i)
		e.Body = noise
		g.append(t, l, e)
	}
	g.wait(t)
	got := 0
	at, err := l.Read(t.Context(), 0, n, func(seq uint64, body []byte) bool {
		if got++; seq != uint64(got) || len(body) != len(noise) {
			t.Errorf("entry %d has number %d and %d bytes", got, seq, len(body))
		}
		return true
	})
	if at != n || err != nil || got != n {
		t.Errorf("Read = %d, %v after %d entries; want %d", at, err, got, n)
	}
	if n := l.read.Stats().Reconnects; n > 0 {
		t.Errorf("the connection ended %d times", n)
	}
}

func TestNATSLogCopies(t *testing.T) {
	e := newEngine(t, EngineConfig{})
	l := openLog(t, e, NATSLogConfig{})
	g := newLedger()
	for n := range 500 {
		g.append(t, l, entry("a", n))
		g.append(t, l, entry("a", n))
		g.append(t, l, entry("a", n/2))
	}
	noID := entry("a", 1000)
	noID.ID = ""
	g.append(t, l, noID)
	g.append(t, l, noID)
	g.wait(t)
	if len(g.seqs) != 501 || g.dups != 1000 {
		t.Errorf("%d safe, %d copies; want 501, 1000", len(g.seqs), g.dups)
	}
	closeLog(t, l)

	// The next process knows what the one before has stored.
	l = openLog(t, e, NATSLogConfig{})
	g = newLedger()
	for n := range 501 {
		g.append(t, l, entry("a", n))
	}
	g.wait(t)
	if len(g.seqs) != 1 || g.dups != 500 {
		t.Errorf("after a restart: %d safe, %d copies; want 1, 500", len(g.seqs), g.dups)
	}
}
