//go:build !unix

package irc

import "net"

// parked is not there: the portable source serves.
type parked struct{}

func (c *conn) newSource(net.Conn) (source, bool) { return nil, false }

func newImpatient(nc net.Conn) net.Conn { return nc }
