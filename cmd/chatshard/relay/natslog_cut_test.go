//go:build linux

package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between a log and an engine elsewhere.
type proxy struct {
	l      net.Listener
	target string
	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	down   bool // refuses
	mute   bool // takes connections and forwards nothing
	cond   *sync.Cond
	wg     sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); p.set(true, false); p.wg.Wait() })
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		p.mu.Unlock()
		return
	}
	p.conns[c], p.conns[up] = true, true
	p.mu.Unlock()
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(up, c); up.Close(); c.Close() })
	wg.Go(func() { p.copy(c, up); up.Close(); c.Close() })
	wg.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	delete(p.conns, up)
	p.mu.Unlock()
}

func (p *proxy) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.mute && !p.down {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// set cuts all connections, or makes them silent.
func (p *proxy) set(down, mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.mute = down, mute
	if down {
		for c := range p.conns {
			c.Close()
		}
	}
	p.cond.Broadcast()
}

// outside runs an engine that another process could be.
func outside(t *testing.T) *Engine {
	return newEngine(t, EngineConfig{Listen: "127.0.0.1:0", User: "relay", Password: "secret"})
}

func TestNATSLogCutOff(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprintf("mute=%v", mute), func(t *testing.T) {
			p := newProxy(t, outside(t).Addr())
			e := newEngine(t, EngineConfig{URL: "nats://" + p.l.Addr().String(), User: "relay", Password: "secret"})
			l := openLog(t, e, NATSLogConfig{AckWait: time.Second})
			o := startLoad(t, l, 3*time.Millisecond)
			for range 3 {
				o.more(t, 1000)
				p.set(!mute, mute)
				until(t, "the cut is noticed", sick(l))
				o.more(t, 300)
				p.set(false, false)
				until(t, "the log goes on", healthy(l))
			}
			o.more(t, 1000)
			o.stop(t)
			o.all(t, l)
		})
	}
}

// The server that another process runs is killed and comes back.
func TestNATSLogServerKilled(t *testing.T) {
	far := outside(t)
	e := newEngine(t, EngineConfig{URL: "nats://" + far.Addr(), User: "relay", Password: "secret"})
	l := openLog(t, e, NATSLogConfig{AckWait: time.Second})
	o := startLoad(t, l, 3*time.Millisecond)
	for range 3 {
		o.more(t, 1000)
		if err := far.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, "the log goes on", healthy(l))
	}
	o.more(t, 1000)
	o.stop(t)
	o.all(t, l)
}

func TestNATSLogOverflow(t *testing.T) {
	p := newProxy(t, outside(t).Addr())
	e := newEngine(t, EngineConfig{URL: "nats://" + p.l.Addr().String(), User: "relay", Password: "secret"})
	var lost []Lost
	gap := newLedger()
	l := openLog(t, e, NATSLogConfig{AckWait: time.Second, Buffer: 256 << 10, Dropped: func(o Lost) []Pending {
		lost = append(lost, o)
		e := entry("gap", len(lost))
		gap.left++
		return []Pending{{e, gap.done(t, e)}}
	}})
	g := newLedger()
	g.append(t, l, entry("a", 0))
	g.wait(t)
	p.set(true, false)
	until(t, "the cut is noticed", sick(l))
	const n = 5000
	for i := range n {
		g.append(t, l, entry("a", 1+i))
		g.append(t, l, entry("a", 1+i)) // a copy
	}
	if _, bytes := l.Waiting(); bytes > 256<<10 {
		t.Errorf("%d bytes wait, at most %d may", bytes, 256<<10)
	}
	p.set(false, false)
	until(t, "the log goes on", healthy(l))
	g.wait(t)
	gap.wait(t)
	if len(lost) != 1 {
		t.Fatalf("Dropped was called %d times, want 1", len(lost))
	}
	if want := n + 1 - len(g.seqs); lost[0].N != want || len(lost[0].Subjects) != 1 || lost[0].From.After(lost[0].To) {
		t.Errorf("lost: %+v, want %d", lost[0], want)
	}
	for id, err := range g.errs {
		if !errors.Is(err, ErrDropped) {
			t.Errorf("%s: %v, want ErrDropped", id, err)
		}
	}
	// The newest are kept, and the gap stands in front of them.
	first, seq := n, gap.seqs["gap-1"]
	for i := n; i > 0; i-- {
		if s, ok := g.seqs[fmt.Sprintf("a-%d", i)]; ok {
			first = i
			if s <= seq {
				t.Errorf("a-%d has number %d, behind the gap's %d expected", i, s, seq)
			}
		} else {
			break
		}
	}
	if len(g.seqs) != n-first+2 {
		t.Errorf("%d are kept, a-%d is the first of the last: others are missing between", len(g.seqs), first)
	}
	g.check(t, l)
}
