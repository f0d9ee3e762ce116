package discord

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestIntentNames(t *testing.T) {
	for _, c := range []struct {
		in   Intents
		want string
	}{
		{0, "none"},
		{IntentMessageContent, "message_content"},
		{IntentsChat, "guilds, guild_messages, direct_messages, message_content"},
		{IntentGuilds | 1<<30 | 1<<63, "guilds, bit 30, bit 63"},
	} {
		if got := c.in.String(); got != c.want {
			t.Errorf("%#x = %q, want %q", uint64(c.in), got, c.want)
		}
	}
	var all Intents
	for bit := range intentNames {
		all |= bit
	}
	if back, err := ParseIntents(all.Names()); err != nil || back != all || len(all.Names()) != 21 {
		t.Errorf("ParseIntents(all) = %v, %v", back, err)
	}
}

func TestParseIntents(t *testing.T) {
	got, err := ParseIntents([]string{"chat", " Guild-Members", "MESSAGE_CONTENT"})
	if want := IntentsChat | IntentGuildMembers; err != nil || got != want {
		t.Errorf("ParseIntents = %v, %v, want %v", got, err, want)
	}
	for name, near := range map[string]string{
		"mesage_content":           `did you mean "message_content"?`,
		"message_contents":         `did you mean "message_content"?`,
		"guild":                    `did you mean "guilds"?`,
		"presences":                `did you mean "guild_presences"?`,
		"members":                  `did you mean "guild_members"?`,
		"zzz":                      "there are auto_moderation",
		"":                         "there are auto_moderation",
		strings.Repeat("a", 1<<20): "there are auto_moderation",
	} {
		_, err := ParseIntents([]string{name})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), near) || len(err.Error()) > 1000 {
			t.Errorf("ParseIntents(%.20q) = %.200v, want %q", name, err, near)
		}
	}
	if s := disallowed(IntentsChat); !strings.Contains(s, "message_content") || !strings.Contains(s, "developer portal") {
		t.Errorf("disallowed = %q", s)
	}
	if !slices.Contains(IntentsPrivileged.Names(), "guild_presences") {
		t.Error("guild_presences is privileged")
	}
}
