package main

import (
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
)

// channelStatus is where one channel stands.
type channelStatus struct {
	Channel string `json:"channel"`
	Account string `json:"account,omitempty"`
	State   string `json:"state"`            // wanted, queued, sent, joined, refused, lost
	Reason  string `json:"reason,omitempty"` // of refused and lost
	NextTry string `json:"next_try,omitempty"`
	Shard   string `json:"shard,omitempty"`
	Origin  string `json:"origin"`       // config, file, api
	At      string `json:"at,omitempty"` // file, line and column where it is written
}

// standing returns where the channels that are wanted stand, in the order of the
// roster: those that keep accepts.
func (r *relayRun) standing(keep func(channels.Name) bool) []channelStatus {
	w := r.roster.now.Load()
	all := []channelStatus{}
	for e := range w.set.All() {
		if !e.Settings.Disabled && keep(e.Name) {
			all = append(all, r.status(e, w.assigned))
		}
	}
	return all
}

func (r *relayRun) status(e channels.Entry, on channels.Assignment) channelStatus {
	st := channelStatus{Channel: e.Name.String(), State: balancer.Wanted.String(), Origin: "config", At: e.Origin}
	switch {
	case e.Origin == originAPI:
		st.Origin, st.At = originAPI, ""
	case r.fromFile(e):
		st.Origin = "file"
	}
	refuse := func(why string) channelStatus {
		st.State, st.Reason = balancer.Denied.String(), why
		return st
	}
	if e.Name.Platform == channels.Discord {
		if r.bot == nil {
			return refuse(r.noSection(e.Name))
		}
		st.Account, st.Reason = r.bot.account, "Discord decides what the bot receives; of that it is written"
		return st
	}
	k := r.carrierOf(e.Name, on[e.Name])
	switch {
	case k == nil:
		return refuse(r.noSection(e.Name))
	case isTwitch(e) && on == nil:
		return st // the relay is starting
	case isTwitch(e) && on[e.Name] == "":
		return refuse("no account has room for it; the log says more")
	}
	st.Account = k.encoder.account
	key, err := k.transport.Key(e.Name.Channel)
	if err != nil {
		return refuse(err.Error())
	}
	at, ok := k.balancer.Locate(key)
	if ok {
		st.State = at.State.String()
		if at.Placed {
			st.Shard = at.Shard.String()
		}
		if at.Err != nil {
			st.Reason = at.Err.Error()
		}
		if !at.Until.IsZero() {
			st.NextTry = at.Until.UTC().Format(time.RFC3339)
		}
	}
	if ended := k.ended.Load(); ended != nil {
		st.State, st.Reason, st.NextTry, st.Shard = balancer.Lost.String(), (*ended).Error(), "", ""
	}
	return st
}

func (r *relayRun) fromFile(e channels.Entry) bool {
	return r.config.ChannelsFile != "" && parsePosition(e.Origin).file == r.config.ChannelsFile
}
