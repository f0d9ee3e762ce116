package discordtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// serve is the reading goroutine of a connection: it answers requests until
// one asks for a WebSocket.
func (c *conn) serve() {
	br := bufio.NewReaderSize(c.nc, 2048)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		host := c.hostOf(r)
		c.mu.Lock()
		c.host = host
		c.mu.Unlock()
		if websocket.IsWebSocketUpgrade(r) {
			if c.s.hostFault(c, r) {
				return
			}
			c.gateway(r, &hijack{nc: c.nc, br: br, header: make(http.Header)})
			return
		}
		if !c.answer(r) {
			return
		}
	}
}

// hostOf returns the host that a request was meant for.
func (c *conn) hostOf(r *http.Request) Host {
	if !websocket.IsWebSocketUpgrade(r) {
		return REST
	}
	if strings.HasPrefix(r.URL.Path, "/resume") || strings.HasPrefix(r.Host, "resume") {
		return Resume
	}
	return Gateway
}

// hostByName guesses from the name that was dialled.
func hostByName(addr string) Host {
	name, _, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return REST
	case strings.HasPrefix(name, "resume"):
		return Resume
	case strings.HasPrefix(name, "gateway"):
		return Gateway
	}
	return REST
}

// answer answers one REST request and reports whether the connection can take
// another.
func (c *conn) answer(r *http.Request) bool {
	body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if c.s.hostFault(c, r) {
		return false
	}
	a := &answer{header: make(http.Header), status: http.StatusOK}
	c.s.rest.serve(a, r, c)
	c.s.stats.rest.Add(1)
	keep := !r.Close
	if !keep {
		a.header.Set("Connection", "close")
	}
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	if a.status != http.StatusNoContent {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", a.body.Len())
	}
	a.header.Write(&out)
	out.WriteString("\r\n")
	if r.Method != http.MethodHead {
		out.Write(a.body.Bytes())
	}
	_, err = c.nc.Write(out.Bytes())
	return err == nil && keep
}

// answer is the http.ResponseWriter of a connection without an http.Server.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.wrote, a.status = true, status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wrote = true
	return a.body.Write(p)
}

// hijack is the http.ResponseWriter of a WebSocket handshake.
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
	return h.nc, bufio.NewReadWriter(h.br, bufio.NewWriterSize(h.nc, 256)), nil
}
