package irc

import (
	"context"
	"strings"
	"time"
)

// SendState is what is known of a message that was to be sent.
type SendState int

// What can become of a message.
const (
	SendUnknown SendState = iota // the service said nothing in time, or the connection ended: it may have been sent or not
	Sent                         // the service has taken it
	SendRefused                  // the service has not taken it
)

var sendStates = [...]string{"unknown", "sent", "refused"}

// String returns "unknown", "sent" or "refused".
func (s SendState) String() string {
	if s >= 0 && int(s) < len(sendStates) {
		return sendStates[s]
	}
	return "state(?)"
}

// Receipt is what became of a message.
type Receipt struct {
	State     SendState
	MessageID string // of a message that was sent, where the service tells
	Reason    string // why not, in the service's words: "msg_slowmode", "404"; "silence" or "connection lost" where it is not known
	Text      string // what the service said about it
}

// receiptTime is how long the service may take to answer a message.
const receiptTime = 5 * time.Second

// pending is a message that waits for its receipt. The connection that sends
// it fills it in: no other may.
type pending struct {
	channel string // as sent
	text    string
	nonce   string
	c       *conn
	done    chan Receipt // of one
}

type pendingKey struct{}

// sendPending sends a message that waits for its receipt.
func (c *conn) sendPending(ctx context.Context, p *pending, line []byte) error {
	if c.flood != nil {
		if err := c.flood.wait(ctx); err != nil {
			return err
		}
		if !c.echo { // the answer to a PING comes after any error
			line = append(append(append(line, "PING :"...), p.nonce...), "\r\n"...)
			c.flood.spend()
		}
	} else if c.isup != nil && !c.echo {
		line = append(append(append(line, "PING :"...), p.nonce...), "\r\n"...)
	}
	c.mu.Lock()
	if c.isClosed() {
		c.mu.Unlock()
		return ErrClosed
	}
	if c.receipts == nil {
		c.receipts = make(map[string]*pending)
	}
	c.receipts[c.fold(p.channel)] = p
	p.c = c
	c.mu.Unlock()
	return c.send(line)
}

// await waits for the receipt.
func (p *pending) await(ctx context.Context) Receipt {
	t := time.NewTimer(receiptTime)
	defer t.Stop()
	select {
	case r := <-p.done:
		return r
	case <-t.C:
		p.drop()
		return Receipt{Reason: "silence"}
	case <-ctx.Done():
		p.drop()
		return Receipt{Reason: "not waited for"}
	}
}

// drop stops waiting.
func (p *pending) drop() {
	if p.c == nil {
		return
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if name := p.c.fold(p.channel); p.c.receipts[name] == p {
		delete(p.c.receipts, name)
	}
}

// settle hands out the receipt of the message to a channel. mu is held.
func (c *conn) settle(channel string, r Receipt) {
	if len(c.receipts) == 0 {
		return
	}
	name := c.fold(channel)
	p := c.receipts[name]
	if p == nil {
		return
	}
	delete(c.receipts, name)
	r.MessageID, r.Reason, r.Text = strings.Clone(r.MessageID), strings.Clone(r.Reason), strings.Clone(clip(r.Text, 500))
	p.done <- r // there is room for the one
}

// settleAll hands out what can be said when the connection has ended.
func (c *conn) settleAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.receipts {
		c.settle(name, Receipt{Reason: "connection lost"})
	}
	c.tellEnd()
}

// onUserState takes the answer to a message of our own: Twitch gives its id,
// and the nonce that was sent with it. A USERSTATE without an id is the answer
// to a JOIN. mu is held.
func (c *conn) onUserState(m *Message) {
	if len(c.receipts) == 0 {
		return
	}
	id, ok := m.Tag("id")
	if !ok {
		return
	}
	name := m.Channel()
	if nonce, ok := m.Tag("client-nonce"); ok {
		if p := c.receipts[c.fold(name)]; p == nil || p.nonce != nonce {
			return
		}
	}
	c.settle(name, Receipt{State: Sent, MessageID: id})
}

// echoed takes a message that may be our own come back. mu is held.
func (c *conn) echoed(m *Message) {
	if !c.isMe(m.Nick()) {
		return
	}
	if p := c.receipts[c.fold(m.Channel())]; p != nil && p.text == m.Text() {
		c.settle(m.Channel(), Receipt{State: Sent, MessageID: m.ID()})
	}
}

// ponged takes the answer to the PING behind a message: no error came before
// it. mu is held.
func (c *conn) ponged(token string) {
	for name, p := range c.receipts {
		if p.nonce == token {
			c.settle(name, Receipt{State: Sent})
			return
		}
	}
}
