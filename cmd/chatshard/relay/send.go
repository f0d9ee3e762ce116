package relay

import (
	"context"
	"encoding/json"
	"time"

	"github.com/chatshard/chatshard/channels"
)

// SendRequest asks for a text to be said in a channel.
type SendRequest struct {
	To      string `json:"to"` // twitch:forsen, irc:libera/#go, discord:81384788765712384
	Text    string `json:"text"`
	ReplyTo string `json:"reply_to,omitempty"` // the service's id of the message that is answered
	Key     string `json:"key,omitempty"`      // idempotency key: what was asked for under it is done once in 10 minutes
	Account string `json:"account,omitempty"`  // who says it; default: the first account that may
	From    string `json:"-"`                  // who asks: keys of one never meet those of another
}

// The values of SendResult.Status.
const (
	StatusSent    = "sent"    // the service has taken all of it
	StatusRefused = "refused" // it was not taken, at least not from part SentParts+1 on
	StatusUnknown = "unknown" // part SentParts+1 may have been taken or not; the parts behind it were not sent
)

// The values of SendResult.Code that are the relay's own. Others are the
// service's: "msg_slowmode", "404", "50013".
const (
	CodeBadChannel   = "bad_channel"     // not a name of a channel
	CodeBadText      = "bad_text"        // empty, not UTF-8, or characters that cannot be sent
	CodeBadReply     = "bad_reply"       // not an id of this service
	CodeBadKey       = "bad_key"         // not an idempotency key
	CodeBadRequest   = "bad_request"     // not a request
	CodeTooLong      = "too_long"        // more parts than one request may have
	CodeNoRoute      = "no_route"        // no account is there that sends to this platform or network, or none by that name
	CodeNotCarried   = "not_carried"     // the account does not carry the channel
	CodeKeyReused    = "key_reused"      // the key was used for another content
	CodeBusy         = "busy"            // too many requests wait already
	CodeRateLimited  = "rate_limited"    // the service's limit leaves no room in time
	CodeNotReady     = "not_ready"       // there is no connection
	CodeReadOnly     = "read_only"       // the account cannot send
	CodeUnauthorized = "unauthorized"    // the service does not accept the token
	CodeCancelled    = "cancelled"       // who asked went away before it was sent
	CodeSilence      = "silence"         // the service did not say
	CodeLost         = "connection_lost" // the connection ended before the service said
	CodeServerError  = "server_error"    // the service answered that it does not know either
	CodeInProgress   = "in_progress"     // the first request with this key is still under way
)

// SendResult is what became of a request.
type SendResult struct {
	Status     string
	IDs        []string      // the service's ids of the parts sent, "" where it gives none
	Code       string        // why it was not sent, for programs; "" if it was
	Reason     string        // the same for people, in the service's words where it has some
	Parts      int           // into which the text was split
	SentParts  int           // of them, those that were certainly sent: always the first ones
	Duplicate  bool          // the answer to an earlier request with this key: nothing was done now
	Altered    bool          // an invisible character was added, as Twitch refuses the same text twice
	RetryAfter time.Duration // nothing was sent, and trying again makes sense after this time; 0: it does not
}

// sendResult is SendResult on the wire.
type sendResult struct {
	Status     string   `json:"status"`
	IDs        []string `json:"ids,omitempty"`
	Code       string   `json:"code,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Parts      int      `json:"parts"`
	SentParts  int      `json:"sent_parts"`
	Duplicate  bool     `json:"duplicate,omitempty"`
	Altered    bool     `json:"altered,omitempty"`
	RetryAfter float64  `json:"retry_after,omitempty"` // seconds
}

// MarshalJSON writes retry_after in seconds.
func (r SendResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(sendResult{r.Status, r.IDs, r.Code, r.Reason, r.Parts, r.SentParts, r.Duplicate, r.Altered, r.RetryAfter.Seconds()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *SendResult) UnmarshalJSON(b []byte) error {
	var w sendResult
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	retry := time.Duration(min(max(w.RetryAfter, 0), 24*3600) * float64(time.Second))
	*r = SendResult{w.Status, w.IDs, w.Code, w.Reason, w.Parts, w.SentParts, w.Duplicate, w.Altered, retry}
	return nil
}

// passing reports whether nothing was sent for a reason that passes: such an
// answer is not kept for the key, as the request can be made again.
func (r *SendResult) passing() bool {
	return r.Status == StatusRefused && r.SentParts == 0 && (r.RetryAfter > 0 || r.Code == CodeCancelled)
}

// Message is one part of a text on its way to a service.
type Message struct {
	Channel channels.Name
	Text    string
	ReplyTo string
	Nonce   string // the same for the same part of the same request, at most 25 letters and digits
}

// Sender sends as one account. Its methods are safe for concurrent use. The
// Router calls Send for one message of a channel at a time.
type Sender interface {
	// Split cuts a text into the parts that the service takes for a channel.
	Split(channel, text string) []string
	// Send sends one part and returns within ctx. Of the result, Status, Code,
	// Reason, Altered and RetryAfter count, and the one ID.
	Send(ctx context.Context, m Message) SendResult
}

// Pacer is a Sender that knows how long its budgets make a message to a channel
// wait: what an answer then says in RetryAfter.
type Pacer interface {
	Pace(channel string) time.Duration
}

func pace(s Sender, channel string) time.Duration {
	if p, ok := s.(Pacer); ok {
		return p.Pace(channel)
	}
	return 0
}

func refused(code, reason string) SendResult {
	return SendResult{Status: StatusRefused, Code: code, Reason: reason}
}

func unknown(code, reason string) SendResult {
	return SendResult{Status: StatusUnknown, Code: code, Reason: reason}
}

// later is refused, to be tried again.
func later(code, reason string, after time.Duration) SendResult {
	return SendResult{Status: StatusRefused, Code: code, Reason: reason, RetryAfter: max(after, time.Millisecond)}
}

// interrupted is the answer where ctx ended before anything was sent.
func interrupted(ctx context.Context, what string, after time.Duration) SendResult {
	if context.Cause(ctx) == context.Canceled {
		return refused(CodeCancelled, "cancelled while "+what)
	}
	return later(CodeRateLimited, "no time was left while "+what, after)
}

// clipped bounds what a service can put into an answer.
func clipped(s string) string {
	const most = 500
	if len(s) <= most {
		return s
	}
	return s[:fitBytes(s, most)] + "…"
}
