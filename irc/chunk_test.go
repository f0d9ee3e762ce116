package irc

import (
	"fmt"
	"strings"
	"testing"
)

// TestReleasedMemoryIsUsedAgain cuts many lines, all of which are released, and
// beside them some that are not: those must stay as they are.
func TestReleasedMemoryIsUsedAgain(t *testing.T) {
	r := reader{max: 1000, oversized: func(int) {}}
	var kept []*Message
	var want []string
	memory := make(map[*byte]bool)
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
			memory[&r.chunk.buf[0]] = true
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
	if len(memory) > 20 {
		t.Errorf("%d chunks for 200 batches of which all but three were released, want few", len(memory))
	}
}
