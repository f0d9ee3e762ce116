package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestStartEngineRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := deaf.Addr().String()
	deaf.Close()
	locked := newEngine(t, EngineConfig{Listen: "127.0.0.1:0", Token: "right", User: "ignored"})
	for _, c := range []struct {
		name string
		cfg  EngineConfig
		want string
	}{
		{"no directory", EngineConfig{}, "none is named"},
		{"no directory but a file", EngineConfig{Dir: file}, "not a directory: choose a directory"},
		{"in use", EngineConfig{Dir: locked.cfg.Dir}, "in use by another process: end that one"},
		{"open to all", EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"}, "set a token"},
		{"user alone", EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", User: "u"}, "set a token"},
		{"port taken", EngineConfig{Dir: t.TempDir(), Listen: taken.Addr().String(), Token: "x"}, "address already in use: choose another port"},
		{"no port", EngineConfig{Dir: t.TempDir(), Listen: "localhost", Token: "x"}, "want HOST:PORT"},
		{"nobody there", EngineConfig{URL: "nats://user:hidden@" + gone}, "is nats-server running there"},
		{"wrong token", EngineConfig{URL: "nats://" + locked.Addr(), Token: "hidden"}, "check user, password, token"},
		{"no creds", EngineConfig{URL: "nats://" + locked.Addr(), CredsFile: file + ".none"}, "creds file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Within = 5 * time.Second
			e, err := StartEngine(t.Context(), &c.cfg)
			if err == nil {
				e.Close(t.Context())
				t.Fatal("it started")
			}
			t.Log(err)
			if !errors.As(err, new(*EngineError)) || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("StartEngine = %q, want one line with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hidden") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

func TestEngineConsumersUnlimited(t *testing.T) {
	e := newEngine(t, EngineConfig{})
	l := openLog(t, e, NATSLogConfig{})
	for i := range 1100 { // the server's own limit is 1000
		if _, err := l.js.CreateConsumer(t.Context(), "EV", jetstream.ConsumerConfig{Name: fmt.Sprint("c", i), MemoryStorage: true, InactiveThreshold: time.Minute}); err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
}

func TestEngineListens(t *testing.T) {
	e := newEngine(t, EngineConfig{Listen: ":0", User: "u", Password: "p"})
	host, _, err := net.SplitHostPort(e.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Errorf("Addr = %q, want one of this host", e.Addr())
	}
	if nc, err := nats.Connect(e.Addr()); err == nil {
		nc.Close()
		t.Error("it takes clients without a password")
	}
	was := e.Addr()
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(was, nats.UserInfo("u", "p"))
	if err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	nc.Close()
	until(t, "it is healthy", func() bool { return e.Healthy() == nil })
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, EngineConfig{Dir: dir})
	s, err := e.Store(t.Context(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context(), "none"); got != nil || err != nil {
		t.Errorf("Load of nothing = %q, %v", got, err)
	}
	names := []string{"sessions", "a.b", "*", ">", "ä b\x00\n", "#go", strings.Repeat("long", 1000), "."}
	for round := range 2 {
		for i, name := range names {
			want := fmt.Sprint(round, i)
			if err := s.Save(t.Context(), name, []byte(want)); err != nil {
				t.Fatalf("Save(%.20q): %v", name, err)
			}
			if got, err := s.Load(t.Context(), name); string(got) != want || err != nil {
				t.Fatalf("Load(%.20q) = %q, %v; want %q", name, got, err, want)
			}
		}
	}
	info, err := s.kv.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := info.(*jetstream.KeyValueBucketStatus).StreamInfo().Config; c.AllowDirect || c.Storage != jetstream.FileStorage {
		t.Errorf("direct reads %v, storage %v; want false, file", c.AllowDirect, c.Storage)
	}
	if err := s.Delete(t.Context(), "*"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context(), "*"); got != nil || err != nil {
		t.Errorf("Load of what was deleted = %q, %v", got, err)
	}
	if err := s.Update(t.Context(), "*", func(old []byte) ([]byte, error) { return append(old, 'x'), nil }); err != nil {
		t.Errorf("Update of what was deleted: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if err := s.Update(t.Context(), "count", func(old []byte) ([]byte, error) { return append(old, '.'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := s.Load(t.Context(), "count"); len(got) != 40 || err != nil {
		t.Errorf("40 updates made %q, %v", got, err)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the store is back", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := s.Load(ctx, "sessions")
		return err == nil && string(got) == "1 0"
	})
	if !strings.Contains(s.String(), "sessions") {
		t.Errorf("String = %q", s)
	}
}

// An engine elsewhere that has lost a bucket gets another one. Each case has an
// engine of its own: one that removes a stream a second time before it is done
// with the first leaves its files, and takes them up again.
func TestStoreLost(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(context.Context, *Store) error
		want string
	}{
		{"save", func(ctx context.Context, s *Store) error { return s.Save(ctx, "a", []byte("new")) }, "new"},
		{"load", func(ctx context.Context, s *Store) error { _, err := s.Load(ctx, "a"); return err }, ""},
		{"update", func(ctx context.Context, s *Store) error {
			return s.Update(ctx, "a", func(old []byte) ([]byte, error) { return append(old, "more"...), nil })
		}, "more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEngine(t, EngineConfig{})
			s, err := e.Store(t.Context(), "things")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Save(t.Context(), "a", []byte("old")); err != nil {
				t.Fatal(err)
			}
			if err := s.js.DeleteStream(t.Context(), "KV_things"); err != nil {
				t.Fatal(err)
			}
			// It answers for a moment longer.
			until(t, "the bucket is gone", func() bool { _, err := s.kv.Get(t.Context(), "a"); return err != nil })
			if err := c.do(t.Context(), s); err != nil {
				t.Error(err)
			}
			if got, err := s.Load(t.Context(), "a"); string(got) != c.want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
