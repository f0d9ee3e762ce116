package discordtest

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// compressor turns gateway messages into what is on the wire. A connection's
// writer alone calls it.
type compressor interface {
	// add appends the compressed form of one message.
	add(dst, msg []byte) []byte
}

// newCompressor returns the compressor of a name as in the URL, nil for "".
func newCompressor(name string, level int) (compressor, error) {
	switch {
	case name == "":
		return nil, nil
	case name == "zlib-stream" && level == 0:
		return &dictStream{}, nil
	case name == "zlib-stream":
		z := &zlibStream{}
		w, err := flate.NewWriter(&z.buf, level)
		z.w = w
		return z, err
	case name == "zstd-stream":
		z := &zstdStream{}
		w, err := zstd.NewWriter(&z.buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		z.w = w
		return z, err
	}
	return nil, fmt.Errorf("discordtest: compress %q: unknown", name)
}

// zlibHeader opens a stream with the default 32 KiB window.
var zlibHeader = []byte{0x78, 0x9c}

// zlibStream is one deflate stream that is flushed after every message, so
// that each ends in 00 00 ff ff.
type zlibStream struct {
	buf   bytes.Buffer
	w     *flate.Writer
	begun bool
}

func (z *zlibStream) add(dst, msg []byte) []byte {
	if !z.begun {
		z.begun = true
		dst = append(dst, zlibHeader...)
	}
	z.w.Write(msg)
	z.w.Flush()
	dst = append(dst, z.buf.Bytes()...)
	z.buf.Reset()
	if z.buf.Cap() > 1<<20 {
		z.buf = bytes.Buffer{}
	}
	return dst
}

// dictStream is the same stream for little memory: it keeps the last 8 KiB
// instead of an encoder.
type dictStream struct {
	dict  []byte
	begun bool
}

const dictSize = 8 << 10

func (z *dictStream) add(dst, msg []byte) []byte {
	if !z.begun {
		z.begun = true
		dst = append(dst, zlibHeader...)
	}
	w := (*sliceWriter)(&dst)
	flate.StatelessDeflate(w, msg, false, z.dict)
	if !bytes.HasSuffix(dst, flushed) { // an empty stored block is byte-aligned
		dst = append(dst, append([]byte{0}, flushed...)...)
	}
	if n := dictSize - len(msg); n <= 0 {
		z.dict = append(z.dict[:0], msg[len(msg)-dictSize:]...)
	} else {
		if len(z.dict) > n {
			z.dict = z.dict[:copy(z.dict, z.dict[len(z.dict)-n:])]
		}
		z.dict = append(z.dict, msg...)
	}
	return dst
}

// flushed is how a message of a flushed deflate stream ends.
var flushed = []byte{0, 0, 0xff, 0xff}

type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// zstdStream is one frame that never ends, flushed after every message.
type zstdStream struct {
	buf bytes.Buffer
	w   *zstd.Encoder
}

func (z *zstdStream) add(dst, msg []byte) []byte {
	z.w.Write(msg)
	z.w.Flush()
	dst = append(dst, z.buf.Bytes()...)
	z.buf.Reset()
	if z.buf.Cap() > 1<<20 {
		z.buf = bytes.Buffer{}
	}
	return dst
}

// payloadZlib is compress:true in IDENTIFY: each message its own zlib stream.
type payloadZlib struct{}

var zlibPool = sync.Pool{New: func() any {
	w, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed)
	return w
}}

func (payloadZlib) add(dst, msg []byte) []byte {
	w := zlibPool.Get().(*zlib.Writer)
	defer zlibPool.Put(w)
	out := (*sliceWriter)(&dst)
	w.Reset(out)
	w.Write(msg)
	w.Close()
	return dst
}
