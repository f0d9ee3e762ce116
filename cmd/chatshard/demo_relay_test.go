package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scratch makes a directory in which the demo puts its log, and returns a
// function that fails the test if something was left there.
func scratch(t *testing.T) (check func()) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() {
		t.Helper()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the directory: %v, %v", left, err)
		}
	}
}

// Every consumer of the relay sees all that was received, once, in a storm and
// over kills of its own.
func TestDemoRelay(t *testing.T) {
	check := scratch(t)
	code, stdout, stderr := chatshard(t, "demo", "--twitch-channels", "60", "--channels-per-shard", "10", "--rate", "400",
		"--guilds", "200", "--guilds-per-shard", "50", "--discord-rate", "400", "--for", "4s", "--faults", "storm", "-o", "json")
	check()
	var got demoSummary
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK || stderr != "" {
		t.Fatalf("exit %d, %v, stderr %s\n%s", code, err, stderr, stdout)
	}
	received := got.Platforms["twitch"].Received + got.Platforms["discord"].Received
	var names []string
	for _, c := range got.Consumers {
		names = append(names, c.Name)
		if c.Received < received || received == 0 || c.Lost+c.Duplicated != 0 || c.Gaps != got.Consumers[0].Gaps {
			t.Errorf("%+v, and %d messages were received", c, received)
		}
	}
	if strings.Join(names, " ") != "steady slow restarted" || got.Restarts == nil || *got.Restarts == 0 {
		t.Errorf("consumers %v, restarts %v", names, got.Restarts)
	}
}

// Ctrl-C ends the demo at any time, and nothing is left behind.
func TestDemoRelayInterrupted(t *testing.T) {
	check := scratch(t)
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 3 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		var out, errs bytes.Buffer
		code := run(ctx, strings.Fields("demo --guilds 20 --twitch-channels 20 --rate 50 --discord-rate 50 --for 1h"), nil, &out, &errs)
		cancel()
		check()
		if early := "chatshard: demo: ended before all channels were joined\n"; code != exitOK && (code != exitFailure || errs.String() != early) {
			t.Errorf("after %v: exit %d: %s", after, code, &errs)
		}
	}
}

func TestDemoWithoutDirectory(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	code, stdout, stderr := chatshard(t, "demo", "--guilds", "1", "--twitch-channels", "0", "--for", "1s")
	if code != exitFailure || stdout != "" || !strings.Contains(stderr, "set TMPDIR to one that can be written, or use --no-log\n") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// A consumer tells what it had not acknowledged when it was killed by its id.
// What comes again though it was acknowledged, what comes twice and what does
// not come at all is the relay's fault.
func TestDemoConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := func(w http.ResponseWriter, seq int, kind string) {
			fmt.Fprintf(w, `{"v":1,"cursor":{"epoch":"e","seq":%d},"id":"m%d","received":"2026-01-02T15:04:05.000Z","platform":"twitch","shard":"0","kind":%q}`+"\n", seq, seq, kind)
			_ = http.NewResponseController(w).Flush()
		}
		streams := 0
		var acks []string
		mux := http.NewServeMux()
		mux.HandleFunc("GET /v1/stream", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Chatshard-Member", "7")
			if streams++; streams == 1 {
				line(w, 1, "message")
				line(w, 2, "join")
				time.Sleep(ackEvery)
				line(w, 3, "message") // and is acknowledged
				line(w, 4, "message")
				line(w, 5, "gap")
			} else {
				line(w, 3, "message") // doubled
				line(w, 4, "message")
				line(w, 4, "message") // doubled
				line(w, 5, "gap")
				line(w, 6, "message")
			}
			<-r.Context().Done()
		})
		mux.HandleFunc("POST /v1/ack", func(w http.ResponseWriter, r *http.Request) {
			acks = append(acks, r.URL.RawQuery)
			w.WriteHeader(http.StatusNoContent)
		})
		l := newMemoryListener()
		srv := &http.Server{Handler: mux}
		go srv.Serve(l)
		defer srv.Close()

		ctx, leave := context.WithCancel(t.Context())
		calm, hasten := context.WithCancel(ctx)
		g := newLedger(1, "e")
		for n := range 7 {
			g.delivered(fmt.Sprintf("twitch m%d", n+1), time.Now())
		}
		c := &consumer{name: "c", life: time.Second, ledger: g, calm: calm}
		c.begin(l.dial)
		ended := make(chan struct{})
		go func() { defer close(ended); c.run(ctx) }()
		if err := <-c.opened; err != nil {
			t.Error(err)
		}
		time.Sleep(1500 * time.Millisecond)
		hasten()
		time.Sleep(time.Minute)
		leave()
		<-ended
		c.client.CloseIdleConnections()
		// 2 and 5 are no messages, and 7 did not come.
		d := c.done()
		if d.received != 4 || d.lost != 3 || d.duplicated != 2 || d.repeats != 2 || d.gaps != 1 || c.restarts.Load() != 1 || c.at.Load() != 6 {
			t.Errorf("%+v, at %d", d, c.at.Load())
		}
		if len(acks) != 1 || acks[0] != "consumer=c&member=7&cursor=e%3A3" {
			t.Errorf("acknowledged: %v", acks)
		}
	})
}

func TestDemoLedger(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 15, 4, second, 0, time.UTC) }
	l := newLedger(2, "epoch")
	for i, id := range []string{"a", "b", "c"} {
		l.delivered("twitch "+id, at(10*i))
	}
	l.saw(0, "twitch", "a")
	l.saw(1, "twitch", "a")       // all have seen it
	l.saw(1, "twitch", "a")       // doubled
	l.saw(1, "discord", "b")      // nobody sent it
	l.saw(1, "twitch", "epoch:5") // has no id of its own
	l.saw(0, "twitch", "b")
	l.excuse(1, at(5), at(15)) // b
	for i, want := range []tally{{received: 2, lost: 1}, {received: 1, lost: 1, duplicated: 2}} {
		got := l.verdict(i)
		got.gaps = nil
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("consumer %d: %+v, want %+v", i, got, want)
		}
	}
}
