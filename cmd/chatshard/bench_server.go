package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	blastWrite = 256 << 10 // bytes written at a time
	idleLines  = 5         // to each connection before it is left alone
)

// loadServer is a chat server that knows just enough of Twitch to be logged in
// to and joined, and then sends as fast as can be or as was asked for.
type loadServer struct {
	task   *benchTask
	corpus *corpus
	stamp  *lineStamp

	mu     sync.Mutex // guards all below
	conns  []*loadConn
	byName map[string]*loadConn // by channel
}

// loadConn is one connection. Its replies and the load are written under mu.
type loadConn struct {
	net.Conn
	mu sync.Mutex
}

// serveBench runs until ctx ends. At the word "go" it sends the row's load, at
// "go N" that many PRIVMSGs of it, and says what that was.
func serveBench(ctx context.Context, task *benchTask, words <-chan string, out *json.Encoder) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hello := benchHello{Addr: ln.Addr().String()}
	if task.TLS {
		cert, ca, err := benchCert()
		if err != nil {
			return err
		}
		hello.CA = ca
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	}
	s := &loadServer{
		task: task, corpus: newCorpus(task.Row != "blast"), stamp: newLineStamp(), byName: make(map[string]*loadConn),
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.close()
	defer ln.Close()
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c := &loadConn{Conn: nc}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			wg.Go(func() { s.serve(c) })
		}
	})
	if err := out.Encode(hello); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case word := <-words:
			if n, err := strconv.Atoi(strings.TrimPrefix(word, "go ")); err == nil {
				task.Warm, task.Messages = 0, n
			}
		}
		sent, err := s.load(ctx)
		if err != nil {
			return err
		}
		if err := out.Encode(sent); err != nil {
			return err
		}
	}
}

func (s *loadServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// serve answers one client until it goes.
func (s *loadServer) serve(c *loadConn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 512)
	nick := "justinfan1"
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var reply bytes.Buffer
		word, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch word {
		case "CAP":
			_, caps, _ := strings.Cut(rest, ":")
			fmt.Fprintf(&reply, ":tmi.twitch.tv CAP * ACK :%s\r\n", caps)
		case "NICK":
			nick = rest
			for _, l := range [...]string{"001 %s :Welcome, GLHF!", "002 %s :Your host is tmi.twitch.tv", "003 %s :This server is rather new",
				"004 %s :-", "375 %s :-", "372 %s :You are in a maze of twisty passages, all alike.", "376 %s :>"} {
				fmt.Fprintf(&reply, ":tmi.twitch.tv "+l+"\r\n", nick)
			}
		case "JOIN":
			for name := range strings.SplitSeq(rest, ",") {
				s.mu.Lock()
				s.byName[strings.TrimPrefix(name, "#")] = c
				s.mu.Unlock()
				fmt.Fprintf(&reply, ":%[1]s!%[1]s@%[1]s.tmi.twitch.tv JOIN %[2]s\r\n:%[1]s.tmi.twitch.tv 353 %[1]s = %[2]s :%[1]s\r\n"+
					":%[1]s.tmi.twitch.tv 366 %[1]s %[2]s :End of /NAMES list\r\n"+
					"@emote-only=0;followers-only=-1;r9k=0;room-id=1;slow=0;subs-only=0 :tmi.twitch.tv ROOMSTATE %[2]s\r\n", nick, name)
			}
		case "PING":
			fmt.Fprintf(&reply, ":tmi.twitch.tv PONG tmi.twitch.tv %s\r\n", rest)
		}
		if reply.Len() > 0 {
			if err := c.send(reply.Bytes()); err != nil {
				return
			}
		}
	}
}

func (c *loadConn) send(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Write(p)
	return err
}

// load sends what the row asks for.
func (s *loadServer) load(ctx context.Context) (benchSent, error) {
	s.stamp.now(time.Now().UnixMilli())
	switch s.task.Row {
	case "blast":
		return s.blast(ctx)
	case "live":
		return s.live(ctx)
	}
	return s.greet()
}

// blast writes the corpus to one connection as fast as that takes it.
func (s *loadServer) blast(ctx context.Context) (sent benchSent, err error) {
	s.mu.Lock()
	to := s.conns[0]
	s.mu.Unlock()
	c, total := s.corpus, s.task.Warm+s.task.Messages
	for next := 0; sent.Messages < total && ctx.Err() == nil; {
		s.stamp.now(time.Now().UnixMilli())
		start, end := c.lines[next].start, 0
		for ; next < len(c.lines) && sent.Messages < total; next++ {
			l := &c.lines[next]
			if l.end-start > blastWrite {
				break
			}
			s.stamp.line(c, l)
			sent.count(l)
			end = l.end
		}
		if err := to.send(c.text[start:end]); err != nil {
			return sent, err
		}
		if next == len(c.lines) {
			next = 0
		}
	}
	return sent, ctx.Err()
}

func (n *benchSent) count(l *corpusLine) {
	n.Lines++
	if l.chat {
		n.Messages++
		n.Text += l.textBytes
	}
}

// live sends lines one by one, each to the connection of any channel, at a rate.
func (s *loadServer) live(ctx context.Context) (sent benchSent, err error) {
	to := make([]*loadConn, s.task.Conns)
	for i := range to {
		if to[i], err = s.joined(ctx, channelName(i, true)); err != nil {
			return sent, err
		}
	}
	r := mathrand.New(mathrand.NewPCG(1, 1))
	total := s.task.Warm + s.task.Messages
	begin := time.Now()
	for next := 0; sent.Messages < total; {
		due := int(time.Since(begin).Seconds() * float64(s.task.Rate))
		s.stamp.now(time.Now().UnixMilli())
		for ; sent.Lines < due && sent.Messages < total; next = (next + 1) % len(s.corpus.lines) {
			l, n := &s.corpus.lines[next], r.IntN(len(to))
			if s.task.Stamp {
				s.stamp.clock(time.Now())
			}
			s.stamp.line(s.corpus, l)
			l.number(s.corpus, n)
			if err := to[n].send(s.corpus.text[l.start:l.end]); err != nil {
				return sent, err
			}
			sent.count(l)
		}
		if s.task.Stamp { // a burst would measure itself
			nap()
			if ctx.Err() != nil {
				return sent, ctx.Err()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return sent, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return sent, nil
}

// joined waits until a channel is joined, and returns the connection that did.
func (s *loadServer) joined(ctx context.Context, name string) (*loadConn, error) {
	for {
		s.mu.Lock()
		c := s.byName[name]
		s.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bench: channel %s was not joined", name)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// greet sends a few messages to each connection.
func (s *loadServer) greet() (sent benchSent, err error) {
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	next := 0
	for range idleLines {
		for _, to := range conns {
			for !s.corpus.lines[next].chat {
				next = (next + 1) % len(s.corpus.lines)
			}
			l := &s.corpus.lines[next]
			next = (next + 1) % len(s.corpus.lines)
			s.stamp.line(s.corpus, l)
			if err := to.send(s.corpus.text[l.start:l.end]); err != nil {
				return sent, err
			}
			sent.count(l)
		}
	}
	return sent, nil
}

// benchCert returns a certificate for 127.0.0.1 and what to verify it with.
func benchCert() (cert tls.Certificate, ca []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "chatshard bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return cert, nil, err
	}
	cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
