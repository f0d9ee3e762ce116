//go:build !unix

package discord

import "net"

func newFiller(_, nc net.Conn) filler { return &portable{nc: nc} }

func newImpatient(nc net.Conn) net.Conn { return nc }
