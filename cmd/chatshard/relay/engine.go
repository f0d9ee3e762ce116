package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// EngineConfig says which engine there is: one embedded in the process unless
// URL names another. It is copied.
type EngineConfig struct {
	Dir        string        // where the embedded engine keeps its data; required without URL
	MaxStore   int64         // bytes on disk; default 10 GiB, or three quarters of what is free if that is less
	MaxMemory  int64         // bytes in memory streams; default 64 MiB
	SyncAlways bool          // fsync before each acknowledgement: survives a power cut, at a tenth of the rate
	SyncEvery  time.Duration // fsync of what was written; default 10 s

	// Listen is an address at which the embedded engine takes NATS clients;
	// "" for none, a missing host is 127.0.0.1. Those with Token may read the
	// stream EV and ask for messages to be sent, and no more; those with User
	// and Password may everything. There has to be one of the two.
	Listen string

	URL       string // of NATS servers, separated by commas
	CredsFile string
	TLS       *tls.Config

	User, Password, Token string // of who connects to Listen, or ours with URL

	Within time.Duration // how long the start may take; default 15 s
	Logger zerolog.Logger
}

// Engine is NATS with JetStream, in this process or another. Its methods may be
// called by many goroutines.
type Engine struct {
	cfg  EngineConfig
	log  zerolog.Logger
	lock *os.File   // on the directory; nil with URL
	auth *access    // nil with URL
	conn *nats.Conn // survives restarts

	mu      sync.Mutex     // guards the fields below
	server  *server.Server // nil with URL, and between two servers
	port    int            // where it listens, 0 for nowhere
	closed  bool
	healing sync.Mutex // held over a restart: there is one at a time
	healed  time.Time  // guarded by healing: when the last restart ended
	again   time.Duration
}

const (
	engineMaxPayload = 8 << 20 // what nats-server recommends at most
	defaultMaxStore  = 10 << 30
	defaultMaxMemory = 64 << 20
)

// StartEngine starts an engine and returns when it answers, or why it does not.
func StartEngine(ctx context.Context, cfg *EngineConfig) (*Engine, error) {
	e := &Engine{cfg: *cfg}
	e.log = e.cfg.Logger
	e.cfg.Within = cmp.Or(e.cfg.Within, 15*time.Second)
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Within)
	defer cancel()
	if e.cfg.URL == "" {
		e.auth = newAccess(&e.cfg)
		if err := e.prepare(); err != nil {
			return nil, err
		}
		if err := e.startServer(ctx); err != nil {
			e.unlock()
			return nil, err
		}
	}
	var err error
	if e.conn, err = e.dial("chatshard", true); err == nil {
		err = e.answers(ctx)
	}
	if err == nil && e.Embedded() {
		err = serveConsumers(e.conn)
	}
	if err != nil {
		if e.conn != nil {
			e.conn.Close()
		}
		e.stopServer()
		e.unlock()
		return nil, err
	}
	return e, nil
}

// Conn returns a connection for control and small things. It reconnects by
// itself; it belongs to the engine.
func (e *Engine) Conn() *nats.Conn { return e.conn }

// Dial returns a connection of its own for bulk. The caller closes it.
func (e *Engine) Dial(name string) (*nats.Conn, error) { return e.dial(name, true) }

// Embedded reports whether the engine runs in this process.
func (e *Engine) Embedded() bool { return e.cfg.URL == "" }

// Addr returns where NATS clients reach the embedded engine; "" for nowhere.
func (e *Engine) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.port == 0 {
		return ""
	}
	host, _, _ := net.SplitHostPort(e.cfg.Listen)
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), strconv.Itoa(e.port))
}

// String says which engine it is, without secrets.
func (e *Engine) String() string {
	if e.Embedded() {
		return "embedded in " + e.cfg.Dir
	}
	return redacted(e.cfg.URL)
}

// Healthy returns nil while the engine runs and is connected.
func (e *Engine) Healthy() error {
	e.mu.Lock()
	srv, closed := e.server, e.closed
	e.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case e.Embedded() && (srv == nil || !srv.Running() || !srv.JetStreamEnabled()):
		return &EngineError{e.String(), errors.New("stopped"), "it is being restarted"}
	case !e.conn.IsConnected():
		return e.away()
	}
	return nil
}

// away says that there is no connection.
func (e *Engine) away() error {
	err := e.conn.LastError()
	if err == nil {
		err = errCut
	}
	return &EngineError{e.String(), err, "it is tried again until it is back"}
}

// Close stops the engine. Logs and stores on it are closed before.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	done := e.closed
	e.closed = true
	e.mu.Unlock()
	if done {
		return nil
	}
	e.conn.Close()
	stopped := make(chan struct{})
	go func() { // ends with the server, which the process cannot end otherwise
		defer close(stopped)
		e.healing.Lock()
		defer e.healing.Unlock()
		e.stopServer()
		e.unlock()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return &EngineError{e.String(), ctx.Err(), "it was still writing"}
	}
}

// answers waits until JetStream answers.
func (e *Engine) answers(ctx context.Context) error {
	js, err := jetstream.New(e.conn)
	if err != nil {
		return err
	}
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = js.AccountInfo(try)
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
			return &EngineError{e.String(), err, "start nats-server with -js, or give the account JetStream"}
		}
		select {
		case <-ctx.Done():
			return &EngineError{e.String(), fmt.Errorf("JetStream: %w: %w", errNoAnswer, err), "see the server's log"}
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// redacted returns URLs without what is secret in them.
func redacted(urls string) string {
	all := strings.Split(urls, ",")
	for i, s := range all {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			all[i] = "nats://?"
			continue
		}
		u.User = nil
		all[i] = u.Host
	}
	return "nats at " + strings.Join(all, ", ")
}
