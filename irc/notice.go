package irc

import (
	"strings"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// refusal is what a NOTICE's msg-id or a numeric means for the channel that was
// to be joined, or written to.
type refusal struct {
	join  error         // why a JOIN was refused; nil: it does not say so of a JOIN
	after time.Duration // when to try again; 0: not by itself
	send  bool          // it is an answer to a message
}

// refusals is what Twitch's msg-ids mean.
// https://dev.twitch.tv/docs/chat/irc/#notice-tags; those of rooms that are
// gone and of too many channels are not in the documents.
var refusals = map[string]refusal{
	"msg_banned":                           {join: ErrBanned, send: true},
	"tos_ban":                              {join: ErrSuspended, send: true},
	"msg_channel_suspended":                {join: ErrSuspended, send: true},
	"msg_room_not_found":                   {join: ErrSuspended, send: true},
	"msg_channel_blocked":                  {join: ErrBanned, send: true},
	"msg_suspended":                        {join: ErrBanned, send: true},
	"msg_concurrent_channel_limit_reached": {join: ErrTooMany, after: 10 * time.Minute},

	"msg_bad_characters":                 {send: true},
	"msg_duplicate":                      {send: true},
	"msg_emoteonly":                      {send: true},
	"msg_followersonly":                  {send: true},
	"msg_followersonly_followed":         {send: true},
	"msg_followersonly_zero":             {send: true},
	"msg_r9k":                            {send: true},
	"msg_ratelimit":                      {send: true},
	"msg_rejected":                       {send: true},
	"msg_rejected_mandatory":             {send: true},
	"msg_requires_verified_phone_number": {send: true},
	"msg_slowmode":                       {send: true},
	"msg_subsonly":                       {send: true},
	"msg_timedout":                       {send: true},
	"msg_verified_email":                 {send: true},
	"no_permission":                      {send: true},
	"unrecognized_cmd":                   {send: true},
}

// numerics is what the numbers of IRC mean whose second parameter is a channel.
// https://modern.ircdocs.horse/#numerics
var numerics = map[string]refusal{
	"403": {join: ErrSuspended, send: true},
	"404": {send: true},
	"405": {join: ErrTooMany, after: 10 * time.Minute},
	"437": {join: ErrLater, after: time.Minute},
	"470": {join: ErrForbidden}, // forwarded to another channel
	"471": {join: ErrLater, after: 5 * time.Minute},
	"473": {join: ErrForbidden},
	"474": {join: ErrBanned},
	"475": {join: ErrForbidden},
	"476": {join: ErrSuspended},
	"477": {join: ErrForbidden, send: true},
	"480": {join: ErrLater, after: time.Minute},
	"489": {join: ErrForbidden},
}

// refused returns the event that says so; ok is false if the code says nothing
// of a JOIN.
func (r refusal) refused(k balancer.Key, channel, code, text string, now time.Time) (e balancer.Event, ok bool) {
	if r.join == nil {
		return e, false
	}
	d := balancer.Refused{Err: &ChannelError{
		Channel: channel, Reason: strings.Clone(code), Text: strings.Clone(clip(text, 300)), Err: r.join,
	}}
	if r.after > 0 {
		d.Until = now.Add(r.after)
	}
	return balancer.Event{Key: k, Data: d}, true
}
