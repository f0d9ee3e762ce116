package main

import (
	"strings"
	"testing"

	"github.com/chatshard/chatshard/discord"
)

// What is printed can be read again, has the defaults in force and no secret.
func TestConfigDiscordPrint(t *testing.T) {
	path := written(t, "c.yaml", "version: 1\ndiscord:\n  account: {token: \"Bot hunter2\"}\n  shards: 4\n  channels: [7, {name: \"8\", enabled: false}]\n")
	code, stdout, stderr := chatshard(t, "config", "print", "-c", path)
	if code != exitOK || strings.Contains(stdout, "hunter2") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{"token: ***", "shards: 4", "channels_per_shard: 1000", "reshard_at: 0.8", "compression: zlib-stream", "message_content"} {
		if !strings.Contains(strings.ReplaceAll(stdout, `"`, ""), want) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	again := written(t, "again.yaml", strings.Replace(stdout, "***", "hunter2", 1))
	if code, stdout, _ := chatshard(t, "config", "check", "-c", again); code != exitOK {
		t.Errorf("what was printed is not read again: %s", stdout)
	}
	c, err := loadConfig(path, nil)
	if err != nil || c.Discord.Account.Token != "hunter2" || c.Discord.intents != discord.IntentsChat {
		t.Errorf("%+v, %v", c.Discord, err)
	}
}

func TestConfigDiscordEnv(t *testing.T) {
	file := written(t, "token", "hunter2\n")
	path := written(t, "c.yaml", "version: 1\ndiscord:\n  account: {token: other}\n")
	c, err := loadConfig(path, []string{
		"CHATSHARD_DISCORD_ACCOUNT_TOKEN_FILE=" + file, "CHATSHARD_DISCORD_INTENTS=guilds, guild_messages", "CHATSHARD_DISCORD_SHARDS=auto",
		"CHATSHARD_DISCORD_RESHARD_AT=0", "CHATSHARD_DISCORD_STATE_DIR=here",
	})
	if err != nil {
		t.Fatal(err)
	}
	d := c.Discord
	if d.Account.Token != "hunter2" || d.intents != discord.IntentGuilds|discord.IntentGuildMessages || d.ReshardAt != 0 || d.StateDir != "here" {
		t.Errorf("%+v", d)
	}
	cfg, err := d.client()
	if err != nil || cfg.ReshardAt >= 0 {
		t.Errorf("reshard_at 0 became %v, want never; %v", cfg.ReshardAt, err)
	}
}
