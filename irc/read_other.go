//go:build !unix

package irc

import "net"

// newSource returns no source: the portable one serves.
func newSource(net.Conn, net.Conn, *reader) (source, bool) { return nil, false }

func newImpatient(nc net.Conn) net.Conn { return nc }
