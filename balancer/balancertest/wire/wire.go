// Package wire carries the bytes of fake services: in memory, in a way that
// testing/synctest can follow and that tells to the byte what the other end has
// read, or over sockets.
package wire

import "net"

// Conn is what carries a connection's bytes at a fake service's end, below TLS
// and WebSocket. It tells what a judge of lost messages needs to know.
type Conn interface {
	net.Conn
	Written() int64   // bytes written
	Delivered() int64 // bytes that the peer has read, or acknowledged where that is all one can know
	Prompt() bool     // Delivered is exact
	Abort()           // resets: the peer may lose what it has not read
	Left() bool       // the peer is known to have closed
	AwaitClose()      // blocks until either side has closed
	Chop(func() int)  // the peer shall see the bytes in pieces of this size; nil: as they come
}

// Socket returns the Conn of a real connection.
func Socket(c *net.TCPConn) Conn { return &socket{TCPConn: c} }

// Addr is the address of an end of an in-memory connection.
type Addr string

// Network returns "tcp".
func (Addr) Network() string { return "tcp" }

// String returns the address.
func (a Addr) String() string { return string(a) }
