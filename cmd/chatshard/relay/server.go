package relay

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// ServerConfig configures a Server.
type ServerConfig struct {
	Addr              string                  // default 127.0.0.1:8787; a public one needs Tokens
	CertFile, KeyFile string                  // of TLS; default: none
	Tokens            []Token                 // default: everybody who reaches a loopback address may all; Server.SetTokens changes them
	Origins           []string                // of web pages that may connect, as https://example.org; default: the server's own
	Cursors           Cursors                 // of named consumers; default: there are none
	Compress          bool                    // offer permessage-deflate to WebSockets
	Streams           int                     // at a time, of all tokens; default 10,000
	KeepAlive         time.Duration           // of silence after which SSE and WebSockets get a sign of life; default 15 s
	WriteTimeout      time.Duration           // for which a consumer under block or drop_oldest may take nothing; default 1 min
	Ready             map[string]func() error // what /readyz asks, by name, besides the log
	Registry          *prometheus.Registry    // of /metrics, with what others put into it; default: one of its own
	Logger            zerolog.Logger          // default: silent
}

func (c *ServerConfig) addr() string {
	if c.Addr == "" {
		return "127.0.0.1:8787"
	}
	return c.Addr
}

// Server hands a hub out over HTTP.
//
//	GET  /v1/ws      WebSocket: hello, then one envelope a frame
//	GET  /v1/stream  NDJSON without end; SSE if Accept says text/event-stream
//	GET  /v1/sse     the same as SSE
//	GET  /v1/poll    what there is, as NDJSON; waits if that is nothing
//	POST /v1/ack     acknowledges for a named consumer
//	GET  /livez /readyz /metrics
type Server struct {
	hub       *Hub
	cfg       ServerConfig
	guard     *guard
	consumers *Consumers
	mux       *http.ServeMux
	log       zerolog.Logger
	streams   chan struct{} // a place for each
	stop      context.Context
	end       context.CancelFunc
	hijacked  sync.WaitGroup // WebSockets, which http.Server forgets
	metrics   *serverMetrics
}

// NewServer returns a server of a hub, or what Check says.
func NewServer(hub *Hub, cfg *ServerConfig) (*Server, error) {
	var c ServerConfig
	if cfg != nil {
		c = *cfg
	}
	c.Tokens, c.Origins = slices.Clone(c.Tokens), slices.Clone(c.Origins)
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Streams <= 0 {
		c.Streams = 10_000
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = 15 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = time.Minute
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	s := &Server{hub: hub, cfg: c, mux: http.NewServeMux(), log: c.Logger, streams: make(chan struct{}, c.Streams), metrics: newServerMetrics()}
	s.stop, s.end = context.WithCancel(context.Background()) // Serve or Close ends it
	var err error
	if s.guard, err = newGuard(s.stop, &c); err != nil {
		return nil, err
	}
	if c.Cursors != nil {
		s.consumers = NewConsumers(hub, c.Cursors)
	}
	for _, m := range []prometheus.Collector{&hubMetrics{hub: hub}, s.metrics} {
		if err := c.Registry.Register(m); err != nil {
			return nil, fmt.Errorf("%w: metrics: %w", ErrServer, err)
		}
	}
	s.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.Handle("GET /metrics", RoleRead, promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{}))
	s.Handle("GET /v1/stream", RoleRead, http.HandlerFunc(s.stream))
	s.Handle("GET /v1/sse", RoleRead, http.HandlerFunc(s.stream))
	s.Handle("GET /v1/poll", RoleRead, http.HandlerFunc(s.poll))
	s.Handle("GET /v1/ws", RoleRead, http.HandlerFunc(s.websocket))
	s.Handle("POST /v1/ack", RoleRead, http.HandlerFunc(s.ack))
	return s, nil
}

// SetTokens replaces the tokens of a server that was made with some; with none,
// nobody gets in. The streams of a token that is no longer there, or has other
// roles or limits, end; those of the others go on. The error says what is wrong
// with a token; then nothing has changed.
func (s *Server) SetTokens(tokens []Token) error {
	if s.guard.open != nil {
		return fmt.Errorf("%w: it was made for everybody who reaches it: give it tokens at the start", ErrServer)
	}
	if err := checkTokens(tokens); err != nil {
		return err
	}
	return s.guard.set(tokens)
}

// Consumers returns the named consumers, nil without ServerConfig.Cursors.
func (s *Server) Consumers() *Consumers { return s.consumers }

type guestKey struct{}

// Handle adds a route for those who have a role, before Serve.
func (s *Server) Handle(pattern string, role Role, h http.Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		who, problem := s.guard.admit(r, role)
		if problem != nil {
			s.metrics.refused(problem.status)
			if r.ContentLength != 0 { // nobody waits for a body that is not wanted
				w.Header().Set("Connection", "close")
				_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // not every ResponseWriter can
			}
			problem.write(w)
			return
		}
		if o := r.Header.Get("Origin"); o != "" {
			w.Header().Set("Access-Control-Allow-Origin", o)
			w.Header().Set("Access-Control-Expose-Headers", "Chatshard-Cursor, Chatshard-Member")
			w.Header().Add("Vary", "Origin")
		}
		if r.Method != http.MethodGet {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), guestKey{}, who)))
	})
}

// ServeHTTP serves one request. Who uses it without Serve calls Close at the end.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		if p := s.guard.place(r); p != nil {
			p.write(w)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
		w.Header().Add("Vary", "Origin")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Run listens on the configured address and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.addr())
	if err != nil {
		return fmt.Errorf("relay: server: %w", err)
	}
	return s.Serve(ctx, l)
}

// Serve serves on a listener, which it closes, until ctx ends; then it ends all
// streams and returns when the last has ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second, // of streams: see unlimited
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
		ErrorLog:          log.New(debugWriter{s.log}, "", 0),
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		s.end()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(within) != nil {
			_ = srv.Close()
		}
	})
	var err error
	if s.cfg.CertFile != "" {
		err = srv.ServeTLS(l, s.cfg.CertFile, s.cfg.KeyFile)
	} else {
		err = srv.Serve(l)
	}
	if stop() { // it failed by itself
		_ = srv.Close()
	} else {
		<-done
	}
	s.Close()
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("relay: server: %w", err)
}

// debugWriter logs what net/http has to say: mostly that a client went away.
type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("err", strings.TrimSpace(string(p))).Msg("http")
	return len(p), nil
}

// Close ends all streams and waits for those that are WebSockets.
func (s *Server) Close() {
	s.end()
	s.hijacked.Wait()
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	type reason struct {
		Name  string `json:"name"`
		Error string `json:"error"`
	}
	reasons := []reason{}
	if s.hub.log != nil {
		if err := s.hub.log.Healthy(); err != nil {
			reasons = append(reasons, reason{"log", err.Error()})
		}
	}
	if s.stop.Err() != nil {
		reasons = append(reasons, reason{"server", "it is ending"})
	}
	for name, f := range s.cfg.Ready {
		if err := f(); err != nil {
			reasons = append(reasons, reason{name, err.Error()})
		}
	}
	slices.SortFunc(reasons, func(a, b reason) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, "application/json", map[string]any{"ready": len(reasons) == 0, "reasons": reasons})
}

func writeJSON(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
