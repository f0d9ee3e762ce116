//go:build unix

package irc_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
)

// bareSide has a goroutine and a buffer for each connection. Of one connection
// alone it copies lines and hands them over to another goroutine.
func bareSide(ctx context.Context, s *loader, g *got, rooms, conns int) (stop func() error, err error) {
	var wg sync.WaitGroup
	var ncs []net.Conn
	stop = func() error {
		for _, nc := range ncs {
			nc.Close()
		}
		wg.Wait()
		return nil
	}
	for i := range conns {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", s.ln.Addr().String())
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		if s.roots != nil {
			nc = tls.Client(nc, &tls.Config{RootCAs: s.roots, ServerName: "127.0.0.1"})
		}
		ncs = append(ncs, nc)
		size := 8 << 10
		if conns == 1 {
			size = 64 << 10
		}
		in := bufio.NewReaderSize(nc, size)
		var names []string
		for r := i * rooms / conns; r < (i+1)*rooms/conns; r++ {
			names = append(names, "#"+roomName(r))
		}
		fmt.Fprintf(nc, "NICK justinfan1\r\nJOIN %s\r\n", strings.Join(names, ","))
		for left := len(names); left > 0; {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return nil, errors.Join(err, stop())
			}
			if bytes.Contains(line, []byte(" 366 ")) {
				left--
			}
		}
		if conns == 1 {
			handOver(&wg, g, in, names)
			continue
		}
		wg.Go(func() {
			for rest := 0; ; {
				line, err := in.ReadSlice('\n')
				if err != nil {
					g.end(err)
					return
				}
				if id, channel, text, chat := scanBare(line[:len(line)-2]); chat {
					rest += len(id) + len(channel)
					g.add(len(text))
				}
			}
		})
	}
	return stop, nil
}

// handOver copies lines into memory that is used again, finds their room, and
// hands them over in batches.
func handOver(wg *sync.WaitGroup, g *got, in *bufio.Reader, names []string) {
	type message struct {
		room     *int
		id, text []byte
		chat     bool
	}
	type batch struct {
		slab []byte
		msgs []message
	}
	rooms := make(map[string]*int)
	for _, name := range names {
		rooms[name] = new(int)
	}
	full, free := make(chan *batch, 4), make(chan *batch, 4)
	for range 4 {
		free <- &batch{slab: make([]byte, 0, 64<<10)}
	}
	wg.Go(func() {
		defer close(full)
		for b := range free {
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					g.end(err)
					return
				}
				at := len(b.slab)
				b.slab = append(b.slab, line[:len(line)-2]...)
				id, channel, text, chat := scanBare(b.slab[at:])
				b.msgs = append(b.msgs, message{rooms[string(channel)], id, text, chat})
				if in.Buffered() == 0 || cap(b.slab)-len(b.slab) < 4<<10 {
					break
				}
			}
			full <- b
		}
	})
	wg.Go(func() {
		rest := 0
		for b := range full {
			for i := range b.msgs {
				if m := &b.msgs[i]; m.chat {
					*m.room++
					rest += len(m.id)
					g.add(len(m.text))
				}
			}
			b.slab, b.msgs = b.slab[:0], b.msgs[:0]
			free <- b
		}
	})
}

// scanBare walks the tags to the id and the words to channel and text.
func scanBare(line []byte) (id, channel, text []byte, chat bool) {
	tags, rest, _ := bytes.Cut(line, []byte(" "))
	for len(tags) > 0 {
		n := bytes.IndexByte(tags, ';')
		if n < 0 {
			break
		}
		if tags = tags[n+1:]; bytes.HasPrefix(tags, []byte("id=")) {
			if n = bytes.IndexByte(tags, ';'); n > 0 {
				id = tags[3:n]
			}
			break
		}
	}
	rest = rest[bytes.IndexByte(rest, ' ')+1:]
	n := bytes.IndexByte(rest, ' ')
	if n < 0 {
		return id, nil, nil, false
	}
	chat = string(rest[:n]) == "PRIVMSG"
	rest = rest[n+1:]
	if n = bytes.IndexByte(rest, ' '); n < 0 {
		return id, rest, nil, chat
	}
	return id, rest[:n], rest[n+2:], chat
}
