//go:build unix

package relay

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discarder returns a listener to which another process connects, which reads
// and forgets: what that costs is not ours.
func discarder(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiscard$")
	cmd.Env = append(os.Environ(), "RELAY_DISCARD="+l.Addr().String())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close(); _ = cmd.Wait() })
	return l
}

func TestDiscard(t *testing.T) {
	addr := os.Getenv("RELAY_DISCARD")
	if addr == "" {
		t.Skip("the other process of BenchmarkFanOut")
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	for err == nil {
		_, err = c.Read(buf)
	}
}

// sinks returns writers that take everything.
func sinks(b *testing.B, kind string, n int) (list []io.Writer) {
	for range n {
		if kind == "null" {
			f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { f.Close() })
			list = append(list, f)
			continue
		}
		c, err := discarder(b).Accept()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		list = append(list, c)
	}
	return list
}

const (
	fanOut   = 10
	perRound = 20_000
)

// BenchmarkFanOut hands 500-byte messages to ten consumers: bare is one loop
// that copies each to a buffer per consumer and writes it when it has 64 KiB;
// hub is all of this package, with filters that all messages pass. cpu-ns/msg
// is the process's CPU per message and consumer.
func BenchmarkFanOut(b *testing.B) {
	text := strings.Repeat("x", 100)
	body := testBody(1, text)
	line := AppendEnvelope(nil, Cursor{"9f2c41d07ab35e68", 123456789}, body)
	for _, kind := range []string{"null", "tcp"} {
		b.Run(kind+"/bare", func(b *testing.B) {
			outs := sinks(b, kind, fanOut)
			bufs := make([][]byte, fanOut)
			for i := range bufs {
				bufs[i] = make([]byte, 0, batchBytes+1024)
			}
			start := cpu()
			for b.Loop() {
				for range perRound {
					for i, buf := range bufs {
						buf = append(append(buf, line...), '\n')
						if len(buf) >= batchBytes {
							if _, err := outs[i].Write(buf); err != nil {
								b.Fatal(err)
							}
							buf = buf[:0]
						}
						bufs[i] = buf
					}
				}
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N*perRound*fanOut), "cpu-ns/msg")
		})
		for _, format := range []string{"ndjson", "ws", "sse"} {
			b.Run(kind+"/hub-"+format, func(b *testing.B) {
				h, err := NewHub(b.Context(), nil, &HubConfig{Epoch: "9f2c41d07ab35e68"})
				if err != nil {
					b.Fatal(err)
				}
				write := appendNDJSON
				switch format {
				case "ws":
					write = (&websocketConn{}).format
				case "sse":
					write = sseFormat(h.epoch)
				}
				outs := sinks(b, kind, fanOut)
				readers := make([]*Reader, fanOut)
				var wg sync.WaitGroup
				ctx, cancel := context.WithCancel(b.Context())
				for i := range readers {
					r, err := h.Subscribe(ctx, SubscribeOptions{Filter: Filter{Platforms: []string{"twitch"}, Kinds: []string{"message"}, Channels: []string{"chan*"}}})
					if err != nil {
						b.Fatal(err)
					}
					readers[i] = r
					wg.Go(func() {
						f := &feed{Reader: r}
						for {
							batch, err := f.next(ctx, 1<<30, write)
							if err != nil {
								return
							}
							if batch == nil {
								continue
							}
							if _, err := outs[i].Write(*batch); err != nil {
								b.Error(err)
								return
							}
							buffers.Put(batch)
						}
					})
				}
				seq := uint64(0)
				behind := func() uint64 {
					low := seq
					for _, r := range readers {
						low = min(low, r.pos.Load())
					}
					return seq - low
				}
				start := cpu()
				for b.Loop() {
					for range perRound {
						seq++
						if err := h.Append(seq, body); err != nil {
							b.Fatal(err)
						}
						if seq%1024 == 0 {
							for behind() > 10_000 {
								time.Sleep(100 * time.Microsecond) // not to count our own waiting
							}
						}
					}
				}
				for behind() > 0 {
					time.Sleep(100 * time.Microsecond)
				}
				b.ReportMetric(float64(cpu()-start)/float64(b.N*perRound*fanOut), "cpu-ns/msg")
				cancel()
				wg.Wait()
				h.Close()
			})
		}
	}
}

func BenchmarkMeta(b *testing.B) {
	body := testBody(1, strings.Repeat("x", 100))
	var m Meta
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		m.parse(body)
	}
}

func BenchmarkMatch(b *testing.B) {
	body := testBody(1, strings.Repeat("x", 100))
	var m Meta
	m.parse(body)
	var scratch []byte
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"kind", Filter{Kinds: []string{"message"}}},
		{"glob", Filter{Platforms: []string{"twitch"}, Kinds: []string{"message"}, Channels: []string{"chan*"}}},
		{"channel", Filter{Channels: []string{"chan1", "chan2"}}},
		{"text", Filter{Text: []string{"hello"}}},
		{"sample", Filter{Sample: 0.5}},
	} {
		b.Run(c.name, func(b *testing.B) {
			f, err := c.f.compile()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				f.match(body, &m, &scratch)
			}
		})
	}
}
