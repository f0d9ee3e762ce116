package discordtest

// Gateway intents, by bit (events/gateway: List of Intents).
const (
	IntentGuilds                = 1 << 0
	IntentGuildMembers          = 1 << 1
	IntentGuildModeration       = 1 << 2
	IntentGuildExpressions      = 1 << 3
	IntentGuildIntegrations     = 1 << 4
	IntentGuildWebhooks         = 1 << 5
	IntentGuildInvites          = 1 << 6
	IntentGuildVoiceStates      = 1 << 7
	IntentGuildPresences        = 1 << 8
	IntentGuildMessages         = 1 << 9
	IntentGuildMessageReactions = 1 << 10
	IntentGuildMessageTyping    = 1 << 11
	IntentDirectMessages        = 1 << 12
	IntentDirectReactions       = 1 << 13
	IntentDirectTyping          = 1 << 14
	IntentMessageContent        = 1 << 15
	IntentScheduledEvents       = 1 << 16
	IntentAutoModConfiguration  = 1 << 20
	IntentAutoModExecution      = 1 << 21
	IntentGuildMessagePolls     = 1 << 24
	IntentDirectMessagePolls    = 1 << 25

	// Privileged intents have to be enabled in the portal.
	Privileged = IntentGuildMembers | IntentGuildPresences | IntentMessageContent

	knownIntents = 1<<17 - 1 | 3<<20 | 3<<24
)

// eventIntents says which intents let an event through, in a guild and
// outside; what is not in it always passes.
var eventIntents = map[string][2]uint64{
	"MESSAGE_CREATE":                {IntentGuildMessages, IntentDirectMessages},
	"MESSAGE_UPDATE":                {IntentGuildMessages, IntentDirectMessages},
	"MESSAGE_DELETE":                {IntentGuildMessages, IntentDirectMessages},
	"MESSAGE_DELETE_BULK":           {IntentGuildMessages, IntentGuildMessages},
	"MESSAGE_REACTION_ADD":          {IntentGuildMessageReactions, IntentDirectReactions},
	"MESSAGE_REACTION_REMOVE":       {IntentGuildMessageReactions, IntentDirectReactions},
	"MESSAGE_REACTION_REMOVE_ALL":   {IntentGuildMessageReactions, IntentDirectReactions},
	"MESSAGE_REACTION_REMOVE_EMOJI": {IntentGuildMessageReactions, IntentDirectReactions},
	"MESSAGE_POLL_VOTE_ADD":         {IntentGuildMessagePolls, IntentDirectMessagePolls},
	"MESSAGE_POLL_VOTE_REMOVE":      {IntentGuildMessagePolls, IntentDirectMessagePolls},
	"TYPING_START":                  {IntentGuildMessageTyping, IntentDirectTyping},
	"CHANNEL_PINS_UPDATE":           {IntentGuilds, IntentDirectMessages},

	"PRESENCE_UPDATE": both(IntentGuildPresences),

	"GUILD_MEMBER_ADD":    both(IntentGuildMembers),
	"GUILD_MEMBER_UPDATE": both(IntentGuildMembers),
	"GUILD_MEMBER_REMOVE": both(IntentGuildMembers),

	"GUILD_UPDATE": both(IntentGuilds), "GUILD_ROLE_CREATE": both(IntentGuilds),
	"GUILD_ROLE_UPDATE": both(IntentGuilds), "GUILD_ROLE_DELETE": both(IntentGuilds),
	"CHANNEL_CREATE": both(IntentGuilds), "CHANNEL_UPDATE": both(IntentGuilds), "CHANNEL_DELETE": both(IntentGuilds),
	"THREAD_CREATE": both(IntentGuilds), "THREAD_UPDATE": both(IntentGuilds), "THREAD_DELETE": both(IntentGuilds),
	"THREAD_LIST_SYNC": both(IntentGuilds), "THREAD_MEMBERS_UPDATE": both(IntentGuilds | IntentGuildMembers),
	"STAGE_INSTANCE_CREATE": both(IntentGuilds), "STAGE_INSTANCE_UPDATE": both(IntentGuilds), "STAGE_INSTANCE_DELETE": both(IntentGuilds),
	"VOICE_CHANNEL_STATUS_UPDATE": both(IntentGuilds), "VOICE_CHANNEL_START_TIME_UPDATE": both(IntentGuilds),

	"GUILD_AUDIT_LOG_ENTRY_CREATE": both(IntentGuildModeration), "GUILD_BAN_ADD": both(IntentGuildModeration), "GUILD_BAN_REMOVE": both(IntentGuildModeration),
	"GUILD_EMOJIS_UPDATE": both(IntentGuildExpressions), "GUILD_STICKERS_UPDATE": both(IntentGuildExpressions),
	"GUILD_SOUNDBOARD_SOUND_CREATE": both(IntentGuildExpressions), "GUILD_SOUNDBOARD_SOUND_UPDATE": both(IntentGuildExpressions),
	"GUILD_SOUNDBOARD_SOUND_DELETE": both(IntentGuildExpressions), "GUILD_SOUNDBOARD_SOUNDS_UPDATE": both(IntentGuildExpressions),
	"GUILD_INTEGRATIONS_UPDATE": both(IntentGuildIntegrations), "INTEGRATION_CREATE": both(IntentGuildIntegrations),
	"INTEGRATION_UPDATE": both(IntentGuildIntegrations), "INTEGRATION_DELETE": both(IntentGuildIntegrations),
	"WEBHOOKS_UPDATE": both(IntentGuildWebhooks),
	"INVITE_CREATE":   both(IntentGuildInvites), "INVITE_DELETE": both(IntentGuildInvites),
	"VOICE_STATE_UPDATE": both(IntentGuildVoiceStates), "VOICE_CHANNEL_EFFECT_SEND": both(IntentGuildVoiceStates),
	"GUILD_SCHEDULED_EVENT_CREATE": both(IntentScheduledEvents), "GUILD_SCHEDULED_EVENT_UPDATE": both(IntentScheduledEvents),
	"GUILD_SCHEDULED_EVENT_DELETE": both(IntentScheduledEvents), "GUILD_SCHEDULED_EVENT_USER_ADD": both(IntentScheduledEvents),
	"GUILD_SCHEDULED_EVENT_USER_REMOVE": both(IntentScheduledEvents),
	"AUTO_MODERATION_RULE_CREATE":       both(IntentAutoModConfiguration), "AUTO_MODERATION_RULE_UPDATE": both(IntentAutoModConfiguration),
	"AUTO_MODERATION_RULE_DELETE": both(IntentAutoModConfiguration), "AUTO_MODERATION_ACTION_EXECUTION": both(IntentAutoModExecution),
}

func both(bits uint64) [2]uint64 { return [2]uint64{bits, bits} }

// needs returns the intents of which one lets the event through; 0: none is needed.
func needs(t string, guild bool) uint64 {
	bits, ok := eventIntents[t]
	switch {
	case !ok:
		return 0
	case guild:
		return bits[0]
	}
	return bits[1]
}
