package relay

import (
	"bufio"
	"slices"
	"testing"
	"time"
)

// BenchmarkLatency says how long an entry is on its way from Append to a
// consumer's socket, at 10,000 a second and with four filtered consumers of
// each output.
func BenchmarkLatency(b *testing.B) {
	h := newTestHub(b, nil)
	s := serve(b, h, nil)
	var took []time.Duration
	for range 4 {
		s.consume(b, "sse", "kind=message&channel=nobody*")
		s.consume(b, "ws", "kind=message&channel=chan*").(*wsConsumer).discard(b)
	}
	c := s.consume(b, "ndjson", "kind=message").(*lineConsumer)
	c.r = bufio.NewReaderSize(c.resp.Body, 64<<10)
	said := make([]time.Time, 4096)
	done := make(chan struct{})
	n := 0
	b.ResetTimer()
	go func() {
		defer close(done)
		for i := 0; i < b.N; i++ {
			if _, err := c.next(); err != nil {
				b.Error(err)
				return
			}
			took = append(took, time.Since(said[i%len(said)]))
		}
	}()
	start := time.Now()
	for i := 0; i < b.N; i++ {
		if d := time.Until(start.Add(time.Duration(i) * 100 * time.Microsecond)); d > time.Millisecond/2 {
			time.Sleep(d)
		}
		n++
		body := testBody(n, "hello")
		said[i%len(said)] = time.Now()
		if err := h.Append(uint64(n), body); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// discard reads until the connection ends.
func (c *wsConsumer) discard(b *testing.B) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := c.conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() { c.conn.Close(); <-done })
}
