package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// prepare looks at what the server would only stumble over: the directory, and
// who else uses it.
func (e *Engine) prepare() error {
	if e.cfg.Dir == "" {
		return &EngineError{"store directory", errors.New("none is named"), "set it, or the URL of a NATS server"}
	}
	if e.cfg.Listen != "" && e.cfg.Token == "" && (e.cfg.User == "" || e.cfg.Password == "") {
		return &EngineError{"listen " + e.cfg.Listen, errors.New("anybody could connect"), "set a token, or a user and a password"}
	}
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return storeError(e.cfg.Dir, err)
	}
	var err error
	if e.lock, err = lockDir(filepath.Join(e.cfg.Dir, "lock")); err != nil {
		return storeError(e.cfg.Dir, err)
	}
	if err := e.probe(); err != nil {
		e.unlock()
		return err
	}
	e.cfg.MaxMemory = cmp.Or(e.cfg.MaxMemory, defaultMaxMemory)
	if e.cfg.MaxStore == 0 {
		e.cfg.MaxStore = defaultMaxStore
		if free, ok := freeSpace(e.cfg.Dir); ok {
			e.cfg.MaxStore = max(1<<20, min(defaultMaxStore, int64(free/4*3)+usedSpace(e.cfg.Dir)))
		}
	}
	return nil
}

func (e *Engine) unlock() {
	if e.lock != nil {
		e.lock.Close()
	}
}

// probeSize is what must fit the disk for a full one to count as free again.
const probeSize = 256 << 10

// probe writes where the server would and says why it cannot be done.
func (e *Engine) probe() error {
	name := filepath.Join(e.cfg.Dir, "probe")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return storeError(e.cfg.Dir, err)
	}
	_, err = f.Write(make([]byte, probeSize))
	err = cmp.Or(err, f.Sync())
	err = cmp.Or(err, f.Close())
	os.Remove(name)
	if err == nil {
		jet := filepath.Join(e.cfg.Dir, "jetstream") // may have rights of its own
		if _, staterr := os.Stat(jet); staterr == nil {
			f, operr := os.CreateTemp(jet, "probe")
			if err = operr; err == nil {
				f.Close()
				os.Remove(f.Name())
			}
		}
	}
	if err != nil {
		return storeError(e.cfg.Dir, err)
	}
	return nil
}

// storeError says what to do about a directory.
func storeError(dir string, err error) error {
	do := ""
	switch {
	case errors.Is(err, errLocked):
		do = "end that one, or choose another directory"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		do = "make room, or lower retention"
	case errors.Is(err, syscall.EROFS):
		do = "mount it writable, or choose another directory"
	case errors.Is(err, os.ErrPermission):
		do = "let this user write there, or choose another directory"
	case errors.Is(err, syscall.ENOTDIR):
		do = "choose a directory"
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &EngineError{"store directory " + dir, err, do}
}

// startServer starts a server and waits until it takes connections.
func (e *Engine) startServer(ctx context.Context) error {
	opts := &server.Options{
		ServerName: "chatshard", DontListen: true, NoSigs: true,
		MaxPayload: engineMaxPayload,
		JetStream:  true, StoreDir: e.cfg.Dir, DisableJetStreamBanner: true,
		JetStreamMaxMemory: e.cfg.MaxMemory, JetStreamMaxStore: e.cfg.MaxStore,
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1},
		SyncAlways:      e.cfg.SyncAlways, SyncInterval: cmp.Or(e.cfg.SyncEvery, 10*time.Second),
		CustomClientAuthentication: e.auth,
	}
	if e.cfg.Listen != "" {
		host, port, err := net.SplitHostPort(e.cfg.Listen)
		if err != nil {
			return &EngineError{"listen " + e.cfg.Listen, err, "want HOST:PORT"}
		}
		opts.DontListen = false
		opts.Host = cmp.Or(host, "127.0.0.1")
		if opts.Port, err = strconv.Atoi(port); err != nil || opts.Port < 0 || opts.Port > 65535 {
			return &EngineError{"listen " + e.cfg.Listen, errors.New("no port"), "want HOST:PORT"}
		}
		if opts.Port == 0 {
			opts.Port = cmp.Or(e.port, server.RANDOM_PORT)
		}
		if opts.Port > 0 { // the server itself would only log it
			l, err := net.Listen("tcp", net.JoinHostPort(opts.Host, strconv.Itoa(opts.Port)))
			if err != nil {
				var op *net.OpError
				if errors.As(err, &op) {
					err = op.Err
				}
				return &EngineError{"listen " + e.cfg.Listen, err, "choose another port, or end what listens there"}
			}
			l.Close()
		}
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return &EngineError{e.String(), err, ""}
	}
	said := &serverLog{log: e.log}
	srv.SetLoggerV2(said, false, false, false)
	started := make(chan struct{})
	go func() { // ends once it runs, or cannot
		defer close(started)
		srv.Start()
	}()
	stop := func() { // one that is still starting would go on to write
		select {
		case <-started:
		case <-time.After(stopWithin):
		}
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	for !srv.ReadyForConnections(50 * time.Millisecond) {
		fatal := said.fatal.Load()
		if fatal == nil && ctx.Err() == nil {
			continue
		}
		stop()
		if fatal == nil {
			return &EngineError{e.String(), errNotReady, "a large store takes longer: allow more time"}
		}
		if err := e.probe(); err != nil {
			return err
		}
		return &EngineError{e.String(), errors.New(*fatal), ""}
	}
	if err := e.auth.open(srv); err != nil {
		stop()
		return &EngineError{e.String(), err, ""}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server = srv
	if addr, ok := srv.Addr().(*net.TCPAddr); ok && !opts.DontListen {
		e.port = addr.Port
	}
	return nil
}

// stopWithin bounds how long a server that is not wanted any more may go on to
// start.
const stopWithin = 5 * time.Second

func (e *Engine) stopServer() {
	e.mu.Lock()
	srv := e.server
	e.server = nil
	e.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// minRestart and maxRestart are the waits between restarts.
const (
	minRestart = 2 * time.Second
	maxRestart = time.Minute
)

// heal restarts an embedded server that has stopped storing, once the disk can
// be written: a server that met a full disk does not go on by itself. Streams
// are as they were. It returns nil if there is a server that may be tried, and
// why there is none otherwise. It blocks while the server stops and starts.
func (e *Engine) heal(ctx context.Context, why error) error {
	if !e.Embedded() {
		return nil
	}
	e.healing.Lock()
	defer e.healing.Unlock()
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := e.probe(); err != nil {
		return err
	}
	if time.Since(e.healed) < e.again {
		return &EngineError{e.String(), why, "it was restarted just now"}
	}
	e.log.Warn().Err(why).Msg("restarting the embedded engine")
	if time.Since(e.healed) > 2*maxRestart {
		e.again = 0
	}
	e.stopServer()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Within)
	defer cancel()
	err := e.startServer(ctx)
	e.healed, e.again = time.Now(), min(maxRestart, max(minRestart, 2*e.again))
	return err
}

// Restart stops the embedded server and starts it again.
func (e *Engine) Restart(ctx context.Context) error {
	if !e.Embedded() {
		return nil
	}
	e.healing.Lock()
	defer e.healing.Unlock()
	e.stopServer()
	return e.startServer(ctx)
}

// serverLog takes what the server logs.
type serverLog struct {
	log   zerolog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) say(e *zerolog.Event, format string, v []any) {
	if e.Enabled() {
		e.Str("from", "nats-server").Msg(strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.say(l.log.Debug(), format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.say(l.log.Warn(), format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.say(l.log.Warn(), format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.say(l.log.Debug(), format, v) }
func (l *serverLog) Tracef(format string, v ...any)  {}

// Fatalf does not end the process, which the server's own logger would.
func (l *serverLog) Fatalf(format string, v ...any) {
	s := fmt.Sprintf(format, v...)
	l.fatal.Store(&s)
	l.say(l.log.Warn(), "%s", []any{s})
}

// usedSpace returns the bytes of the files below a directory.
func usedSpace(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
