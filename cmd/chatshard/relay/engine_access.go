package relay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What programs that connect with EngineConfig.Token may use up.
const (
	maxOutsideConns     = 256
	maxOutsideConsumers = 256
	maxOutsidePending   = 10_000            // messages of a consumer that wait for an acknowledgement
	maxOutsideWaiting   = 1000              // pulls of a consumer that wait
	maxOutsideExpires   = time.Minute       // of a pull: the engine forgets after two where its answers go
	maxConsumerRequest  = 64 << 10          // bytes
	ownConsumers        = maxReaders + 2*16 // of the log's own readers, of which there may be so many
)

// guardedCreate is where requests for consumers arrive that have to be looked at.
const guardedCreate = "chatshard.guarded."

// outsideMay are the requests that programs outside may make.
var outsideMay = []struct {
	from, to string // as they write it, and as it arrives; "" is the same
	kind     server.ServiceRespType
}{
	{"send", "", server.Singleton},
	{"send.>", "", server.Singleton},
	{"$JS.API.INFO", "", server.Singleton},
	{"$JS.API.STREAM.NAMES", "", server.Singleton},
	{"$JS.API.STREAM.INFO." + defaultStream, "", server.Singleton},
	{"$JS.API.STREAM.MSG.GET." + defaultStream, "", server.Singleton},
	{"$JS.API.CONSUMER.CREATE." + defaultStream + ".>", guardedCreate + "CONSUMER.CREATE." + defaultStream + ".>", server.Singleton},
	{"$JS.API.CONSUMER.DURABLE.CREATE." + defaultStream + ".*", guardedCreate + "CONSUMER.DURABLE.CREATE." + defaultStream + ".*", server.Singleton},
	{"$JS.API.CONSUMER.INFO." + defaultStream + ".*", "", server.Singleton},
	{"$JS.API.CONSUMER.DELETE." + defaultStream + ".*", "", server.Singleton},
	{"$JS.API.CONSUMER.MSG.NEXT." + defaultStream + ".*", "", server.Streamed},
	{"$JS.ACK." + defaultStream + ".>", "", server.Singleton},
}

// access says who may what in an embedded engine. The relay itself has a secret
// that no one else knows, and the account of the log. User and Password are for
// who may do as much: a relay in another process. Token is for programs that
// read and send: they have an account of their own, which holds nothing and
// reaches no more of the other one than outsideMay.
//
// Permissions on the log's account would not do. A request names the subject of
// its answer, and the answer is published with the rights of who gives it: into
// the log, into the cursors, at the API that deletes both. Between accounts
// answers go where the request came from.
type access struct {
	cfg    *EngineConfig
	secret string
	served atomic.Pointer[server.Account] // of programs outside; nil: not yet
}

func newAccess(cfg *EngineConfig) *access { return &access{cfg: cfg, secret: rand.Text()} }

// Check implements server.Authentication.
func (a *access) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	switch {
	case o.Token != "":
		outside := a.served.Load()
		if a.cfg.Token == "" || !same(o.Token, a.cfg.Token) || outside == nil || outside.NumLocalConnections() >= maxOutsideConns {
			return false
		}
		c.RegisterUser(&server.User{Account: outside})
		return true
	case o.Username == "":
		return same(o.Password, a.secret)
	}
	return a.cfg.User != "" && a.cfg.Password != "" && same(o.Username, a.cfg.User) && same(o.Password, a.cfg.Password)
}

// same compares without saying by its time how much of it is right.
func same(got, want string) bool {
	g, w := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
}

// open makes the account of programs outside in a server that has just started.
func (a *access) open(srv *server.Server) error {
	outside, err := srv.RegisterAccount("outside")
	if err != nil {
		return err
	}
	all := srv.GlobalAccount()
	for _, may := range outsideMay {
		to := may.to
		if to == "" {
			to = may.from
		}
		if err := all.AddServiceExportWithResponse(to, may.kind, nil); err != nil {
			return fmt.Errorf("export of %s: %w", to, err)
		}
		if err := outside.AddServiceImport(all, may.from, to); err != nil {
			return fmt.Errorf("import of %s: %w", may.from, err)
		}
	}
	// What is live may be had by plain subscriptions as well.
	if err := all.AddStreamExport(subjectRoot+".>", nil); err != nil {
		return fmt.Errorf("export of entries: %w", err)
	}
	if err := outside.AddStreamImport(all, subjectRoot+".>", ""); err != nil {
		return fmt.Errorf("import of entries: %w", err)
	}
	a.served.Store(outside)
	return nil
}

// serveConsumers makes consumers for programs outside; one goroutine of nats.go
// does it, and ends with the connection.
func serveConsumers(nc *nats.Conn) error {
	_, err := nc.Subscribe(guardedCreate+">", func(m *nats.Msg) {
		data, err := makeConsumer(nc, m)
		if err != nil {
			data, _ = json.Marshal(server.JSApiConsumerCreateResponse{ApiResponse: server.ApiResponse{
				Type: server.JSApiConsumerCreateResponseType, Error: err,
			}})
		}
		_ = m.Respond(data) // who asked may be gone
	})
	return err
}

// makeConsumer looks at a request for a consumer and hands it on. A consumer
// that is pushed to a subject would publish there with all rights.
func makeConsumer(nc *nats.Conn, m *nats.Msg) ([]byte, *server.ApiError) {
	var q server.CreateConsumerRequest
	refused := func(why string) *server.ApiError {
		return &server.ApiError{Code: 400, ErrCode: 10012, Description: "chatshard: " + why}
	}
	if len(m.Data) > maxConsumerRequest {
		return nil, refused(fmt.Sprintf("a request has %d bytes at most", maxConsumerRequest))
	}
	if err := json.Unmarshal(m.Data, &q); err != nil {
		return nil, refused("no request for a consumer: " + cut(err.Error(), 200))
	}
	c := &q.Config
	switch {
	case c.DeliverSubject != "":
		return nil, refused("push consumers are not made here: make a pull consumer, without deliver_subject")
	case c.AckPolicy != server.AckNone && (c.MaxAckPending < 0 || c.MaxAckPending > maxOutsidePending):
		return nil, refused(fmt.Sprintf("max_ack_pending: 1 to %d", maxOutsidePending))
	case c.MaxWaiting < 0 || c.MaxWaiting > maxOutsideWaiting:
		return nil, refused(fmt.Sprintf("max_waiting: 1 to %d", maxOutsideWaiting))
	}
	if c.MaxRequestExpires <= 0 || c.MaxRequestExpires > maxOutsideExpires {
		c.MaxRequestExpires = maxOutsideExpires
	}
	c.Direct, c.Sourcing = false, false // it would not be counted
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	away := &server.ApiError{Code: 503, ErrCode: 10008, Description: "chatshard: the engine does not answer: try again"}
	if full, err := tooManyConsumers(ctx, nc, c); err != nil {
		return nil, away
	} else if full {
		return nil, &server.ApiError{Code: 400, ErrCode: 10026, Description: fmt.Sprintf("chatshard: there are %d consumers: delete one, or give them an inactive_threshold", maxOutsideConsumers)}
	}
	body, err := json.Marshal(&q) // as it was understood here, not as it was written
	if err != nil {
		return nil, refused(err.Error())
	}
	answer, err := nc.RequestWithContext(ctx, "$JS.API."+strings.TrimPrefix(m.Subject, guardedCreate), body)
	if err != nil {
		return nil, away
	}
	return answer.Data, nil
}

// tooManyConsumers reports whether a consumer would be one more than there may be.
func tooManyConsumers(ctx context.Context, nc *nats.Conn, c *server.ConsumerConfig) (bool, error) {
	ask := func(what string, answer any) error {
		m, err := nc.RequestWithContext(ctx, "$JS.API."+what, nil)
		if err != nil {
			return err
		}
		return json.Unmarshal(m.Data, answer)
	}
	var stream struct {
		State struct {
			Consumers int `json:"consumer_count"`
		} `json:"state"`
	}
	if err := ask("STREAM.INFO."+defaultStream, &stream); err != nil || stream.State.Consumers < maxOutsideConsumers+ownConsumers {
		return false, err
	}
	name := c.Name
	if name == "" {
		name = c.Durable
	}
	if name == "" || strings.ContainsAny(name, ".*> \t\r\n") {
		return true, nil
	}
	var there server.JSApiConsumerInfoResponse
	err := ask("CONSUMER.INFO."+defaultStream+"."+name, &there)
	return there.Error != nil, err
}
