//go:build !unix

package discord

import (
	"net"
	"time"
)

func newFiller(_, nc net.Conn) filler { return &portable{nc: nc} }

func newImpatient(nc net.Conn, _ time.Duration) net.Conn { return nc }
