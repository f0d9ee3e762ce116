package discord

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// wsFrame returns a frame of a server's.
func wsFrame(first byte, payload []byte) []byte {
	b := []byte{first, byte(len(payload))}
	switch n := len(payload); {
	case n > 0xffff:
		b[1] = 127
		b = append(b, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	case n > 125:
		b[1] = 126
		b = append(b, byte(n>>8), byte(n))
	}
	return append(b, payload...)
}

// still is a filler that gives one piece of what was written beforehand at a time.
type still struct {
	left []byte
	size int
}

func (s *still) fill() (*[socketBytes]byte, int, error) {
	if len(s.left) == 0 {
		return nil, 0, io.EOF
	}
	buf := socketBufs.Get().(*[socketBytes]byte)
	n := copy(buf[:min(s.size, len(buf))], s.left)
	s.left = s.left[n:]
	return buf, n, nil
}

func framesOf(b []byte, size int) *frames {
	var h heart
	there, here := net.Pipe()
	there.Close()
	s := &socket{Conn: here, raw: here, heard: &h.heard, fillFrom: &still{b, size}, upgrade: 4}
	s.walk.head = 4
	return &frames{sock: s}
}

// Messages come out as they went in, however they are cut into frames and reads.
func TestFrames(t *testing.T) {
	long, huge := bytes.Repeat([]byte("long"), 1000), bytes.Repeat([]byte("huge"), 50_000)
	var in []byte
	var want [][]byte
	add := func(payload []byte, fs ...[]byte) {
		want = append(want, payload)
		for _, f := range fs {
			in = append(in, f...)
		}
	}
	add([]byte("short"), wsFrame(0x81, []byte("short")))
	add(nil, wsFrame(0x82, nil))
	add(long, wsFrame(0x82, long))
	add(huge, wsFrame(0x81, huge))
	add([]byte("in three parts"), wsFrame(0x01, []byte("in three")), wsFrame(0x8a, []byte("pong")), wsFrame(0x00, nil), wsFrame(0x80, []byte(" parts")))
	for _, size := range []int{1, 7, 4096, socketBytes} {
		f := framesOf(in, size)
		for i, w := range want {
			if err := f.next(); err != nil {
				t.Fatalf("message %d, read by %d: %v", i, size, err)
			}
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, w) {
				t.Fatalf("message %d, read by %d: %d bytes, %v, want %d", i, size, len(got), err, len(w))
			}
		}
	}
}

func TestFramesRefused(t *testing.T) {
	for name, in := range map[string][]byte{
		"begins in the middle": wsFrame(0x80, []byte("x")),
		"reserved bit":         wsFrame(0xc1, []byte("x")),
		"masked":               {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"long control frame":   wsFrame(0x89, make([]byte, 126)),
		"cut control frame":    wsFrame(0x09, nil),
	} {
		f := framesOf(in, 4096)
		if err := f.next(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v, want ErrProtocol", name, err)
		}
	}
	f := framesOf(wsFrame(0x81, []byte("whole"))[:4], 4096)
	if err := f.next(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(f); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message that ends too early: %v", err)
	}
}
