package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// metaEpoch is where the stream says which history it has.
const metaEpoch = "chatshard-epoch"

func newEpoch() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// streamConfig is what the stream shall be.
func (l *NATSLog) streamConfig() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:       l.cfg.Stream,
		Subjects:   []string{subjectRoot + ".>"},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardOld,
		MaxAge:     max(0, l.cfg.MaxAge.Truncate(time.Second)), // fractions are cut by the engine
		MaxBytes:   l.cfg.MaxBytes,
		Replicas:   l.cfg.Replicas,
		Duplicates: l.cfg.Dedup,
		// Direct reads may be answered by who does not know the newest yet.
		AllowDirect: false,
		DenyDelete:  true, // a hole would look like retention
		DenyPurge:   true, // and so would this
	}
	if c.MaxAge > 0 {
		c.Duplicates = min(c.Duplicates, c.MaxAge)
	}
	return c
}

// ensure makes the stream what it shall be and returns how it stands.
func (l *NATSLog) ensure(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := l.js.Stream(ctx, l.cfg.Stream)
	want := l.streamConfig()
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		want.Metadata = map[string]string{metaEpoch: newEpoch()}
		s, err = l.js.CreateStream(ctx, want)
	case err == nil && differs(s.CachedInfo().Config, want):
		have := s.CachedInfo().Config
		want.Metadata = maps.Clone(have.Metadata)
		if want.Metadata == nil {
			want.Metadata = map[string]string{}
		}
		want.Metadata[metaEpoch] = cmp.Or(want.Metadata[metaEpoch], newEpoch())
		s, err = l.js.UpdateStream(ctx, want)
	}
	if err != nil {
		return nil, l.streamError(err)
	}
	return s.CachedInfo(), nil
}

func differs(have, want jetstream.StreamConfig) bool {
	return have.Metadata[metaEpoch] == "" || have.MaxAge != want.MaxAge || have.MaxBytes != want.MaxBytes ||
		!have.DenyDelete || !have.DenyPurge || have.Replicas != want.Replicas || have.Duplicates != want.Duplicates || have.AllowDirect ||
		have.Discard != want.Discard || len(have.Subjects) != 1 || have.Subjects[0] != want.Subjects[0]
}

// renew gives the stream a new epoch: what was in it is not what cursors know.
func (l *NATSLog) renew(ctx context.Context, info *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	c := info.Config
	c.Metadata = maps.Clone(c.Metadata)
	c.Metadata[metaEpoch] = newEpoch()
	s, err := l.js.UpdateStream(ctx, c)
	if err != nil {
		return nil, l.streamError(err)
	}
	return s.CachedInfo(), nil
}

func (l *NATSLog) streamError(err error) error {
	if err == nil || errors.As(err, new(*EngineError)) {
		return err
	}
	do := ""
	var api *jetstream.APIError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%w in time", errNoAnswer)
	case errors.As(err, &api) && api.ErrorCode == 10047, errors.As(err, &api) && api.ErrorCode == 10023:
		do = "lower the log's limit in bytes or raise the engine's"
	case errors.As(err, &api) && api.ErrorCode == 10065:
		do = "another stream takes ev.>: remove it, or name it as the log's"
	case errors.As(err, &api) && api.ErrorCode == 10074:
		do = "the cluster has too few servers for so many replicas"
	}
	return &EngineError{"stream " + l.cfg.Stream + " " + l.engine.String(), err, do}
}

// info asks how the stream stands.
func (l *NATSLog) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := l.js.Stream(ctx, l.cfg.Stream)
	if err != nil {
		return nil, l.streamError(err)
	}
	return s.CachedInfo(), nil
}
