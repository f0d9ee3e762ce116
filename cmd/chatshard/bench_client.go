package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// benchMeter measures a client from the PRIVMSG after the warm-up until the last.
type benchMeter struct {
	task   *benchTask
	failed chan error // what ends the client early
	done   chan struct{}

	alone      benchCounts // of a handler that is called by one goroutine at a time
	many       benchAtomics
	begin, end benchUsage
	atStart    float64 // bytes resident
}

type benchCounts struct{ messages, text, rest int }

type benchAtomics struct{ messages, text atomic.Int64 }

// benchUsage is what the process has used up.
type benchUsage struct {
	cpu    time.Duration
	wall   time.Time
	allocs uint64
}

func usedUp() benchUsage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return benchUsage{cpuTime(), time.Now(), m.Mallocs}
}

func newBenchMeter(task *benchTask) *benchMeter {
	return &benchMeter{task: task, failed: make(chan error, 1), done: make(chan struct{}), atStart: residentMemory()}
}

func (m *benchMeter) fail(err error) {
	select {
	case m.failed <- err:
	default:
	}
}

// add counts a PRIVMSG; rest is there so that what was read of it counts as used.
func (m *benchMeter) add(text, rest int) {
	m.alone.text += text
	m.alone.rest += rest
	if m.alone.messages++; m.alone.messages == m.task.Warm || m.alone.messages == m.task.Warm+m.task.Messages {
		m.mark(m.alone.messages)
	}
}

// addAtomic is add for many goroutines.
func (m *benchMeter) addAtomic(text int) {
	m.many.text.Add(int64(text))
	if n := int(m.many.messages.Add(1)); n == m.task.Warm || n == m.task.Warm+m.task.Messages {
		m.mark(n)
	}
}

func (m *benchMeter) mark(n int) {
	switch n {
	case m.task.Warm:
		if m.task.Profile != "" {
			if f, err := os.Create(m.task.Profile); err != nil {
				m.fail(err)
			} else if err := pprof.StartCPUProfile(f); err != nil {
				m.fail(err)
			}
		}
		m.begin = usedUp()
	case m.task.Warm + m.task.Messages:
		m.end = usedUp()
		pprof.StopCPUProfile()
		close(m.done)
	}
}

// wait blocks until the last message has come.
func (m *benchMeter) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return nil
	case err := <-m.failed:
		return err
	case <-ctx.Done():
		return errors.New("bench: stopped before all messages had come")
	}
}

func (m *benchMeter) result() *benchGot {
	n := float64(m.task.Messages)
	return &benchGot{
		Messages: m.alone.messages + int(m.many.messages.Load()),
		Text:     m.alone.text + int(m.many.text.Load()),
		CPU:      (m.end.cpu - m.begin.cpu).Seconds(),
		Wall:     m.end.wall.Sub(m.begin.wall).Seconds(),
		Allocs:   float64(m.end.allocs-m.begin.allocs) / n,
		Peak:     peakMemory() - m.atStart,
	}
}

// benchClient is a child that connects to the load server in either way: by
// the bare loop or by what this program uses.
func benchClient(ctx context.Context, task *benchTask, _ <-chan string, out *json.Encoder) error {
	var clientTLS *tls.Config
	if task.TLS {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(task.CA) {
			return errors.New("bench: the load server has no certificate")
		}
		clientTLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}
	}
	if task.Row == "idle" {
		task.Warm, task.Messages = 0, task.Conns*idleLines
	}
	m := newBenchMeter(task)
	settle()
	rss, goroutines := residentMemory(), runtime.NumGoroutine()
	begin := usedUp()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stop func() error
	var err error
	switch {
	case task.Role == "ours":
		stop, err = startOurs(ctx, m, clientTLS)
	case task.Row == "blast":
		stop, err = startBareBlast(ctx, m, clientTLS)
	case task.Row == "live":
		stop, err = startBareLive(ctx, m, clientTLS)
	default:
		stop, err = startBareIdle(ctx, m, clientTLS)
	}
	if err != nil {
		return err
	}
	connected := usedUp()
	if err := out.Encode(struct{}{}); err != nil {
		return err
	}
	if err := m.wait(ctx); err != nil {
		return err
	}
	got := m.result()
	if task.Row == "idle" {
		settle()
		n := float64(task.Conns)
		got.RSS = (residentMemory() - rss) / n
		got.Goroutines = float64(runtime.NumGoroutine()-goroutines) / n
		got.CPU, got.Wall = (connected.cpu - begin.cpu).Seconds(), connected.wall.Sub(begin.wall).Seconds()
	}
	cancel()
	if err := stop(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return out.Encode(got)
}

// settle gives back what the process does not need.
func settle() {
	for range 3 { // pools let go after two collections
		runtime.GC()
	}
	debug.FreeOSMemory()
}
