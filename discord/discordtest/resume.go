package discordtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// resume answers op 6. It costs no budget.
func (c *conn) resume(d json.RawMessage) error {
	var f resumeFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	b := c.login(f.Token)
	if b == nil {
		return nil
	}
	failed := func() { b.count(func(st *BotStats) { st.ResumesFailed++ }) }
	if c.meet(AtResume) {
		failed()
		return nil
	}
	b.mu.RLock()
	x, why := b.sessions[f.Session], b.gone[f.Session]
	b.mu.RUnlock()
	if x == nil {
		if strings.HasPrefix(why, "closed by the client") {
			c.violate(ResumeAfterClose, why)
		}
		failed()
		c.invalidSession(false)
		return nil
	}
	if x.how != c.how {
		c.violate(ResumeMismatch, fmt.Sprintf("%v, was %v", c.how, x.how))
	}
	old, verdict := x.attach(c, f.Seq)
	if old != nil {
		old.closeWith(CloseUnknown) // two connections cannot share a session
	}
	switch verdict {
	case resumed:
		c.meet(AtResumed)
		return nil
	case expired:
		x.expire()
		failed()
		c.invalidSession(false)
	case forgotten:
		x.finish("its buffer is too short", false)
		failed()
		c.invalidSession(false)
	case future:
		c.violate(BadSeq, fmt.Sprint("seq ", f.Seq))
		x.finish("invalid seq", false)
		failed()
		c.closeWith(CloseInvalidSeq)
	}
	return nil
}

// What becomes of a RESUME.
const (
	resumed = iota
	expired
	forgotten
	future
)

// attach gives the session a new connection and replays what came after seq,
// then RESUMED. It returns the connection that it had.
func (x *session) attach(c *conn, seq uint64) (old *conn, verdict int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	held := len(x.ring) - x.head
	switch {
	case x.ended || x.conn == nil && time.Since(x.lostAt) >= x.b.s.cfg.SessionLife:
		return nil, expired
	case seq > x.seq:
		return nil, future
	case x.seq-seq > uint64(held):
		return nil, forgotten
	}
	old, x.conn = x.conn, c
	now := time.Now()
	c.mu.Lock()
	c.sess, c.stage, c.helloBy, c.ready = x, stReady, time.Time{}, now
	if len(x.todo) > 0 {
		c.guildAt = now
	}
	c.mu.Unlock()
	if old != nil {
		old.mu.Lock()
		old.sess = nil
		old.mu.Unlock()
	}
	if x.resumes++; x.resumes == 1 {
		x.b.kept.Add(1)
	}
	x.b.resumes.Add(1) // before the client can know of it
	first := x.head + held - int(x.seq-seq)
	for i, p := range x.ring[first:] {
		if p != nil {
			c.dispatch(x, p, seq+1+uint64(i))
		}
	}
	x.seq++
	x.keep(nil) // not replayed
	c.dispatch(x, &payload{t: "RESUMED", d: []byte(`{"_trace":["[\"gateway-test-0\",{\"micros\":0}]"]}`)}, x.seq)
	x.replaced = false
	return old, resumed
}
