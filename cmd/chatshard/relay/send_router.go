package relay

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatshard/chatshard/channels"
)

const (
	sendTimeout = 15 * time.Second // for a request, if its ctx allows as much
	maxText     = 64 << 10         // bytes of a request's text
	maxParts    = 10               // of a request
	maxKey      = 255              // bytes of an idempotency key
	maxInLane   = 32               // requests to one channel that may wait; more are refused as busy
	maxSending  = 1024             // requests that may be under way; more are refused as busy
)

// Route is where an account sends.
type Route struct {
	Platform channels.Platform
	Network  string // of IRC
	Account  string // its name in requests
	Sender   Sender
	// Carries reports whether the account sends to a channel of its platform
	// and network. Default: to each.
	Carries func(channels.Name) bool
}

// Router sends what is asked for over the account that it is for. Its methods
// are safe for concurrent use, and it owns no goroutine.
type Router struct {
	routes  atomic.Pointer[[]Route]
	keys    keyWindow
	sending atomic.Int64
	results *prometheus.CounterVec // by account and outcome

	mu    sync.Mutex // guards lanes; never held while waiting
	lanes map[lane]*turn
}

// lane is a channel as one account sends to it. Messages of a lane go one after
// the other, all parts of a text together.
type lane struct {
	account string
	channel channels.Name
}

type turn struct {
	free  chan struct{} // of one
	users int
}

// NewRouter returns a Router with routes. Where several fit a request that
// names no account, the first one is taken.
func NewRouter(routes ...Route) *Router {
	r := &Router{lanes: make(map[lane]*turn), results: newSendMetrics()}
	r.Set(routes...)
	return r
}

// Set replaces the routes. What is under way goes on with the old ones.
func (r *Router) Set(routes ...Route) {
	routes = slices.Clone(routes)
	r.routes.Store(&routes)
}

// Send sends a text and says what became of it: within 15 s, or as soon as ctx
// ends. It waits for the account's budget and for earlier requests to the
// channel. A request with the key of an earlier one gets that one's answer, if
// need be when it is there, unless that was that nothing could be sent just now.
func (r *Router) Send(ctx context.Context, q SendRequest) SendResult {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	name, err := channels.Parse(q.To)
	if err != nil {
		return refused(CodeBadChannel, err.Error())
	}
	if len(q.Text) > maxText {
		return refused(CodeTooLong, fmt.Sprintf("the text has %d bytes, %d are allowed", len(q.Text), maxText))
	}
	if why := checkText(name.Platform, q.Text); why != "" {
		return refused(CodeBadText, why)
	}
	if !isToken(q.ReplyTo, maxKey) {
		return refused(CodeBadReply, "reply_to is not the id of a message")
	}
	if !isToken(q.Key, maxKey) {
		return refused(CodeBadKey, fmt.Sprintf("a key is at most %d printable ASCII characters without spaces", maxKey))
	}
	route, no := r.route(name, q.Account)
	if no != nil {
		return *no
	}
	res := r.over(ctx, route, name, q)
	if !res.Duplicate {
		r.results.WithLabelValues(string(route.Platform), route.Network, route.Account, res.Status).Inc()
	}
	return res
}

// over sends a text over an account.
func (r *Router) over(ctx context.Context, route *Route, name channels.Name, q SendRequest) SendResult {
	parts := route.Sender.Split(name.Channel, q.Text)
	if len(parts) > maxParts {
		res := refused(CodeTooLong, fmt.Sprintf("the text would be %d messages, %d are allowed", len(parts), maxParts))
		res.Parts = len(parts)
		return res
	}
	defer r.sending.Add(-1)
	if r.sending.Add(1) > maxSending {
		return later(CodeBusy, "too many messages wait to be sent", time.Second)
	}
	if q.Key == "" {
		return r.deliver(ctx, route, name, q, parts)
	}
	id := digestOf(q.From, q.Key)
	content := digestOf(name.String(), q.Text, q.ReplyTo, q.Account)
	k, isNew, full := r.keys.begin(id, content, time.Now())
	switch {
	case k == nil:
		return later(CodeBusy, fmt.Sprintf("%d idempotency keys are in use", maxKeys), full)
	case k.content != content:
		return refused(CodeKeyReused, "the key was used in the last 10 minutes for another text, channel, account or reply")
	case isNew:
		res := unknown(CodeServerError, "the relay broke off")
		defer func() { r.keys.end(k, res, !res.passing(), time.Now()) }()
		res = r.deliver(ctx, route, name, q, parts)
		return res
	}
	select {
	case <-k.done:
		res := k.result
		res.Duplicate = true
		return res
	case <-ctx.Done():
		res := unknown(CodeInProgress, "the first request with this key is still under way")
		res.Parts, res.Duplicate = len(parts), true
		return res
	}
}

// route returns the route of a request, or why there is none.
func (r *Router) route(name channels.Name, account string) (*Route, *SendResult) {
	routes := *r.routes.Load()
	var accounts []string
	carried := true
	for i := range routes {
		t := &routes[i]
		if t.Platform != name.Platform || t.Network != name.Network {
			continue
		}
		accounts = append(accounts, strconv.Quote(t.Account))
		if account != "" && t.Account != account {
			continue
		}
		if t.Carries == nil || t.Carries(name) {
			return t, nil
		}
		carried = false
	}
	where := string(name.Platform)
	if name.Network != "" {
		where += ":" + name.Network
	}
	var no SendResult
	switch {
	case len(accounts) == 0:
		no = refused(CodeNoRoute, "no account is configured to send to "+where)
	case !carried:
		no = refused(CodeNotCarried, name.String()+" is not one of the channels carried")
	default:
		no = refused(CodeNoRoute, clipped(fmt.Sprintf("no account %.60q sends to %s: use one of %s", account, where, strings.Join(accounts, ", "))))
	}
	return nil, &no
}

// deliver sends the parts of a text, one after the other, until one is not sent.
func (r *Router) deliver(ctx context.Context, t *Route, name channels.Name, q SendRequest, parts []string) SendResult {
	all := SendResult{Status: StatusSent, Parts: len(parts)}
	leave, no := r.enter(ctx, lane{t.Account, name})
	if no != nil {
		no.Parts = len(parts)
		if no.RetryAfter > 0 {
			no.RetryAfter = max(no.RetryAfter, pace(t.Sender, name.Channel))
		}
		return *no
	}
	defer leave()
	seed := rand.Text()
	if q.Key != "" {
		seed = q.Key
	}
	for i, text := range parts {
		m := Message{Channel: name, Text: text, Nonce: nonce(q.From, seed, name.String(), strconv.Itoa(i), text)}
		if i == 0 {
			m.ReplyTo = q.ReplyTo
		}
		res := t.Sender.Send(ctx, m)
		all.Altered = all.Altered || res.Altered
		if res.Status == StatusSent {
			all.SentParts++
			all.IDs = append(all.IDs, slices.Concat(res.IDs, []string{""})[0])
			continue
		}
		all.Status, all.Code, all.Reason = res.Status, res.Code, clipped(strings.ToValidUTF8(res.Reason, "?"))
		switch {
		case i > 0:
			all.Reason = fmt.Sprintf("part %d of %d: %s; the parts before it were sent, those after it not", i+1, len(parts), all.Reason)
		case res.Status == StatusRefused:
			all.RetryAfter = res.RetryAfter
		}
		break
	}
	return all
}

// enter waits for the turn to send in a lane.
func (r *Router) enter(ctx context.Context, l lane) (leave func(), no *SendResult) {
	const again = time.Second
	r.mu.Lock()
	t := r.lanes[l]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
	}
	if t.users >= maxInLane {
		r.mu.Unlock()
		res := later(CodeBusy, "too many messages wait to be sent to the channel", again)
		return nil, &res
	}
	t.users++
	r.lanes[l] = t
	r.mu.Unlock()
	gone := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(r.lanes, l)
		}
	}
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free; gone() }, nil
	case <-ctx.Done():
		gone()
		res := interrupted(ctx, "earlier messages to the channel were sent", again)
		return nil, &res
	}
}

// nonce returns 24 letters, digits, - and _ that stand for parts.
func nonce(parts ...string) string {
	d := digestOf(parts...)
	e := digestOf(string(d[:]))
	return base64.RawURLEncoding.EncodeToString(append(d[:], e[:2]...))
}

// isToken reports whether s is empty or printable ASCII without spaces, and
// not too long.
func isToken(s string, most int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= most
}
