package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc"
	"github.com/rs/zerolog"
)

// benchToken lets consumers of a row, who are on this machine, reach its engine.
const benchToken = "bench"

// relaySide is what a row of the relay measures: the relay, or a bare loop.
type relaySide interface {
	hello() benchHello
	push(ctx context.Context, n int) error // returns when all are handed on
	close() error
}

// relayChild is benchClient for the rows of the relay. At "go N" it sends so
// many envelopes, if they are its own; at "mark" it says what it has used up,
// and at "settle" it gives back first what it does not need.
func relayChild(ctx context.Context, task *benchTask, words <-chan string, out *json.Encoder) error {
	if task.Role == "consumer" {
		return consume(ctx, task, words, out)
	}
	start := map[string]func(context.Context, *benchTask) (relaySide, error){
		"ours relay-log": startOurLog, "bare relay-log": startBareLog, "ours relay-append": startOurLog,
		"ours relay-fanout": startOurHub, "bare relay-fanout": startBareWriter, "ours relay-memory": startOurHub,
		"ours relay-whole": startOurRun,
	}[task.Role+" "+task.Row]
	if start == nil {
		return fmt.Errorf("bench: %s: no side %q", task.Row, task.Role)
	}
	side, err := start(ctx, task)
	if err != nil {
		return err
	}
	profiling := false
	defer pprof.StopCPUProfile()
	if err := out.Encode(side.hello()); err != nil {
		return errors.Join(err, side.close())
	}
	for {
		var word string
		select {
		case <-ctx.Done():
			return side.close()
		case word = <-words:
		}
		if n, ok := strings.CutPrefix(word, "go "); ok {
			count, err := strconv.Atoi(n)
			if err == nil {
				err = side.push(ctx, count)
			}
			if err != nil {
				return errors.Join(fmt.Errorf("bench: %s: %w", task.Row, err), side.close())
			}
			if err := out.Encode(benchSent{Messages: count}); err != nil {
				return errors.Join(err, side.close())
			}
			continue
		}
		if word == "settle" {
			settle()
		} else if task.Profile != "" && !profiling {
			profiling = true
			if err := profileTo(task.Profile); err != nil {
				return errors.Join(err, side.close())
			}
		}
		if err := out.Encode(benchGot{CPU: cpuTime().Seconds(), RSS: residentMemory()}); err != nil {
			return errors.Join(err, side.close())
		}
	}
}

// profileTo begins a profile, which ends with the client.
func profileTo(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// pace calls send until n are sent: so many a second, or as many as it takes.
func pace(ctx context.Context, n, rate int, send func(k int) error) error {
	const burst = 4096
	begin := time.Now()
	for done := 0; done < n && ctx.Err() == nil; {
		k := min(burst, n-done)
		if rate > 0 {
			k = min(burst, min(n, int(time.Since(begin).Seconds()*float64(rate)))-done)
		}
		if k > 0 {
			if err := send(k); err != nil {
				return err
			}
			done += k
		}
		if rate > 0 && done < n && k < burst {
			time.Sleep(time.Millisecond)
		}
	}
	return ctx.Err()
}

// ourRelay is the relay as "chatshard run" makes it, without accounts.
type ourRelay struct {
	task *benchTask
	pipe *pipeline
	addr string
	seq  uint64
	body []byte         // of relay-fanout
	all  []*relay.Entry // of relay-log
}

func newOurRelay(ctx context.Context, task *benchTask) (*ourRelay, error) {
	c := new(relayConfig)
	c.defaults()
	c.Listen, c.Log.Dir, c.Log.MaxBytes = "127.0.0.1:0", noLog, 4<<30
	if task.Dir != "" {
		c.Log.Dir = filepath.Join(task.Dir, "log")
		c.NATS = relayNATS{Listen: "127.0.0.1:0", Token: benchToken}
	}
	said := newSaid()
	r := &relayRun{config: &config{Relay: c}, roster: newRoster(channels.Set{}), log: said.logger()}
	out := newOutput(io.Discard)
	defer out.close(ctx) // relay.stdout is off: nothing comes
	p, err := r.pipe(ctx, newCursor(), out)
	if err != nil {
		return nil, err
	}
	return &ourRelay{task: task, pipe: p, addr: <-said.serving}, nil
}

func (o *ourRelay) hello() benchHello {
	h := benchHello{Addr: o.addr}
	if o.pipe.engine != nil {
		h.NATS = o.pipe.engine.Addr()
	}
	return h
}

func (o *ourRelay) close() error { return o.pipe.close(context.Background()) }

// startOurHub begins where an entry is in the log: with the hub and its server.
func startOurHub(ctx context.Context, task *benchTask) (relaySide, error) {
	o, err := newOurRelay(ctx, task)
	if err != nil {
		return nil, err
	}
	o.body = sizedEnvelope(fanOutBytes, o.pipe.hub.Cursor().Epoch)
	return ourHub{o}, nil
}

type ourHub struct{ *ourRelay }

// maxBehind is how many envelopes the slowest consumer of a blast may be
// behind: a socket that is full stops the bare loop, and nothing a hub.
const maxBehind = 10_000

func (o ourHub) push(ctx context.Context, n int) error {
	send := func(k int) error {
		for range k {
			o.seq++
			if err := o.pipe.hub.Append(o.seq, o.body, nil); err != nil {
				return err
			}
		}
		for o.task.Stuck == 0 && o.pipe.hub.Behind() > maxBehind && ctx.Err() == nil {
			time.Sleep(100 * time.Microsecond)
		}
		return nil
	}
	return pace(ctx, n, o.task.Rate, send)
}

// startOurLog begins with the log.
func startOurLog(ctx context.Context, task *benchTask) (relaySide, error) {
	all, err := corpusEntries()
	if err != nil {
		return nil, err
	}
	o, err := newOurRelay(ctx, task)
	if err != nil {
		return nil, err
	}
	o.all = all
	return ourLog{o}, nil
}

type ourLog struct{ *ourRelay }

func (o ourLog) push(ctx context.Context, n int) error {
	var waiting sync.WaitGroup
	var acked atomic.Int64
	waiting.Add(n)
	done := func() { acked.Add(1); waiting.Done() }
	err := pace(ctx, n, o.task.Rate, func(k int) error {
		for range k {
			e := *o.all[o.seq%uint64(len(o.all))]
			o.seq++
			e.ID = "bench-" + strconv.FormatUint(o.seq, 10)
			if err := o.pipe.append(&e, lostConn{}, done); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	waiting.Wait()
	_, first, last, err := o.pipe.log.Bounds(ctx)
	if err == nil && last-first+1 != o.seq {
		err = fmt.Errorf("%d entries were appended, and the log has %d", o.seq, last-first+1)
	}
	return err
}

// sizedEnvelope returns an envelope that has so many bytes with its cursor.
func sizedEnvelope(size int, epoch string) (body []byte) {
	enc := &encoder{platform: "twitch", account: "anonymous", cursor: newCursor(), now: now}
	size -= len(relay.AppendEnvelope(nil, relay.Cursor{Epoch: epoch, Seq: 100_000}, []byte(`{"v":1,}`))) - len(`{"v":1,}`)
	for text := "h"; len(body) < size; text += "i" {
		m, err := irc.Parse("@id=b34ccfc7-4977-403a-8a94-33c6bac34fb8;room-id=22484632;tmi-sent-ts=1767366245678;user-id=123 " +
			":ann!ann@ann.tmi.twitch.tv PRIVMSG #channel00042 :" + text)
		if err != nil {
			return nil
		}
		body = enc.appendBody(body[:0], balancer.Event{Key: "channel00042", Data: m})
	}
	return body
}

// corpusEntries are the corpus as the encoder writes it.
func corpusEntries() ([]*relay.Entry, error) {
	c, stamp := newCorpus(true), newLineStamp()
	stamp.now(time.Now().UnixMilli())
	enc := &encoder{platform: "twitch", account: "anonymous", cursor: newCursor(), now: now}
	all := make([]*relay.Entry, 0, len(c.lines))
	for i := range c.lines {
		l := &c.lines[i]
		stamp.line(c, l)
		m, err := irc.Parse(string(c.text[l.start : l.end-2]))
		if err != nil {
			return nil, fmt.Errorf("bench: corpus: %w", err)
		}
		e := balancer.Event{Key: balancer.Key(strings.TrimPrefix(m.Channel(), "#")), Data: m}
		body := enc.appendBody(nil, e)
		all = append(all, &relay.Entry{Body: body, Time: time.Now(), Subject: relay.Subject{
			Platform: enc.platform, Account: enc.account, Channel: channelOf(e), Kind: bodyKind(body),
		}})
	}
	return all, nil
}

// ourRun is all of "chatshard run".
type ourRun struct {
	addr  string
	stop  context.CancelFunc
	ended chan error
}

func startOurRun(ctx context.Context, task *benchTask) (relaySide, error) {
	file := filepath.Join(task.Dir, "chatshard.yaml")
	text := relayConfigText(task)
	if err := errors.Join(os.WriteFile(filepath.Join(task.Dir, "ca.pem"), task.CA, 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return nil, err
	}
	c, err := loadConfig(file, nil)
	if err != nil {
		return nil, err
	}
	said := newSaid()
	r := &relayRun{config: c, log: said.logger()}
	ctx, cancel := context.WithCancel(ctx)
	o := &ourRun{stop: cancel, ended: make(chan error, 1)}
	go func() { o.ended <- r.run(ctx, io.Discard) }() // close waits for it
	select {
	case o.addr = <-said.serving:
		return o, nil
	case err := <-o.ended:
		cancel()
		return nil, err
	}
}

// relayConfigText is the configuration of the whole way.
func relayConfigText(task *benchTask) string {
	var b strings.Builder
	dir := noLog
	if task.Log {
		dir = "log"
	}
	fmt.Fprintf(&b, `version: 1
twitch:
  address: %s
  tls: {ca_file: ca.pem}
  limits: {joins: off, logins: off}
  channels_per_shard: 1
  max_shard_count: %d
  initial_shard_count: %d
relay:
  listen: 127.0.0.1:0
  log: {dir: %s, max_bytes: 8GiB}
channels_file: channels.txt
`, task.Addr, task.Conns, task.Conns, dir)
	return b.String()
}

func (o *ourRun) hello() benchHello { return benchHello{Addr: o.addr} }

func (o *ourRun) push(context.Context, int) error { return errors.New("the load server sends") }

func (o *ourRun) close() error {
	o.stop()
	return <-o.ended
}

// said listens to a relay's log, which says where it serves, as an operator
// would, and passes on what is wrong.
type said struct{ serving chan string }

func newSaid() *said { return &said{make(chan string, 1)} }

func (s *said) logger() zerolog.Logger {
	return zerolog.New(zerolog.SyncWriter(s)).Level(zerolog.InfoLevel)
}

func (s *said) Write(line []byte) (int, error) {
	var e struct{ Level, Message, Address string }
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, err
	}
	if e.Message == "serving" {
		s.serving <- e.Address
	}
	if e.Level == "warn" || e.Level == "error" {
		return os.Stderr.Write(line)
	}
	return len(line), nil
}
