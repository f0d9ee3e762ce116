package irctest

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestConnectionFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func(t *testing.T, s *Server, c *client)
	}{
		{"drop", func(t *testing.T, s *Server, c *client) {
			s.Say("x", "bob", "unread")
			synctest.Wait()
			s.Apply(Fault{Kind: Drop}, Target{Account: "ann"})
			if _, err := c.br.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v, want a reset", err)
			}
			if _, err := c.nc.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v, want a reset", err)
			}
		}},
		{"hangup", func(t *testing.T, s *Server, c *client) {
			s.Say("x", "bob", "unread")
			synctest.Wait()
			s.Apply(Fault{Kind: Hangup}, Target{Channel: "x"})
			c.until("unread")
			if _, err := c.br.ReadByte(); err != io.EOF {
				t.Errorf("read: %v, want EOF", err)
			}
		}},
		{"half-open", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: HalfOpen}, Target{})
			s.Say("x", "bob", "never")
			c.send("PING :hello")
			c.nc.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.br.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want silence", err)
			}
			c.nc.SetWriteDeadline(time.Now().Add(time.Minute))
			n, err := 0, error(nil)
			for err == nil { // the buffer fills, since nobody reads
				var k int
				k, err = c.nc.Write(make([]byte, 4096))
				n += k
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || n > 64<<10 {
				t.Errorf("wrote %d bytes, then %v", n, err)
			}
			c.nc.Close()
			synctest.Wait()
			if n := s.Stats().Conns; n != 0 {
				t.Errorf("%d connections left", n)
			}
		}},
		{"mute", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Mute}, Target{})
			c.send("PING :hello", "PRIVMSG #x :heard")
			synctest.Wait()
			if s.Stats().Messages == 0 {
				t.Errorf("the server does not read")
			}
			c.nc.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.br.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want silence", err)
			}
		}},
		{"delay", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Delay, For: 3 * time.Second}, Target{})
			start := time.Now()
			s.Say("x", "bob", "one")
			time.Sleep(time.Second)
			s.Say("x", "bob", "two")
			c.until("one")
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("after %v", d)
			}
			c.until("two")
			if d := time.Since(start); d != 4*time.Second {
				t.Errorf("after %v", d)
			}
		}},
		{"slow reader", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: SlowReader, Size: 10}, Target{})
			start := time.Now()
			c.send("PING :aaaaaaaa") // 16 bytes
			c.until("PONG")
			c.send("PING :b")
			c.until("PONG")
			if d := time.Since(start); d < 1500*time.Millisecond {
				t.Errorf("both after %v", d)
			}
		}},
		{"split lines", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: SplitLines}, Target{})
			text := strings.Repeat("héllo 🎉 ", 20)
			s.Say("x", "bob", text)
			buf, cut := make([]byte, 4096), false
			for got := ""; !strings.Contains(got, "\n"); {
				n, err := c.nc.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				cut = cut || !utf8.Valid(buf[:n])
				got += string(buf[:n])
			}
			if !cut {
				t.Errorf("no rune was cut")
			}
		}},
		{"oversized", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Oversized, Size: 200_000}, Target{})
			if l := c.line(); len(l) != 200_000 {
				t.Errorf("%d bytes", len(l))
			}
			c.sync()
		}},
		{"invalid utf-8", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: InvalidUTF8}, Target{})
			s.Say("x", "bob", "hi")
			if l := c.until("hi"); utf8.ValidString(l) {
				t.Errorf("valid: %q", l)
			}
		}},
		{"duplicate", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Duplicate}, Target{})
			s.Say("x", "bob", "hi")
			if a, b := c.until("hi"), c.until("hi"); a != b {
				t.Errorf("%q and %q", a, b)
			}
		}},
		{"reorder", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Reorder}, Target{})
			s.Say("x", "bob", "one")
			s.Say("x", "bob", "two")
			c.until("two")
			c.until("one")
		}},
		{"heal", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Duplicate}, Target{})
			s.Heal()
			s.Say("x", "bob", "hi")
			if got := countLines(c.sync(), "hi"); got != 1 {
				t.Errorf("%d copies", got)
			}
		}},
		{"refuse", func(t *testing.T, s *Server, c *client) {
			s.Refuse(1)
			if _, err := s.DialContext(t.Context(), "tcp", "irc:6667"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial: %v", err)
			}
			dial(t, s, "irc:6667").login("bob")
		}},
		{"refused joins", func(t *testing.T, s *Server, c *client) {
			s.RefuseJoin("y", "msg_banned", 1)
			s.RefuseJoin("z", "", 1)
			c.send("JOIN #y,#z")
			if got := c.sync(); len(got) != 1 || !strings.Contains(got[0], "msg-id=msg_banned") {
				t.Errorf("%q", got)
			}
			c.join("y", "z")
		}},
		{"on new connections", func(t *testing.T, s *Server, c *client) {
			s.Apply(Fault{Kind: Mute}, Target{New: true})
			d := dial(t, s, "irc:6667")
			d.send("NICK justinfan1")
			synctest.Wait()
			if n := s.Stats().Logins; n != 2 {
				t.Errorf("%d logins", n)
			}
			if d.br.Buffered() > 0 {
				t.Errorf("it speaks")
			}
		}},
		{"a client that does not read", func(t *testing.T, s *Server, c *client) {
			for i := 0; s.Stats().Conns > 0 && i < 10_000; i++ {
				s.Say("x", "bob", strings.Repeat("a", 400))
				synctest.Wait()
			}
			if got := s.ViolationCount(QueueBackup); got != 1 {
				t.Errorf("violations: %v", s.Violations())
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			story(t, &Config{SendQueue: 256 << 10}, func(t *testing.T, s *Server) {
				tt.f(t, s, dial(t, s, "irc:6667").login("ann").join("x"))
			})
		})
	}
}
