package irc

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// lines reads input in pieces of the given sizes, over and over, and returns
// the lines. Between pieces the reader waits, as on an idle connection, if
// idle says so.
func lines(input []byte, pieces []byte, max int, idle bool) (out []string, oversized int) {
	r := reader{max: max, oversized: func(int) { oversized++ }}
	for i := 0; len(input) > 0; i++ {
		n := 1
		if len(pieces) > 0 {
			n = int(pieces[i%len(pieces)]) + 1
		}
		n = min(n, len(input))
		space := r.space()
		n = copy(space, input[:n])
		r.read(n)
		input = input[n:]
		for {
			line, ok := r.next()
			if !ok {
				break
			}
			r.chunk.peek()
			r.chunk.keep() // as a Message that nobody releases
			out = append(out, line)
		}
		if idle {
			r.release()
		}
	}
	r.release()
	return out, oversized
}

// plainLines is what lines should return.
func plainLines(input []byte, max int) (out []string, oversized int) {
	for {
		line, rest, ok := bytes.Cut(input, []byte("\n"))
		if !ok {
			if len(input) > max+1 {
				oversized++
			}
			return out, oversized
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(line) > max:
			oversized++
		case len(line) > 0:
			out = append(out, string(line))
		}
		input = rest
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\nb\nc\r\n\r\nd"), []byte{0}, true)
	f.Add([]byte(strings.Repeat("x", 100)+"\n"+strings.Repeat("y", 101)+"\r\nñandú 🎉\r\n"), []byte{2, 7}, false)
	f.Add([]byte("\r\r\n\n\n\x00\n"), []byte{1}, true)
	f.Fuzz(func(t *testing.T, input, pieces []byte, idle bool) {
		const max = 100
		got, over := lines(input, pieces, max, idle)
		want, wantOver := plainLines(input, max)
		if !slices.Equal(got, want) {
			t.Errorf("lines %q, want %q", got, want)
		}
		if over != wantOver {
			t.Errorf("%d oversized, want %d", over, wantOver)
		}
	})
}

// TestLinesStay: what was handed out is not written over by what comes later,
// on this connection or another.
func TestLinesStay(t *testing.T) {
	var input []byte
	var want []string
	for i := range 5000 {
		s := strings.Repeat(string(rune('a'+i%26)), 1+i*7%300)
		want = append(want, s)
		input = append(append(input, s...), "\r\n"...)
	}
	first, _ := lines(input, []byte{255, 3, 80}, 1000, true)
	for range 3 {
		lines(bytes.ToUpper(input), []byte{255, 17}, 1000, true)
	}
	if !slices.Equal(first, want) {
		t.Error("lines changed after they were handed out")
	}
}
