package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/nats-io/nats.go"
)

const (
	sendQueue    = "chatshard-send" // group: each request is one relay's
	maxNATSSends = 256              // requests of NATS under way; more are refused as busy
)

// ServeNATS answers requests on the subjects "send" and "send.>": a
// [SendRequest] as JSON, the key in it or in the header Idempotency-Key, and a
// [SendResult] as the answer. Several relays share the requests, but not the
// keys, so a key is worth something only where one relay serves a subject.
// Keys belong to the subject, which permissions of NATS can keep for one user.
//
// No more requests than sends allows are carried out, nil being for any number.
//
// It returns nil when ctx has ended and every request that had come has been
// answered, which takes 15 s at most, or an error if nc is closed before.
func ServeNATS(ctx context.Context, nc *nats.Conn, r *Router, sends *balancer.Window) error {
	slots := make(chan struct{}, maxNATSSends)
	var wg sync.WaitGroup // requests under way
	// Requests are carried on when ctx ends.
	base := context.WithoutCancel(ctx)
	serve := func(m *nats.Msg) {
		if sends != nil {
			if wait, _ := sends.Take(time.Now(), 1); wait > 0 {
				respond(m, later(CodeBusy, "more messages than may be sent over NATS", wait))
				return
			}
		}
		select {
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				respond(m, answerNATS(base, m, r))
			})
		default:
			respond(m, later(CodeBusy, "too many messages wait to be sent", time.Second))
		}
	}
	closed := make(chan struct{}, 2)
	var subs []*nats.Subscription
	var err error
	for _, subject := range []string{"send", "send.>"} {
		var sub *nats.Subscription
		if sub, err = nc.QueueSubscribe(subject, sendQueue, serve); err != nil {
			err = fmt.Errorf("relay: subscribe to %s: %w", subject, err)
			break
		}
		sub.SetClosedHandler(func(string) { closed <- struct{}{} })
		subs = append(subs, sub)
	}
	left := len(subs)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-closed:
			left--
			err = errors.New("relay: the connection to NATS was closed")
		}
	}
	for _, sub := range subs {
		if sub.Drain() != nil && sub.IsValid() {
			_ = sub.Unsubscribe() // the connection is gone, and so is the subscription
		}
	}
	for ; left > 0; left-- {
		select {
		case <-closed:
		case <-time.After(sendTimeout):
		}
	}
	wg.Wait()
	return err
}

func answerNATS(ctx context.Context, m *nats.Msg, r *Router) SendResult {
	if len(m.Data) > maxSendBody {
		return refused(CodeTooLong, fmt.Sprintf("the request has %d bytes, %d are allowed", len(m.Data), maxSendBody))
	}
	q, err := parseSend(m.Data)
	if err != nil {
		return refused(CodeBadRequest, err.Error())
	}
	if key := m.Header.Get("Idempotency-Key"); key != "" {
		if q.Key != "" && q.Key != key {
			return refused(CodeBadRequest, "one idempotency key, please: the header Idempotency-Key or the field key")
		}
		q.Key = key
	}
	q.From = "nats:" + m.Subject
	return r.Send(ctx, q)
}

func respond(m *nats.Msg, res SendResult) {
	if m.Reply == "" { // published by somebody who does not want to know
		return
	}
	if b, err := json.Marshal(res); err == nil {
		_ = m.Respond(b) // the connection is closed: ServeNATS says so
	}
}
