package discord

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

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

// intentNames are the bits' names, as the documentation writes them, in lower case.
var intentNames = map[Intents]string{
	IntentGuilds:                      "guilds",
	IntentGuildMembers:                "guild_members",
	IntentGuildModeration:             "guild_moderation",
	IntentGuildExpressions:            "guild_expressions",
	IntentGuildIntegrations:           "guild_integrations",
	IntentGuildWebhooks:               "guild_webhooks",
	IntentGuildInvites:                "guild_invites",
	IntentGuildVoiceStates:            "guild_voice_states",
	IntentGuildPresences:              "guild_presences",
	IntentGuildMessages:               "guild_messages",
	IntentGuildMessageReactions:       "guild_message_reactions",
	IntentGuildMessageTyping:          "guild_message_typing",
	IntentDirectMessages:              "direct_messages",
	IntentDirectMessageReactions:      "direct_message_reactions",
	IntentDirectMessageTyping:         "direct_message_typing",
	IntentMessageContent:              "message_content",
	IntentGuildScheduledEvents:        "guild_scheduled_events",
	IntentAutoModerationConfiguration: "auto_moderation_configuration",
	IntentAutoModerationExecution:     "auto_moderation_execution",
	IntentGuildMessagePolls:           "guild_message_polls",
	IntentDirectMessagePolls:          "direct_message_polls",
}

// Names returns the names of the intents in i, by bit, as a configuration
// writes them: "message_content". One that has no name is "bit 30".
func (i Intents) Names() []string {
	var names []string
	for ; i != 0; i &= i - 1 {
		bit := i & -i
		name := intentNames[bit]
		if name == "" {
			name = fmt.Sprintf("bit %d", bits.TrailingZeros64(uint64(bit)))
		}
		names = append(names, name)
	}
	return names
}

// String returns the names, "none" if there are none.
func (i Intents) String() string {
	if i == 0 {
		return "none"
	}
	return strings.Join(i.Names(), ", ")
}

// ParseIntents returns the intents of these names. Case does not matter, '-'
// stands for '_', and "chat" for IntentsChat. The error, which wraps
// ErrConfig, says which name was probably meant.
func ParseIntents(names []string) (Intents, error) {
	known := map[string]Intents{"chat": IntentsChat}
	for bit, name := range intentNames {
		known[name] = bit
	}
	var all Intents
	for _, name := range names {
		n := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
		bit, ok := known[n]
		if !ok {
			if near := nearest(n, slices.Sorted(maps.Keys(known))); near != "" {
				return 0, fmt.Errorf("%w: intents: there is no %.60q: did you mean %q?", ErrConfig, name, near)
			}
			return 0, fmt.Errorf("%w: intents: there is no %.60q: there are %s", ErrConfig, name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		all |= bit
	}
	return all, nil
}

// nearest returns the name that a misspelt one is closest to, "" if none is
// close: one that it is a word of, or a third of its letters away.
func nearest(name string, names []string) string {
	if len(name) > 60 {
		return ""
	}
	best, least := "", len(name)/3+1
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	if best != "" || len(name) < 4 {
		return best
	}
	for _, n := range names {
		if strings.Contains(n, name) || strings.Contains(name, n) {
			return n
		}
	}
	return ""
}

// distance is the number of letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
