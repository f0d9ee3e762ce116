//go:build !unix

package irc

import (
	"net"
	"time"
)

// parked is not there: the portable source serves.
type parked struct{}

func (c *conn) newSource(net.Conn) (source, bool) { return nil, false }

func newImpatient(nc net.Conn, _ time.Duration) net.Conn { return nc }
