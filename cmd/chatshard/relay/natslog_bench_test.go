//go:build linux

package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// benchBody is as long as a usual envelope.
func benchBody(n int) []byte {
	return fmt.Appendf(nil, `{"v":1,"id":"b34ccfc7-4977-403a-8a94-%012d","received":"2026-01-02T15:04:05.702Z","platform":"twitch","account":"anonymous","shard":"3","channel":{"id":"22484632","name":"forsen"},"kind":"message","user":{"id":"123","login":"ann","name":"Ann","color":"#FF0000"},"text":"hi Kappa","raw":"@badge-info=;color=#FF0000;display-name=Ann;tmi-sent-ts=1;user-type= :ann!ann@ann.tmi.twitch.tv PRIVMSG #forsen :hi Kappa, this is a usual line of chat"}`, n)
}

// BenchmarkAppend appends entries and waits until all are safe. "bare" is what
// nats.go itself needs for the same bytes under the same names.
func BenchmarkAppend(b *testing.B) {
	const bodies = 1024
	entries := make([]*Entry, bodies)
	for i := range entries {
		entries[i] = &Entry{Body: benchBody(i), Time: time.Now(), Subject: Subject{
			Platform: "twitch", Account: "bot", Channel: fmt.Sprint("2248", i%200), Kind: "message",
		}}
	}
	engines := []struct {
		name string
		open func(b *testing.B) *Engine
	}{
		{"embedded", func(b *testing.B) *Engine { return newEngine(b, EngineConfig{}) }},
		{"url", func(b *testing.B) *Engine {
			far := newEngine(b, EngineConfig{Listen: "127.0.0.1:0", User: "u", Password: "x"})
			return newEngine(b, EngineConfig{URL: "nats://" + far.Addr(), User: "u", Password: "x"})
		}},
	}
	for _, e := range engines {
		b.Run("bare/"+e.name, func(b *testing.B) { benchBare(b, e.open(b), entries) })
		for _, ids := range []bool{false, true} {
			b.Run(fmt.Sprintf("log/%s/ids=%v", e.name, ids), func(b *testing.B) { benchLog(b, e.open(b), entries, ids, false) })
		}
	}
	b.Run("log/shared", func(b *testing.B) { benchLog(b, engines[0].open(b), entries, true, true) })
}

func benchBare(b *testing.B, e *Engine, entries []*Entry) {
	l := openLog(b, e, NATSLogConfig{})
	js, err := jetstream.New(l.read, jetstream.WithPublishAsyncMaxPending(flightMessages))
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, len(entries))
	for i := range names {
		names[i] = entries[i].Subject.Name()
	}
	b.SetBytes(int64(len(entries[0].Body)))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime()
	for n := range b.N { // not b.Loop, which does not time what comes after it
		i := n % len(entries)
		if _, err := js.PublishAsync(names[i], entries[i].Body, jetstream.WithStallWait(within)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	b.ReportMetric(float64(cpuTime()-used)/float64(b.N), "cpu-ns/op")
}

func benchLog(b *testing.B, e *Engine, entries []*Entry, ids, shared bool) {
	l := openLog(b, e, NATSLogConfig{SharedWriters: shared})
	var wg sync.WaitGroup
	done := func(_ uint64, _ bool, err error) {
		if err != nil {
			b.Error(err)
		}
		wg.Done()
	}
	b.SetBytes(int64(len(entries[0].Body)))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime()
	for n := range b.N {
		e := entries[n%len(entries)]
		if ids {
			with := *e
			with.ID = fmt.Sprintf("b34ccfc7-4977-403a-8a94-%012d", n)
			e = &with
		}
		wg.Add(1)
		if err := l.Append(context.Background(), e, done); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime()-used)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkLogLatency is one entry at a time.
func BenchmarkLogLatency(b *testing.B) {
	l := openLog(b, newEngine(b, EngineConfig{}), NATSLogConfig{})
	e := &Entry{Body: benchBody(1), Subject: Subject{Platform: "twitch", Account: "bot", Channel: "22484632", Kind: "message"}}
	done := make(chan struct{})
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(context.Background(), e, func(uint64, bool, error) { done <- struct{}{} }); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}

// BenchmarkRead reads the log from its beginning.
func BenchmarkRead(b *testing.B) {
	l := openLog(b, newEngine(b, EngineConfig{}), NATSLogConfig{})
	var wg sync.WaitGroup
	const n = 50_000
	for i := range n {
		wg.Add(1)
		e := &Entry{Body: benchBody(i), Subject: Subject{Platform: "twitch", Channel: "1", Kind: "message"}}
		if err := l.Append(context.Background(), e, func(uint64, bool, error) { wg.Done() }); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; {
		if _, err := l.Read(context.Background(), 0, uint64(min(n, b.N-read)), func(uint64, []byte) bool { read++; return true }); err != nil {
			b.Fatal(err)
		}
	}
}
