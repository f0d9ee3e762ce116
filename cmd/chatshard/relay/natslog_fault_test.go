//go:build linux

package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load appends to a log from several goroutines until stop.
type load struct {
	*ledger
	sent atomic.Int64
	wg   sync.WaitGroup
	once sync.Once
	end  chan struct{}
}

func startLoad(t *testing.T, l Log, pace time.Duration) *load {
	o := &load{ledger: newLedger(), end: make(chan struct{})}
	t.Cleanup(o.halt)
	for c := range 4 {
		o.wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-o.end:
					return
				default:
				}
				o.append(t, l, entry(fmt.Sprintf("c%d", c), n))
				o.sent.Add(1)
				if n%10 == 9 {
					time.Sleep(pace)
				}
			}
		})
	}
	return o
}

func (o *load) more(t testing.TB, n int64) {
	t.Helper()
	from := o.sent.Load()
	until(t, "more entries are appended", func() bool { return o.sent.Load() >= from+n })
}

func (o *load) halt() {
	o.once.Do(func() { close(o.end) })
	o.wg.Wait()
}

func (o *load) stop(t testing.TB) {
	t.Helper()
	o.halt()
	o.wait(t)
}

// all checks that every entry is in the log once.
func (o *load) all(t testing.TB, l Log) {
	t.Helper()
	if len(o.errs) > 0 || o.dups > 0 || len(o.seqs) != int(o.sent.Load()) {
		t.Errorf("%d of %d entries are safe, %d copies, %d errors", len(o.seqs), o.sent.Load(), o.dups, len(o.errs))
		for id, err := range o.errs {
			t.Logf("%s: %v", id, err)
			break
		}
	}
	o.check(t, l)
}

func healthy(l Log) func() bool { return func() bool { return l.Healthy() == nil } }
func sick(l Log) func() bool    { return func() bool { return l.Healthy() != nil } }

func TestNATSLogEngineRestarts(t *testing.T) {
	e := newEngine(t, EngineConfig{})
	l := openLog(t, e, NATSLogConfig{})
	o := startLoad(t, l, 3*time.Millisecond)
	for range 5 {
		o.more(t, 1000)
		if err := e.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, "the log goes on", healthy(l))
	}
	o.more(t, 1000)
	o.stop(t)
	o.all(t, l)
}

// The log of a process that was killed is opened by the next one.
func TestNATSLogReopened(t *testing.T) {
	dir := t.TempDir()
	safe := map[string]uint64{}
	var epoch string
	for round := range 4 {
		e := newEngine(t, EngineConfig{Dir: dir})
		l := openLog(t, e, NATSLogConfig{})
		is, _, _, err := l.Bounds(t.Context())
		if err != nil || round > 0 && is != epoch {
			t.Fatalf("epoch %q after a restart, want %q; %v", is, epoch, err)
		}
		epoch = is
		for at, id := range readAll(t, l) {
			if seq, ok := safe[id]; ok && seq != at {
				t.Fatalf("round %d: %s has number %d, want %d", round, id, at, seq)
			}
			delete(safe, id)
		}
		if len(safe) > 0 {
			t.Fatalf("round %d: %d entries were safe and are gone", round, len(safe))
		}
		g := newLedger()
		for n := range 1000 {
			g.append(t, l, entry("a", round*1000+n))
		}
		until(t, "some entries are safe", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.seqs) > 500 })
		l.stop() // in the middle
		<-l.ended
		for id, seq := range g.seqs {
			safe[id] = seq
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNATSLogKilled kills -9 a process that appends: what it was told is safe
// is there.
func TestNATSLogKilled(t *testing.T) {
	if dir := os.Getenv("RELAY_TEST_APPEND_IN"); dir != "" {
		appendForever(t, dir, os.Getenv("RELAY_TEST_CHANNEL"))
	}
	dir := t.TempDir()
	safe := map[string]uint64{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNATSLogKilled$")
		cmd.Env = append(os.Environ(), "RELAY_TEST_APPEND_IN="+dir, fmt.Sprintf("RELAY_TEST_CHANNEL=r%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 2000 {
				cmd.Process.Kill()
			}
			var id string
			var seq uint64
			if _, err := fmt.Sscanf(lines.Text(), "safe %s %d.", &id, &seq); err == nil {
				safe[id] = seq
			} else if n < 2000 {
				t.Log(lines.Text())
			}
		}
		cmd.Wait()
	}
	if len(safe) < 5*1900 {
		t.Errorf("%d entries are safe, want about 10000", len(safe))
	}
	all := readAll(t, openLog(t, newEngine(t, EngineConfig{Dir: dir}), NATSLogConfig{}))
	for id, seq := range safe {
		if all[seq] != id {
			t.Fatalf("entry %d is %q, want %q", seq, all[seq], id)
		}
	}
}

func appendForever(t *testing.T, dir, channel string) {
	l := openLog(t, newEngine(t, EngineConfig{Dir: dir}), NATSLogConfig{})
	for n := 0; ; n++ {
		e := entry(channel, n)
		if err := l.Append(t.Context(), e, func(seq uint64, _ bool, err error) {
			if err == nil {
				fmt.Printf("safe %s %d.\n", e.ID, seq)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// tmpfs mounts a small disk.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no disk can be mounted to fill it: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestNATSLogDiskFull(t *testing.T) {
	dir := tmpfs(t, "48m")
	e := newEngine(t, EngineConfig{Dir: filepath.Join(dir, "nats"), MaxStore: 1 << 30})
	l := openLog(t, e, NATSLogConfig{AckWait: time.Second})
	o := startLoad(t, l, 3*time.Millisecond)
	o.more(t, 1000)
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := fill.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	fill.Close()
	full := time.Now()
	until(t, "a full disk is noticed", sick(l))
	t.Logf("noticed after %v: %v", time.Since(full), l.Healthy())
	until(t, "the reason is said", func() bool { err := l.Healthy(); return errors.Is(err, syscall.ENOSPC) })
	t.Log(l.Healthy())
	o.more(t, 1000)
	if err := os.Remove(fill.Name()); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	until(t, "the log goes on", healthy(l))
	t.Logf("healed after %v", time.Since(freed))
	o.more(t, 1000)
	o.stop(t)
	o.all(t, l)
}

func TestNATSLogDiskReadOnly(t *testing.T) {
	dir := tmpfs(t, "64m")
	e := newEngine(t, EngineConfig{Dir: filepath.Join(dir, "nats"), MaxStore: 1 << 30})
	l := openLog(t, e, NATSLogConfig{AckWait: time.Second})
	o := startLoad(t, l, 3*time.Millisecond)
	o.more(t, 1000)
	// A file that is open for writing keeps a file system from being remounted
	// read-only in the middle of things, as the kernel does after an error. The
	// server is stopped, and starts on a disk that has become read-only.
	e.healing.Lock()
	e.stopServer()
	err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	e.healing.Unlock()
	if err != nil {
		t.Skipf("the disk cannot be made read-only: %v", err)
	}
	until(t, "the reason is said", func() bool { return errors.Is(l.Healthy(), syscall.EROFS) })
	t.Log(l.Healthy())
	o.more(t, 500)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the log goes on", healthy(l))
	o.more(t, 500)
	o.stop(t)
	o.all(t, l)
}

// TestNATSLogStoreLimit: the engine refuses at once, and says so.
func TestNATSLogStoreLimit(t *testing.T) {
	e := newEngine(t, EngineConfig{MaxStore: 4 << 20})
	_, err := OpenNATSLog(t.Context(), e, &NATSLogConfig{MaxBytes: 8 << 20})
	if err == nil || !strings.Contains(err.Error(), "lower the log's limit") {
		t.Errorf("OpenNATSLog beyond the engine's limit = %v", err)
	}
}

func TestNATSLogRetention(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{MaxBytes: 64 << 10})
	g := newLedger()
	for n := range 2000 {
		g.append(t, l, entry("a", n))
	}
	g.wait(t)
	_, first, last, err := l.Bounds(t.Context())
	if err != nil || first < 2 || last != 2000 {
		t.Fatalf("Bounds = %d, %d, %v", first, last, err)
	}
	at, err := l.Read(t.Context(), 5, last, func(uint64, []byte) bool { t.Error("something was read"); return false })
	var pruned *PrunedError
	if !errors.As(err, &pruned) || *pruned != (PrunedError{5, first}) || at != 5 {
		t.Errorf("Read = %d, %v; want PrunedError{5, %d}", at, err, first)
	}
	at, err = l.Read(t.Context(), first-1, last+10, func(uint64, []byte) bool { return true })
	if err != nil || at != last {
		t.Errorf("Read from the first = %d, %v", at, err)
	}
	// All is gone, by age.
	l2 := openLog(t, l.engine, NATSLogConfig{MaxBytes: 64 << 10, MaxAge: time.Second})
	until(t, "all is too old", func() bool { _, first, last, err := l2.Bounds(t.Context()); return err == nil && first > last })
	if at, err = l2.Read(t.Context(), 1990, 2000, nil); !errors.As(err, &pruned) || *pruned != (PrunedError{1990, 2001}) || at != 1990 {
		t.Errorf("Read of what is too old = %d, %v", at, err)
	}
}

func TestNATSLogAt(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{})
	before := time.Now()
	if at, err := l.At(t.Context(), before); at != 0 || err != nil {
		t.Errorf("At of an empty log = %d, %v", at, err)
	}
	g := newLedger()
	var middle time.Time
	for n := range 10 {
		if n == 6 {
			middle = time.Now()
		}
		g.append(t, l, entry("a", n))
		g.wait(t)
	}
	for _, c := range []struct {
		t    time.Time
		want uint64
	}{{before, 0}, {middle, 6}, {time.Now().Add(time.Second), 10}, {time.Time{}.AddDate(1, 0, 0), 0}} {
		if at, err := l.At(t.Context(), c.t); at != c.want || err != nil {
			t.Errorf("At(%v) = %d, %v; want %d", c.t, at, err, c.want)
		}
	}
}

func TestNATSLogHistoryLost(t *testing.T) {
	var epochs []string
	var mu sync.Mutex
	e := newEngine(t, EngineConfig{})
	l := openLog(t, e, NATSLogConfig{AckWait: time.Second, Changed: func(at Cursor) { mu.Lock(); epochs = append(epochs, at.Epoch); mu.Unlock() }})
	was, _, _, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := newLedger()
	for n := range 100 {
		g.append(t, l, entry("a", n))
	}
	g.wait(t)
	if err := l.js.DeleteStream(t.Context(), "EV"); err != nil {
		t.Fatal(err)
	}
	g = newLedger()
	for n := range 100 {
		g.append(t, l, entry("b", n))
	}
	g.wait(t)
	is, first, last, err := l.Bounds(t.Context())
	if err != nil || is == was || first != 1 || last != 100 {
		t.Errorf("Bounds = %q, %d, %d, %v; want another epoch than %q, 1, 100", is, first, last, err, was)
	}
	if len(epochs) != 1 || epochs[0] != is {
		t.Errorf("Changed was called with %q, want %q", epochs, is)
	}
	g.check(t, l)
}

// Somebody else writes to the stream: nothing is lost, and the numbers are right.
func TestNATSLogForeignWriter(t *testing.T) {
	e := newEngine(t, EngineConfig{})
	l := openLog(t, e, NATSLogConfig{})
	o := startLoad(t, l, 3*time.Millisecond)
	for range 20 {
		o.more(t, 100)
		if err := e.Conn().Publish("ev.x.y.0.z.w", []byte("foreign")); err != nil {
			t.Fatal(err)
		}
	}
	o.more(t, 100)
	o.stop(t)
	delete(o.seqs, "")
	if len(o.errs) > 0 || len(o.seqs) != int(o.sent.Load()) {
		t.Errorf("%d of %d entries are safe, %d errors", len(o.seqs), o.sent.Load(), len(o.errs))
	}
	all := readAll(t, l)
	for seq, id := range all {
		if id == "" {
			delete(all, seq)
		}
	}
	for id, seq := range o.seqs {
		if all[seq] != id {
			t.Fatalf("entry %d is %q, want %q", seq, all[seq], id)
		}
	}
}

func TestNATSLogSharedWriters(t *testing.T) {
	e := newEngine(t, EngineConfig{})
	var logs [2]*NATSLog
	for i := range logs {
		logs[i] = openLog(t, e, NATSLogConfig{SharedWriters: true})
	}
	var ledgers [2]*ledger
	var wg sync.WaitGroup
	for i, l := range logs {
		ledgers[i] = newLedger()
		wg.Go(func() {
			for n := range 2000 {
				ledgers[i].append(t, l, entry("a", n))
			}
		})
	}
	wg.Wait()
	ledgers[0].wait(t)
	ledgers[1].wait(t)
	if n, dups := len(ledgers[0].seqs)+len(ledgers[1].seqs), ledgers[0].dups+ledgers[1].dups; n != 2000 || dups != 2000 {
		t.Errorf("%d entries and %d copies, want 2000 and 2000", n, dups)
	}
	if n := len(readAll(t, logs[0])); n != 2000 {
		t.Errorf("%d entries in the log, want 2000", n)
	}
}

// The engine refuses more than a batch while it is overrun; Append waits.
func TestNATSLogWaits(t *testing.T) {
	l := openLog(t, newEngine(t, EngineConfig{}), NATSLogConfig{Buffer: 10_000})
	g := newLedger()
	for n := range 5000 {
		g.append(t, l, entry("a", n))
	}
	g.wait(t)
	if len(g.seqs) != 5000 {
		t.Errorf("%d entries are safe, want 5000: %v", len(g.seqs), g.errs)
	}
	// With an engine that takes nothing the context ends the waiting.
	l.engine.healing.Lock() // nobody restarts it
	l.engine.stopServer()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for n := 0; n < 100_000; n++ {
		if err := l.Append(ctx, entry("b", n), nil); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Append = %v", err)
			}
			break
		}
		if errors.Is(l.Healthy(), errCut) || l.Healthy() != nil {
			break
		}
	}
	l.engine.healing.Unlock()
	if err := l.engine.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStartEngineOnBadDisk(t *testing.T) {
	dir := tmpfs(t, "1m")
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 900<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StartEngine(t.Context(), &EngineConfig{Dir: filepath.Join(dir, "nats")}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("StartEngine on a full disk = %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	if _, err := StartEngine(t.Context(), &EngineConfig{Dir: filepath.Join(dir, "nats")}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("StartEngine on a read-only disk = %v", err)
	}
}
