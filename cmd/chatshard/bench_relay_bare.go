package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	fanOutBytes = 500 // of an envelope
	fanOutWrite = 128 // envelopes in a write of the bare loop
)

// bareWriter is the least that fanning out costs where each consumer wants
// something else: a copy into a buffer of its own, and a write for many.
type bareWriter struct {
	task *benchTask
	l    net.Listener
	line []byte
	to   []net.Conn
	bufs [][]byte
}

func startBareWriter(ctx context.Context, task *benchTask) (relaySide, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	at := relay.Cursor{Epoch: newCursor().epoch, Seq: 100_000}
	line := append(relay.AppendEnvelope(nil, at, sizedEnvelope(fanOutBytes, at.Epoch)), '\n')
	return &bareWriter{task: task, l: l, line: line}, nil
}

func (w *bareWriter) hello() benchHello { return benchHello{Addr: w.l.Addr().String()} }

func (w *bareWriter) push(ctx context.Context, n int) error {
	for len(w.to) < w.task.Consumers { // they have connected already
		c, err := w.l.Accept()
		if err != nil {
			return err
		}
		w.to = append(w.to, c)
		w.bufs = append(w.bufs, make([]byte, 0, fanOutWrite*len(w.line)))
	}
	flush := func(i int) error {
		_, err := w.to[i].Write(w.bufs[i])
		w.bufs[i] = w.bufs[i][:0]
		return err
	}
	flushAll := func() error {
		for i := range w.to {
			if err := flush(i); err != nil {
				return err
			}
		}
		return nil
	}
	err := pace(ctx, n, w.task.Rate, func(k int) error {
		for range k {
			for i := range w.to {
				w.bufs[i] = append(w.bufs[i], w.line...)
				if len(w.bufs[i]) == cap(w.bufs[i]) {
					if err := flush(i); err != nil {
						return err
					}
				}
			}
		}
		if w.task.Rate > 0 {
			return flushAll()
		}
		return nil
	})
	return errors.Join(err, flushAll())
}

func (w *bareWriter) close() error {
	for _, c := range w.to {
		c.Close()
	}
	return w.l.Close()
}

// bareLog is the engine alone: what its own client library publishes.
type bareLog struct {
	engine *relay.Engine
	js     jetstream.JetStream
	all    []*relay.Entry
	names  []string
	n      int
}

func startBareLog(ctx context.Context, task *benchTask) (relaySide, error) {
	b := new(bareLog)
	var err error
	if b.all, err = corpusEntries(); err != nil {
		return nil, err
	}
	for _, e := range b.all {
		b.names = append(b.names, e.Subject.Name())
	}
	b.engine, err = relay.StartEngine(ctx, &relay.EngineConfig{Dir: task.Dir, Listen: "127.0.0.1:0", Token: benchToken})
	if err != nil {
		return nil, err
	}
	b.js, err = jetstream.New(b.engine.Conn(), jetstream.WithPublishAsyncMaxPending(4096))
	if err == nil {
		_, err = b.js.CreateStream(ctx, jetstream.StreamConfig{Name: benchStream, Subjects: []string{"ev.>"}, MaxAge: 24 * time.Hour, MaxBytes: 4 << 30})
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// benchStream is where the relay keeps its log.
const benchStream = "EV"

func (b *bareLog) hello() benchHello { return benchHello{NATS: b.engine.Addr()} }

func (b *bareLog) push(ctx context.Context, n int) error {
	for range n {
		i := b.n % len(b.all)
		b.n++
		if _, err := b.js.PublishAsync(b.names[i], b.all[i].Body, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-b.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := b.js.Stream(ctx, benchStream)
	if err == nil && s.CachedInfo().State.Msgs != uint64(b.n) {
		err = errors.New(strconv.Itoa(b.n) + " were published, and the stream has " + fmt.Sprint(s.CachedInfo().State.Msgs))
	}
	return err
}

func (b *bareLog) close() error { return b.engine.Close(context.Background()) }
