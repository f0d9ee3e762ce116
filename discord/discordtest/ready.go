package discordtest

import (
	"fmt"
	"net"
	"time"
)

// begin makes the session exist: READY, then its guilds one after another.
func (x *session) begin(c *conn) {
	b, now := x.b, time.Now()
	dm := b.s.guild(0)
	dm.mu.Lock()
	defer dm.mu.Unlock()
	from := b.s.mint.next(0)
	x.judges = b.watchers()
	if x.shard == 0 {
		for _, j := range x.judges {
			j.track(dm).entered(from)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x.pending = make(map[uint64]struct{})
	for _, g := range b.order {
		if Place(g.id, x.count) == x.shard {
			x.pending[g.id] = struct{}{}
			x.todo = append(x.todo, g)
		}
	}
	x.total = len(x.todo)
	x.max = b.s.cfg.ReplayMax
	if x.max <= 0 {
		x.max = max(100, min(3500, x.total*75))
	}
	fl := b.fleets[x.count]
	if fl == nil {
		fl = &fleet{shards: make([][]*session, x.count)}
		b.fleets[x.count] = fl
	}
	for _, old := range fl.shards[x.shard] {
		old.mu.Lock()
		if old.conn == nil && !old.ended && !old.replaced && old.known.Load() && now.Sub(old.lostAt) < b.s.cfg.SessionLife {
			old.replaced = true
			b.st.SessionsWasted++
		}
		old.mu.Unlock()
	}
	ready := &payload{t: "READY", d: x.ready(c, b.order), g: dm, ready: true}
	if x.shard == 0 {
		ready.id = from
	}
	x.conn = c
	c.mu.Lock()
	c.sess, c.stage, c.helloBy, c.guildAt, c.ready = x, stReady, time.Time{}, now, now
	c.mu.Unlock()
	x.push(ready)
	fl.add(x)
	b.sessions[x.id] = x
	b.intents = x.intents
	b.st.Identifies++
}

// ready returns the d of READY.
func (x *session) ready(c *conn, order []*guild) []byte {
	b := x.b
	d := fmt.Appendf(nil, `{"v":%s,"user_settings":{},"user":{"verified":true,"username":%s,"mfa_enabled":true,"id":%s,"global_name":null,"flags":0,"email":null,"discriminator":"0000","clan":null,"primary_guild":null,"avatar_decoration_data":null,"bot":true,"avatar":null,"bio":"","public_flags":0},`,
		x.how.version, quote(b.Name), quoteID(b.UserID))
	d = fmt.Appendf(d, `"shard":[%d,%d],"session_type":"normal","session_id":"%s","resume_gateway_url":%s,"relationships":[],"private_channels":[],"presences":[],"guilds":[`,
		x.shard, x.count, x.id, quote(c.resumeURL()))
	for i, g := range x.todo {
		if i > 0 {
			d = append(d, ',')
		}
		d = fmt.Appendf(d, `{"unavailable":true,"id":%s}`, quoteID(g.id))
	}
	return fmt.Appendf(d, `],"guild_join_requests":[],"geo_ordered_rtc_regions":["us-east"],"game_relationships":[],"auth":{},"application":{"id":%s,"flags":%d},"_trace":["[\"gateway-test-0\",{\"micros\":0}]"]}`,
		quoteID(b.ApplicationID), b.flags())
}

// Host says which of the Server's hosts a connection was made to.
type Host string

// The hosts. In memory they are told apart by name (rest is what is neither
// gateway nor resume host), on a port by path.
const (
	REST    Host = "rest"
	Gateway Host = "gateway"
	Resume  Host = "resume"
)

// gatewayURL is what /gateway/bot answers to a request over the connection.
func (c *conn) gatewayURL(host string) string {
	if u := c.s.cfg.GatewayURL; u != "" {
		return u
	}
	if c.raw.Prompt() {
		return c.scheme() + "gateway.discord.test"
	}
	return c.scheme() + host
}

// resumeURL is what READY says.
func (c *conn) resumeURL() string {
	if u := c.s.cfg.ResumeURL; u != "" {
		return u
	}
	if c.raw.Prompt() {
		return c.scheme() + "resume-1.discord.test"
	}
	return c.scheme() + c.raw.LocalAddr().(*net.TCPAddr).String() + "/resume"
}

func (c *conn) scheme() string {
	if c.plain {
		return "ws://"
	}
	return "wss://"
}
