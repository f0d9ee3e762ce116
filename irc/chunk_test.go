package irc

import (
	"fmt"
	"strings"
	"testing"
)

// TestKeptAmongReleased cuts many lines, most of which are released: those that
// are not must stay as they are.
func TestKeptAmongReleased(t *testing.T) {
	r := reader{max: 1000, oversized: func(int) {}}
	var kept []*Message
	var want []string
	for i := range 200 {
		var batch []*Message
		for j := range 100 {
			line := fmt.Sprintf("@id=%d-%d PRIVMSG #a :%s", i, j, strings.Repeat("x", 300))
			r.read(copy(r.space(), line+"\r\n"))
			s, ok := r.next()
			if !ok {
				t.Fatal("no line")
			}
			m := r.chunk.peek()
			if err := m.Tokenize(s); err != nil {
				t.Fatal(err)
			}
			r.chunk.keep()
			if i < 3 && j%50 == 0 {
				kept, want = append(kept, m), append(want, line)
			} else {
				batch = append(batch, m)
			}
		}
		for _, m := range batch {
			m.Release()
		}
		r.release()
	}
	for i, m := range kept {
		if m.Raw() != want[i] {
			t.Fatalf("a message that was not released changed to %.40q", m.Raw())
		}
	}
}

// TestChunkIsResetByTheLastRelease holds one Message of a full chunk back.
func TestChunkIsResetByTheLastRelease(t *testing.T) {
	c := newChunk(chunkBytes)
	var ms []*Message
	for range 2 * chunkMessages { // more than the chunk has room for in its first block
		ms = append(ms, c.peek())
		c.keep()
	}
	c.used = 1000
	for _, m := range ms[1:] {
		m.Release()
	}
	c.close()
	if c.used != 1000 {
		t.Error("reset while a Message was not released")
	}
	ms[0].Release()
	if c.used != 0 || c.given != 0 || len(c.msgs) != chunkMessages {
		t.Errorf("not reset by the last release: %d bytes used, %d given, %d to give", c.used, c.given, len(c.msgs))
	}
	clone := ms[0].Clone()
	clone.Release() // has no chunk: nothing happens
}
