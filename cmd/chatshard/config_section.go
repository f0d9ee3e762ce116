package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (k *checker) twitch(c *twitchConfig) {
	k.address("twitch", &c.endpoint, func() string {
		switch {
		case c.WebSocket:
			return "irc-ws.chat.twitch.tv:443"
		case c.TLS.Off:
			return "irc.chat.twitch.tv:6667"
		}
		return "irc.chat.twitch.tv:6697"
	})
	k.sharding("twitch", &c.sharding)
	if c.Account != nil && c.Accounts != nil {
		k.failAt("twitch.accounts", "given together with twitch.account", "move the account into the list")
	}
	if c.Account == nil && len(c.Accounts) == 0 {
		c.Account = &accountConfig{}
	}
	if c.Account != nil {
		k.account("twitch.account", c, c.Account)
	}
	names, logins := map[string]string{}, map[string]string{} // of what stands where
	if c.Account != nil && c.Accounts == nil {
		names[c.Account.Name], logins[c.Account.Login] = "twitch.account", "twitch.account.login"
	}
	twice := func(path string, a *accountConfig) bool {
		first, twice := names[a.Name]
		if twice = twice && a.Name != ""; twice { // without a name something else is wrong with it
			k.failAt(path, fmt.Sprintf("a second account called %s: first at %v", quote(a.Name), k.where(first)), "remove one, or give it another name")
		}
		return twice
	}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		path := fmt.Sprintf("twitch.accounts[%d]", i)
		k.account(path, c, a)
		if twice(path, a) {
			continue
		}
		names[a.Name] = path
		if first, twice := logins[a.Login]; twice && !a.anonymous() {
			k.failAt(path+".login", fmt.Sprintf("a second account with the login %s: first at %v", a.Login, k.where(first)), "remove one: a login has one budget")
			continue
		}
		logins[a.Login] = path + ".login"
	}
	if a := c.Sender; a != nil {
		k.account("twitch.sender", c, a)
		first, reads := logins[a.Login]
		switch {
		case a.anonymous():
			if !k.broken {
				k.failAt("twitch.sender", "no login: an anonymous account cannot send", "set login and token_file, or remove the section")
			}
		case reads:
			k.failAt("twitch.sender.login", fmt.Sprintf("%s reads as well: see %v", a.Login, k.where(first)),
				"remove the section: of the accounts that read, the first with a login sends")
		default:
			twice("twitch.sender", a)
		}
	}
}

var twitchLogin = regexp.MustCompile(`^[a-z0-9_]{1,25}$`)

func (k *checker) account(path string, c *twitchConfig, a *accountConfig) {
	a.Login = strings.ToLower(a.Login)
	if a.Login != "" && !twitchLogin.MatchString(a.Login) {
		k.failAt(path+".login", quote(a.Login)+" is not a Twitch login", "use 1 to 25 letters a-z, digits and underscores")
	}
	if strings.HasPrefix(a.Login, "justinfan") {
		k.failAt(path+".login", "justinfan logins are anonymous", "leave login empty to read anonymously")
		return
	}
	given, ok := k.secret(path, "token", &a.Token, a.TokenFile, a.TokenEnv)
	if a.Name == "" {
		a.Name = a.Login
		if a.anonymous() {
			a.Name = "anonymous"
		}
	}
	switch {
	case a.anonymous() && a.Verified:
		k.failAt(path+".verified", "an anonymous account cannot be verified", "set login and token_file, or remove this key")
	case a.anonymous() && given != "":
		k.failAt(given, "a token without a login", "set "+path+".login to the account's name")
	case !a.anonymous() && given == "" && !k.broken:
		k.failAt(path+".login", "no token for "+a.Login, "set "+path+".token_file to a file that holds it, or leave login empty to read anonymously")
	case ok && given != "":
		token, err := twitchToken(a.Token)
		if err != nil {
			k.failAt(given, "the token "+err.Error(), "use the access token alone, as the token generator shows it, without quotes or line breaks")
			return
		}
		a.Token = token
		if c.TLS.Off && !isLoopback(c.Address) {
			k.failAt("twitch.tls", "false would send the token unencrypted to "+c.Address, "write tls: true, or read anonymously")
		}
	}
}

// secret resolves a secret that may be given in three ways. It returns the
// path of the one that was, and whether it could be read.
func (k *checker) secret(section, name string, v *secret, file, env string) (path string, ok bool) {
	type way struct{ path, value string }
	var given []way
	for _, w := range []way{{section + "." + name, string(*v)}, {section + "." + name + "_file", file}, {section + "." + name + "_env", env}} {
		if _, written := k.at[w.path]; written && (w.value != "" || k.where(w.path).line == 0) {
			given = append(given, w)
		}
	}
	if len(given) == 0 {
		return "", true
	}
	path = given[0].path
	if len(given) > 1 {
		k.failAt(given[1].path, "given together with "+path, "keep one of them")
		return path, false
	}
	switch path {
	case section + "." + name + "_file":
		text, err := readFile(k.where(path).relative(file), maxSecretFile)
		if err != nil {
			k.failAt(path, fmt.Sprintf("%s %v", quote(k.where(path).relative(file)), err), "check the path and its permissions")
			return path, false
		}
		*v = secret(strings.TrimRight(text, "\r\n"))
	case section + "." + name + "_env":
		value, found := lookupEnv(k.environ, env)
		if !found {
			k.failAt(path, "the environment variable "+quote(env)+" is not set", "set it, or use "+name+"_file")
			return path, false
		}
		*v = secret(value)
	}
	if *v == "" {
		k.failAt(path, "the "+name+" is empty", "put the "+name+" there, or remove this key")
		return path, false
	}
	return path, true
}

func lookupEnv(environ []string, name string) (string, bool) {
	for _, kv := range slices.Backward(environ) {
		if n, v, _ := strings.Cut(kv, "="); n == name {
			return v, true
		}
	}
	return "", false
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (k *checker) address(path string, e *endpoint, standard func() string) {
	if e.Address == "" {
		if e.Address = standard(); e.Address == "" {
			if !k.broken {
				k.failAt(path, "no address", "set "+path+".address, as in irc.libera.chat:6697")
			}
			return
		}
	} else if host, port, err := net.SplitHostPort(e.Address); err != nil || host == "" || strings.ContainsAny(host, "/ @") || strings.Contains(port, "/") {
		k.failAt(path+".address", quote(e.Address)+" is not HOST:PORT", "write one as in irc.libera.chat:6697, without a scheme or path")
	} else if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		k.failAt(path+".address", quote(port)+" is not a port", "use a number from 1 to 65535")
	}
	k.tls(path+".tls", &e.TLS)
}

// tls checks settings of TLS and the files that they name.
func (k *checker) tls(path string, t *tlsConfig) {
	if t.Off && *t != (tlsConfig{Off: true}) {
		k.failAt(path, "false, and settings for it", "remove one of them")
	}
	for _, f := range []struct {
		key  string
		file *string
	}{{".ca_file", &t.CAFile}, {".cert_file", &t.CertFile}, {".key_file", &t.KeyFile}} {
		*f.file = k.where(path + f.key).relative(*f.file)
	}
	if t.CAFile != "" {
		pem, err := readFile(t.CAFile, maxSecretFile*16)
		if err != nil {
			k.failAt(path+".ca_file", fmt.Sprintf("%s %v", quote(t.CAFile), err), "check the path and its permissions")
		} else if !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
			k.failAt(path+".ca_file", quote(t.CAFile)+" holds no certificate", "use a file in PEM format")
		}
	}
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		k.failAt(path, "cert_file and key_file go together", "set both or none")
	case t.CertFile != "":
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			k.failAt(path+".cert_file", "the client certificate cannot be used: "+err.Error(), "check both files; they must be PEM and belong together")
		}
	}
}

func (k *checker) sharding(path string, s *sharding) {
	for _, n := range []struct {
		key   string
		value *int
		most  int
		std   int
	}{
		{"channels_per_shard", &s.ChannelsPerShard, 100_000, 50},
		{"max_shard_count", &s.MaxShardCount, 100_000, 1},
		{"initial_shard_count", &s.InitialShardCount, 100_000, 1},
	} {
		p := path + "." + n.key
		if *n.value < 1 || *n.value > n.most {
			if !k.failed(p) {
				k.failAt(p, fmt.Sprintf("%d is out of range", *n.value), fmt.Sprintf("use a number from 1 to %d", n.most))
			}
			*n.value = n.std
		}
	}
	if s.InitialShardCount > s.shards() {
		k.failAt(path+".initial_shard_count", fmt.Sprintf("%d is more than the %d shards allowed", s.InitialShardCount, s.shards()), "lower it, or raise max_shard_count")
	}
}

var (
	nickName = regexp.MustCompile("^[A-Za-z\\[\\]\\\\`_^{|}][A-Za-z0-9\\[\\]\\\\`_^{|}-]{0,29}$")
	oneWord  = regexp.MustCompile(`^[^\s\x00-\x1f:@][^\s\x00-\x1f@]*$`)
)

func (k *checker) irc(path string, c *ircConfig) {
	k.address(path, &c.endpoint, func() string { return "" })
	numbered := strings.Contains(c.Nick, "{shard}")
	if _, written := k.at[path+".max_shard_count"]; !written {
		// Each connection needs a nick of its own.
		c.MaxShardCount = 1
		if numbered {
			c.MaxShardCount = 5
		}
	}
	k.sharding(path, &c.sharding)
	c.Limits = c.Limits.or(ircLimits)
	plain := strings.ReplaceAll(c.Nick, "{shard}", "0")
	switch {
	case c.Nick == "":
		if !k.broken {
			k.failAt(path, "no nick", "set "+path+".nick, as in mybot{shard}")
		}
	case !nickName.MatchString(plain):
		k.failAt(path+".nick", quote(c.Nick)+" is not a nick", "use up to 30 letters, digits and []\\`_^{|}- with a letter first; {shard} stands for the shard's number")
	case !numbered && c.shards() > 1:
		k.failAt(path+".nick", fmt.Sprintf("%d shards need nicks of their own", c.shards()), fmt.Sprintf("write %s{shard}, or set max_shard_count to 1", clipped(c.Nick, 25)))
	}
	if c.User == "" {
		c.User = strings.ToLower(strings.ReplaceAll(c.Nick, "{shard}", ""))
	} else if !oneWord.MatchString(c.User) {
		k.failAt(path+".user", quote(c.User)+" is not a user name", "use one word without @")
	}
	if c.RealName == "" {
		c.RealName = c.User
	} else if strings.ContainsAny(c.RealName, "\x00\r\n") {
		k.failAt(path+".realname", "contains a line break", "write one line")
	}
	k.line(path, "password", &c.Password, c.PasswordFile, c.PasswordEnv)
	k.sasl(path+".sasl", c)
}

// line resolves a secret that is sent in a line of IRC.
func (k *checker) line(section, name string, v *secret, file, env string) (given string) {
	given, ok := k.secret(section, name, v, file, env)
	if ok && strings.ContainsAny(string(*v), "\x00\r\n") {
		k.failAt(given, "the password contains a line break", "use a password of one line")
	}
	return given
}

func (k *checker) sasl(path string, c *ircConfig) {
	s := c.SASL
	if s == nil {
		return
	}
	given := k.line(path, "password", &s.Password, s.PasswordFile, s.PasswordEnv)
	if s.Mechanism == "external" {
		switch {
		case c.TLS.CertFile == "":
			k.failAt(path+".mechanism", "external needs a client certificate", "set tls.cert_file and tls.key_file")
		case given != "":
			k.failAt(given, "external takes no password", "remove it")
		}
		return
	}
	if s.User == "" && !k.broken {
		k.failAt(path, "no user", "set "+path+".user to the account's name")
	}
	if given == "" && !k.broken {
		k.failAt(path, "no password", "set "+path+".password_file to a file that holds it")
	}
	if s.Mechanism == "plain" && c.TLS.Off && !isLoopback(c.Address) {
		k.failAt(path+".mechanism", "plain without TLS would send the password unencrypted", "write tls: true, or mechanism: scram-sha-256")
	}
}
