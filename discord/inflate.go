package discord

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// stream turns the WebSocket messages of a connection into payloads. Between
// messages it keeps the context that compression needs.
type stream interface {
	// read reads the payload that begins with the message r into into. next
	// gives the message after it, for a payload that goes on there.
	read(into *sink, r io.Reader, next func() (io.Reader, error)) error
}

func newStream(c Compression) (stream, error) {
	switch c {
	case ZlibStream:
		z := new(zlibStream)
		z.src.want = syncTail
		return z, nil
	case ZstdStream:
		z := new(zstdStream)
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		z.d = d
		return z, err
	}
	return uncompressed{}, nil
}

// sink is a payload that is being read into a chunk: one that goes beyond the
// chunk's room moves to another one.
type sink struct {
	c   *chunk
	n   int // bytes of the payload, from c.used on
	max int
}

// room returns where to read to: a byte at least.
func (s *sink) room() ([]byte, error) {
	if s.c == nil {
		s.c = borrow(minRead)
	}
	if at := s.c.used + s.n; at < len(s.c.buf) {
		return s.c.buf[at:], nil
	}
	if s.n >= s.max {
		return nil, fmt.Errorf("%w: payload over %d bytes", ErrProtocol, s.max)
	}
	c := borrow(min(max(2*s.n, 2*minRead), s.max+1))
	copy(c.buf[c.used:], s.c.buf[s.c.used:s.c.used+s.n])
	s.c.giveBack()
	s.c = c
	return s.c.buf[c.used+s.n:], nil
}

// take ends the payload and returns it.
func (s *sink) take() []byte {
	at := s.c.used
	end := at + s.n
	s.c.used, s.n = end, 0
	return s.c.buf[at:end:end]
}

// release gives the chunk back while there is nothing to read.
func (s *sink) release() {
	if s.c != nil && s.n == 0 {
		s.c.giveBack()
		s.c = nil
	}
}

// exactly reads n bytes.
func (s *sink) exactly(r io.Reader, n int) error {
	if s.c != nil && len(s.c.buf)-s.c.used < n {
		s.c.giveBack()
		s.c = nil
	}
	if s.c == nil {
		s.c = borrow(max(n, 1))
	}
	p := s.c.buf[s.c.used : s.c.used+n]
	_, err := io.ReadFull(r, p)
	s.n = n
	return cutShort(err)
}

// fill reads r to its end.
func (s *sink) fill(r io.Reader) error {
	for {
		p, err := s.room()
		if err != nil {
			return err
		}
		n, err := r.Read(p)
		s.n += n
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// uncompressed is a stream without compression.
type uncompressed struct{}

func (uncompressed) read(into *sink, r io.Reader, _ func() (io.Reader, error)) error {
	if f, ok := r.(*frames); ok {
		if n, known := f.whole(); known && n <= chunkBytes {
			return into.exactly(f, int(n))
		}
	}
	return into.fill(r)
}

// source feeds a decompressor with the messages of one payload. At the
// payload's end it does not return an error, which decompressors keep for good,
// but panics with drained, for [drain] to catch: the decompressor, which is
// between two blocks then, goes on with the next payload as if nothing had been.
type source struct {
	r     io.Reader
	next  func() (io.Reader, error)
	want  []byte  // what a payload ends with; nil: it ends with its message
	tail  [4]byte // the last bytes read
	ahead [1]byte // read to see whether there is more
	has   bool
	done  bool
	err   error
}

var syncTail = []byte{0, 0, 0xff, 0xff} // of a sync flush (gateway, "Transport Compression")

// drained is what source panics with.
type drained struct{}

func (s *source) begin(r io.Reader, next func() (io.Reader, error)) {
	s.r, s.next, s.done, s.has, s.err = r, next, false, false, nil
	s.tail = [4]byte{1}
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.has {
		s.has = false
		p[0] = s.ahead[0]
		return 1, nil
	}
	for {
		if s.done {
			panic(drained{})
		}
		n, err := s.get(p)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// get reads what is left of the message, and begins the next one if the payload
// goes on there.
func (s *source) get(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n >= 4 {
		copy(s.tail[:], p[n-4:n])
	} else if n > 0 {
		copy(s.tail[:], s.tail[n:])
		copy(s.tail[4-n:], p[:n])
	}
	switch {
	case n > 0:
		return n, nil // an error comes again
	case err == io.EOF && (s.want == nil || string(s.tail[:]) == string(s.want)):
		s.done = true
		return 0, nil
	case err == io.EOF:
		if s.r, err = s.next(); err != nil {
			s.err = err
		}
		return 0, err
	case err != nil:
		s.err = err
	}
	return n, err
}

// ended reports whether the payload has been read to its end.
func (s *source) ended() bool {
	if s.done || s.has || s.err != nil {
		return s.done
	}
	if s.want != nil && string(s.tail[:]) != string(s.want) {
		return false
	}
	n, err := s.get(s.ahead[:])
	s.has = n > 0
	return err == nil && s.done
}

// drain reads from a decompressor into into until the source is drained.
// buffered is how much of the source's is held between the two.
func drain(into *sink, from io.Reader, src *source, buffered func() int) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case drained:
		default:
			err = fmt.Errorf("%w: decompressor: %v", ErrProtocol, p)
		}
	}()
	for {
		p, err := into.room()
		if err != nil {
			return err
		}
		n, err := from.Read(p)
		into.n += n
		switch {
		case src.err != nil:
			return src.err
		case err == io.EOF:
			return fmt.Errorf("%w: compressed stream has ended", ErrProtocol)
		case err != nil:
			return fmt.Errorf("%w: compressed stream: %w", ErrProtocol, err)
		case n < len(p) && buffered() == 0 && src.ended():
			return nil
		}
	}
}

// zlibStream is one zlib context for all payloads of a connection, each of which
// ends with a sync flush.
type zlibStream struct {
	src  source
	in   *bufio.Reader
	zlib io.Reader
}

// inBytes is what is read of a compressed payload at once. The decompressor has a
// quick way for a bufio.Reader.
const inBytes = 512

var errHeader = errors.New("no zlib header")

func (z *zlibStream) read(into *sink, r io.Reader, next func() (io.Reader, error)) error {
	z.src.begin(r, next)
	if z.zlib == nil {
		z.in = bufio.NewReaderSize(&z.src, inBytes)
		if err := z.header(); err != nil {
			return fmt.Errorf("%w: compressed stream: %w", ErrProtocol, err)
		}
		z.zlib = flate.NewReader(z.in)
	}
	return drain(into, z.zlib, &z.src, z.in.Buffered)
}

// header reads the two bytes before the deflate stream (RFC 1950 §2.2).
func (z *zlibStream) header() (err error) {
	defer func() {
		if recover() != nil {
			err = errHeader
		}
	}()
	var h [2]byte
	if _, err := io.ReadFull(z.in, h[:]); err != nil {
		return err
	}
	if h[0]&0x0f != 8 || (uint(h[0])<<8|uint(h[1]))%31 != 0 || h[1]&0x20 != 0 {
		return errHeader
	}
	return nil
}

// zstdStream is one zstd frame for all payloads of a connection, each of which
// ends with its message.
type zstdStream struct {
	src  source
	d    *zstd.Decoder
	open bool
}

func (z *zstdStream) read(into *sink, r io.Reader, next func() (io.Reader, error)) error {
	z.src.begin(r, next)
	if !z.open {
		z.open = true
		if err := z.d.Reset(&z.src); err != nil {
			return fmt.Errorf("%w: compressed stream: %w", ErrProtocol, err)
		}
	}
	return drain(into, z.d, &z.src, func() int { return 0 })
}

func closeStream(s stream) {
	if z, ok := s.(*zstdStream); ok {
		z.d.Close()
	}
}
