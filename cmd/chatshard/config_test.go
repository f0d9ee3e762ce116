package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/channels"
)

const goodToken = "abcdefghijklmnopqrstuvwxyz0123"

func names(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("c%d", i)
	}
	return strings.Join(list, ", ")
}

// TestBadConfig says for each mistake what is printed for it. FILE stands for
// the path of the file.
func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{`FILE:1:1: the file is empty; write one with "chatshard config init"`}},
		{"only a comment", "# x\n", []string{`FILE:1:1: the file is empty; `}},
		{"not a mapping", "- x\n", []string{`FILE:1:1: the file: wrong type: a list; write a mapping`}},
		{"not YAML", "version: 1\ntwitch: {channels: [a\n", []string{`FILE:2:20: not YAML: `}},
		{"tab", "version: 1\ntwitch:\n\tchannels: [a]\n", []string{`FILE:3:1: not YAML: `}},
		{"not UTF-8", "version: 1\nlog: {level: \xff}\n", []string{`FILE:2:14: not UTF-8; `}},
		{"two documents", "version: 1\ntwitch:\n---\nversion: 1\n", []string{`FILE:4:1: a second document; `}},
		{"no version", "twitch:\n", []string{`FILE:1:1: version: missing; write version: 1`}},
		{"another version", "version: 2\ntwitch:\n", []string{`FILE:1:10: version: 2 is not known to this chatshard; write version: 1`}},
		{"nothing", "version: 1\n", []string{`FILE:1:1: nothing to relay; add a section twitch, irc or discord`}},

		{"misspelt key", "version: 1\ntwitch:\n  channel_per_shard: 5\n", []string{`FILE:3:3: twitch.channel_per_shard: unknown key; did you mean channels_per_shard?`}},
		{"misspelt section", "version: 1\ntwich:\n  channels: [a]\n", []string{`FILE:2:1: twich: unknown key; did you mean twitch?`}},
		{"unknown key", "version: 1\ntwitch:\n  qqqqqqqq: 5\n", []string{`FILE:3:3: twitch.qqqqqqqq: unknown key; use one of account, accounts, address, `}},
		{"key given twice", "version: 1\ntwitch:\n  channels: [a]\n  channels: [b]\n", []string{`FILE:4:3: twitch.channels: key given twice: first at FILE:3:3; remove one`}},
		{"section given twice", "version: 1\nlog: {}\ntwitch:\nlog: {}\n", []string{`FILE:4:1: log: key given twice: first at FILE:2:1; `}},

		{"text for a number", "version: 1\ntwitch: {channels_per_shard: fifty}\n", []string{`FILE:2:30: twitch.channels_per_shard: wrong type: text; write a whole number`}},
		{"fraction", "version: 1\ntwitch: {channels_per_shard: 1.5}\n", []string{`FILE:2:30: twitch.channels_per_shard: wrong type: a number; write a whole number`}},
		{"huge number", "version: 1\ntwitch: {channels_per_shard: 99999999999}\n", []string{`FILE:2:30: twitch.channels_per_shard: "99999999999" is out of range; `}},
		{"zero", "version: 1\ntwitch: {channels_per_shard: 0, max_shard_count: -1}\n", []string{
			`FILE:2:30: twitch.channels_per_shard: 0 is out of range; use a number from 1 to 100000`,
			`FILE:2:50: twitch.max_shard_count: -1 is out of range; `}},
		{"number for text", "version: 1\ntwitch: {address: 6697}\n", []string{`FILE:2:19: twitch.address: wrong type: a number; put it in quotes: "6697"`}},
		{"text for a switch", "version: 1\ntwitch: {websocket: yes}\n", []string{`FILE:2:21: twitch.websocket: wrong type: text; write true or false`}},
		{"text for a list", "version: 1\ntwitch:\n  channels: forsen\n", []string{`FILE:3:13: twitch.channels: wrong type: text; write a list`}},
		{"list for a section", "version: 1\ntwitch:\n  - forsen\n", []string{`FILE:3:3: twitch: wrong type: a list; write a mapping`}},
		{"mapping for a rate", "version: 1\ntwitch: {limits: {joins: {n: 20}}}\n", []string{`FILE:2:26: twitch.limits.joins: wrong type: a mapping; write a single value`}},
		{"mapping for a token", "version: 1\ntwitch: {account: {login: a, token: {a: b}}}\n", []string{`FILE:2:37: twitch.account.token: wrong type: a mapping; write text`}},

		{"level", "version: 1\nlog: {level: inof}\ntwitch:\n", []string{`FILE:2:14: log.level: "inof" is not known; did you mean info?`}},
		{"policy", "version: 1\ntwitch: {policy: round-robin}\n", []string{`FILE:2:18: twitch.policy: "round-robin" is not known; use one of distributed, weighted, single`}},
		{"duration", "version: 1\ntwitch: {queue: {block_for: 30}}\n", []string{`FILE:2:29: twitch.queue.block_for: "30" has no unit; write 30s for seconds`}},
		{"negative duration", "version: 1\ntwitch: {queue: {block_for: -3s}}\n", []string{`FILE:2:29: twitch.queue.block_for: "-3s" is not positive; `}},
		{"size", "version: 1\ntwitch: {queue: {bytes: 1 mebibyte}}\n", []string{`FILE:2:25: twitch.queue.bytes: "1 mebibyte" is not a size; write one as in 64KiB`}},
		{"huge size", "version: 1\ntwitch: {queue: {bytes: 9999999999999GiB}}\n", []string{`FILE:2:25: twitch.queue.bytes: "9999999999999GiB" is out of range; `}},
		{"rate", "version: 1\ntwitch: {limits: {joins: 20}}\n", []string{`FILE:2:26: twitch.limits.joins: "20" is not a rate; write how many in which time, as in 20/11s`}},
		{"rate of none", "version: 1\ntwitch: {limits: {joins: 0/10s}}\n", []string{`FILE:2:26: twitch.limits.joins: "0/10s" is out of range; `}},
		{"proxy", "version: 1\ntwitch: {proxy: \"ftp://u:hunter2@x\"}\n", []string{`FILE:2:17: twitch.proxy: the scheme "ftp" is not supported; `}},
		{"bad proxy URL", "version: 1\ntwitch: {proxy: \"http://u:hunter2@x:y\"}\n", []string{`FILE:2:17: twitch.proxy: not a URL; `}},
		{"address", "version: 1\ntwitch: {address: \"wss://irc-ws.chat.twitch.tv\"}\n", []string{`FILE:2:19: twitch.address: "wss://irc-ws.chat.twitch.tv" is not HOST:PORT; `}},
		{"port", "version: 1\ntwitch: {address: \"x:70000\"}\n", []string{`FILE:2:19: twitch.address: "70000" is not a port; use a number from 1 to 65535`}},
		{"tls", "version: 1\ntwitch: {tls: maybe}\n", []string{`FILE:2:15: twitch.tls: "maybe" is neither true nor false; `}},
		{"tls key", "version: 1\ntwitch: {tls: {cafile: x}}\n", []string{`FILE:2:16: twitch.tls.cafile: unknown key; did you mean ca_file?`}},
		{"no CA file", "version: 1\ntwitch: {tls: {ca_file: none.pem}}\n", []string{`FILE:2:25: twitch.tls.ca_file: "DIR/none.pem" cannot be read: no such file or directory; check the path`}},
		{"half a certificate", "version: 1\ntwitch: {tls: {cert_file: x}}\n", []string{`FILE:2:10: twitch.tls: cert_file and key_file go together; set both or none`}},

		{"bad channel", "version: 1\ntwitch:\n  channels:\n    - for-sen\n", []string{`FILE:4:7: twitch.channels[0]: "for-sen": '-' cannot be part of a Twitch login; `}},
		{"channel of another platform", "version: 1\ntwitch:\n  channels: [\"irc:libera/#go\"]\n", []string{`FILE:3:14: twitch.channels[0]: "irc:libera/#go": `}},
		{"unquoted #", "version: 1\nirc:\n  libera:\n    address: a:1\n    nick: x\n    channels:\n      - #go\n", []string{`FILE:7:9: irc.libera.channels[0]: empty; remove the item, or put quotes around a name that begins with #, as in "#go"`}},
		{"duplicate channel", "version: 1\ntwitch:\n  channels:\n    - forsen\n    - name: \"#Forsen\"\n", []string{`FILE:5:13: twitch.channels[1].name: channel twitch:forsen listed twice: first at FILE:4:7; remove one`}},
		{"channel without a name", "version: 1\ntwitch:\n  channels:\n    - cap_exempt: true\n", []string{`FILE:4:7: twitch.channels[0]: no name; write the channel's name`}},
		{"misspelt channel setting", "version: 1\ntwitch:\n  channels:\n    - {name: a, cap_exmpt: true}\n", []string{`FILE:4:17: twitch.channels[0].cap_exmpt: unknown key; did you mean cap_exempt?`}},

		{"too few shards", "version: 1\ntwitch:\n  channels_per_shard: 2\n  max_shard_count: 2\n  channels: [" + names(5) + "]\n", []string{
			`FILE:4:20: twitch.max_shard_count: 5 channels, and 2 shards of 2 hold 4; set max_shard_count to 3 or channels_per_shard to 3`}},
		{"too few shards by default", "version: 1\ntwitch:\n  channels: [" + names(1001) + "]\n", []string{
			`FILE:2:1: twitch.max_shard_count: 1001 channels, and 20 shards of 50 hold 1000; set max_shard_count to 21 or channels_per_shard to 51`}},
		{"too full a single shard", "version: 1\ntwitch:\n  policy: single\n  channels: [" + names(51) + "]\n", []string{
			`FILE:2:1: twitch.channels_per_shard: 51 channels, and 1 shards of 50 hold 50; set channels_per_shard to 51, or policy to distributed`}},
		{"too many at the start", "version: 1\ntwitch:\n  max_shard_count: 2\n  initial_shard_count: 3\n", []string{
			`FILE:4:24: twitch.initial_shard_count: 3 is more than the 2 shards allowed; `}},
		{"over the cap", "version: 1\ntwitch:\n  account: {login: bot, token: " + goodToken + "}\n  channels: [{name: mine, cap_exempt: true}, " + names(103) + "]\n", []string{
			`twitch.channels: 103 channels count towards Twitch's cap, and "bot" may join 100: 3 too many, from twitch:c100 on; `}},
		{"unknown account", "version: 1\ntwitch:\n  accounts: [{login: bot1, token: " + goodToken + "}, {login: bot2, token: " + goodToken + "}]\n  channels: [{name: a, account: bot3}, {name: b, account: zzzzzzzz}]\n", []string{
			`FILE:4:21: twitch:a: no account is called "bot3"; did you mean bot1?`,
			`FILE:4:47: twitch:b: no account is called "zzzzzzzz"; use one of bot1, bot2`}},
		{"exempt for whom", "version: 1\ntwitch:\n  accounts: [{login: bot1, token: " + goodToken + "}, {login: bot2, token: " + goodToken + "}]\n  channels: [{name: a, cap_exempt: true}]\n", []string{
			`FILE:4:21: twitch:a: cap_exempt without account; name the account`}},
		{"account and accounts", "version: 1\ntwitch:\n  account:\n  accounts: []\n", []string{`FILE:4:3: twitch.accounts: given together with twitch.account; `}},
		{"two accounts of a name", "version: 1\ntwitch:\n  accounts:\n    - {login: bot, token: " + goodToken + "}\n    - {login: bot, token: " + goodToken + "}\n", []string{
			`FILE:5:7: twitch.accounts[1]: a second account called "bot": first at FILE:4:7; `}},

		{"login without a token", "version: 1\ntwitch:\n  account:\n    login: bot\n", []string{`FILE:4:12: twitch.account.login: no token for bot; set twitch.account.token_file`}},
		{"token without a login", "version: 1\ntwitch:\n  account: {token: " + goodToken + "}\n", []string{`FILE:3:20: twitch.account.token: a token without a login; `}},
		{"bad login", "version: 1\ntwitch:\n  account: {login: my bot, token: " + goodToken + "}\n", []string{`FILE:3:20: twitch.account.login: "my bot" is not a Twitch login; `}},
		{"justinfan", "version: 1\ntwitch:\n  account: {login: justinfan12}\n", []string{`FILE:3:20: twitch.account.login: justinfan logins are anonymous; `}},
		{"verified nobody", "version: 1\ntwitch:\n  account: {verified: true}\n", []string{`FILE:3:23: twitch.account.verified: an anonymous account cannot be verified; `}},
		{"two accounts of a login", "version: 1\ntwitch:\n  accounts:\n    - {login: bot, token: " + goodToken + "}\n    - {name: other, login: Bot, token: " + goodToken + "}\n", []string{
			`FILE:5:28: twitch.accounts[1].login: a second account with the login bot: first at FILE:4:15; remove one`}},
		{"sender that reads", "version: 1\ntwitch:\n  account: {login: bot, token: " + goodToken + "}\n  sender: {login: bot, token: " + goodToken + "}\n", []string{
			`FILE:4:19: twitch.sender.login: bot reads as well: see FILE:3:20; remove the section`}},
		{"sender of a reader's name", "version: 1\ntwitch:\n  account: {name: me, login: bot, token: " + goodToken + "}\n  sender: {name: me, login: other, token: " + goodToken + "}\n", []string{
			`FILE:4:3: twitch.sender: a second account called "me": first at FILE:3:3; remove one`}},
		{"anonymous sender", "version: 1\ntwitch:\n  sender: {}\n", []string{`FILE:3:3: twitch.sender: no login: an anonymous account cannot send; `}},
		{"token with a blank", "version: 1\ntwitch:\n  account: {login: bot, token: \"hunter2 hunter2\"}\n", []string{`FILE:3:32: twitch.account.token: the token contains a blank or a line break; `}},
		{"token with oauth: twice", "version: 1\ntwitch:\n  account: {login: bot, token: \"oauth:oauth:hunter2\"}\n", []string{`FILE:3:32: twitch.account.token: the token has "oauth:" twice before it; `}},
		{"empty token", "version: 1\ntwitch:\n  account: {login: bot, token: \"oauth:\"}\n", []string{`FILE:3:32: twitch.account.token: the token is empty; `}},
		{"token of a template", "version: 1\ntwitch:\n  account: {login: bot, token: \"<hunter2>\"}\n", []string{`FILE:3:32: twitch.account.token: the token contains characters that no token has; `}},
		{"two tokens", "version: 1\ntwitch:\n  account: {login: bot, token: " + goodToken + ", token_env: X}\n", []string{`FILE:3:75: twitch.account.token_env: given together with twitch.account.token; keep one`}},
		{"no token file", "version: 1\ntwitch:\n  account: {login: bot, token_file: none}\n", []string{`FILE:3:37: twitch.account.token_file: "DIR/none" cannot be read: no such file or directory; check the path`}},
		{"no token variable", "version: 1\ntwitch:\n  account: {login: bot, token_env: NONE}\n", []string{`FILE:3:36: twitch.account.token_env: the environment variable "NONE" is not set; `}},
		{"token in the clear", "version: 1\ntwitch:\n  tls: false\n  account: {login: bot, token: " + goodToken + "}\n", []string{`FILE:3:8: twitch.tls: false would send the token unencrypted to irc.chat.twitch.tv:6667; `}},

		{"network's name", "version: 1\nirc:\n  Libera: {address: \"a:1\", nick: x}\n", []string{`FILE:3:3: irc.Libera: not a name for a network; `}},
		{"IRC without anything", "version: 1\nirc:\n  libera:\n", []string{
			`FILE:3:3: irc.libera: no address; set irc.libera.address, as in irc.libera.chat:6697`,
			`FILE:3:3: irc.libera: no nick; set irc.libera.nick`}},
		{"nick", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: 9x}\n", []string{`FILE:3:34: irc.libera.nick: "9x" is not a nick; `}},
		{"one nick for many", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, max_shard_count: 3}\n", []string{`FILE:3:34: irc.libera.nick: 3 shards need nicks of their own; write x{shard}, or set max_shard_count to 1`}},
		{"SASL mechanism", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, sasl: {mechanism: scram, user: u, password: p}}\n", []string{`FILE:3:55: irc.libera.sasl.mechanism: "scram" is not known; `}},
		{"SASL without a password", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, sasl: {user: u}}\n", []string{`FILE:3:37: irc.libera.sasl: no password; set irc.libera.sasl.password_file`}},
		{"SASL external", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, sasl: {mechanism: external}}\n", []string{`FILE:3:55: irc.libera.sasl.mechanism: external needs a client certificate; `}},
		{"SASL in the clear", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, tls: false, sasl: {user: u, password: p}}\n", []string{`irc.libera.sasl.mechanism: plain without TLS would send the password unencrypted; `}},
		{"password with a line break", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, password: \"hunter2\\r\\nQUIT\"}\n", []string{`irc.libera.password: the password contains a line break; `}},
		{"IRC cap_exempt", "version: 1\nirc:\n  libera: {address: \"a:1\", nick: x, channels: [{name: \"#a\", cap_exempt: true}]}\n", []string{`irc.libera.channels[0]: account and cap_exempt are Twitch's; remove them`}},

		{"Discord without anything", "version: 1\ndiscord:\n", []string{`FILE:2:1: discord: no account; set discord.account.token_file`}},
		{"bot without a token", "version: 1\ndiscord:\n  account: {name: a}\n", []string{`FILE:3:3: discord.account: no token; set discord.account.token_file`}},
		{"bot's token with a break", "version: 1\ndiscord: {account: {token: \"hunter2\\nhunter2\"}}\n", []string{`FILE:2:28: discord.account.token: the token contains a blank, a line break`}},
		{"bot's two tokens", "version: 1\ndiscord: {account: {token: hunter2, token_file: x}}\n", []string{`FILE:2:49: discord.account.token_file: given together with discord.account.token; keep one`}},
		{"no bot's token file", "version: 1\ndiscord: {account: {token_file: none}}\n", []string{`FILE:2:33: discord.account.token_file: "DIR/none" cannot be read: no such file or directory; check the path`}},
		{"intent", "version: 1\ndiscord:\n  account: {token: hunter2}\n  intents: [guilds, message_contents, zzzzzzzzzzz]\n", []string{
			`FILE:4:21: discord.intents[1]: "message_contents" is no intent; did you mean message_content?`,
			`FILE:4:39: discord.intents[2]: "zzzzzzzzzzz" is no intent; use some of guilds, guild_members,`}},
		{"intents in a word", "version: 1\ndiscord: {account: {token: hunter2}, intents: \"guilds, mesages\"}\n", []string{`FILE:2:47: discord.intents: "mesages" is no intent; `}},
		{"no intents", "version: 1\ndiscord: {account: {token: hunter2}, intents: []}\n", []string{`FILE:2:38: discord.intents: none; name those`}},
		{"shards", "version: 1\ndiscord: {account: {token: hunter2}, shards: many}\n", []string{`FILE:2:46: discord.shards: "many" is no number of shards; write auto, or a number from 1`}},
		{"more shards than allowed", "version: 1\ndiscord: {account: {token: hunter2}, shards: 17}\n", []string{`FILE:2:46: discord.shards: 17 is more than the 16 shards allowed; lower it, or raise max_shard_count`}},
		{"guilds on a shard", "version: 1\ndiscord: {account: {token: hunter2}, channels_per_shard: 2501}\n", []string{`FILE:2:58: discord.channels_per_shard: 2501 is out of range; use a number from 1 to 2500, Discord's limit`}},
		{"reshard_at", "version: 1\ndiscord: {account: {token: hunter2}, reshard_at: 80}\n", []string{`FILE:2:50: discord.reshard_at: "80" is not a share; write a number from 0 to 1, as in 0.8`}},
		{"compression", "version: 1\ndiscord: {account: {token: hunter2}, compression: zlib}\n", []string{`FILE:2:51: discord.compression: "zlib" is not known; `}},
		{"state_dir", "version: 1\ndiscord: {account: {token: hunter2}, state_dir: config.yaml}\n", []string{`FILE:2:49: discord.state_dir: "DIR/config.yaml" is not a directory; name a directory`}},
		{"API in the clear", "version: 1\ndiscord: {account: {token: hunter2}, api: \"http://discord.com/api\"}\n", []string{`FILE:2:43: discord.api: http would send the token unencrypted to discord.com; write https`}},
		{"API that is none", "version: 1\ndiscord: {account: {token: hunter2}, api: discord.com, gateway: \"https://x\"}\n", []string{
			`FILE:2:43: discord.api: "discord.com" is not a https URL; write one as in https://discord.com/api/v10`,
			`FILE:2:65: discord.gateway: "https://x" is not a wss URL; write one as in wss://gateway.discord.gg`}},
		{"Discord without TLS", "version: 1\ndiscord: {account: {token: hunter2}, tls: false}\n", []string{`FILE:2:43: discord.tls: false does not turn TLS off here; remove the key`}},
		{"Discord channel", "version: 1\ndiscord: {account: {token: hunter2}, channels: [general, 7, \"discord:7\", {name: \"8\", account: x}]}\n", []string{
			`FILE:2:49: discord.channels[0]: "general": 'g' cannot be part of a Discord ID; `,
			`FILE:2:61: discord.channels[2]: channel discord:7 listed twice: first at FILE:2:58; remove one`,
			`FILE:2:74: discord.channels[3]: account and cap_exempt are Twitch's; remove them`}},

		{"no channels file", "version: 1\ntwitch:\nchannels_file: none.txt\n", []string{`FILE:3:16: channels_file: DIR/none.txt: cannot be read: no such file or directory; check the path`}},
		{"alias of nothing", "version: 1\ntwitch: *x\n", []string{`FILE:2:9: no anchor &x above this alias; `}},
		{"alias of itself", "version: 1\ntwitch: &x\n  sender: *x\n", []string{`unknown key`}},
		{"several at once", "version: 1\nlog: {level: x, formt: y}\ntwitch:\n  polcy: z\n  channels: [a, a, \"!\"]\n", []string{
			`FILE:2:14: log.level: `, `FILE:2:17: log.formt: unknown key`, `FILE:4:3: twitch.polcy: `, `FILE:5:17: twitch.channels[1]: channel twitch:a listed twice`, `FILE:5:20: twitch.channels[2]: "!": `}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := written(t, "config.yaml", c.text)
			code, stdout, stderr := chatshard(t, "config", "check", "-c", path)
			if code != exitUsage {
				t.Errorf("exit %d, want 2; stdout %q, stderr %q", code, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, "hunter2") {
				t.Errorf("a secret is printed: %s%s", stdout, stderr)
			}
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if c.name == "alias of itself" {
				lines = lines[:1] // it is wrong in more than one way
			}
			if len(lines) != len(c.want) {
				t.Fatalf("printed\n%s\nwant %d lines", stdout, len(c.want))
			}
			for i, want := range c.want {
				want = strings.NewReplacer("FILE", path, "DIR", filepath.Dir(path)).Replace(want)
				if got := lines[i]; !strings.Contains(got, want) || !strings.HasPrefix(got, path+":") || !strings.Contains(got, "; ") {
					t.Errorf("printed\n%s\nwant\n%s", got, want)
				}
			}
		})
	}
}

func TestBadChannelsFile(t *testing.T) {
	dir := t.TempDir()
	path, list := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "list.txt")
	put := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(path, "version: 1\ntwitch:\n  channels: [a]\nchannels_file: list.txt\n")
	put(list, "twitch:b\nforsen\ntwitch:c acount=x\n")
	_, stdout, _ := chatshard(t, "config", "check", "-c", path)
	want := list + ":2:1: \"forsen\": no platform; write twitch:forsen\n" +
		list + ":3:10: unknown setting \"acount\"; use account, cap_exempt or enabled\n"
	if stdout != want {
		t.Errorf("printed\n%swant\n%s", stdout, want)
	}
	put(list, "irc:libera/#go\n  discord:1\ntwitch:a account=x\ntwitch:d account=x\n")
	_, stdout, _ = chatshard(t, "config", "check", "-c", path)
	for i, want := range []string{
		list + ":1:1: irc:libera/#go: the configuration has no section irc.libera; ",
		list + ":2:3: discord:1: the configuration has no section discord; ",
		list + ":4:1: twitch:d: no account is called \"x\"; ", // what the configuration says of a takes precedence
	} {
		if lines := strings.Split(stdout, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[i], want) {
			t.Errorf("printed\n%swant in line %d\n%s", stdout, i+1, want)
		}
	}
}

func TestStarterIsGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if code, stdout, _ := chatshard(t, "config", "init"); code != exitOK || stdout != starter {
		t.Errorf("config init: exit %d, %d bytes, want the starter", code, len(stdout))
	}
	if code, _, stderr := chatshard(t, "config", "init", "-c", path); code != exitOK {
		t.Fatalf("config init -c: exit %d, %s", code, stderr)
	}
	if code, stdout, _ := chatshard(t, "config", "check", "-c", path); code != exitOK || stdout != path+": ok\n" {
		t.Errorf("config check: exit %d, %q", code, stdout)
	}
	code, _, stderr := chatshard(t, "config", "init", "-c", path)
	if code != exitFailure || !strings.Contains(stderr, "is there already") {
		t.Errorf("config init over a file: exit %d, %q", code, stderr)
	}
	// What it shows in comments is right too, but for files that are not there.
	text := regexp.MustCompile(`(?m)^( *)# ( *)(\w+: |\w+:$|- )`).ReplaceAllString(starter, "$1$2$3")
	_, err := loadConfig(written(t, "c.yaml", text), nil)
	var problems configError
	if !errors.As(err, &problems) {
		t.Fatalf("the starter without comment signs: %v", err)
	}
	for _, p := range problems {
		if !strings.Contains(p.what, "no such file") && !strings.Contains(p.what, "together") && !strings.Contains(p.what, "no account is called") && !strings.Contains(p.what, "cap_exempt without account") {
			t.Errorf("in the starter's comments: %v", p)
		}
	}
}

func TestFullConfig(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("bot1.token", "oauth:"+goodToken+"\r\n")
	put("list.txt", "twitch:fromfile\nirc:libera/#file\n")
	put("c.yaml", `version: 1
log: {level: debug, format: json}
x-queue: &queue {bytes: 64KiB, when_full: drop_oldest, block_for: 1m30s}
twitch:
  address: 127.0.0.1:6667
  tls: false
  proxy: socks5://me:hunter2@127.0.0.1:1080
  accounts:
    - {login: Bot1, token_file: bot1.token}
    - {name: second, login: bot2, token_env: BOT2, verified: true}
    - {}
  sender: {login: talker, token: oauth:`+goodToken+`}
  channels_per_shard: 90
  max_shard_count: 7
  initial_shard_count: 2
  policy: weighted
  limits: {joins: 10/s, sends: off}
  queue: *queue
  channels:
    - forsen
    - 1234
    - twitch:xqc
    - {name: "#Lirik", account: bot1, cap_exempt: true, enabled: false}
irc:
  libera:
    address: irc.libera.chat:6697
    tls: {server_name: other, insecure: true}
    nick: bot{shard}
    sasl: {user: bot, password: hunter2}
    queue: {<<: *queue, bytes: 1MiB}
    channels: ["#go", "irc:libera/#rust"]
channels_file: list.txt
`)
	path := filepath.Join(dir, "c.yaml")
	c, err := loadConfig(path, []string{"BOT2=" + goodToken, "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	tw := c.Twitch
	if a := tw.Accounts[0]; a.Login != "bot1" || a.Name != "bot1" || a.Token != goodToken || a.cap() != 100 {
		t.Errorf("first account: %+v", a)
	}
	if a := tw.Accounts[1]; a.Name != "second" || a.Token != goodToken || tw.limitsOf(&a).Logins != verifiedLimits.Logins {
		t.Errorf("second account: %+v", a)
	}
	if a := tw.Accounts[2]; a.Name != "anonymous" || a.cap() != 0 {
		t.Errorf("third account: %+v", a)
	}
	if tw.Sender.Token != goodToken {
		t.Error("the sender's token keeps its oauth:")
	}
	if got, want := tw.limitsOf(&tw.Accounts[0]), (limitsConfig{rate{N: 10, Per: time.Second}, twitchLimits.Logins, rate{Off: true}}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	if got, want := tw.Queue, (queueConfig{64 << 10, "drop_oldest", duration(90 * time.Second)}); got != want {
		t.Errorf("queue %+v, want %+v", got, want)
	}
	libera := c.IRC["libera"]
	if got, want := libera.Queue, (queueConfig{1 << 20, "drop_oldest", duration(90 * time.Second)}); got != want {
		t.Errorf("libera's queue %+v, want %+v", got, want)
	}
	if libera.MaxShardCount != 5 || libera.User != "bot" || libera.Limits != ircLimits {
		t.Errorf("libera's defaults: %+v", libera)
	}
	var wanted []string
	for e := range c.wanted.All() {
		wanted = append(wanted, e.Name.String())
	}
	if got, want := strings.Join(wanted, " "), "twitch:forsen twitch:1234 twitch:xqc twitch:lirik irc:libera/#go irc:libera/#rust twitch:fromfile irc:libera/#file"; got != want {
		t.Errorf("wanted %s, want %s", got, want)
	}
	e, _ := c.wanted.Lookup(channels.Name{Platform: channels.Twitch, Channel: "lirik"})
	if want := (channels.Settings{Account: "bot1", CapExempt: true, Disabled: true}); e.Settings != want {
		t.Errorf("lirik's settings %+v, want %+v", e.Settings, want)
	}
	if c.source(nil) == nil {
		t.Error("no source")
	}

	text, err := c.print()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hunter2", goodToken} {
		if strings.Contains(text, s) || strings.Contains(fmt.Sprintf("%v %+v %#v", tw.Accounts, *tw.Sender, *libera.SASL), s) {
			t.Errorf("a secret is printed")
		}
	}
	for _, s := range []string{"socks5://me:***@127.0.0.1:1080", `sends: "off"`, "bytes: 64KiB", "block_for: 1m30s", "- forsen", `"#go"`, "tls: false", "token_file: bot1.token"} {
		if !strings.Contains(text, s) {
			t.Errorf("config print lacks %q:\n%s", s, text)
		}
	}
}

// TestPrintReadsBack: without secrets, what is printed means the same.
func TestPrintReadsBack(t *testing.T) {
	path := written(t, "c.yaml", "version: 1\ntwitch:\n  tls: {server_name: x}\n  channels: [a, \"1e5\", {name: b, enabled: false}]\nirc:\n  n:\n    address: h:1\n    nick: x{shard}\n    channels: [\"#a\", \"&b\", \"#:c\"]\n")
	first, err := loadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := first.print()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := loadConfig(path, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	again, err := second.print()
	if err != nil || again != text {
		t.Errorf("printed first\n%s\nand then\n%s", text, again)
	}
	if !channels.Diff(first.wanted, second.wanted).Empty() {
		t.Errorf("wants other channels")
	}
}

func TestEnvironmentWins(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	tokenFile := filepath.Join(dir, "token")
	for name, text := range map[string]string{
		path:      "version: 1\ntwitch:\n  channels_per_shard: 5\n  account: {login: bot, token: wrong}\nirc:\n  my-net: {address: h:1, nick: x}\n",
		tokenFile: goodToken,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loadConfig(path, []string{
		"CHATSHARD_LOG_LEVEL=warn",
		"CHATSHARD_TWITCH_CHANNELS_PER_SHARD=7",
		"CHATSHARD_TWITCH_ACCOUNT_TOKEN_FILE=" + tokenFile,
		"CHATSHARD_TWITCH_LIMITS_JOINS=1/s",
		"CHATSHARD_TWITCH_WEBSOCKET=true",
		"CHATSHARD_TWITCH_TLS_SERVER_NAME=sni",
		"CHATSHARD_IRC_MY_NET_NICK=y",
		"CHATSHARD_IRC_MY_NET_TLS=false",
		"CHATSHARD_SERVICE_HOST=10.0.0.1", "CHATSHARD_PORT_80_TCP=tcp://10.0.0.1:80",
	})
	if err != nil {
		t.Fatal(err)
	}
	tw := c.Twitch
	if c.Log.Level != "warn" || tw.ChannelsPerShard != 7 || tw.Account.Token != goodToken || !tw.WebSocket ||
		tw.Limits.Joins != (rate{N: 1, Per: time.Second}) || tw.TLS.ServerName != "sni" || tw.Address != "irc-ws.chat.twitch.tv:443" ||
		c.IRC["my-net"].Nick != "y" || !c.IRC["my-net"].TLS.Off {
		t.Errorf("got %+v %+v %+v", c.Log, tw, c.IRC["my-net"])
	}
	// A section that the file lacks can come from the environment alone.
	path = written(t, "c.yaml", "version: 1\ntwitch:\n")
	c, err = loadConfig(path, []string{"CHATSHARD_TWITCH_SENDER_LOGIN=bot", "CHATSHARD_TWITCH_SENDER_TOKEN=" + goodToken})
	if err != nil || c.Twitch.Sender == nil || c.Twitch.Sender.Token != goodToken {
		t.Errorf("sender from the environment: %v", err)
	}

	for env, want := range map[string]string{
		"CHATSHARD_TWITCH_CHANNEL_PER_SHARD=1":             "environment variable CHATSHARD_TWITCH_CHANNEL_PER_SHARD: no such setting; did you mean CHATSHARD_TWITCH_CHANNELS_PER_SHARD?",
		"CHATSHARD_TWITCH_CHANNELS_PER_SHARD=x":            `environment variable CHATSHARD_TWITCH_CHANNELS_PER_SHARD: twitch.channels_per_shard: "x" is not a whole number; `,
		"CHATSHARD_TWITCH_CHANNELS_PER_SHARD=0":            `environment variable CHATSHARD_TWITCH_CHANNELS_PER_SHARD: twitch.channels_per_shard: 0 is out of range; `,
		"CHATSHARD_TWITCH_WEBSOCKET=maybe":                 `environment variable CHATSHARD_TWITCH_WEBSOCKET: twitch.websocket: "maybe" is neither true nor false; `,
		"CHATSHARD_LOG_LEVEL=loud":                         `environment variable CHATSHARD_LOG_LEVEL: log.level: "loud" is not known; `,
		"CHATSHARD_TWITCH_ACCOUNT_TOKEN=hunter2 hunter2":   `environment variable CHATSHARD_TWITCH_ACCOUNT_TOKEN: twitch.account.token: a token without a login; `,
		"CHATSHARD_TWITCH_ACCOUNT_TOKEN_FILE=/none/hunter": `environment variable CHATSHARD_TWITCH_ACCOUNT_TOKEN_FILE: twitch.account.token_file: "/none/hunter" cannot be read: no such file`,
	} {
		_, err := loadConfig(path, []string{env})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v\nwant %s", env, err, want)
		}
	}
}

func TestConfigCheckJSON(t *testing.T) {
	path := written(t, "c.yaml", "version: 1\ntwitch: {polcy: x}\n")
	code, stdout, _ := chatshard(t, "config", "check", "-c", path, "-o", "json")
	var r checkResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitUsage {
		t.Fatalf("exit %d, %v, %s", code, err, stdout)
	}
	want := checkResult{File: path, Problems: []checkProblem{{path, 2, 10, "twitch.polcy: unknown key", "did you mean policy?"}}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestOtherCommandsPrintProblemsToStderr(t *testing.T) {
	path := written(t, "c.yaml", "version: 1\ntwitch: {polcy: x, webscket: true}\n")
	for _, args := range [][]string{{"config", "print", "-c", path}, {"plan", "-c", path}} {
		code, stdout, stderr := chatshard(t, args...)
		want := "chatshard: " + path + ":2:10: twitch.polcy: unknown key; did you mean policy?\n" +
			"chatshard: " + path + ":2:20: twitch.webscket: unknown key; did you mean websocket?\n"
		if code != exitUsage || stdout != "" || stderr != want {
			t.Errorf("%v: exit %d, stdout %q, stderr\n%swant\n%s", args, code, stdout, stderr, want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(starter)
	for _, s := range []string{"", "version: 1\ntwitch: {channels: [a, {name: b}]}\n", "a: &a\n  <<: *a\n", "x-a: &a [*a]\n", "irc:\n  n: {nick: x, sasl: }\n", "? [a]\n: b\n", "version: 1\ntwitch: &t\n  account: *t\n"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			t.Skip("could name any file of this machine")
		}
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(path, nil)
		var problems configError
		if errors.As(err, &problems) {
			for _, p := range problems {
				if s := p.String(); p.at.line < 1 || p.at.col < 1 || p.fix == "" || strings.ContainsAny(s, "\n\r") {
					t.Errorf("bad problem: %q", s)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.print(); err != nil {
			t.Fatal(err)
		}
	})
}
