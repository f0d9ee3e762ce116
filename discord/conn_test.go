package discord

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

// TestWaitHoldsNothing checks that a connection which waits after a payload that
// is not delivered, such as the answer to a heartbeat, holds no chunk.
func TestWaitHoldsNothing(t *testing.T) {
	near, far := net.Pipe()
	far.Close()
	c := newConn(New(FixedToken("x"), nil), balancer.ShardID{Count: 1}, new(shardState))
	c.sock = &socket{Conn: near, raw: near, heard: new(atomic.Uint32), fillFrom: &portable{nc: near}}
	if err := c.in.fill(strings.NewReader(`{"op":11}`)); err != nil {
		t.Fatal(err)
	}
	if err := c.wait(); err == nil {
		t.Error("wait on a connection that has ended = nil")
	}
	if c.in.c != nil {
		t.Error("a chunk is held")
	}
}
