package irc

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var webBuffers sync.Pool

// upgrade makes a WebSocket on nc, with TLS if the address asks for it.
func (t *Transport) upgrade(ctx context.Context, nc net.Conn) (net.Conn, error) {
	given := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	d := websocket.Dialer{
		NetDialContext: given,
		NetDialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			s := tls.Client(nc, t.tls)
			return s, s.Handshake()
		},
		ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10, WriteBufferPool: &webBuffers,
		Subprotocols: []string{"irc"},
	}
	ws, res, err := d.DialContext(ctx, t.addr.url, http.Header{})
	if err != nil {
		if res != nil && res.Body != nil {
			res.Body.Close()
		}
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	ws.SetPingHandler(func(data string) error {
		// Not to get through is not to be dead: the reader finds that out.
		_ = ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		return nil
	})
	return &webConn{Conn: nc, ws: ws}, nil
}

// webConn makes a stream of a WebSocket's messages: the end of one ends a line.
type webConn struct {
	net.Conn // below TLS, for deadlines and Close
	ws       *websocket.Conn
	message  io.Reader
	open     bool // the message does not end with the end of a line, so far
}

func (w *webConn) Read(p []byte) (int, error) {
	for {
		if w.message == nil {
			_, r, err := w.ws.NextReader()
			if err != nil {
				return 0, webError(err)
			}
			w.message, w.open = r, false
		}
		n, err := w.message.Read(p)
		if n > 0 {
			w.open = p[n-1] != '\n'
			return n, nil
		}
		if err != nil {
			w.message = nil
			if err != io.EOF {
				return 0, webError(err)
			}
			if w.open {
				p[0] = '\n'
				return 1, nil
			}
		}
	}
}

// webError makes the ordinary end of a WebSocket an ordinary end.
func webError(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		return io.EOF
	}
	return err
}

func (w *webConn) Write(p []byte) (int, error) {
	if err := w.ws.WriteMessage(websocket.TextMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline bounds the next messages.
func (w *webConn) SetWriteDeadline(t time.Time) error { return w.ws.SetWriteDeadline(t) }
