//go:build unix

package irc

import (
	"net"
	"testing"
	"time"
)

// TestAnswerWithinRead writes below TLS as crypto/tls does when it answers a
// KeyUpdate, long after the last write of ours.
func TestAnswerWithinRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	below, ok := newImpatient(nc, time.Minute).(*impatient)
	if !ok {
		t.Fatal("a socket of the system's is not read by this package")
	}
	below.waits = false // the handshake is over
	if err := nc.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := below.Write([]byte("x")); err != nil {
		t.Errorf("a write after the time of the one before it: %v", err)
	}
}
