package irctest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// must fails the test if err is not nil.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTCP(t *testing.T) {
	s := NewTwitch(nil)
	defer s.Close()
	j := s.Judge()
	addr := must[net.Addr](t)(s.Listen("127.0.0.1:0"))
	nc := must[net.Conn](t)(net.Dial("tcp", addr.String()))
	defer nc.Close()
	c := wrap(t, nc).login("ann").join("x")
	s.Say("x", "bob", "hi")
	c.handle(j, 1)
	check(t, j, Verdict{Sent: 1, Received: 1})
	// Written just before the end: whether that was readable nobody knows, so
	// it has to be received or in a gap.
	from := time.Now()
	s.Say("x", "bob", "last words")
	s.Apply(Fault{Kind: Drop}, Target{})
	if v := j.Verdict(); v.LostSilent != 1 {
		t.Errorf("without a gap: %v", v)
	}
	j.Gap(from, time.Now())
	check(t, j, Verdict{Sent: 2, Received: 1, InGaps: 1})
	s.Refuse(-1)
	nc, err := net.Dial("tcp", addr.String())
	if err == nil {
		_, err = nc.Read(make([]byte, 1))
		nc.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("refused: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := NewTwitch(nil)
	defer s.Close()
	addr := must[net.Addr](t)(s.ListenTLS("127.0.0.1:0"))
	for _, tt := range []struct {
		fault CertFault
		as    any
	}{
		{GoodCert, nil},
		{ExpiredCert, new(x509.CertificateInvalidError)},
		{WrongHostCert, new(x509.HostnameError)},
		{UntrustedCert, new(x509.UnknownAuthorityError)},
	} {
		s.SetCert(tt.fault)
		nc, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: s.CertPool()})
		if tt.as != nil {
			if !errors.As(err, tt.as) {
				t.Errorf("certificate %d: %v", tt.fault, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		c := wrap(t, nc).login("ann").join("x")
		s.Say("x", "bob", "hi")
		c.until("PRIVMSG")
		nc.Close()
	}
}

// Twitch's TLS port, in memory and on the fake clock.
func TestTLSInMemory(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		j := s.Judge()
		raw := must[net.Conn](t)(s.DialContext(t.Context(), "tcp", "irc.chat.twitch.tv:6697"))
		nc := tls.Client(raw, &tls.Config{RootCAs: s.CertPool(), ServerName: "irc.chat.twitch.tv"})
		c := wrap(t, nc).login("ann").join("x")
		s.Say("x", "bob", "hi")
		c.handle(j, 1)
		from := time.Now()
		time.Sleep(time.Minute)
		s.Say("x", "bob", "unread")
		s.Apply(Fault{Kind: Drop}, Target{})
		j.Gap(from, time.Now())
		check(t, j, Verdict{Sent: 2, Received: 1, InGaps: 1})
		nc.Close()
	})
}

func TestWebSocketInMemory(t *testing.T) {
	story(t, nil, func(t *testing.T, s *Server) {
		d := websocket.Dialer{NetDialContext: s.DialContext, TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}}
		ws, _, err := d.DialContext(t.Context(), "wss://irc-ws.chat.twitch.tv:443", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		ws.WriteMessage(websocket.TextMessage, []byte("NICK justinfan5"))
		if _, frame, err := ws.ReadMessage(); err != nil || !strings.HasPrefix(string(frame), ":tmi.twitch.tv 001 justinfan5 ") {
			t.Errorf("%q, %v", frame, err)
		}
	})
}

func TestWebSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := NewTwitch(nil)
		j := s.Judge()
		addr := must[net.Addr](t)(s.ListenWebSocket("127.0.0.1:0", secure))
		url := "ws://" + addr.String()
		if secure {
			url = "wss://" + addr.String()
		}
		d := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: s.CertPool()}, Subprotocols: []string{"irc"}}
		ws, _, err := d.DialContext(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		ws.WriteMessage(websocket.TextMessage, []byte("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan5"))
		ws.WriteMessage(websocket.TextMessage, []byte("JOIN #x")) // no CR LF, as tmi.js sends it
		var got string
		for !strings.Contains(got, "ROOMSTATE #x") {
			kind, frame, err := ws.ReadMessage()
			if err != nil || kind != websocket.TextMessage || !strings.HasSuffix(string(frame), "\r\n") {
				t.Fatalf("frame %d %q: %v", kind, frame, err)
			}
			got += string(frame)
		}
		sent := s.Say("x", "bob", "hi")
		_, frame, err := ws.ReadMessage()
		if id := tagOf(string(frame), "id"); err != nil || id != sent.ID {
			t.Errorf("id %q, want %q: %v", id, sent.ID, err)
		}
		j.Received("x", sent.ID, time.Now())
		check(t, j, Verdict{Sent: 1, Received: 1})
		s.Close()
		ws.Close()
	}
}

func plainDialer(t *testing.T, s *Server) func() (net.Conn, error) {
	addr := must[net.Addr](t)(s.Listen("127.0.0.1:0"))
	return func() (net.Conn, error) { return net.Dial("tcp", addr.String()) }
}

func tlsDialer(t *testing.T, s *Server) func() (net.Conn, error) {
	addr := must[net.Addr](t)(s.ListenTLS("127.0.0.1:0"))
	cfg := &tls.Config{RootCAs: s.CertPool()}
	return func() (net.Conn, error) { return tls.Dial("tcp", addr.String(), cfg) }
}
