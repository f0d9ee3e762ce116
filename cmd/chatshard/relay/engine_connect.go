package relay

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// dial connects to the engine. A connection that does not reconnect keeps
// nothing that it could send later.
func (e *Engine) dial(name string, reconnect bool) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(name),
		nats.Timeout(3 * time.Second),
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1), // what cannot be sent now is an error, not a surprise
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			e.log.Warn().Err(err).Str("conn", name).Msg("engine connection")
		}),
	}
	if reconnect {
		opts = append(opts, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond))
	} else {
		opts = append(opts, nats.NoReconnect())
	}
	if e.Embedded() {
		opts = append(opts, nats.UserInfo("", e.auth.secret))
	} else if e.cfg.Token != "" {
		opts = append(opts, nats.Token(e.cfg.Token))
	} else if e.cfg.User != "" {
		opts = append(opts, nats.UserInfo(e.cfg.User, e.cfg.Password))
	}
	url := ""
	if e.Embedded() {
		opts = append(opts, nats.InProcessServer(e))
	} else {
		url = e.cfg.URL
		if e.cfg.CredsFile != "" {
			opts = append(opts, nats.UserCredentials(e.cfg.CredsFile))
		}
		if e.cfg.TLS != nil {
			opts = append(opts, nats.Secure(e.cfg.TLS))
		}
	}
	nc, err := nats.Connect(url, opts...)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return nil, &EngineError{e.String(), err, "check user, password, token or creds file"}
	case errors.Is(err, os.ErrNotExist) && e.cfg.CredsFile != "":
		return nil, &EngineError{"creds file " + e.cfg.CredsFile, err, "name the file that the account's owner made"}
	case e.Embedded():
		return nil, &EngineError{e.String(), err, ""}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return nil, &EngineError{e.String(), err, "is nats-server running there, and may this host reach it?"}
}

// InProcessConn connects to the server of the moment; it serves nats.go.
func (e *Engine) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	srv := e.server
	e.mu.Unlock()
	if srv == nil {
		return nil, errCut
	}
	return srv.InProcessConn()
}
