package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
)

// The bare loops are what our rows are held against: the least that a client
// in Go does to get the same. They check nothing, answer no PING and do not
// reconnect.

// bareScan finds what a handler wants to know of a line, and whether it is a
// PRIVMSG. It is a walk from tag to tag up to the id, and from word to word.
func bareScan(line []byte) (id, channel, text []byte, chat bool) {
	if line[0] == '@' {
		n := bytes.IndexByte(line, ' ')
		tags := line[1:n]
		line = line[n+1:]
		for len(tags) > 0 {
			tag := tags
			if n := bytes.IndexByte(tags, ';'); n >= 0 {
				tag, tags = tags[:n], tags[n+1:]
			} else {
				tags = nil
			}
			if len(tag) > 3 && tag[0] == 'i' && tag[1] == 'd' && tag[2] == '=' {
				id = tag[3:]
				break
			}
		}
	}
	if line[0] == ':' {
		line = line[bytes.IndexByte(line, ' ')+1:]
	}
	n := bytes.IndexByte(line, ' ')
	if n < 0 {
		return id, nil, nil, false
	}
	chat = string(line[:n]) == "PRIVMSG"
	line = line[n+1:]
	if n = bytes.IndexByte(line, ' '); n < 0 {
		return id, line, nil, chat
	}
	return id, line[:n], line[n+2:], chat
}

// bareDial connects, logs in and joins. What the server sends after that is
// left in the reader.
func bareDial(ctx context.Context, task *benchTask, cfg *tls.Config, buffer int, channels []string) (net.Conn, *bufio.Reader, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", task.Addr)
	if err != nil {
		return nil, nil, err
	}
	if cfg != nil {
		nc = tls.Client(nc, cfg)
	}
	in := bufio.NewReaderSize(nc, buffer)
	if err := bareLogin(nc, in, channels); err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, in, nil
}

func bareLogin(nc net.Conn, in *bufio.Reader, channels []string) error {
	if _, err := fmt.Fprint(nc, "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan12345\r\n"); err != nil {
		return err
	}
	if err := readUntil(in, " 376 "); err != nil || len(channels) == 0 {
		return err
	}
	if _, err := fmt.Fprintf(nc, "JOIN #%s\r\n", strings.Join(channels, ",#")); err != nil {
		return err
	}
	for range channels {
		if err := readUntil(in, " 366 "); err != nil {
			return err
		}
	}
	return nil
}

func readUntil(in *bufio.Reader, word string) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil || bytes.Contains(line, []byte(word)) {
			return err
		}
	}
}

// bareBatch is a number of lines and the memory that they stand in.
type bareBatch struct {
	slab []byte
	msgs []bareMessage
}

type bareMessage struct {
	route    *bareRoute
	id, text []byte
	chat     bool
}

type bareRoute struct{ messages int }

const (
	bareBuffer  = 64 << 10
	bareBatches = 4
)

// startBareBlast reads one connection: it copies each line once into memory
// that is used again and again, looks for id, channel and text there, finds the
// channel's state in a map, and hands batches over to another goroutine.
func startBareBlast(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	var names []string
	routes := make(map[string]*bareRoute)
	for i := range corpusChannels {
		names = append(names, channelName(i, false))
		routes["#"+names[i]] = new(bareRoute)
	}
	nc, in, err := bareDial(ctx, m.task, cfg, bareBuffer, names)
	if err != nil {
		return nil, err
	}
	full, free := make(chan *bareBatch, bareBatches), make(chan *bareBatch, bareBatches)
	for range bareBatches {
		free <- &bareBatch{slab: make([]byte, 0, bareBuffer)}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(full)
		for b := range free {
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					if ctx.Err() == nil {
						m.fail(err)
					}
					return
				}
				at := len(b.slab)
				b.slab = append(b.slab, line[:len(line)-2]...)
				id, channel, text, chat := bareScan(b.slab[at:])
				b.msgs = append(b.msgs, bareMessage{routes[string(channel)], id, text, chat})
				if in.Buffered() == 0 || cap(b.slab)-len(b.slab) < 4<<10 {
					break
				}
			}
			full <- b
		}
	})
	wg.Go(func() {
		for b := range full {
			for i := range b.msgs {
				if msg := &b.msgs[i]; msg.chat {
					msg.route.messages++
					m.add(len(msg.text), len(msg.id))
				}
			}
			b.slab, b.msgs = b.slab[:0], b.msgs[:0]
			free <- b
		}
	})
	return func() error {
		err := nc.Close()
		wg.Wait()
		return err
	}, nil
}

// dialing is how many connections are set up at a time.
const dialing = 64

// dialAll sets up many connections, some at a time.
func dialAll(n int, dial func(i int) error) error {
	var wg sync.WaitGroup
	next, errs := make(chan int), make(chan error, n)
	for range min(n, dialing) {
		wg.Go(func() {
			for i := range next {
				if err := dial(i); err != nil {
					errs <- err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	return <-errs
}

// startBareLive reads many connections with a goroutine and a buffer each, and
// looks at each line where it was read.
func startBareLive(ctx context.Context, m *benchMeter, cfg *tls.Config) (stop func() error, err error) {
	conns := make([]net.Conn, m.task.Conns)
	ins := make([]*bufio.Reader, m.task.Conns)
	var wg sync.WaitGroup
	stop = func() error {
		for _, nc := range conns {
			if nc != nil {
				nc.Close()
			}
		}
		wg.Wait()
		return nil
	}
	err = dialAll(len(conns), func(i int) error {
		nc, in, err := bareDial(ctx, m.task, cfg, 8<<10, []string{channelName(i, true)})
		conns[i], ins[i] = nc, in
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, in := range ins {
		wg.Go(func() {
			rest := 0
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					if ctx.Err() == nil {
						m.fail(err)
					}
					return
				}
				if id, channel, text, chat := bareScan(line[:len(line)-2]); chat {
					rest += len(id) + len(channel)
					m.addAtomic(len(text))
				}
			}
		})
	}
	return stop, nil
}
