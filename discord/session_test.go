package discord

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func aRecord(index int, at time.Time) Record {
	return Record{
		AppID: "1040123456789012345", Shard: index, Count: 4, SessionID: NewSecret("s3cret"),
		ResumeURL: "wss://gateway-us-east1-b.discord.gg", Seq: 1<<63 + 5, Intents: IntentsChat,
		Version: gatewayVersion, Encoding: gatewayEncoding, Compression: ZstdStream, Guilds: 1250,
		WrittenAt: at, LastEventAt: at.Add(-time.Second),
	}
}

func TestSessions(t *testing.T) {
	now := time.UnixMilli(1_763_000_000_123)
	rs := []Record{aRecord(0, now), aRecord(3, now)}
	back, err := decodeSessions(encodeSessions(rs), "x")
	if err != nil || !reflect.DeepEqual(back, rs) {
		t.Errorf("decodeSessions = %v, %v, want %v", back, err, rs)
	}
	if back, err := decodeSessions(nil, "x"); back != nil || err != nil {
		t.Errorf("nothing: %v, %v", back, err)
	}
	r, err := decodeState(encodeState(rs[1]))
	if err != nil || !reflect.DeepEqual(r, rs[1]) {
		t.Errorf("decodeState = %v, %v", r, err)
	}
	if _, err := decodeState([]byte("{}")); !errors.Is(err, ErrSessionFile) {
		t.Errorf("decodeState({}) = %v", err)
	}
}

// Whatever byte of a file changes, it is noticed, and not told.
func TestCorruptSessions(t *testing.T) {
	now := time.UnixMilli(1_763_000_000_123)
	whole := encodeSessions([]Record{aRecord(0, now)})
	check := func(what string, data []byte) {
		t.Helper()
		_, err := decodeSessions(data, "/var/lib/bot/sessions")
		var bad *SessionFileError
		if !errors.As(err, &bad) || !errors.Is(err, ErrSessionFile) {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, part := range []string{"/var/lib/bot/sessions", "move it away"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not say %q", what, err, part)
			}
		}
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 2
		check(fmt.Sprintf("byte %d", i), b)
		check(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	check("too long", make([]byte, storeMost+1))
	check("of a later version", []byte(`{"version":2}`))
	for what, change := range map[string]func(*session){
		"no id":     func(s *session) { s.App = "bot" },
		"shard":     func(s *session) { s.Shard = 4 },
		"count":     func(s *session) { s.Count = math.MaxInt32 },
		"no state":  func(s *session) { s.Session = "" },
		"long":      func(s *session) { s.Session = strings.Repeat("s3cret", 100) },
		"address":   func(s *session) { s.URL = "https://evil" },
		"address 2": func(s *session) { s.URL = "wss://%zz" },
		"compress":  func(s *session) { s.Compress = 9 },
		"time":      func(s *session) { s.Written = 1 << 62 },
	} {
		s := aRecord(0, now).session()
		change(&s)
		records, _ := json.Marshal([]session{s})
		data, _ := json.Marshal(sessions{sessionsVersion, sum(records), records})
		check(what, data)
	}
}

func TestResumable(t *testing.T) {
	now := time.UnixMilli(1_763_000_000_123)
	w := sessionsWanted{compression: ZstdStream, appID: aRecord(0, now).AppID, count: 4, intents: IntentsChat, now: now}
	for _, c := range []struct {
		why    string
		change func(*Record)
	}{
		{"", func(*Record) {}},
		{"", func(r *Record) { r.LastEventAt = now.Add(-time.Hour) }}, // a quiet shard
		{"", func(r *Record) { r.WrittenAt = now.Add(time.Hour) }},    // a clock that was put back
		{"old", func(r *Record) { r.WrittenAt, r.LastEventAt = now.Add(-4*time.Minute), time.Time{} }},
		{"of 2 shards, not 4", func(r *Record) { r.Shard, r.Count = 1, 2 }},
		{"intents were guilds", func(r *Record) { r.Intents = IntentGuilds }},
		{"v9", func(r *Record) { r.Version = 9 }},
		{"etf", func(r *Record) { r.Encoding = "etf" }},
	} {
		r := aRecord(0, now)
		c.change(&r)
		keep, drop, err := resumable([]Record{r}, "x", w)
		switch {
		case err != nil:
			t.Errorf("%q: %v", c.why, err)
		case c.why == "" && (len(keep) != 1 || len(drop) != 0):
			t.Errorf("%v: dropped: %v", r, drop)
		case c.why != "" && (len(keep) != 0 || len(drop) != 1 || !strings.Contains(drop[0].why, c.why)):
			t.Errorf("kept %v, dropped %v, want one dropped: %q", keep, drop, c.why)
		}
	}
	older := aRecord(1, now.Add(-time.Second))
	keep, drop, err := resumable([]Record{older, aRecord(1, now), older, aRecord(2, now)}, "x", w)
	if err != nil || len(keep) != 2 || len(drop) != 2 || !keep[0].WrittenAt.Equal(now) {
		t.Errorf("resumable = %v, %v, %v", keep, drop, err)
	}
	other := aRecord(0, now)
	other.AppID = "7"
	_, _, err = resumable([]Record{aRecord(0, now), other}, "/s", w)
	if !errors.Is(err, ErrSessionFile) || !strings.Contains(err.Error(), "another bot") {
		t.Errorf("of another bot: %v", err)
	}
}

func TestRecordPrintsNoSecret(t *testing.T) {
	r := aRecord(3, time.Now())
	var log bytes.Buffer
	l := zerolog.New(&log)
	l.Info().Object("session", r).Interface("r", r).Msg("")
	j, _ := json.Marshal(r)
	log.WriteString(fmt.Sprintf("%v %+v %#v %s %v %+v", r, r, r, j, []Record{r}, dropped{r, "old"}))
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "shard 3/4 at ") {
		t.Error(log.String())
	}
}
