package irctest

import (
	"slices"
	"strconv"
	"time"
)

// Room is the state of a Twitch channel. Logins in its lists are in lower case.
type Room struct {
	Suspended bool // JOIN and messages are answered with msg_channel_suspended
	TOSBanned bool // … with tos_ban
	NotFound  bool // … with msg_room_not_found

	Mods, VIPs, Subscribers, Followers, Banned []string

	EmoteOnly     bool
	SubsOnly      bool
	Unique        bool          // r9k
	Slow          time.Duration // 0: off
	FollowersOnly time.Duration // how long one must follow; negative: off
}

func newRoom() Room { return Room{FollowersOnly: -1} }

// privileged reports whether login is broadcaster or moderator, or with vip
// set a VIP. A room's rules and most limits do not bind those.
func (r *Room) privileged(channel, login string, vip bool) bool {
	return channel == login || slices.Contains(r.Mods, login) || vip && slices.Contains(r.VIPs, login)
}

// refusesJoin returns the msg-id that a JOIN is refused with, or "".
func (r *Room) refusesJoin(login string) string {
	switch {
	case r.Suspended:
		return "msg_channel_suspended"
	case r.TOSBanned:
		return "tos_ban"
	case r.NotFound:
		return "msg_room_not_found"
	case slices.Contains(r.Banned, login):
		return "msg_banned"
	}
	return ""
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func (r *Room) modes() [5][2]string {
	followers := "-1"
	if r.FollowersOnly >= 0 {
		followers = strconv.Itoa(int(r.FollowersOnly / time.Minute))
	}
	return [5][2]string{
		{"emote-only", flag(r.EmoteOnly)},
		{"followers-only", followers},
		{"r9k", flag(r.Unique)},
		{"slow", strconv.Itoa(int(r.Slow / time.Second))},
		{"subs-only", flag(r.SubsOnly)},
	}
}

// state appends the tags of a full ROOMSTATE.
func (r *Room) state(b []byte, id string) []byte {
	for i, m := range r.modes() {
		if i == 3 {
			b = append(b, "room-id="+id+";"...)
		}
		b = append(b, m[0]+"="+m[1]...)
		if i < 4 {
			b = append(b, ';')
		}
	}
	return b
}

func (r *Room) clone() Room {
	c := *r
	for _, l := range []*[]string{&c.Mods, &c.VIPs, &c.Subscribers, &c.Followers, &c.Banned} {
		*l = slices.Clone(*l)
	}
	return c
}

// SetRoom changes a Twitch channel's state, making the channel if need be. Its
// members get a ROOMSTATE for each mode that changed, as on Twitch.
func (s *Server) SetRoom(channel string, change func(*Room)) {
	ch := s.channel(channel)
	ch.mu.Lock()
	room, before := ch.room.clone(), ch.room.modes()
	ch.mu.Unlock()
	change(&room)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.room = room
	var scratch []byte
	for i, m := range room.modes() {
		if m != before[i] {
			line := "@" + m[0] + "=" + m[1] + ";room-id=" + ch.roomID + " :" + s.cfg.Name + " ROOMSTATE " + ch.wire
			s.postLocked(ch, raw(line), nil, &scratch, time.Now())
		}
	}
}

// raw is a draft of a finished line.
func raw(line string) draft {
	return draftFunc{f: func(dst []byte, _ *channel, _ []byte, _ int64) []byte { return append(dst, line...) }}
}
