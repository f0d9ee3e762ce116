package irctest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// upgrade answers a WebSocket handshake on nc and returns a connection of the
// frames' bytes.
func upgrade(nc net.Conn) (net.Conn, error) {
	br := bufio.NewReader(nc)
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, fmt.Errorf("irctest: websocket: %w", err)
	}
	up := websocket.Upgrader{
		CheckOrigin:     func(*http.Request) bool { return true },
		ReadBufferSize:  1024,
		WriteBufferSize: 4096,
		Subprotocols:    []string{"irc"}, // tmi.js asks for it
	}
	ws, err := up.Upgrade(&hijack{nc: nc, br: br, header: make(http.Header)}, r, nil)
	if err != nil {
		return nil, fmt.Errorf("irctest: websocket: %w", err)
	}
	ws.SetReadLimit(64 << 10)
	return &wsConn{Conn: nc, ws: ws}, nil
}

// hijack is the http.ResponseWriter of a connection without an http.Server.
type hijack struct {
	nc     net.Conn
	br     *bufio.Reader
	header http.Header
	status int
}

func (h *hijack) Header() http.Header { return h.header }

func (h *hijack) WriteHeader(status int) { h.status = status }

// Write sends an error, which is all that an Upgrader writes.
func (h *hijack) Write(p []byte) (int, error) {
	_, err := fmt.Fprintf(h.nc, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		h.status, http.StatusText(h.status), len(p), p)
	return len(p), err
}

func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, bufio.NewReadWriter(h.br, bufio.NewWriterSize(h.nc, 4096)), nil
}

// wsConn turns frames into a stream of lines and back. What is written at once
// becomes one text frame, so a frame holds whole lines.
type wsConn struct {
	net.Conn
	ws    *websocket.Conn
	frame io.Reader // the frame being read
	open  bool      // its last byte was not an end of line
}

// Read ends each frame with an end of line, since clients leave theirs out.
func (w *wsConn) Read(p []byte) (int, error) {
	for {
		if w.frame == nil {
			kind, r, err := w.ws.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.TextMessage && kind != websocket.BinaryMessage {
				continue
			}
			w.frame = r
		}
		n, err := w.frame.Read(p)
		if n > 0 {
			w.open = p[n-1] != '\n'
			return n, nil
		}
		if err == io.EOF {
			w.frame = nil
			if w.open {
				w.open = false
				p[0] = '\n'
				return 1, nil
			}
			continue
		}
		if err != nil {
			return 0, err
		}
	}
}

func (w *wsConn) Write(p []byte) (int, error) {
	if err := w.ws.WriteMessage(websocket.TextMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close says goodbye if that is possible at once.
func (w *wsConn) Close() error {
	w.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), time.Now().Add(100*time.Millisecond))
	return w.Conn.Close()
}
