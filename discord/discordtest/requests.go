package discordtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// presence checks op 3. Nobody sees a bot's presence here.
func presence(d json.RawMessage) error {
	var f struct {
		Status     string          `json:"status"`
		Activities json.RawMessage `json:"activities"` // often null
	}
	return json.Unmarshal(d, &f)
}

// carried returns the guild if it is one of the bot's on the session's shard.
func (c *conn) carried(x *session, guild uint64) *guild {
	g := c.s.guild(guild)
	switch {
	case g == nil || guild == 0 || !x.b.in(g):
		return nil
	case Place(guild, x.count) != x.shard:
		c.violate(WrongShard, fmt.Sprint("guild ", guild))
		return nil
	}
	return g
}

// voiceState answers op 4 with VOICE_STATE_UPDATE to all, and with
// VOICE_SERVER_UPDATE to the session that joined.
func (c *conn) voiceState(x *session, d json.RawMessage) error {
	var f voiceFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	g := c.carried(x, uint64(f.Guild))
	if g == nil {
		return nil
	}
	channel := "null"
	if f.Channel != nil {
		channel = quoteID(uint64(*f.Channel))
	}
	c.s.publish(g, RawEvent("VOICE_STATE_UPDATE", fmt.Appendf(nil,
		`{"member":{"user":%s,%s,"user_id":%s,"suppress":false,"session_id":"%s","self_video":false,"self_mute":%t,"self_deaf":%t,"request_to_speak_timestamp":null,"mute":false,"deaf":false,"channel_id":%s}`,
		x.b.user(), member[1:], quoteID(x.b.UserID), x.id, f.Mute, f.Deaf, channel)))
	if f.Channel != nil {
		x.push(&payload{t: "VOICE_SERVER_UPDATE", d: fmt.Appendf(nil, `{"token":"voice","guild_id":%s,"endpoint":"voice.discord.test:443"}`, quoteID(g.id))})
	}
	return nil
}

// membersEvery is how often all members of a guild may be requested.
const membersEvery = 30 * time.Second

// members answers op 8 with GUILD_MEMBERS_CHUNK.
func (c *conn) members(x *session, d json.RawMessage) error {
	var f membersFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	all := f.Query != nil && *f.Query == "" && f.Limit == 0 && len(f.Users) == 0
	bad := ""
	switch {
	case len(f.Guild) != 1:
		bad = "guild_id: one is allowed"
	case f.Query == nil && len(f.Users) == 0:
		bad = "query or user_ids is needed"
	case len(f.Users) > 100 || f.Limit < 0 || len(f.Users) == 0 && !all && f.Limit > 100:
		bad = "more than 100"
	case len(f.Nonce) > 34:
		bad = "nonce over 32 bytes"
	case all && x.intents&IntentGuildMembers == 0:
		bad = "all members without the GUILD_MEMBERS intent"
	}
	if bad != "" {
		c.violate(BadRequest, bad)
		return nil
	}
	g := c.carried(x, uint64(f.Guild[0]))
	if g == nil {
		return nil
	}
	nonce := ""
	if len(f.Nonce) > 0 && string(f.Nonce) != "null" {
		nonce = `,"nonce":` + string(f.Nonce)
	}
	if all {
		if wait := x.b.askMembers(g.id, time.Now()); wait > 0 {
			c.violate(MembersTooOften, fmt.Sprint("guild ", g.id))
			c.rateLimited(x, opMembers, wait, fmt.Sprintf(`{"guild_id":%s%s}`, quoteID(g.id), nonce))
			return nil
		}
	}
	people := [][2]any{{x.b.UserID, x.b.Name}, {g.id + 1000, "member0"}, {g.id + 1001, "member1"}}
	var list []byte
	found := map[uint64]bool{}
	for _, m := range people {
		id, name := m[0].(uint64), m[1].(string)
		wanted := f.Query != nil && len(f.Users) == 0 && strings.HasPrefix(name, *f.Query)
		for _, u := range f.Users {
			wanted = wanted || uint64(u) == id
		}
		if !wanted {
			continue
		}
		found[id] = true
		if list != nil {
			list = append(list, ',')
		}
		list = append(appendUser(append(list, `{"user":`...), id, name, id == x.b.UserID), `,`+member[1:]...)
	}
	missing := []string{}
	for _, u := range f.Users {
		if !found[uint64(u)] {
			missing = append(missing, quoteID(uint64(u)))
		}
	}
	x.push(&payload{t: "GUILD_MEMBERS_CHUNK", d: fmt.Appendf(nil, `{"members":[%s],"not_found":[%s],"presences":[],"guild_id":%s,"chunk_index":0,"chunk_count":1%s}`,
		list, strings.Join(missing, ","), quoteID(g.id), nonce)})
	return nil
}

// askMembers books a request for all members of a guild, or returns how long
// to wait. The limit is the bot's, over all sessions.
func (b *bot) askMembers(guild uint64, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, ok := b.allMembers[guild]; ok && now.Sub(last) < membersEvery {
		return last.Add(membersEvery).Sub(now)
	}
	b.allMembers[guild] = now
	return 0
}

// rateLimited dispatches RATE_LIMITED.
func (c *conn) rateLimited(x *session, op int, wait time.Duration, meta string) {
	x.push(&payload{t: "RATE_LIMITED", d: fmt.Appendf(nil, `{"opcode":%d,"retry_after":%.3f,"meta":%s}`, op, wait.Seconds(), meta)})
}

// sounds answers op 31 with SOUNDBOARD_SOUNDS for each guild.
func (c *conn) sounds(x *session, d json.RawMessage) error {
	var f soundsFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	for _, id := range f.Guilds {
		if g := c.carried(x, uint64(id)); g != nil {
			x.push(&payload{t: "SOUNDBOARD_SOUNDS", d: fmt.Appendf(nil, `{"soundboard_sounds":[],"guild_id":%s}`, quoteID(g.id))})
		}
	}
	return nil
}

// channelInfo answers op 43 with CHANNEL_INFO.
func (c *conn) channelInfo(x *session, d json.RawMessage) error {
	var f channelInfoFrame
	if err := json.Unmarshal(d, &f); err != nil {
		return err
	}
	if g := c.carried(x, uint64(f.Guild)); g != nil {
		info := `"id":` + quoteID(Channel(g.id, 2))
		for _, field := range f.Fields {
			if field == "status" || field == "voice_start_time" {
				info += `,"` + field + `":null`
			}
		}
		x.push(&payload{t: "CHANNEL_INFO", d: fmt.Appendf(nil, `{"guild_id":%s,"channels":[{%s}]}`, quoteID(g.id), info)})
	}
	return nil
}
