package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Nothing is lost at any level of faults, and the summary says so in one object.
// These run in virtual time, in which no engine can: TestDemoRelay has one.
func TestDemoJSON(t *testing.T) {
	for _, faults := range faultLevels {
		if testing.Short() && faults != "storm" {
			continue // half a minute of it each
		}
		t.Run(faults, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				code, stdout, stderr := chatshard(t, "demo", "--no-log", "--twitch-channels", "60", "--channels-per-shard", "10", "--guilds", "200", "--guilds-per-shard", "50",
					"--rate", "300", "--discord-rate", "300", "--reshard-at", "8s", "--for", "30s", "--seed", "7", "--faults", faults, "-o", "json")
				if code != exitOK || stderr != "" {
					t.Fatalf("exit %d, stderr %s\n%s", code, stderr, stdout)
				}
				dec := json.NewDecoder(strings.NewReader(stdout))
				dec.DisallowUnknownFields()
				var got demoSummary
				if err := dec.Decode(&got); err != nil || dec.More() {
					t.Fatalf("not one object: %v\n%s", err, stdout)
				}
				p := got.Platforms["twitch"]
				if !got.OK || got.Seconds < 30 || p.Lost+p.Duplicated+p.OutOfOrder != 0 {
					t.Errorf("not ok: %+v", got)
				}
				if p.ChannelsWanted != 60 || p.ChannelsJoined+p.Refused != 60 || p.Shards < 6 || p.PeakChannelsOnAShard != 10 {
					t.Errorf("channels: %+v", p)
				}
				if p.Sent < 8000 || p.Received+p.InGaps != p.Sent {
					t.Errorf("messages: %+v", p)
				}
				if quiet := p.Reconnects == 0 && p.Gaps == 0 && p.InGaps == 0; quiet != (faults == "none") {
					t.Errorf("faults %s: %+v", faults, p)
				}
				p = got.Platforms["discord"]
				if p.Lost+p.Duplicated+p.OutOfOrder != 0 || p.Sent < 8000 || p.Received+p.InGaps != p.Sent {
					t.Errorf("messages: %+v", p)
				}
				if p.ChannelsWanted != 200 || p.ChannelsJoined != 200 || p.Shards != 6 || p.PeakChannelsOnAShard != 50 {
					t.Errorf("guilds: %+v", p)
				}
				if *p.Identifies < 10 || faults == "none" && (*p.Identifies != 10 || *p.Resumes != 0) || faults != "none" && (*p.Resumes == 0 || *p.SessionsKept == 0) {
					t.Errorf("%d identifies, %d resumes, %d sessions kept", *p.Identifies, *p.Resumes, *p.SessionsKept)
				}
			})
		})
	}
}

// Standard output of -o json has exactly the keys that are documented.
func TestDemoJSONKeys(t *testing.T) {
	text, err := json.Marshal((&demoResult{opts: &demoOptions{}, fleets: []fleetDone{
		{state: fleetState{platform: "twitch"}}, {state: fleetState{platform: "discord"}, identified: true},
	}}).summary())
	const fields = `"channels_wanted":0,"channels_joined":0,"shards":0,"peak_channels_on_a_shard":0,` +
		`"sent":0,"received":0,"lost":0,"duplicated":0,"out_of_order":0,"refused":0,"gaps":0,"in_gaps":0,"reconnects":0`
	want := `{"ok":true,"seconds":0,"platforms":{"discord":{` + fields + `,"identifies":0,"resumes":0,"sessions_kept":0},"twitch":{` + fields + `}}}`
	if err != nil || string(text) != want {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
	text, err = json.Marshal((&demoResult{opts: &demoOptions{}, consumers: []consumerDone{
		{consumerState: consumerState{name: "a"}}, {consumerState: consumerState{name: "b", restarts: 7}, killed: true},
	}}).summary())
	want = `{"ok":true,"seconds":0,"platforms":{},"consumers":[{"name":"a","received":0,"lost":0,"duplicated":0,"gaps":0},` +
		`{"name":"b","received":0,"lost":0,"duplicated":0,"gaps":0}],"restarts":7}`
	if err != nil || string(text) != want {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
}

func TestDemoNDJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, stdout, stderr := chatshard(t, "demo", "--no-log", "--guilds", "10", "--discord-rate", "100", "--twitch-channels", "5", "--rate", "100", "--for", "5s", "--faults", "none", "-o", "ndjson")
		if code != exitOK || !strings.Contains(stderr, "lost 0, doubled 0") {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		messages, joined := map[string]int{}, 0
		for i, line := range strings.Split(strings.TrimSuffix(stdout, "\n"), "\n") {
			e := read(t, []byte(line))
			if e.Cursor.Seq != uint64(i+1) {
				t.Fatalf("line %d has seq %d", i+1, e.Cursor.Seq)
			}
			switch {
			case e.Kind == "message":
				messages[e.Platform]++
			case e.Kind == "join" && len(e.Flags) > 0 && e.Flags[0] == "self":
				joined++
			}
		}
		if messages["twitch"] < 400 || messages["discord"] < 400 || joined != 5+10 {
			t.Errorf("%v messages and %d joins, want about 490 of each, and 5 channels and 10 guilds", messages, joined)
		}
	})
}

// Sockets of this machine in place of memory: what the judge cannot know for
// certain there it does not hold against us.
func TestDemoOverTCP(t *testing.T) {
	code, stdout, stderr := chatshard(t, "demo", "--twitch-channels", "40", "--channels-per-shard", "10", "--rate", "300",
		"--guilds", "100", "--guilds-per-shard", "25", "--discord-rate", "300", "--for", "2s", "--faults", "storm", "--network", "tcp")
	if code != exitOK || !strings.Contains(stdout, "40 joined of 40 wanted") || !strings.Contains(stdout, "100 available of 100; 4 shards") || !strings.Contains(stdout, "\nok: ") {
		t.Errorf("exit %d: %s\n%s", code, stderr, stdout)
	}
}

func TestDemoReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := written(t, "chat.irc", "@id=x;room-id=1;tmi-sent-ts=5 :a!a@a.tmi.twitch.tv PRIVMSG #x :hello there\r\n")
		code, stdout, stderr := chatshard(t, "demo", "--no-log", "--guilds", "0", "--twitch-channels", "3", "--rate", "20", "--for", "2s", "--replay", file, "--faults", "none", "-o", "ndjson")
		if code != exitOK || strings.Count(stdout, `"text":"hello there"`) < 30 {
			t.Errorf("exit %d: %s\n%s", code, stderr, stdout)
		}
	})
}

// Channels that join slower than the demo lasts are waited for.
func TestDemoJoinsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		code, stdout, stderr := chatshard(t, "demo", "--no-log", "--guilds", "0", "--twitch-channels", "4100", "--channels-per-shard", "100", "--rate", "10", "--for", "1s", "--faults", "none", "-o", "json")
		if took := time.Since(begin); code != exitOK || took < 22*time.Second || took > 26*time.Second {
			t.Errorf("exit %d after %v, want 0 after two windows of JOINs, 22 s: %s\n%s", code, took, stderr, stdout)
		}
	})
}

// Ctrl-C ends the count; what was begun is judged.
func TestDemoInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		var out, errs bytes.Buffer
		code := run(ctx, strings.Fields("demo --no-log --guilds 20 --twitch-channels 20 --rate 50 --for 1h"), nil, &out, &errs)
		if took := time.Since(begin); code != exitOK || took > 30*time.Second {
			t.Errorf("exit %d after %v: %s%s", code, took, &out, &errs)
		}
	})
}

func TestDemoBadFlags(t *testing.T) {
	empty := written(t, "empty.irc", "")
	for _, c := range []struct{ args, want string }{
		{"--for 0", `chatshard: demo: --for 0s: use a duration from 1s`},
		{"--for -1s", `chatshard: demo: --for -1s: use a duration`},
		{"--for ten", `chatshard: invalid argument "ten" for "--for" flag`},
		{"--twitch-channels -1", `chatshard: demo: --twitch-channels -1: use a number from 0`},
		{"--guilds 150001", `chatshard: demo: --guilds 150001: use a number from 0 to 150000`},
		{"--twitch-channels 0 --guilds 0", `chatshard: demo: neither channels nor guilds: give `},
		{"--discord-rate -1", `chatshard: demo: --discord-rate -1: use a number from 0`},
		{"--guilds-per-shard 2501", `chatshard: demo: --guilds-per-shard 2501: use a number from 1 to 2500`},
		{"--discord-max-shard-count 3", `chatshard: demo: 5000 guilds, and 3 shards of 1250 hold 3750; set --discord-max-shard-count to 4 or --guilds-per-shard to 1667`},
		{"--discord-max-shard-count 4 --reshard-at 5s", `chatshard: demo: --discord-max-shard-count 4: --reshard-at grows from 4 shards to 6; set it to 6`},
		{"--reshard-at 10s", `chatshard: demo: --reshard-at 10s is not within --for 10s`},
		{"--reshard-at -1s", `chatshard: demo: --reshard-at -1s: use a duration`},
		{"--reshard-at 1s --guilds 0", `chatshard: demo: --reshard-at 1s without Discord`},
		{"--rate -1", `chatshard: demo: --rate -1: use a number from 0`},
		{"--rate NaN", `chatshard: demo: --rate NaN: use a number from 0`},
		{"--channels-per-shard 0", `chatshard: demo: --channels-per-shard 0: use a number from 1`},
		{"--max-shard-count -1", `chatshard: demo: --max-shard-count -1: use a number from 1`},
		{"--max-shard-count 2", `chatshard: demo: 500 channels, and 2 shards of 25 hold 50; set --max-shard-count to 20 or --channels-per-shard to 250`},
		{"--faults hurricane", `chatshard: invalid argument "hurricane" for "--faults" flag: use one of none, gentle, storm`},
		{"--replay /nonexistent", `chatshard: demo: --replay /nonexistent: cannot be read: no such file or directory; check the path`},
		{"--replay " + filepath.Dir(empty), `chatshard: demo: --replay ` + filepath.Dir(empty) + `: cannot be read: it is a directory; check the path`},
		{"--replay " + empty, `chatshard: demo: --replay ` + empty + `: no IRC line of a channel in it; use a file of raw lines`},
		{"-o yaml", `chatshard: invalid argument "yaml" for "-o, --output" flag: use one of text, json, ndjson`},
		{"x", `chatshard: demo: unexpected argument "x"`},
	} {
		code, stdout, stderr := chatshard(t, append([]string{"demo"}, strings.Fields(c.args)...)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("demo %s: exit %d, stdout %q, stderr %q, want exit 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

// Ctrl-C while channels are being joined ends the demo at once, without a verdict.
func TestDemoInterruptedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		var out, errs bytes.Buffer
		code := run(ctx, strings.Fields("demo --no-log --guilds 20 --twitch-channels 3000 --rate 50 -o json"), nil, &out, &errs)
		if took := time.Since(begin); code != exitFailure || took > 5*time.Second || errs.String() != "chatshard: demo: ended before all channels were joined\n" {
			t.Errorf("exit %d after %v: %s%s", code, took, &out, &errs)
		}
	})
}

// What goes wrong is said in one line, with the seed that shows it again.
func TestDemoFailure(t *testing.T) {
	twitch := twitchDone(verdict{lost: 3, doubled: 1}, fleetState{platform: "twitch", channels: 1, peak: 6}, 5, nil, nil)
	discord := fleetDone{state: fleetState{platform: "discord"}, verdict: verdict{disordered: 2}, problems: []string{"1 guilds not available"}}
	slow := consumerDone{consumerState: consumerState{name: "slow", behind: 9}, tally: tally{lost: 3, duplicated: 1}, err: io.ErrUnexpectedEOF}
	steady := consumerDone{consumerState: consumerState{name: "steady"}, err: io.ErrUnexpectedEOF} // it came back
	err := (&demoResult{opts: &demoOptions{seed: 42}, fleets: []fleetDone{twitch, discord}, consumers: []consumerDone{slow, steady}}).failure()
	want := "demo: not ok: twitch: 3 lost; 1 doubled; 6 channels on one shard; discord: 2 out of order; 1 guilds not available; " +
		"consumer slow: 3 lost; 1 doubled; 9 events not read in time; unexpected EOF; again with --seed 42"
	if err == nil || err.Error() != want {
		t.Errorf("failure() = %v, want %s", err, want)
	}
}

func TestDemoFaultsFitTheJoinBudget(t *testing.T) {
	small, large := demoOptions{faults: "storm", channels: 500}, demoOptions{faults: "storm", channels: 20_000}
	if p, want := small.plan(), faultPlan("storm"); p.Drop != want.Drop || p.Reconnect != want.Reconnect {
		t.Errorf("500 channels: %+v, want a storm as it is", p)
	}
	p := large.plan()
	broken := (p.Drop + p.Hangup + p.HalfOpen + p.Mute + p.Reconnect) / 60 * 20_000
	if broken < 80 || broken > 100 {
		t.Errorf("20,000 channels: %v break in a second, want 91, half of 2,000 in 11 s", broken)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table := newTable(&out)
	s := demoState{phase: "running", length: 10 * time.Second, fleets: []fleetState{
		{platform: "twitch", channels: 1500, joined: 1499, shards: 60, maxShards: 66},
		{platform: "discord", channels: 5000, joined: 5000, shards: 4, maxShards: 6},
	}}
	synctest.Test(t, func(t *testing.T) {
		for i := range 5 {
			s.fleets[0].received = int64(i * 400)
			s.fleets[0].verdict.sent, s.fleets[0].verdict.lostLive = int64(i), int64(5-i)
			table.show(s)
			table.show(s) // too soon
			time.Sleep(tableEvery)
		}
	})
	if n := strings.Count(out.String(), "shards"); n != 5 {
		t.Errorf("drawn %d times, want 5:\n%s", n, &out)
	}
	last := out.String()[strings.LastIndex(out.String(), "\x1b[4A\x1b[J"):]
	if got := strings.Join(strings.Fields(last), " "); !strings.Contains(got, "twitch 60 of 66 1,499 of 1,500 1,605 1 0 0 0 0 discord 4 of 6 5,000 of 5,000 0 0 0 0 0 0 running:") {
		t.Errorf("table: %s", got)
	}
	if isTerminal(&out) {
		t.Error("a buffer is no terminal")
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}
