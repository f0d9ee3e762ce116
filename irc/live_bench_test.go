//go:build unix

package irc_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

// These benchmarks compare the way from a socket through a Transport and a
// Balancer to a handler with bare loops, in turns: "x-bare" is the median of
// the ratios of CPU time. The server that loads them is a goroutine of the same
// process, so its share is on both sides and draws the ratio towards 1. The
// command "chatshard bench" gives it a process of its own and measures memory
// as well; its ratios are those to be quoted.

// load is lines like those of a busy Twitch chat, 468 bytes on average, that
// are sent again and again with new ids.
type load struct {
	text   []byte
	lines  []loadLine
	serial [12]byte
}

type loadLine struct {
	start, end, id, channel int
	chat                    bool
	text                    int
}

const (
	loadRooms = 50
	idMark    = "############"
	chatLine  = "@badge-info=subscriber/14;badges=subscriber/12,premium/1;client-nonce=4f1c7a83d2b04e6f9a5b1c2d3e4f5061;color=#1E90FF;" +
		"display-name=SampleChatter;emotes=25:0-4/1902:12-16;first-msg=0;flags=;id=b34ccfc7-4977-403a-8a94-" + idMark + ";mod=0;returning-chatter=0;" +
		"room-id=22484632;subscriber=1;tmi-sent-ts=1766304000123;turbo=0;user-id=123456789;user-type= " +
		":samplechatter!samplechatter@samplechatter.tmi.twitch.tv PRIVMSG #room%05d :%s"
	noticeLine = "@badge-info=subscriber/14;badges=subscriber/12;color=;display-name=SampleChatter;emotes=;flags=;id=b34ccfc7-4977-403a-8a94-" + idMark +
		";login=samplechatter;mod=0;msg-id=resub;room-id=22484632;system-msg=SampleChatter\\ssubscribed;tmi-sent-ts=1766304000123 :tmi.twitch.tv USERNOTICE #room%05d :%s"
	clearLine = "@ban-duration=600;room-id=22484632;target-user-id=" + idMark + ";tmi-sent-ts=1766304000123 :tmi.twitch.tv CLEARCHAT #room%05d :%s"
)

func newLoad() *load {
	l := &load{}
	copy(l.serial[:], "100000000000")
	for i := range 2000 {
		format, chat := chatLine, true
		switch {
		case i%100 < 3:
			format, chat = noticeLine, false
		case i%100 < 6:
			format, chat = clearLine, false
		}
		text := strings.Repeat("naïve Kappa talk ", 1+i%5)
		line := fmt.Sprintf(format, i%loadRooms/(1+i%7), text)
		at := len(l.text)
		l.lines = append(l.lines, loadLine{
			start: at, end: at + len(line) + 2, id: at + strings.Index(line, idMark), channel: at + strings.Index(line, "#room0") + len("#room"), chat: chat, text: len(text),
		})
		l.text = append(append(l.text, line...), "\r\n"...)
	}
	return l
}

func roomName(i int) string { return fmt.Sprintf("room%05d", i) }

// stamp gives a line an id that none had before.
func (l *load) stamp(line *loadLine) {
	for i := len(l.serial) - 1; ; i-- {
		if l.serial[i]++; l.serial[i] <= '9' {
			break
		}
		l.serial[i] = '0'
	}
	copy(l.text[line.id:], l.serial[:])
}

// loader is a server that logs clients in and confirms joins.
type loader struct {
	ln    net.Listener
	roots *x509.CertPool // nil: no TLS
	wg    sync.WaitGroup

	mu    sync.Mutex // guards all below
	conns []net.Conn
	rooms map[string]net.Conn
}

func startLoader(b *testing.B, secure bool) *loader {
	b.Helper()
	s := &loader{rooms: make(map[string]net.Conn)}
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	if secure {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		t := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
		if err != nil {
			b.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		s.roots = x509.NewCertPool()
		s.roots.AddCert(cert)
		s.ln = tls.NewListener(s.ln, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	}
	s.wg.Go(func() {
		for {
			nc, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(nc) })
		}
	})
	return s
}

func (s *loader) close() {
	s.ln.Close()
	s.mu.Lock()
	for _, nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *loader) serve(nc net.Conn) {
	defer nc.Close()
	nick := ""
	for in := bufio.NewScanner(nc); in.Scan(); {
		var reply bytes.Buffer
		switch verb, rest, _ := strings.Cut(in.Text(), " "); verb {
		case "NICK":
			nick = rest
			fmt.Fprintf(&reply, ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands\r\n:tmi.twitch.tv 001 %[1]s :hi\r\n:tmi.twitch.tv 376 %[1]s :>\r\n", nick)
		case "JOIN":
			for name := range strings.SplitSeq(rest, ",") {
				s.mu.Lock()
				s.rooms[strings.TrimPrefix(name, "#")] = nc
				s.mu.Unlock()
				fmt.Fprintf(&reply, ":%[1]s!%[1]s@tmi JOIN %[2]s\r\n:%[1]s.tmi.twitch.tv 353 %[1]s = %[2]s :%[1]s\r\n:%[1]s.tmi.twitch.tv 366 %[1]s %[2]s :End\r\n", nick, name)
			}
		}
		if _, err := nc.Write(reply.Bytes()); err != nil {
			return
		}
	}
}

// blast sends n messages to the first connection, 256 KiB at a time, and
// returns the bytes of their texts.
func (s *loader) blast(l *load, n int) (text int, err error) {
	s.mu.Lock()
	nc := s.conns[0]
	s.mu.Unlock()
	for next := 0; n > 0; next %= len(l.lines) {
		start, end := l.lines[next].start, 0
		for ; next < len(l.lines) && n > 0 && l.lines[next].end-start <= 256<<10; next++ {
			line := &l.lines[next]
			l.stamp(line)
			if end = line.end; line.chat {
				text, n = text+line.text, n-1
			}
		}
		if _, err := nc.Write(l.text[start:end]); err != nil {
			return text, err
		}
	}
	return text, nil
}

// live sends n messages line by line at 20,000 a second, round the rooms.
func (s *loader) live(l *load, n, rooms int) (text int, err error) {
	const rate = 20_000
	begin, sent := time.Now(), 0
	for next := 0; n > 0; time.Sleep(time.Millisecond) {
		for due := int(time.Since(begin).Seconds() * rate); sent < due && n > 0; sent++ {
			line := &l.lines[next]
			next = (next + 1) % len(l.lines)
			l.stamp(line)
			room := roomName(sent * 7 % rooms)
			copy(l.text[line.channel:], room[len("room"):])
			if line.chat {
				text, n = text+line.text, n-1
			}
			if _, err := s.rooms[room].Write(l.text[line.start:line.end]); err != nil {
				return text, err
			}
		}
	}
	return text, nil
}

// got counts what a side receives.
type got struct {
	want           int64
	messages, text atomic.Int64
	done           chan error
}

func newGot(n int) *got { return &got{want: int64(n), done: make(chan error, 1)} }

func (g *got) add(text int) {
	g.text.Add(int64(text))
	if g.messages.Add(1) == g.want {
		g.end(nil)
	}
}

func (g *got) end(err error) {
	select {
	case g.done <- err:
	default:
	}
}

// side connects to the loader, joins rooms on as many connections, and returns
// what ends it.
type side func(ctx context.Context, s *loader, g *got, rooms, conns int) (stop func() error, err error)

// ours is a Balancer over a Transport.
func ours(ctx context.Context, s *loader, g *got, rooms, conns int) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	free := irc.Rate{N: -1}
	account := irc.NewAccount("", nil, &irc.AccountConfig{Limits: irc.Limits{Joins: free, Logins: free, Channels: -1}})
	cfg := &irc.Config{Address: s.ln.Addr().String(), Plain: s.roots == nil, TLS: &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1"}}
	t := irc.New(account, cfg)
	bal := balancer.New(t, t.Balancer(&balancer.Config{ChannelsPerShard: rooms / conns, MaxShardCount: conns, InitialShardCount: conns}))
	for i := range rooms {
		bal.Join(balancer.Key(roomName(i)))
	}
	var joined atomic.Int64
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends when stop is called
		ended <- bal.Run(ctx, func(ctx context.Context, e balancer.Event) {
			switch d := e.Data.(type) {
			case *irc.Message:
				if d.Command() == "PRIVMSG" && d.Channel() != "" && e.ID != "" {
					g.add(len(d.Text()))
				}
			case balancer.Joined:
				if joined.Add(1) == int64(rooms) {
					close(ready)
				}
			case balancer.Refused:
				g.end(d.Err)
			case balancer.Down:
				if ctx.Err() == nil {
					g.end(d.Err)
				}
			}
		})
	}()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-ready:
		return stop, nil
	case err := <-g.done:
		return nil, errors.Join(err, stop())
	}
}

// cost runs one side and returns its CPU time and allocations per message.
func cost(b *testing.B, start side, secure bool, l *load, n, rooms, conns int) (cpu, allocs float64) {
	b.Helper()
	s := startLoader(b, secure)
	defer s.close()
	g := newGot(n)
	stop, err := start(b.Context(), s, g, rooms, conns)
	if err != nil {
		b.Fatal(err)
	}
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	begin := cpuUsed(b)
	var text int
	if conns == 1 {
		text, err = s.blast(l, n)
	} else {
		text, err = s.live(l, n, rooms)
	}
	if err == nil {
		err = <-g.done
	}
	cpu = float64(cpuUsed(b)-begin) / float64(n)
	runtime.ReadMemStats(&m1)
	err = errors.Join(err, stop())
	if err != nil || g.messages.Load() != int64(n) || g.text.Load() != int64(text) {
		b.Fatalf("%d of %d messages with %d of %d bytes of text, %v", g.messages.Load(), n, g.text.Load(), text, err)
	}
	return cpu, float64(m1.Mallocs-m0.Mallocs) / float64(n)
}

func cpuUsed(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// turns runs both sides in turns and reports how they compare.
func turns(b *testing.B, n, rooms, conns int) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "tls"}[secure], func(b *testing.B) {
			l := newLoad()
			var ratios, costs, allocs []float64
			for b.Loop() {
				bare, _ := cost(b, bareSide, secure, l, n, rooms, conns)
				cpu, a := cost(b, ours, secure, l, n, rooms, conns)
				ratios, costs, allocs = append(ratios, cpu/bare), append(costs, cpu), append(allocs, a)
			}
			mid := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
			b.ReportMetric(0, "ns/op") // an op is a round of both
			b.ReportMetric(mid(ratios), "x-bare")
			b.ReportMetric(mid(costs), "cpu-ns/msg")
			b.ReportMetric(mid(allocs), "allocs/msg")
		})
	}
}

// BenchmarkBlast is as much as one connection carries.
func BenchmarkBlast(b *testing.B) { turns(b, 300_000, loadRooms, 1) }

// BenchmarkLive is 20,000 lines a second over 1,000 connections, each a write
// of its own.
func BenchmarkLive(b *testing.B) { turns(b, 20_000, 1000, 1000) }
