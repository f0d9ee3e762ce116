package discordtest

import (
	"encoding/json"
	"fmt"
	"time"
)

// identifyWindow is how far apart two identifies of one key
// (shard_id % max_concurrency) must be.
const identifyWindow = 5 * time.Second

// identify answers op 2. An identify with a valid token costs budget whatever
// becomes of it.
func (c *conn) identify(d json.RawMessage) error {
	var f identifyFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	b := c.login(f.Token)
	if b == nil {
		return nil
	}
	now := time.Now()
	shard, count, given := 0, 1, f.Shard != nil
	if given {
		shard, count = f.Shard[0], f.Shard[1]
	}
	place := [2]int{shard, count}
	verdict, kind, detail := b.admit(now, f.Intents, shard, count, given)
	if kind != "" {
		c.s.violate(kind, b, place, detail)
		b.count(func(st *BotStats) { st.IdentifiesRefused++ })
	}
	switch {
	case kind == BudgetExceeded:
		b.kill("the token was reset", true)
		c.closeWith(CloseAuthFailed)
		return nil
	case verdict == opInvalidSession:
		c.invalidSession(false)
		return nil
	case verdict != 0:
		c.closeWith(verdict)
		return nil
	}
	c.mu.Lock()
	c.compress = string(f.Compress) == "true" && c.how.compress == ""
	c.mu.Unlock()
	if c.meet(AtIdentify) {
		b.count(func(st *BotStats) { st.Identifies++ })
		return nil
	}
	x := &session{b: b, id: c.s.newSessionID(), shard: shard, count: count, intents: *f.Intents, how: c.how}
	x.begin(c)
	c.meet(AtReady)
	return nil
}

// login returns the bot of a token, or closes the connection and returns nil.
func (c *conn) login(token string) *bot {
	b := c.s.byToken(token)
	if b != nil {
		c.mu.Lock()
		c.b = b
		c.mu.Unlock()
	}
	switch {
	case b == nil:
		c.violate(WrongToken, "")
	case b.isDead():
		c.violate(DeadToken, "")
	default:
		return b
	}
	c.closeWith(CloseAuthFailed)
	return nil
}

// admit decides on an identify: 0 to let it in, op 9 or a close code if not.
func (b *bot) admit(now time.Time, intents *uint64, shard, count int, given bool) (verdict int, kind ViolationKind, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget(now)
	if b.remaining <= 0 {
		return CloseAuthFailed, BudgetExceeded, fmt.Sprintf("%d a day", b.IdentifyTotal)
	}
	b.remaining--
	if count < 1 || shard < 0 || shard >= count {
		return CloseInvalidShard, BadShard, fmt.Sprintf("[%d, %d]", shard, count)
	}
	if count%b.ShardMultiple != 0 {
		return CloseInvalidShard, BadShard, fmt.Sprintf("num_shards %d is no multiple of %d", count, b.ShardMultiple)
	}
	switch {
	case intents == nil:
		return CloseInvalidIntents, BadIntents, "none given"
	case *intents&^knownIntents != 0:
		return CloseInvalidIntents, BadIntents, fmt.Sprintf("unknown bits %#x", *intents&^knownIntents)
	case *intents&Privileged&^b.AllowedIntents != 0:
		return CloseDisallowed, DisallowedIntents, fmt.Sprintf("bits %#x", *intents&Privileged&^b.AllowedIntents)
	}
	n := 0
	for id := range b.guilds {
		if Place(id, count) == shard {
			n++
		}
	}
	if n > b.MaxGuildsPerShard {
		why := fmt.Sprintf("%d guilds on shard %d of %d", n, shard, count)
		if !given {
			why += ", shard not given"
		}
		return CloseShardingRequired, NeedsSharding, why
	}
	key := shard % b.MaxConcurrency
	last, before := b.lastIdentify[key]
	b.lastIdentify[key] = now
	if wait := now.Sub(last); before && wait < identifyWindow {
		return opInvalidSession, IdentifyTooEarly, fmt.Sprintf("key %d, %v after the one before", key, wait)
	}
	return 0, "", ""
}
