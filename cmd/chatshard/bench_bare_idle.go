package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// startBareIdle keeps TLS connections open in as little memory as crypto/tls
// leaves room for: a goroutine each, parked on the socket, and buffers that are
// borrowed while there is something to read.
func startBareIdle(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	conns := make([]*sleepyConn, m.task.Conns)
	err = dialAll(len(conns), func(i int) (err error) {
		conns[i], err = dialSleepy(ctx, m.task, cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			if err := c.read(m); err != nil && ctx.Err() == nil {
				m.fail(err)
			}
		})
	}
	return func() error {
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
		return nil
	}, nil
}

// sleepyConn is what crypto/tls reads from: during the handshake a socket,
// afterwards what was taken from the socket before.
type sleepyConn struct {
	net.Conn
	tls    *tls.Conn
	socket syscall.RawConn
	asleep bool
	taken  []byte
	buf    *[]byte
}

// errNothing is temporary: crypto/tls does not keep it.
type errNothing struct{}

func (errNothing) Error() string   { return "nothing to read" }
func (errNothing) Timeout() bool   { return false }
func (errNothing) Temporary() bool { return true }

var sleepyBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func (c *sleepyConn) Read(p []byte) (int, error) {
	if !c.asleep {
		return c.Conn.Read(p)
	}
	if len(c.taken) == 0 {
		return 0, errNothing{}
	}
	n := copy(p, c.taken)
	if c.taken = c.taken[n:]; len(c.taken) == 0 {
		sleepyBuffers.Put(c.buf)
		c.buf = nil
	}
	return n, nil
}

func dialSleepy(ctx context.Context, task *benchTask, cfg *tls.Config) (*sleepyConn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", task.Addr)
	if err != nil {
		return nil, err
	}
	c := &sleepyConn{Conn: nc}
	if c.socket, err = nc.(syscall.Conn).SyscallConn(); err != nil {
		return nil, err
	}
	c.tls = tls.Client(c, cfg)
	if err := bareLogin(c.tls, bufio.NewReaderSize(c.tls, 512), nil); err != nil {
		return nil, err
	}
	c.asleep = true
	return c, nil
}

// read counts messages until the connection ends. No message of the idle row
// reaches over two records.
func (c *sleepyConn) read(m *benchMeter) error {
	plain := sleepyBuffers.Get().(*[]byte)
	defer func() { sleepyBuffers.Put(plain) }()
	ended := false
	for {
		n, err := c.tls.Read(*plain)
		for lines := (*plain)[:n]; len(lines) > 0; {
			line, rest, whole := bytes.Cut(lines, []byte("\r\n"))
			if !whole {
				return errors.New("a line was cut")
			}
			if _, _, text, chat := bareScan(line); chat {
				m.addAtomic(len(text))
			}
			lines = rest
		}
		if err == nil {
			continue
		}
		if _, wait := err.(errNothing); !wait {
			return err
		}
		sleepyBuffers.Put(plain)
		var rerr error
		err = c.socket.Read(func(fd uintptr) bool {
			c.buf = sleepyBuffers.Get().(*[]byte)
			n, again, err := readSocket(fd, *c.buf)
			if again {
				sleepyBuffers.Put(c.buf)
				c.buf = nil
				return false
			}
			ended, rerr = n == 0, err
			c.taken = (*c.buf)[:max(n, 0)]
			return true
		})
		plain = sleepyBuffers.Get().(*[]byte)
		switch {
		case err != nil:
			return err
		case rerr != nil:
			return rerr
		case ended:
			return io.EOF
		}
	}
}
