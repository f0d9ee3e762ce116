package discord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// frames reads the messages of a connection (RFC 6455 §5) from its socket. The
// WebSocket library connects and writes; its reader would copy each message once
// more and allocate for it. A service does not mask, and no extension was asked
// for.
type frames struct {
	sock  *socket
	ws    *websocket.Conn // control frames are answered there
	left  uint64          // of the frame's payload
	final bool            // the frame is the message's last
	b     [8]byte         // of the head; here it is not allocated
}

// Bits of a frame's first two bytes, and opcodes (RFC 6455 §5.2).
const (
	bitFinal  = 0x80
	bitsRSV   = 0x70
	bitMask   = 0x80
	frameMore = 0
	frameText = 1
	frameBin  = 2
	frameBye  = 8
	framePing = 9
	framePong = 10
)

// next goes to the beginning of the next message.
func (f *frames) next() error {
	op, err := f.head()
	if err != nil {
		return err
	}
	if op != frameText && op != frameBin {
		return fmt.Errorf("%w: a message begins with a frame of op %d", ErrProtocol, op)
	}
	return nil
}

// Read implements io.Reader for one message.
func (f *frames) Read(p []byte) (int, error) {
	for f.left == 0 {
		if f.final {
			return 0, io.EOF
		}
		op, err := f.head()
		if err != nil {
			return 0, err
		}
		if op != frameMore {
			return 0, fmt.Errorf("%w: a message goes on with a frame of op %d", ErrProtocol, op)
		}
	}
	if uint64(len(p)) > f.left {
		p = p[:f.left]
	}
	n, err := f.sock.Read(p)
	f.left -= uint64(n)
	return n, cutShort(err)
}

// whole returns how many bytes the message still has, if that is known.
func (f *frames) whole() (n uint64, known bool) { return f.left, f.final }

// head reads the head of the next frame of data and answers control frames before it.
func (f *frames) head() (op byte, err error) {
	for {
		b := f.b[:]
		if err := f.full(b[:2]); err != nil {
			return 0, err
		}
		op, size := b[0]&0x0f, uint64(b[1]&^bitMask)
		final := b[0]&bitFinal != 0
		if b[0]&bitsRSV != 0 || b[1]&bitMask != 0 || op >= frameBye && (!final || size > 125) {
			return 0, fmt.Errorf("%w: frame begins with %x", ErrProtocol, b[:2])
		}
		switch size {
		case 126:
			if err := f.full(b[:2]); err != nil {
				return 0, err
			}
			size = uint64(binary.BigEndian.Uint16(b))
		case 127:
			if err := f.full(b[:8]); err != nil {
				return 0, err
			}
			size = binary.BigEndian.Uint64(b)
		}
		if op < frameBye {
			f.left, f.final = size, final
			return op, nil
		}
		if err := f.control(op, int(size)); err != nil {
			return 0, err
		}
	}
}

// controlFor is how long the answer to a control frame may take to be written.
const controlFor = time.Second

// control takes a control frame. One that ends the connection is an error.
func (f *frames) control(op byte, size int) error {
	p := make([]byte, size)
	if err := f.full(p); err != nil {
		return err
	}
	by := time.Now().Add(controlFor)
	switch op {
	case framePing:
		_ = f.ws.WriteControl(websocket.PongMessage, p, by) // a read will tell
	case frameBye:
		ce := &websocket.CloseError{Code: websocket.CloseNoStatusReceived}
		if size >= 2 {
			ce.Code, ce.Text = int(binary.BigEndian.Uint16(p)), string(p[2:])
		}
		// Not the same code: 1000 and 1001 from us would end the session.
		_ = f.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(closeKeeps, ""), by) // likewise
		return ce
	}
	return nil
}

// full fills p.
func (f *frames) full(p []byte) error {
	if n := f.sock.w - f.sock.r; n > len(p) {
		f.sock.r += copy(p, f.sock.buf[f.sock.r:])
		return nil
	}
	_, err := io.ReadFull(f.sock, p)
	return cutShort(err)
}

// cutShort is err, where the end of the connection comes within a message.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
