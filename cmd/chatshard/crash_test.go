package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// killed is a relay as a process of its own, which a test ends as it likes.
type killed struct {
	cmd   *exec.Cmd
	said  spool
	lines chan struct{} // one for each line that it logs
}

// spawn starts the test binary as the command itself.
func spawn(t *testing.T, args ...string) *killed {
	t.Helper()
	p := &killed{cmd: exec.Command(os.Args[0], args...), lines: make(chan struct{}, 10_000)}
	p.cmd.Env = append(os.Environ(), "CHATSHARD_TEST_COMMAND=1")
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(os.Kill) })
	return p
}

// Write takes what the process logs.
func (p *killed) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte("\n")) {
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
	return p.said.Write(b)
}

// end sends a signal and waits for the end.
func (p *killed) end(how os.Signal) int {
	_ = p.cmd.Process.Signal(how) // it may be over
	_ = p.cmd.Wait()              // the state says it
	return p.cmd.ProcessState.ExitCode()
}

// killings returns how often a test shall kill.
func killings(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("CHATSHARD_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("CHATSHARD_KILLS=%q: want a number", s)
		}
		return n
	}
	if testing.Short() {
		return 1
	}
	return 3
}

// The relay is killed while people talk, in the middle of work and while it
// starts, and started again at once. All of Discord arrives, over sessions that
// are resumed. What Twitch and IRC said meanwhile lies in gaps that begin where
// the last message was. Who reads over HTTP goes on at his cursor and sees each
// entry once, the same that are in the log in the end; and who lets the relay
// keep his cursor never misses what he had not acknowledged.
func TestRunKilled(t *testing.T) { endings(t, os.Kill, killings(t)) }

// A relay that is asked to end misses what is said until the next one has
// joined, and says so likewise.
func TestRunStopped(t *testing.T) { endings(t, syscall.SIGTERM, 2+killings(t)/10) }

func endings(t *testing.T, how os.Signal, kills int) {
	w := newWorld(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := newFollower(t, w.addr, w.tell)
	n := &named{t: t, addr: w.addr}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	readers.Go(func() { f.follow(ctx) })
	readers.Go(func() { n.follow(ctx, "bot") })

	p := spawn(t, "run", "-c", w.file)
	until(t, "all channels and sessions", w.joined)
	w.talk(t)
	sessions := filepath.Join(filepath.Dir(w.file), "state", "sessions")
	until(t, "stored sessions", func() bool {
		text, _ := os.ReadFile(sessions)
		return bytes.Count(text, []byte(`"session":`)) == 2
	})
	defer func() {
		t.Logf("Twitch: %v %v", w.judges.twitch.Verdict(), w.judges.twitch.Verdict().Offences)
		t.Logf("IRC: %v %v", w.judges.irc.Verdict(), w.judges.irc.Verdict().Offences)
		t.Logf("Discord: %v %v; %v", w.judges.discord.Verdict(), w.judges.discord.Verdict().Offences, w.discord.Stats().Bot(""))
	}()
	random := rand.New(rand.NewPCG(1, uint64(kills)))
	limit := time.AfterFunc(time.Duration(kills)*time.Minute, cancel)
	defer limit.Stop()
	early := 0
	for range kills {
		wait, count := f.notify, 1+random.IntN(600)
		for len(wait) > 0 {
			<-wait
		}
		switch random.IntN(8) {
		case 0, 1, 2: // it starts
			wait, count = p.lines, 1+random.IntN(30)
			early++
		case 3: // it has noted how far it has heard
			count = 2500
		}
		for range count {
			select {
			case <-wait:
			case <-time.After(20 * time.Second):
				t.Fatalf("nothing happens any more:\n%s", &p.said)
			}
		}
		p.end(how)
		w.twitch.Say("eve", "ann", "is anybody here?")
		p = spawn(t, "run", "-c", w.file)
	}
	until(t, "all channels and sessions", w.joined)
	w.hush()
	until(t, "all that was said", w.fine)
	epoch, last := f.at()
	until(t, "the named consumer", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.seen >= last })

	again := newFollower(t, w.addr, nil)
	again.epoch = epoch
	whole, enough := context.WithCancel(ctx)
	defer enough()
	readers.Go(func() { again.follow(whole) })
	until(t, "the whole log", func() bool { _, seq := again.at(); return seq >= last })
	enough()
	cancel()
	readers.Wait()
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit %d:\n%s", code, &p.said)
	}
	for seq := uint64(1); seq <= last; seq++ {
		if was, ok := f.ids[seq]; ok && again.ids[seq] != was {
			t.Fatalf("entry %d is %q, and was %q", seq, again.ids[seq], was)
		}
	}
	messages := map[string]uint64{}
	for seq, id := range again.ids {
		if other, ok := messages[id]; ok {
			t.Errorf("%s is entry %d and %d", id, other, seq)
		}
		messages[id] = seq
	}
	b := w.discord.Stats().Bot("")
	if b.Identifies != 2 {
		t.Errorf("%d identifies, want 2", b.Identifies)
	}
	for _, who := range []struct {
		name   string
		faults []string
	}{{"reader", f.faults}, {"reader of the whole log", again.faults}, {"named consumer", n.faults}} {
		if len(who.faults) > 0 {
			t.Errorf("%s: %s", who.name, strings.Join(who.faults[:min(5, len(who.faults))], "\n"))
		}
	}
	if kills > 2 && (w.judges.twitch.Verdict().InGaps == 0 || w.judges.irc.Verdict().InGaps == 0) {
		t.Error("nothing was said while the relay was away: the test is too short")
	}
	t.Logf("%d kills, %d of them early; %d entries, %d gaps; %d came again to the named consumer", kills, early, last, f.gaps, n.again)
}
