package irc

import (
	"context"

	"github.com/chatshard/chatshard/balancer"
)

// Handlers sorts events by kind. Its method Handle is a [balancer.Handler]:
//
//	h := &irc.Handlers{PrivMsg: func(ctx context.Context, m irc.PrivMsg) { ... }}
//	err := b.Run(ctx, h.Handle)
//
// A nil func passes its kind over. Handlers must not be changed once in use;
// its funcs are called as the balancer calls: one at a time for a shard, several
// at once for several shards. What they are given shares memory with other
// messages; see [Message].
type Handlers struct {
	// Any is called for every event, before the func of its kind.
	Any func(ctx context.Context, e balancer.Event)

	// Messages of Twitch.
	UserNotice      func(ctx context.Context, m UserNotice)
	ClearChat       func(ctx context.Context, m ClearChat)
	ClearMsg        func(ctx context.Context, m ClearMsg)
	RoomState       func(ctx context.Context, m RoomState)
	UserState       func(ctx context.Context, m UserState)
	GlobalUserState func(ctx context.Context, m GlobalUserState)
	Whisper         func(ctx context.Context, m Whisper)
	HostTarget      func(ctx context.Context, m HostTarget)
	Reconnect       func(ctx context.Context, m ReconnectMsg)

	// Messages of any network.
	PrivMsg func(ctx context.Context, m PrivMsg)
	Notice  func(ctx context.Context, m NoticeMsg)
	Join    func(ctx context.Context, m JoinMsg)
	Part    func(ctx context.Context, m PartMsg)
	Quit    func(ctx context.Context, m QuitMsg)
	Nick    func(ctx context.Context, m NickMsg)
	Kick    func(ctx context.Context, m KickMsg)
	Mode    func(ctx context.Context, m ModeMsg)
	Topic   func(ctx context.Context, m TopicMsg)
	Invite  func(ctx context.Context, m InviteMsg)
	TagMsg  func(ctx context.Context, m TagMsg)
	Away    func(ctx context.Context, m AwayMsg)
	Account func(ctx context.Context, m AccountMsg)
	ChgHost func(ctx context.Context, m ChgHostMsg)
	Batch   func(ctx context.Context, m BatchMsg)
	Cap     func(ctx context.Context, m CapMsg)
	Ping    func(ctx context.Context, m PingMsg)
	Pong    func(ctx context.Context, m PongMsg)
	Error   func(ctx context.Context, m ErrorMsg)
	Names   func(ctx context.Context, m NamesMsg) // 353 and 366
	Numeric func(ctx context.Context, m Numeric)  // all other numbers

	// Other is called for messages that no func above takes.
	Other func(ctx context.Context, m *Message)

	// What the balancer says.
	Up      func(ctx context.Context, id balancer.ShardID, up balancer.Up)
	Down    func(ctx context.Context, id balancer.ShardID, down balancer.Down)
	CutOver func(ctx context.Context, id balancer.ShardID)
	Joined  func(ctx context.Context, k balancer.Key)
	Parted  func(ctx context.Context, k balancer.Key, parted balancer.Parted)
	Refused func(ctx context.Context, k balancer.Key, refused balancer.Refused)
	Gap     func(ctx context.Context, k balancer.Key, gap balancer.Gap)
}

// Handle calls the func for the kind of e. It allocates nothing.
func (h *Handlers) Handle(ctx context.Context, e balancer.Event) {
	if h.Any != nil {
		h.Any(ctx, e)
	}
	switch d := e.Data.(type) {
	case *Message:
		if !h.message(ctx, d) && h.Other != nil {
			h.Other(ctx, d)
		}
	case balancer.Up:
		if h.Up != nil {
			h.Up(ctx, e.Shard, d)
		}
	case balancer.Down:
		if h.Down != nil {
			h.Down(ctx, e.Shard, d)
		}
	case balancer.CutOver:
		if h.CutOver != nil {
			h.CutOver(ctx, e.Shard)
		}
	case balancer.Joined:
		if h.Joined != nil {
			h.Joined(ctx, e.Key)
		}
	case balancer.Parted:
		if h.Parted != nil {
			h.Parted(ctx, e.Key, d)
		}
	case balancer.Refused:
		if h.Refused != nil {
			h.Refused(ctx, e.Key, d)
		}
	case balancer.Gap:
		if h.Gap != nil {
			h.Gap(ctx, e.Key, d)
		}
	}
}

// message reports whether there is a func for m, which it has called.
func (h *Handlers) message(ctx context.Context, m *Message) bool {
	switch cmd := m.Command(); cmd {
	case "PRIVMSG":
		return call(h.PrivMsg, ctx, PrivMsg{Chatter{m}})
	case "USERNOTICE":
		return call(h.UserNotice, ctx, UserNotice{Chatter{m}})
	case "CLEARCHAT":
		return call(h.ClearChat, ctx, ClearChat{m})
	case "CLEARMSG":
		return call(h.ClearMsg, ctx, ClearMsg{m})
	case "ROOMSTATE":
		return call(h.RoomState, ctx, RoomState{m})
	case "USERSTATE":
		return call(h.UserState, ctx, UserState{Chatter{m}})
	case "GLOBALUSERSTATE":
		return call(h.GlobalUserState, ctx, GlobalUserState{Chatter{m}})
	case "WHISPER":
		return call(h.Whisper, ctx, Whisper{Chatter{m}})
	case "HOSTTARGET":
		return call(h.HostTarget, ctx, HostTarget{m})
	case "RECONNECT":
		return call(h.Reconnect, ctx, ReconnectMsg{m})
	case "NOTICE":
		return call(h.Notice, ctx, NoticeMsg{m})
	case "JOIN":
		return call(h.Join, ctx, JoinMsg{m})
	case "PART":
		return call(h.Part, ctx, PartMsg{m})
	case "QUIT":
		return call(h.Quit, ctx, QuitMsg{m})
	case "NICK":
		return call(h.Nick, ctx, NickMsg{m})
	case "KICK":
		return call(h.Kick, ctx, KickMsg{m})
	case "MODE":
		return call(h.Mode, ctx, ModeMsg{m})
	case "TOPIC":
		return call(h.Topic, ctx, TopicMsg{m})
	case "INVITE":
		return call(h.Invite, ctx, InviteMsg{m})
	case "TAGMSG":
		return call(h.TagMsg, ctx, TagMsg{m})
	case "AWAY":
		return call(h.Away, ctx, AwayMsg{m})
	case "ACCOUNT":
		return call(h.Account, ctx, AccountMsg{m})
	case "CHGHOST":
		return call(h.ChgHost, ctx, ChgHostMsg{m})
	case "BATCH":
		return call(h.Batch, ctx, BatchMsg{m})
	case "CAP":
		return call(h.Cap, ctx, CapMsg{m})
	case "PING":
		return call(h.Ping, ctx, PingMsg{m})
	case "PONG":
		return call(h.Pong, ctx, PongMsg{m})
	case "ERROR":
		return call(h.Error, ctx, ErrorMsg{m})
	case "353", "366":
		return call(h.Names, ctx, NamesMsg{m})
	default:
		return numeric(cmd) >= 0 && call(h.Numeric, ctx, Numeric{m})
	}
}

func call[M any](f func(context.Context, M), ctx context.Context, m M) bool {
	if f == nil {
		return false
	}
	f(ctx, m)
	return true
}
