package discord

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestWokenWithinMessage wakes a reader while the rest of a message is yet to
// arrive: it hears of it after the message.
func TestWokenWithinMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		s := &socket{Conn: near, raw: near, heard: new(atomic.Uint32), fillFrom: &portable{nc: near}, walk: walker{head: 4}}
		defer s.shut()
		go func() {
			far.Write([]byte{0x82, 2, 'a'})
			synctest.Wait() // the reader waits for the rest
			s.wake()
			synctest.Wait()
			far.Write([]byte{'b'})
		}()
		if err := s.await(); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			var b [1]byte
			if _, err := s.Read(b[:]); err != nil {
				t.Fatal(err)
			}
		}
		s.whole-- // as whoever takes the message does
		if err := s.await(); !errors.Is(err, errWoken) {
			t.Errorf("await = %v, want errWoken", err)
		}
	})
}
