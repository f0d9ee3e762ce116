package discord

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// dataDir holds recorded traffic, which not every clone has beside it.
func dataDir(t testing.TB) string {
	dir := filepath.Join("..", "..", "shared", "data", "discord")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recorded traffic: %v", err)
	}
	return dir
}

func noMore() (io.Reader, error) { return nil, errors.New("message goes on") }

func inflateOne(t *testing.T, s stream, frames ...[]byte) ([]byte, error) {
	t.Helper()
	into := &sink{max: 64 << 20}
	rest := frames[1:]
	err := s.read(into, bytes.NewReader(frames[0]), func() (io.Reader, error) {
		if len(rest) == 0 {
			return noMore()
		}
		f := rest[0]
		rest = rest[1:]
		return bytes.NewReader(f), nil
	})
	if err != nil {
		return nil, err
	}
	return into.take(), nil
}

func TestInflateRecorded(t *testing.T) {
	dir := dataDir(t)
	t.Run("zlib", func(t *testing.T) {
		z, _ := newStream(ZlibStream)
		for i := range 3 {
			in, err := os.ReadFile(filepath.Join(dir, "discordbm-zlib-stream", fmt.Sprintf("msg_%d.zlib-stream.bin", i)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := inflateOne(t, z, in)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := peek(got); err != nil || p.op < 0 {
				t.Errorf("payload %d: peek = %+v, %v", i, p, err)
			}
		}
	})
	for name, c := range map[string]Compression{"zlib-stream": ZlibStream, "zstd-stream": ZstdStream} {
		t.Run("hello "+name, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join(dir, "spec", "real_hello."+name+".bin"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := newStream(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := inflateOne(t, s, in)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := peek(got); err != nil || p.op != opHello {
				t.Errorf("peek = %+v, %v, want op 10", p, err)
			}
		})
	}
}

// TestWindowEdge has messages end exactly where the decompressor's window of
// 32 KiB does: everything has been handed out before the flush at the message's
// end is read, and decompressors then keep an unexpected EOF.
func TestWindowEdge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, first := range []int{32 << 10, 16 << 10, 1} {
		var out bytes.Buffer
		w := zlib.NewWriter(&out)
		z, _ := newStream(ZlibStream)
		total := 0
		edges := 0
		for i := range 400 {
			n := 1 + rnd.IntN(3000)
			if i == 0 {
				n = first
			} else if i%5 == 0 || total%(32<<10)+n > 32<<10 {
				n = 32<<10 - total%(32<<10)
			}
			total += n
			if total%(32<<10) == 0 {
				edges++
			}
			msg := make([]byte, n)
			for j := range msg {
				msg[j] = "abcdefgh"[rnd.IntN(8)]
			}
			w.Write(msg)
			w.Flush()
			frame := bytes.Clone(out.Bytes())
			out.Reset()
			cut := rnd.IntN(len(frame))
			got, err := inflateOne(t, z, frame[:cut], frame[cut:])
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("message %d of %d bytes after %d: got %d bytes, %v", i, n, total-n, len(got), err)
			}
		}
		if edges < 10 {
			t.Errorf("only %d messages ended at the window's end", edges)
		}
	}
}

func TestZstdStream(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(256<<10), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	z, _ := newStream(ZstdStream)
	defer closeStream(z)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		n := 1 + rnd.IntN(3000)
		switch i {
		case 50:
			n = 3 << 20
		case 60, 61:
			n = 128 << 10
		}
		msg := make([]byte, n)
		for j := range msg {
			msg[j] = "abcdefgh"[rnd.IntN(8)]
		}
		w.Write(msg)
		w.Flush()
		frame := bytes.Clone(out.Bytes())
		out.Reset()
		got, err := inflateOne(t, z, frame)
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("message %d of %d bytes: got %d, %v", i, n, len(got), err)
		}
	}
}

func TestCorruptStream(t *testing.T) {
	for _, c := range []Compression{ZlibStream, ZstdStream} {
		s, _ := newStream(c)
		if _, err := inflateOne(t, s, []byte("this is neither of both, and long enough \x00\x00\xff\xff")); !errors.Is(err, ErrProtocol) {
			t.Errorf("%v: error %v, want ErrProtocol", c, err)
		}
		closeStream(s)
	}
}

func TestLargePayload(t *testing.T) {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	z, _ := newStream(ZlibStream)
	for _, n := range []int{100, 20 << 20, 100} {
		msg := bytes.Repeat([]byte(`{"name":"guild"},`), n/17+1)
		w.Write(msg)
		w.Flush()
		frame := bytes.Clone(out.Bytes())
		out.Reset()
		got, err := inflateOne(t, z, frame)
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%d bytes: got %d, %v", len(msg), len(got), err)
		}
	}
}
