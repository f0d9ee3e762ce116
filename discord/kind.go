package discord

// kind is what is known of a type of dispatch beside its fields.
type kind struct {
	name      string
	fields    fields // that are looked for; 0: all
	isGuild   bool   // its id is the guild's
	isChannel bool   // its id is the channel's
	unique    bool   // its id comes once in a life
	mark      string // stands before the id in Event.ID, so that it is not taken for that of another type
	urgent    bool   // to be answered within seconds
}

// kinds are the types that are known (events/gateway-events, "Receive Events").
// Others are delivered as they are.
var kinds = func() map[string]*kind {
	m := make(map[string]*kind)
	add := func(k kind, names ...string) {
		for _, n := range names {
			k := k
			k.name = n
			m[n] = &k
		}
	}
	// What is looked for bounds how far a payload is scanned.
	add(kind{fields: fieldID, isGuild: true}, "GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE")
	add(kind{fields: fieldGuild | fieldID, isChannel: true},
		"CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE", "THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE")
	add(kind{unique: true}, "MESSAGE_CREATE")
	add(kind{unique: true, mark: "-"}, "MESSAGE_DELETE")
	add(kind{unique: true, urgent: true}, "INTERACTION_CREATE")
	add(kind{fields: fieldGuild | fieldID, unique: true}, "GUILD_AUDIT_LOG_ENTRY_CREATE")
	add(kind{}, "MESSAGE_UPDATE", "INTEGRATION_CREATE", "INTEGRATION_UPDATE", "INTEGRATION_DELETE",
		"STAGE_INSTANCE_CREATE", "STAGE_INSTANCE_UPDATE", "STAGE_INSTANCE_DELETE",
		"GUILD_SCHEDULED_EVENT_CREATE", "GUILD_SCHEDULED_EVENT_UPDATE", "GUILD_SCHEDULED_EVENT_DELETE",
		"ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE",
		"SUBSCRIPTION_CREATE", "SUBSCRIPTION_UPDATE", "SUBSCRIPTION_DELETE")
	add(kind{fields: fieldGuild | fieldChannel},
		"TYPING_START", "MESSAGE_DELETE_BULK", "MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE",
		"MESSAGE_REACTION_REMOVE_ALL", "MESSAGE_REACTION_REMOVE_EMOJI", "MESSAGE_POLL_VOTE_ADD", "MESSAGE_POLL_VOTE_REMOVE",
		"VOICE_STATE_UPDATE", "VOICE_CHANNEL_EFFECT_SEND", "WEBHOOKS_UPDATE", "CHANNEL_PINS_UPDATE",
		"INVITE_CREATE", "INVITE_DELETE", "AUTO_MODERATION_ACTION_EXECUTION")
	add(kind{fields: fieldGuild},
		"PRESENCE_UPDATE", "VOICE_SERVER_UPDATE", "THREAD_LIST_SYNC", "THREAD_MEMBER_UPDATE", "THREAD_MEMBERS_UPDATE",
		"GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE", "GUILD_MEMBER_REMOVE", "GUILD_MEMBERS_CHUNK",
		"GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE", "GUILD_ROLE_DELETE", "GUILD_BAN_ADD", "GUILD_BAN_REMOVE",
		"GUILD_EMOJIS_UPDATE", "GUILD_STICKERS_UPDATE", "GUILD_INTEGRATIONS_UPDATE",
		"GUILD_SCHEDULED_EVENT_USER_ADD", "GUILD_SCHEDULED_EVENT_USER_REMOVE",
		"GUILD_SOUNDBOARD_SOUND_CREATE", "GUILD_SOUNDBOARD_SOUND_UPDATE", "GUILD_SOUNDBOARD_SOUND_DELETE",
		"GUILD_SOUNDBOARD_SOUNDS_UPDATE", "SOUNDBOARD_SOUNDS", "CHANNEL_INFO", "APPLICATION_COMMAND_PERMISSIONS_UPDATE",
		"VOICE_CHANNEL_STATUS_UPDATE", "VOICE_CHANNEL_START_TIME_UPDATE",
		"AUTO_MODERATION_RULE_CREATE", "AUTO_MODERATION_RULE_UPDATE", "AUTO_MODERATION_RULE_DELETE",
		"READY", "RESUMED", "RATE_LIMITED", "USER_UPDATE")
	return m
}()

var kindMessage, kindPresence, kindTyping = kinds["MESSAGE_CREATE"], kinds["PRESENCE_UPDATE"], kinds["TYPING_START"]

// typeOf returns what is known of a type, without an allocation if it is.
func typeOf(t []byte) *kind {
	switch string(t) { // quicker than a map, and nine in ten
	case "MESSAGE_CREATE":
		return kindMessage
	case "PRESENCE_UPDATE":
		return kindPresence
	case "TYPING_START":
		return kindTyping
	}
	if k := kinds[string(t)]; k != nil {
		return k
	}
	return &kind{name: string(t)}
}

// known is typeOf for a Dispatch.
func (d *Dispatch) known() *kind {
	if d.kind == nil {
		if d.kind = kinds[d.Type]; d.kind == nil {
			d.kind = &kind{name: d.Type}
		}
	}
	return d.kind
}
