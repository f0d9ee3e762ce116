package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// socket is a transport over a real socket. It knows what the peer's kernel
// has acknowledged, not what the peer has read.
type socket struct {
	*net.TCPConn
	wrote atomic.Int64
	acked atomic.Int64
	eof   atomic.Bool
	once  sync.Once
}

func (k *socket) Read(p []byte) (int, error) {
	n, err := k.TCPConn.Read(p)
	if err != nil {
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			k.eof.Store(true)
		}
	}
	return n, err
}

func (k *socket) Write(p []byte) (int, error) {
	n, err := k.TCPConn.Write(p)
	k.wrote.Add(int64(n))
	return n, err
}

func (k *socket) Written() int64 { return k.wrote.Load() }

func (k *socket) Delivered() int64 {
	wrote := k.wrote.Load()
	if n, ok := unacked(k.TCPConn); ok {
		k.acked.Store(max(k.acked.Load(), wrote-n))
	}
	return k.acked.Load()
}

func (k *socket) Prompt() bool { return false }

func (k *socket) Close() error {
	k.once.Do(func() { k.Delivered() }) // the last chance to ask
	return k.TCPConn.Close()
}

func (k *socket) Abort() {
	k.once.Do(func() { k.Delivered() })
	k.SetLinger(0)
	k.TCPConn.Close()
}

func (k *socket) Left() bool { return k.eof.Load() }

// awaitClose has to read to learn that the peer has closed.
func (k *socket) AwaitClose() { io.Copy(io.Discard, k) }

// chop does nothing: on a real socket the server writes in pieces instead.
func (k *socket) Chop(func() int) {}
