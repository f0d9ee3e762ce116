package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// webhookConfig is a URL that envelopes are posted to.
type webhookConfig struct {
	Name       string        `yaml:"name"`          // of its cursor: another name begins anew
	URL        secret        `yaml:"url,omitempty"` // who knows it can often post there too
	URLFile    string        `yaml:"url_file,omitempty"`
	URLEnv     string        `yaml:"url_env,omitempty"`
	Secret     secret        `yaml:"secret,omitempty"` // that deliveries are signed with
	SecretFile string        `yaml:"secret_file,omitempty"`
	SecretEnv  string        `yaml:"secret_env,omitempty"`
	Filter     filterConfig  `yaml:"filter"`
	Format     webhookFormat `yaml:"format"`
	Batch      int           `yaml:"batch"` // envelopes
	BatchBytes size          `yaml:"batch_bytes"`
	Timeout    duration      `yaml:"timeout"` // of a request
	GiveUp     duration      `yaml:"give_up"` // on a batch, which becomes dead letters then
	Policy     webhookPolicy `yaml:"policy"`  // when it is slower than the chat
}

// filterConfig is a [relay.Filter].
type filterConfig struct {
	Platform []string `yaml:"platform,omitempty"`
	Network  []string `yaml:"network,omitempty"`
	Account  []string `yaml:"account,omitempty"`
	Channel  []string `yaml:"channel,omitempty"`
	Kind     []string `yaml:"kind,omitempty"`
	User     []string `yaml:"user,omitempty"`
	Text     []string `yaml:"text,omitempty"`
	Sample   fraction `yaml:"sample,omitempty"`
}

type (
	webhookFormat string
	webhookPolicy string
)

func (v *webhookFormat) UnmarshalText(text []byte) error { return choose(v, text, "ndjson", "json") }
func (v *webhookPolicy) UnmarshalText(text []byte) error {
	return choose(v, text, "block", "drop_oldest")
}

// fraction is a part of a whole.
type fraction float64

// MarshalYAML writes what UnmarshalText reads.
func (f fraction) MarshalYAML() (any, error) { return float64(f), nil }

func (f *fraction) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v > 0 && v <= 1) {
		return &valueError{quote(text) + " is not a part of a whole", "write a number above 0, up to 1, as in 0.1"}
	}
	*f = fraction(v)
	return nil
}

func (c *webhookConfig) defaults() {
	*c = webhookConfig{
		Format: "ndjson", Batch: 100, BatchBytes: 256 << 10, Policy: "block",
		Timeout: duration(10 * time.Second), GiveUp: duration(time.Hour),
	}
}

// shown returns what may be printed.
func (c webhookConfig) shown() webhookConfig {
	if c.URLFile != "" || c.URLEnv != "" {
		c.URL = ""
	}
	if c.SecretFile != "" || c.SecretEnv != "" {
		c.Secret = ""
	}
	return c
}

const maxWebhooks = 100

var (
	platformNames = []string{string(channels.Twitch), string(channels.IRC), string(channels.Discord)}
	// kindNames are those of the envelope's schema.
	kindNames = []string{
		"message", "whisper", "notice", "user_notice", "edit", "delete", "reaction", "typing", "interaction", "clear", "room_state",
		"join", "part", "kick", "topic", "refused", "gap", "up", "down", "cut_over", "ready", "other",
	}
)

func (k *checker) webhooks(path string, c *relayConfig) {
	if len(c.Webhooks) == 0 {
		return
	}
	if c.DeadLetters == "" {
		k.failAt(path+".dead_letters", "empty", "name a directory")
	}
	c.DeadLetters = k.where(path + ".dead_letters").relative(c.DeadLetters)
	path += ".webhooks"
	if c.Log.Dir == noLog {
		k.failAt(path, "there is no log from which to deliver what a receiver missed", "set relay.log.dir")
	}
	if n := len(c.Webhooks); n > maxWebhooks {
		k.failAt(path, fmt.Sprintf("%d webhooks", n), fmt.Sprintf("use at most %d", maxWebhooks))
	}
	first := map[string]string{}
	for i := range c.Webhooks {
		w, p := &c.Webhooks[i], fmt.Sprintf("%s[%d]", path, i)
		other, twice := first[w.Name]
		switch {
		case w.Name == "":
			k.failAt(p, "no name", "write one: its cursor is kept under it")
		case twice:
			k.failAt(p+".name", fmt.Sprintf("a second webhook called %s: first at %v", quote(w.Name), k.where(other)), "give it a name of its own")
		case !relay.WebhookName(w.Name):
			k.failAt(p+".name", quote(w.Name)+" is not a name for a webhook", "use 1 to 56 letters, digits, _ . or -")
		default:
			first[w.Name] = p
		}
		given, ok := k.secret(p, "url", &w.URL, w.URLFile, w.URLEnv)
		switch {
		case given == "" && !k.broken:
			k.failAt(p, "no url", "set url, or url_file to a file that holds it")
		case given != "" && ok && !relay.WebhookURL(string(w.URL)):
			k.failAt(given, "not a URL of http or https", "write one as in https://example.org/hook")
		}
		k.secret(p, "secret", &w.Secret, w.SecretFile, w.SecretEnv)
		if w.Batch < 1 || w.Batch > 10_000 {
			k.failAt(p+".batch", fmt.Sprintf("%d is out of range", w.Batch), "use a number from 1 to 10000")
		}
		if w.BatchBytes > 16<<20 {
			k.failAt(p+".batch_bytes", "more than 16MiB", "write a size up to 16MiB")
		}
		k.filter(p+".filter", &w.Filter)
	}
}

func (k *checker) filter(path string, f *filterConfig) {
	for _, l := range []struct {
		key  string
		list []string
		of   []string
	}{{"platform", f.Platform, platformNames}, {"kind", f.Kind, kindNames}} {
		for i, v := range l.list {
			if slices.Contains(l.of, v) {
				continue
			}
			fix := "use some of " + strings.Join(l.of, ", ")
			if near := nearest(v, l.of); near != "" {
				fix = "did you mean " + near + "?"
			}
			k.failAt(fmt.Sprintf("%s.%s[%d]", path, l.key, i), quote(v)+" is not known", fix)
		}
	}
	if err := f.filter().Check(); err != nil {
		what, fix, _ := strings.Cut(strings.TrimPrefix(err.Error(), "relay: filter: "), ": ")
		k.failAt(path, what, fix)
	}
}

func (f *filterConfig) filter() relay.Filter {
	return relay.Filter{
		Platforms: f.Platform, Networks: f.Network, Accounts: f.Account, Channels: f.Channel,
		Kinds: f.Kind, Users: f.User, Text: f.Text, Sample: float64(f.Sample),
	}
}

// webhook returns what the configuration makes of it.
func (c *webhookConfig) webhook(dead string) *relay.Webhook {
	w := &relay.Webhook{
		Name: c.Name, URL: string(c.URL), Secret: string(c.Secret), Filter: c.Filter.filter(), Array: c.Format == "json",
		Batch: c.Batch, Bytes: int(c.BatchBytes), Timeout: time.Duration(c.Timeout), GiveUp: time.Duration(c.GiveUp),
		DeadLetters: filepath.Join(dead, c.Name+".ndjson"),
	}
	if c.Policy == "drop_oldest" {
		w.Policy = relay.DropOldest
	}
	return w
}
