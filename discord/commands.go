package discord

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// mostFrame is the most bytes that Discord takes in one payload, else 4002
// (events/gateway, "Sending Events").
const mostFrame = 4096

const (
	opPresenceUpdate = 3
	opVoiceState     = 4
	opRequestMembers = 8
)

// frame returns a payload to send, ErrTooLarge if Discord would not take it.
func frame(op int, d any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // three bytes for each < would count
	if err := e.Encode(struct {
		Op int `json:"op"`
		D  any `json:"d"`
	}{op, d}); err != nil {
		return nil, fmt.Errorf("discord: op %d: %w", op, err)
	}
	p := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(p) > mostFrame {
		return nil, fmt.Errorf("%w: op %d has %d", ErrTooLarge, op, len(p))
	}
	return p, nil
}

// presence is a Presence as Discord takes it, in op 3 and in IDENTIFY
// (events/gateway-events, "Update Presence").
type presence struct {
	Since      *int64     `json:"since"`
	Activities []activity `json:"activities"` // never null
	Status     string     `json:"status"`
	AFK        bool       `json:"afk"`
}

type activity struct {
	Name  string `json:"name"`
	Type  int    `json:"type"`
	State string `json:"state"`
}

const activityCustom = 4 // what stands in state is shown

// wire returns p as Discord takes it.
func (p Presence) wire() (presence, error) {
	w := presence{Activities: []activity{}, Status: strings.ToLower(p.Status), AFK: p.AFK}
	switch w.Status {
	case "":
		w.Status = "online"
	case "online", "dnd", "idle", "invisible", "offline":
	default:
		return w, fmt.Errorf("%w: presence: there is no status %.40q: there are online, idle, dnd and invisible", ErrConfig, p.Status)
	}
	if p.Text != "" {
		w.Activities = append(w.Activities, activity{"Custom Status", activityCustom, p.Text})
	}
	return w, nil
}

// UpdatePresence returns the payload that shows a presence (op 3). It goes to
// every shard, each of which shows it in its guilds. Discord allows few in a
// short time: not one per message.
func UpdatePresence(p Presence) ([]byte, error) {
	w, err := p.wire()
	if err != nil {
		return nil, err
	}
	return frame(opPresenceUpdate, w)
}

// UpdateVoiceState returns the payload that joins a voice channel of a guild,
// moves there, or leaves with channelID "" (op 4). It goes to the guild's
// shard, and so Key is the guild.
func UpdateVoiceState(guildID, channelID string, mute, deaf bool) ([]byte, error) {
	if err := ids("voice state", guildID); err != nil {
		return nil, err
	}
	var channel *string
	if channelID != "" {
		if err := ids("voice state", channelID); err != nil {
			return nil, err
		}
		channel = &channelID
	}
	return frame(opVoiceState, struct {
		Guild   string  `json:"guild_id"`
		Channel *string `json:"channel_id"`
		Mute    bool    `json:"self_mute"`
		Deaf    bool    `json:"self_deaf"`
	}{guildID, channel, mute, deaf})
}

// RequestMembers asks for members of a guild (op 8): those in UserIDs, or those
// whose name begins with Query. The answer is GUILD_MEMBERS_CHUNK events.
type RequestMembers struct {
	GuildID   string
	Query     string   // "" with Limit 0: all, which needs IntentGuildMembers and is allowed once per 30 s and guild
	Limit     int      // of Query; default 100, which is the most, unless Query is ""
	UserIDs   []string // at most 100, instead of Query
	Presences bool     // presences too, which needs IntentGuildPresences
	Nonce     string   // to know the answer by; at most 32 bytes
}

// all reports whether it asks for all members, which has a limit of its own.
func (r RequestMembers) all() bool { return r.Query == "" && r.Limit == 0 && len(r.UserIDs) == 0 }

// Frame returns the payload, which goes to the guild's shard.
func (r RequestMembers) Frame() ([]byte, error) {
	const what = "request members"
	if err := ids(what, append([]string{r.GuildID}, r.UserIDs...)...); err != nil {
		return nil, err
	}
	limit := r.Limit
	if limit == 0 && r.Query != "" {
		limit = 100
	}
	switch {
	case len(r.UserIDs) > 100:
		return nil, fmt.Errorf("discord: %s: %d user ids: 100 at most", what, len(r.UserIDs))
	case len(r.UserIDs) > 0 && (r.Query != "" || r.Limit != 0):
		return nil, fmt.Errorf("discord: %s: user ids and a query: one of the two", what)
	case limit < 0 || limit > 100:
		return nil, fmt.Errorf("discord: %s: limit %d: 1 to 100, or 0 for all", what, limit)
	case len(r.Nonce) > 32:
		return nil, fmt.Errorf("discord: %s: a nonce of %d bytes: 32 at most, longer ones are not sent back", what, len(r.Nonce))
	}
	d := struct {
		Guild     string   `json:"guild_id"`
		Query     *string  `json:"query,omitempty"`
		Limit     *int     `json:"limit,omitempty"`
		Users     []string `json:"user_ids,omitempty"`
		Presences bool     `json:"presences,omitempty"`
		Nonce     string   `json:"nonce,omitempty"`
	}{Guild: r.GuildID, Users: r.UserIDs, Presences: r.Presences, Nonce: r.Nonce}
	if len(r.UserIDs) == 0 {
		d.Query, d.Limit = &r.Query, &limit
	}
	return frame(opRequestMembers, d)
}

// ids says which of these is not the ID of anything.
func ids(what string, list ...string) error {
	for _, id := range list {
		if !isID(id) {
			return fmt.Errorf("discord: %s: %.40q is not an ID: a number is needed, not a name", what, id)
		}
	}
	return nil
}
