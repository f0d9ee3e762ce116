package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc/irctest"
)

// spool is a writer that may be read while it is written.
type spool struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *spool) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// until waits for a condition of something that has a clock of its own.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-limit.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// process is a command line that is running.
type process struct {
	stdout, stderr spool
	stop           context.CancelFunc
	code           chan int
}

// begin runs a command line until stop, SIGTERM as it were, is called.
func begin(t *testing.T, stdout io.Writer, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{stop: stop, code: make(chan int, 1)}
	if stdout == nil {
		stdout = &p.stdout
	}
	go func() { p.code <- run(ctx, args, strings.NewReader(""), stdout, &p.stderr) }()
	t.Cleanup(func() { // waits for it whatever the test did
		stop()
		p.code <- <-p.code
	})
	return p
}

// end waits for the exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.code:
		p.code <- code
		return code
	case <-time.After(time.Minute):
		t.Fatalf("does not end:\n%s", &p.stderr)
		return 0
	}
}

// twitchOn returns a simulated Twitch and where it listens.
func twitchOn(t *testing.T, cfg *irctest.Config) (*irctest.Server, string) {
	t.Helper()
	s := irctest.NewTwitch(cfg)
	t.Cleanup(s.Close)
	at, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, at.String()
}

func TestRunRelaysAndFollowsTheChannelsFile(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, nil)
	ircd := irctest.NewIRC(nil)
	t.Cleanup(ircd.Close)
	at, err := ircd.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, list := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "list.txt")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(file, fmt.Sprintf(`version: 1
twitch: {address: %q, tls: false, channels_per_shard: 2, channels: [forsen]}
irc:
  net: {address: %q, tls: false, nick: "bot{shard}", channels: ["#go"]}
channels_file: list.txt
`, twitchAddr, at))
	put(list, "twitch:xqc\n")
	p := begin(t, nil, "run", "-c", file)
	joined := func(key string) func() bool {
		return func() bool {
			return strings.Contains(p.stdout.String(), `"channel":{"name":"`+key+`"},"kind":"join","flags":["self"]`)
		}
	}
	until(t, "forsen", joined("forsen"))
	until(t, "xqc", joined("xqc"))
	until(t, "#go", joined("#go"))

	twitch.Say("forsen", "ann", "hello twitch")
	ircd.Say("#go", "ann", "hello irc")
	until(t, "messages", func() bool {
		out := p.stdout.String()
		return strings.Contains(out, `"text":"hello twitch"`) && strings.Contains(out, `"text":"hello irc"`)
	})

	put(list, "twitch:lirik\nirc:net/#new\nirc:nowhere/#x\n")
	until(t, "lirik", joined("lirik"))
	until(t, "#new", joined("#new"))
	until(t, "xqc parted", func() bool { return twitch.Members("xqc") == 0 })
	until(t, "a word about a network that is not configured", func() bool { return strings.Contains(p.stderr.String(), `"irc:nowhere/#x"`) })

	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d:\n%s", code, &p.stderr)
	}
	for i, line := range strings.Split(strings.TrimSuffix(p.stdout.String(), "\n"), "\n") {
		if e := read(t, []byte(line)); e.Cursor.Seq != uint64(i+1) {
			t.Fatalf("line %d has seq %d", i+1, e.Cursor.Seq)
		}
	}
	if twitch.Stats().Members != 0 {
		until(t, "no connection left", func() bool { return twitch.Stats().Conns == 0 })
	}
}

// A pool whose one token is bad goes on with the other account, and the exit
// code tells.
func TestRunTurnedAway(t *testing.T) {
	s, addr := twitchOn(t, &irctest.Config{Accounts: []irctest.Account{{Login: "good", Token: goodToken}, {Login: "bad", Token: "another"}}})
	file := written(t, "c.yaml", fmt.Sprintf(`version: 1
twitch:
  address: %q
  tls: false
  accounts: [{login: good, token: %s}, {login: bad, token: %[2]s}]
  channels: [{name: a, account: good}, {name: b, account: bad}]
`, addr, goodToken))
	p := begin(t, nil, "run", "-c", file)
	until(t, "the log", func() bool { return strings.Contains(p.stderr.String(), "turned away for good") })
	until(t, "the other account", func() bool { return s.Members("a") == 1 })
	p.stop()
	code := p.end(t)
	last := strings.TrimSuffix(p.stderr.String(), "\n")
	last = last[strings.LastIndex(last, "\n")+1:]
	if code != exitFailure || !strings.HasPrefix(last, `chatshard: run: twitch account "bad": `) || !strings.Contains(last, "get a new token") {
		t.Errorf("exit %d: %s", code, last)
	}
	if strings.Contains(p.stderr.String()+p.stdout.String(), goodToken) {
		t.Error("the token was printed")
	}
}

// When no account is left the relay ends by itself.
func TestRunNobodyLeft(t *testing.T) {
	_, addr := twitchOn(t, &irctest.Config{Accounts: []irctest.Account{}})
	file := written(t, "c.yaml", fmt.Sprintf("version: 1\ntwitch: {address: %q, tls: false, account: {login: bot, token: %s}, channels: [a]}\n", addr, goodToken))
	p := begin(t, nil, "run", "-c", file)
	if code := p.end(t); code != exitFailure || !strings.Contains(p.stderr.String(), `chatshard: run: twitch account "bot": `) {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// A reader that went away ends the relay.
func TestRunClosedOutput(t *testing.T) {
	s, addr := twitchOn(t, nil)
	file := written(t, "c.yaml", fmt.Sprintf("version: 1\ntwitch: {address: %q, tls: false, channels: [a]}\n", addr))
	r, w := io.Pipe()
	p := begin(t, w, "run", "-c", file)
	until(t, "a member", func() bool { return s.Members("a") == 1 })
	r.Close()
	s.Say("a", "ann", "hello")
	if code := p.end(t); code != exitFailure || !strings.Contains(p.stderr.String(), "chatshard: run: standard output was closed by its reader") {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

func TestRunUsage(t *testing.T) {
	bad := written(t, "c.yaml", "version: 1\ntwich: {}\n")
	for _, c := range []struct{ args, want string }{
		{"run", "chatshard: run: which configuration? give -c FILE"},
		{"run -c " + bad, "chatshard: " + bad + ":2:1: twich: unknown key; did you mean twitch?"},
		{"run -c /nonexistent", "chatshard: "},
		{"run x", `chatshard: run: unexpected argument "x"`},
	} {
		code, stdout, stderr := chatshard(t, strings.Fields(c.args)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want exit 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func testEvent(i int) balancer.Event {
	return balancer.Event{Key: "a", ID: fmt.Sprint(i), Data: balancer.Joined{}}
}

// batches notes what is written at once, and when.
type batches struct {
	begin time.Time
	lag   time.Duration // of each write

	mu    sync.Mutex // guards all below
	sizes []int
	at    []time.Duration
}

func (b *batches) Write(p []byte) (int, error) {
	b.mu.Lock()
	b.sizes, b.at = append(b.sizes, len(p)), append(b.at, time.Since(b.begin))
	b.mu.Unlock()
	time.Sleep(b.lag)
	return len(p), nil
}

func (b *batches) look() (sizes []int, at []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sizes), slices.Clone(b.at)
}

func TestOutputBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &batches{begin: time.Now()}
		o, enc := newOutput(w), testEncoder("twitch", "")
		for i := range 10 {
			o.write(enc, testEvent(i), nil)
		}
		synctest.Wait()
		if sizes, _ := w.look(); len(sizes) != 0 {
			t.Errorf("written at once: %v", sizes)
		}
		time.Sleep(outputDelay)
		synctest.Wait()
		sizes, at := w.look()
		if len(sizes) != 1 || at[0] != outputDelay {
			t.Fatalf("writes after %v, want one after %v", at, outputDelay)
		}
		n := 0
		for range 3 { // full batches do not wait
			for size := 0; size < outputBatch; n++ {
				o.write(enc, testEvent(n), nil)
				size += sizes[0] / 10
			}
		}
		if err := o.close(t.Context()); err != nil {
			t.Error(err)
		}
		if sizes, at = w.look(); len(sizes) < 3 || at[len(at)-1] != outputDelay {
			t.Errorf("writes of %v after %v", sizes, at)
		}
	})
}

// A slow reader holds up those who write; nothing is dropped and memory is bounded.
func TestOutputSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &batches{begin: time.Now(), lag: time.Second}
		o := newOutput(w)
		cursor := newCursor()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				enc := testEncoder("twitch", "")
				enc.cursor = cursor
				for i := range 1000 {
					o.write(enc, testEvent(i), nil)
				}
			})
		}
		wg.Wait()
		if err := o.close(t.Context()); err != nil || cursor.seq != 4000 {
			t.Errorf("%v, %d events", err, cursor.seq)
		}
		sizes, _ := w.look()
		for _, n := range sizes {
			if n > outputBatch+1024 {
				t.Errorf("%d bytes at once", n)
			}
		}
	})
}

// A reader that takes nothing does not keep the relay from ending.
func TestOutputStuckReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o, enc := newOutput(w), testEncoder("twitch", "")
		o.write(enc, testEvent(1), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := o.close(ctx); err == nil || !strings.Contains(err.Error(), "not read in time") {
			t.Errorf("close = %v", err)
		}
		o.write(enc, testEvent(2), nil) // returns
		r.Close()
		<-o.failed()
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestOutputErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, "standard output was closed by its reader; what was not read is gone"},
		{errors.New("disk full"), "standard output: disk full; free some space or mend it, and start again"},
	} {
		synctest.Test(t, func(t *testing.T) {
			o, enc := newOutput(failingWriter{c.err}), testEncoder("twitch", "")
			o.write(enc, testEvent(1), nil)
			<-o.failed()
			o.write(enc, testEvent(2), nil) // returns
			if err := o.close(t.Context()); err == nil || err.Error() != c.want {
				t.Errorf("close = %v, want %s", err, c.want)
			}
		})
	}
}
