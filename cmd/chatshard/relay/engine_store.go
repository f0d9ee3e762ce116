package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Store keeps small documents in the engine under names: sessions, cursors. It
// may be called by many goroutines. What it keeps may be secret: it is in no
// error and no log.
//
// A document that was saved outlives the process. It outlives a power cut once
// the engine has called fsync, or with SyncAlways at once; before, the older
// one may be back.
type Store struct {
	bucket string
	engine *Engine
	js     jetstream.JetStream
	kv     jetstream.KeyValue
}

// errConflict says that somebody else has saved in between, too often.
var errConflict = errors.New("others keep changing it")

const (
	storeWithin  = 5 * time.Second
	storeRetries = 20
	// Two codes say that a document is not what it was thought to be; nats.go
	// makes ErrKeyExists of one of them, and not always.
	codeWrongLast, codeWrongLastReplica = 10071, 10164
)

// Store opens the documents of a bucket, which is made if there is none. The
// bucket's name is of letters, digits, "-" and "_".
func (e *Engine) Store(ctx context.Context, bucket string) (*Store, error) {
	s := &Store{bucket: bucket, engine: e}
	js, err := jetstream.New(e.conn)
	if err != nil {
		return nil, s.fail("opening", err)
	}
	if err := s.ensure(ctx, js); err != nil {
		return nil, s.fail("opening", err)
	}
	if s.kv, err = js.KeyValue(ctx, bucket); err != nil {
		return nil, s.fail("opening", err)
	}
	s.js = js
	return s, nil
}

// ensure makes the bucket if there is none.
func (s *Store) ensure(ctx context.Context, js jetstream.JetStream) error {
	size := int64(256 << 20)
	if e := s.engine; e.Embedded() {
		size = min(size, e.cfg.MaxStore/16) // the log leaves a quarter
	}
	// js.CreateKeyValue would allow direct reads, which may be answered with
	// what was there before one's own last write.
	_, err := js.Stream(ctx, "KV_"+s.bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: "KV_" + s.bucket, Subjects: []string{"$KV." + s.bucket + ".>"},
			Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
			MaxBytes: size, AllowRollup: true, DenyDelete: true, AllowDirect: false, Replicas: 1,
		})
	}
	return err
}

// try does what may find that an engine elsewhere has lost the bucket: then it
// is made anew, and what was in it is gone.
func (s *Store) try(ctx context.Context, do func() error) error {
	err := do()
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound) {
		if s.ensure(ctx, s.js) == nil {
			err = do()
		}
	}
	return err
}

// Load returns what was saved under a name, nil if nothing was.
func (s *Store) Load(ctx context.Context, name string) ([]byte, error) {
	data, _, err := s.load(ctx, name)
	return data, err
}

func (s *Store) load(ctx context.Context, name string) ([]byte, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	var entry jetstream.KeyValueEntry
	err := s.try(ctx, func() (err error) { entry, err = s.kv.Get(ctx, SubjectToken(name)); return err })
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, s.fail("loading "+SubjectToken(name), err)
	}
	return entry.Value(), entry.Revision(), nil
}

// Save replaces what stands under a name.
func (s *Store) Save(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	if err := s.try(ctx, func() error { _, err := s.kv.Put(ctx, SubjectToken(name), data); return err }); err != nil {
		return s.fail("saving "+SubjectToken(name), err)
	}
	return nil
}

// Delete removes what stands under a name, if anything does.
func (s *Store) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	if err := s.kv.Purge(ctx, SubjectToken(name)); err != nil {
		return s.fail("removing "+SubjectToken(name), err)
	}
	return nil
}

// Update saves what change makes of what stands under a name, nil if nothing
// does; nobody else changes it in between. If change returns nil or an error
// nothing is saved. It may be called more than once, of which the last counts.
func (s *Store) Update(ctx context.Context, name string, change func(old []byte) ([]byte, error)) error {
	for range storeRetries {
		old, revision, err := s.load(ctx, name)
		if err != nil {
			return err
		}
		data, err := change(old)
		if err != nil || data == nil {
			return err
		}
		write, cancel := context.WithTimeout(ctx, storeWithin)
		if revision == 0 {
			_, err = s.kv.Create(write, SubjectToken(name), data)
		} else {
			_, err = s.kv.Update(write, SubjectToken(name), data, revision)
		}
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrKeyExists):
		case errors.As(err, &api) && (api.ErrorCode == codeWrongLast || api.ErrorCode == codeWrongLastReplica):
		default:
			return s.fail("saving "+SubjectToken(name), err)
		}
	}
	return s.fail("saving "+SubjectToken(name), errConflict)
}

// String says where it keeps things, for messages.
func (s *Store) String() string { return "bucket " + s.bucket + " " + s.engine.String() }

func (s *Store) fail(what string, err error) error {
	do := ""
	if errors.Is(err, context.DeadlineExceeded) {
		err, do = fmt.Errorf("%w in time", errNoAnswer), "is its disk full?"
	}
	return &EngineError{s.String(), fmt.Errorf("%s: %w", what, err), do}
}
