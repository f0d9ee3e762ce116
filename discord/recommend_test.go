package discord

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPlaceOfTheDocumentation(t *testing.T) {
	rows := spec(t, "shard_vectors.tsv")
	for _, r := range rows {
		count, _ := strconv.Atoi(r[1])
		want, err := strconv.Atoi(r[2])
		if got := Place(r[0], count); err != nil || got != want {
			t.Errorf("Place(%s, %d) = %d, want %s", r[0], count, got, r[2])
		}
	}
	if len(rows) < 90 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		id          string
		count, want int
	}{
		{"", 16, 0}, {"0", 16, 0}, {"x", 16, 0}, {"-1", 16, 0}, {"1.5", 16, 0}, {" 41771983423143937", 16, 0},
		{"41771983423143937", 16, 6}, {"041771983423143937", 16, 6}, {"41771983423143937", 0, 0}, {"41771983423143937", -1, 0},
		{"18446744073709551615", 1 << 10, 1<<10 - 1}, // 1<<64 - 1
		{"18446744073709551616", 1 << 10, 0}, {"99999999999999999999", 1 << 10, 0}, {strings.Repeat("9", 50), 3, 0},
	} {
		if got := Place(c.id, c.count); got != c.want {
			t.Errorf("Place(%q, %d) = %d, want %d", c.id, c.count, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if Place("41771983423143937", 16) != 6 {
			t.Error("Place is not pure")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestShardCount(t *testing.T) {
	for _, c := range []struct {
		guilds, per, most, multiple int
		want                        int
		err                         string
	}{
		{0, 1000, 5, 1, 1, ""},
		{1, 0, 5, 0, 1, ""},
		{1000, 1000, 5, 1, 1, ""},
		{1001, 1000, 5, 1, 2, ""},
		{5000, 1250, 4, 1, 4, ""},
		{5001, 0, 6, 1, 6, ""},
		{5001, 0, 5, 1, 0, "5001 guilds at 1000 a shard need 6 shards, and max_shard_count is 5: raise max_shard_count to 6, or channels_per_shard to 1001"},
		{25, 25, 5, 1, 1, ""},
		{126, 25, 5, 1, 0, "raise max_shard_count to 6, or channels_per_shard to 26"},
		{20000, 1000, 5, 1, 0, "raise max_shard_count to 20, or to 8 and channels_per_shard to 2500 (Discord takes no more than 2500 on a shard)"},
		{160000, 1000, 1000, 16, 160, ""},
		{160000, 1100, 1000, 16, 160, ""}, // 146
		{160000, 1000, 150, 16, 0, "need 160 shards (a multiple of 16), and max_shard_count is 150: raise max_shard_count to 160, or channels_per_shard to 1112"},
		{160000, 2500, 10, 16, 0, "need 64 shards (a multiple of 16), and max_shard_count is 10: raise max_shard_count to 64"},
		{10, 2501, 5, 1, 0, "1 to 2500 guilds"},
		{10, -1, 5, 1, 0, "1 to 2500 guilds"},
		{10, 10, 0, 1, 0, "max_shard_count"},
		{-1, 10, 5, 1, 0, "-1 guilds"},
	} {
		got, err := ShardCount(c.guilds, c.per, c.most, c.multiple)
		if got != c.want || (err == nil) != (c.err == "") {
			t.Errorf("ShardCount(%d, %d, %d, %d) = %d, %v, want %d, %q", c.guilds, c.per, c.most, c.multiple, got, err, c.want, c.err)
		} else if err != nil && (!strings.Contains(err.Error(), c.err) || !errors.Is(err, ErrConfig)) {
			t.Errorf("ShardCount(%d, %d, %d, %d): %v, want %q", c.guilds, c.per, c.most, c.multiple, err, c.err)
		}
	}
}

// What an error advises works.
func TestShardCountAdvice(t *testing.T) {
	for guilds := 1; guilds < 60000; guilds += 997 {
		for _, most := range []int{1, 3, 16, 40} {
			for _, multiple := range []int{1, 4, 16} {
				_, err := ShardCount(guilds, 25, most, multiple)
				if err == nil {
					continue
				}
				_, advice, _ := strings.Cut(err.Error(), ": raise ")
				if n, ok := after(advice, "max_shard_count to "); !ok {
					t.Errorf("%v: no advice", err)
				} else if _, e := ShardCount(guilds, 25, n, multiple); e != nil {
					t.Errorf("%v, and then: %v", err, e)
				}
				n := most
				if m, ok := after(advice, ", or to "); ok {
					n = m
				}
				if p, ok := after(advice, "channels_per_shard to "); ok {
					if _, e := ShardCount(guilds, p, n, multiple); e != nil {
						t.Errorf("%v, and then: %v", err, e)
					}
				}
			}
		}
	}
}

// after returns the number that follows a text.
func after(s, text string) (int, bool) {
	_, s, ok := strings.Cut(s, text)
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, _ := strconv.Atoi(s[:n])
	return v, ok
}

func TestStartTime(t *testing.T) {
	for _, c := range []struct {
		shards, concurrency int
		want                time.Duration
	}{
		{0, 1, 0}, {1, 1, per}, {16, 1, 16 * per}, {16, 16, per}, {17, 16, 2 * per}, {1024, 16, 64 * per}, {3, 0, 3 * per},
	} {
		if got := StartTime(c.shards, c.concurrency); got != c.want {
			t.Errorf("StartTime(%d, %d) = %v, want %v", c.shards, c.concurrency, got, c.want)
		}
	}
}

func TestRecommendLargeBot(t *testing.T) {
	now := time.Now()
	r := recommend(GatewayInfo{Shards: 320, At: now, Limit: StartLimit{2000, 2000, 0, 16}}, Application{Guilds: 320_000}, IntentsChat)
	if r.Multiple != 320 || r.Restarts != 1900/320 || !r.Resets.IsZero() || r.Missing != IntentMessageContent || r.Start != 20*per {
		t.Errorf("%+v", r)
	}
	if n, err := ShardCount(r.Guilds, 900, 1000, r.Multiple); n != 640 || err != nil {
		t.Errorf("ShardCount = %d, %v", n, err)
	}
}
