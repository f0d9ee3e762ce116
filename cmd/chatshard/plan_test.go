package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// TestScheduleIsWhatWindowsTake compares with goroutines that wait.
func TestScheduleIsWhatWindowsTake(t *testing.T) {
	for _, c := range []struct {
		n, shards, perShard int
		logins, joins       rate
	}{
		{1, 1, 50, rate{N: 18, Per: 10 * time.Second}, rate{N: 20, Per: 11 * time.Second}},
		{500, 10, 50, rate{N: 18, Per: 10 * time.Second}, rate{N: 20, Per: 11 * time.Second}},
		{20, 1, 20, rate{N: 1, Per: time.Second}, rate{N: 20, Per: 11 * time.Second}},
		{90, 30, 3, rate{N: 2, Per: 10 * time.Second}, rate{N: 7, Per: 3 * time.Second}}, // logins hold JOINs up
		{100, 4, 25, rate{Off: true}, rate{N: 20, Per: 11 * time.Second}},
		{100, 4, 25, rate{N: 1, Per: 5 * time.Second}, rate{Off: true}},
	} {
		gotLogin, gotJoin := schedule(c.n, c.shards, c.perShard, c.logins, c.joins)
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			wait := func(w *balancer.Window) {
				if w != nil {
					if err := w.Wait(ctx, 1); err != nil {
						t.Error(err)
					}
				}
			}
			start := time.Now()
			up := make([]chan struct{}, c.shards)
			for i := range up {
				up[i] = make(chan struct{})
			}
			var lastLogin time.Duration
			logged := make(chan struct{})
			go func() {
				defer close(logged)
				w := windowOf(c.logins)
				for i := range up {
					wait(w)
					lastLogin = time.Since(start)
					close(up[i])
				}
			}()
			w := windowOf(c.joins)
			for i := range c.n {
				<-up[i/c.perShard]
				wait(w)
			}
			lastJoin := time.Since(start)
			<-logged
			if gotLogin != lastLogin || gotJoin != max(lastLogin, lastJoin) {
				t.Errorf("schedule(%d, %d, %d, %v, %v) = %v, %v, want %v, %v",
					c.n, c.shards, c.perShard, c.logins, c.joins, gotLogin, gotJoin, lastLogin, lastJoin)
			}
		})
	}
}

func TestPlanByFlags(t *testing.T) {
	for _, c := range []struct {
		args            string
		code            int
		shards          int
		seconds         float64
		notCarried, cap int
	}{
		{"--twitch-channels 500 --anonymous", 0, 10, 264, 0, 0},
		{"--twitch-channels 100", 0, 2, 44, 0, 100},
		{"--twitch-channels 500", 1, 10, 264, 0, 100},
		{"--twitch-channels 500 --verified", 1, 10, 0, 0, 100},
		{"--twitch-channels 500 --anonymous --channels-per-shard 10 --max-shard-count 20", 1, 50, 99, 300, 0},
		{"--twitch-channels 1000000 --anonymous --channels-per-shard 100 --max-shard-count 10000", 0, 10000, 549989, 0, 0},
	} {
		code, stdout, stderr := chatshard(t, append(strings.Fields("plan -o json"), strings.Fields(c.args)...)...)
		var p plan
		if err := json.Unmarshal([]byte(stdout), &p); err != nil || len(p.Parts) != 1 {
			t.Fatalf("plan %s: %v, %s", c.args, err, stdout)
		}
		part := p.Parts[0]
		if code != c.code || p.OK != (code == 0) || part.Shards != c.shards || p.Seconds != c.seconds || part.NotCarried != c.notCarried || part.Cap != c.cap {
			t.Errorf("plan %s: exit %d, %+v, want %+v; %s", c.args, code, p, c, stderr)
		}
		if code == 1 && (!strings.HasPrefix(stderr, "chatshard: plan: does not fit: ") || strings.Count(stderr, "\n") != 1) {
			t.Errorf("plan %s: stderr %q", c.args, stderr)
		}
	}
}

func TestPlanOfConfig(t *testing.T) {
	path := written(t, "c.yaml", `version: 1
twitch:
  accounts: [{login: a, token: `+goodToken+`}, {login: b, token: `+goodToken+`, verified: true}]
  channels: [{name: mine, account: a, cap_exempt: true}, `+names(150)+`]
irc:
  libera: {address: "h:1", nick: "x{shard}", channels_per_shard: 2, channels: ["#a", "#b", "#c"]}
`)
	code, stdout, stderr := chatshard(t, "plan", "-c", path, "-o", "json")
	var p plan
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitOK || len(p.Parts) != 3 {
		t.Fatalf("exit %d, %v, %s%s", code, err, stdout, stderr)
	}
	for i, want := range []planPart{
		{Platform: "twitch", Account: "a", Channels: 76, CapChannels: 75, Cap: 100, Shards: 2},
		{Platform: "twitch", Account: "b", Channels: 75, CapChannels: 75, Cap: 100, Shards: 2},
		{Platform: "irc:libera", Channels: 3, Shards: 2},
	} {
		got := p.Parts[i]
		if got.Platform != want.Platform || got.Account != want.Account || got.Channels != want.Channels ||
			got.CapChannels != want.CapChannels || got.Cap != want.Cap || got.Shards != want.Shards {
			t.Errorf("part %d is %+v, want %+v", i, got, want)
		}
	}
	// 76 JOINs at 20 in 11 s beside 75 at 2000 in 11 s.
	if want := math.Floor(75.0/20) * 11; p.Seconds != want || p.Shards != 6 {
		t.Errorf("%v s on %d shards, want %v s on 6", p.Seconds, p.Shards, want)
	}
	if code, stdout, _ := chatshard(t, "plan", "-c", path); code != exitOK || !strings.Contains(stdout, "76 ") || !strings.Contains(stdout, "75 of 100") {
		t.Errorf("exit %d,\n%s", code, stdout)
	}

	path = written(t, "c.yaml", "version: 1\ntwitch: {max_shard_count: 2, channels: ["+names(101)+"]}\n")
	code, stdout, stderr = chatshard(t, "plan", "-c", path)
	want := "does not fit: " + path + ":2:27: twitch.max_shard_count: 101 channels, and 2 shards of 50 hold 100; set max_shard_count to 3 or channels_per_shard to 51\n"
	if code != exitFailure || !strings.Contains(stdout, want) || !strings.HasSuffix(stderr, want) {
		t.Errorf("exit %d, stdout\n%sstderr %s\nwant %s", code, stdout, stderr, want)
	}
}
