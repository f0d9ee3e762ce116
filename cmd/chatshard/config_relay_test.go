package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/chatshard/chatshard/irc"
)

const relayHead = "version: 1\ntwitch: {channels: [a]}\nrelay:\n"

// Every mistake in the relay's lists is told with where it stands.
func TestRelayListsConfig(t *testing.T) {
	hash := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct{ name, relay, want string }{
		{"token's limit", "  tokens: [{name: a, hash: \"" + hash + "\", roles: [read], limits: {sends: 5}}]\n", `:4:134: relay.tokens[0].limits.sends: "5" is not a rate; write how many in which time`},
		{"token's streams", "  tokens: [{name: a, hash: \"" + hash + "\", roles: [read], limits: {connections: 0}}]\n", ":4:140: relay.tokens[0].limits.connections: 0 is out of range; use a number from 1 to 10000"},
		{"token's requests", "  tokens: [{name: a, hash: \"" + hash + "\", roles: [read], limits: {requests: 20000/1s}}]\n", "relay.tokens[0].limits.requests: 20000/1s is out of range; write at most 10000/1s, or off"},
		{"NATS limit", "  nats: {listen: 127.0.0.1:4222, token: x, sends: 5}\n", `relay.nats.sends: "5" is not a rate; write how many in which time`},
		{"unknown limit", "  tokens: [{name: a, hash: \"" + hash + "\", roles: [read], limits: {send: 5/1s}}]\n", "relay.tokens[0].limits.send: unknown key; did you mean sends?"},
		{"tokens of a name", "  tokens:\n    - {name: a, hash: \"" + hash + "\", roles: [read]}\n    - {name: a, hash: \"" + hash + "\", roles: [read]}\n", `:6:14: relay.tokens[1].name: a second token called "a": first at `},
		{"no file of tokens", "  tokens_file: nowhere\n", "relay.tokens_file: "},
		{"certificate", "  cert_file: c.yaml\n  key_file: c.yaml\n", ":4:14: relay.cert_file: the certificate cannot be used: "},
		{"no name", "  webhooks:\n    - url: http://x/\n", ":5:7: relay.webhooks[0]: no name; write one: its cursor is kept under it"},
		{"bad name", "  webhooks: [{name: a b, url: \"http://x/\"}]\n", `:4:21: relay.webhooks[0].name: "a b" is not a name for a webhook; use 1 to 56 letters, digits, _ . or -`},
		{"name twice", "  webhooks: [{name: a, url: \"http://x/\"}, {name: a, url: \"http://x/\"}]\n", `relay.webhooks[1].name: a second webhook called "a": first at `},
		{"no url", "  webhooks: [{name: a}]\n", "relay.webhooks[0]: no url; set url, or url_file to a file that holds it"},
		{"bad url", "  webhooks: [{name: a, url: \"ftp://hunter2/\"}]\n", ":4:29: relay.webhooks[0].url: not a URL of http or https; write one as in https://example.org/hook"},
		{"urls", "  webhooks: [{name: a, url: \"http://x/\", url_env: X}]\n", "relay.webhooks[0].url_env: given together with relay.webhooks[0].url; keep one of them"},
		{"secret's file", "  webhooks: [{name: a, url: \"http://x/\", secret_file: nowhere}]\n", `relay.webhooks[0].secret_file: "`},
		{"batch", "  webhooks: [{name: a, url: \"http://x/\", batch: 0}]\n", ":4:49: relay.webhooks[0].batch: 0 is out of range; use a number from 1 to 10000"},
		{"batch's size", "  webhooks: [{name: a, url: \"http://x/\", batch_bytes: 17MiB}]\n", "relay.webhooks[0].batch_bytes: more than 16MiB; write a size up to 16MiB"},
		{"policy", "  webhooks: [{name: a, url: \"http://x/\", policy: disconnect}]\n", `relay.webhooks[0].policy: "disconnect" is not known; use one of block, drop_oldest`},
		{"format", "  webhooks: [{name: a, url: \"http://x/\", format: xml}]\n", `relay.webhooks[0].format: "xml" is not known`},
		{"kind", "  webhooks: [{name: a, url: \"http://x/\", filter: {kind: [message, mesage]}}]\n", `:4:67: relay.webhooks[0].filter.kind[1]: "mesage" is not known; did you mean message?`},
		{"platform", "  webhooks: [{name: a, url: \"http://x/\", filter: {platform: [slack]}}]\n", `relay.webhooks[0].filter.platform[0]: "slack" is not known; use some of twitch, irc, discord`},
		{"sample", "  webhooks: [{name: a, url: \"http://x/\", filter: {sample: 2}}]\n", `relay.webhooks[0].filter.sample: "2" is not a part of a whole; write a number above 0, up to 1`},
		{"text", "  webhooks: [{name: a, url: \"http://x/\", filter: {text: [\"\"]}}]\n", `relay.webhooks[0].filter: text=""; want 1 to 128 bytes of UTF-8`},
		{"no log", "  log: {dir: none}\n  webhooks: [{name: a, url: \"http://x/\"}]\n", "relay.webhooks: there is no log from which to deliver what a receiver missed; set relay.log.dir"},
		{"dead letters", "  dead_letters: \"\"\n  webhooks: [{name: a, url: \"http://x/\"}]\n", "relay.dead_letters: empty; name a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := chatshard(t, "config", "check", "-c", written(t, "c.yaml", relayHead+c.relay))
			if code != exitUsage || !strings.Contains(stdout, c.want) || strings.Contains(stdout+stderr, "hunter2") || strings.Count(stdout, "\n") != 1 {
				t.Errorf("exit %d: %s%s\nwant %s", code, stdout, stderr, c.want)
			}
		})
	}
}

func TestTokensFile(t *testing.T) {
	hash := relay.HashToken("hunter2")
	for _, c := range []struct{ text, want string }{
		{"a " + hash, ":1:1: a token is a name, a hash and roles; write one a line"},
		{"\n  a hunter2 read", ":2:5: hash is not sha256: and 64 hexadecimal digits"},
		{"a " + hash + " hunter2", ":1:75: not a role"},
		{"a " + hash + " read hunter2", ":1:80: not a limit"},
		{"a " + hash + " read sends=hunter2", ":1:80: not a number"},
		{"a " + hash + " read,write", `:1:75: not a role; use some of read, send, admin`},
		{"a " + hash + " read\nö " + hash + " read\na " + hash + " read", `:3:1: a second token called "a": first at `},
		{"ö " + hash + " read  sends=x", `:1:81: not a number, or not a rate; write connections=100, requests=20/1s or sends=300/1m`},
		{"a " + hash + " read sends=1/1s sends=1/1s", `:1:91: not a limit, or a second one`},
		{"a " + hash + " read colour=red", `:1:80: not a limit, or a second one`},
		{"a " + hash + " read connections=0", ":1:80: 0 is out of range; use a number from 1 to 10000"},
		{"a\xff", ":1:1: not UTF-8; save the file as UTF-8"},
	} {
		file := written(t, "c.yaml", relayHead+"  listen: 0.0.0.0:80\n  tokens_file: tokens\n")
		path := filepath.Join(filepath.Dir(file), "tokens")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, _ := chatshard(t, "config", "check", "-c", file)
		if code != exitUsage || !strings.HasPrefix(stdout, path+c.want) || strings.Count(stdout, "\n") != 1 || strings.Contains(stdout, "hunter2") {
			t.Errorf("%q: exit %d: %s\nwant %s", c.text, code, stdout, path+c.want)
		}
	}
	empty := written(t, "c.yaml", relayHead+"  tokens_file: tokens\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(empty), "tokens"), []byte("# to come\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := chatshard(t, "config", "check", "-c", empty)
	if code != exitUsage || !strings.Contains(stdout, "has no token, and without one everybody on this machine may do everything; write") {
		t.Errorf("a file without a token: exit %d: %s", code, stdout)
	}
	file := written(t, "c.yaml", relayHead+"  listen: 0.0.0.0:80\n  tokens: [{name: x, hash: \""+hash+"\", roles: [admin]}]\n  tokens_file: tokens\n")
	text := "# name hash roles limits\n\na " + hash + " read,send\nb\t" + hash + "\tsend connections=5 requests=90/1m sends=off # for tests\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "tokens"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []relay.Token{
		{Name: "x", Hash: hash, Roles: []relay.Role{"admin"}, Connections: 100, Rate: 20, Sends: irc.Rate{N: 300, Per: time.Minute}},
		{Name: "a", Hash: hash, Roles: []relay.Role{"read", "send"}, Connections: 100, Rate: 20, Sends: irc.Rate{N: 300, Per: time.Minute}},
		{Name: "b", Hash: hash, Roles: []relay.Role{"send"}, Connections: 5, Rate: 1.5, Sends: irc.Rate{N: -1}},
	}
	if got := c.Relay.server().Tokens; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// What is printed has no secrets, can be read again, and means the same.
func TestRelayConfigPrint(t *testing.T) {
	file := written(t, "c.yaml", relayHead+`  tokens: [{name: a, hash: "`+relay.HashToken("x")+`", roles: [read], limits: {sends: 10/1m}}]
  webhooks:
    - {name: a, url_env: HOOK, secret_env: KEY, filter: {channel: ["go*"], sample: 0.25}, format: json, give_up: 5m, policy: drop_oldest}
    - {name: b, url: "http://hunter2/", secret: hunter3}
`)
	environ = func() []string { return []string{"HOOK=http://hunter4/", "KEY=hunter5"} }
	defer func() { environ = func() []string { return nil } }()
	code, stdout, stderr := chatshard(t, "config", "print", "-c", file)
	if code != exitOK || strings.Contains(stdout, "hunter") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	c, err := loadConfig(file, environ())
	if err != nil {
		t.Fatal(err)
	}
	w := c.Relay.Webhooks[0].webhook("dead")
	if w.URL != "http://hunter4/" || w.Secret != "hunter5" || !w.Array || w.Policy != relay.DropOldest || w.GiveUp != 5*time.Minute ||
		w.Filter.Sample != 0.25 || !slices.Equal(w.Filter.Channels, []string{"go*"}) || w.DeadLetters != filepath.Join("dead", "a.ndjson") {
		t.Errorf("%+v", w)
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
	again := strings.ReplaceAll(stdout, `'***'`, "http://x/")
	again = strings.ReplaceAll(strings.ReplaceAll(again, `"***"`, "http://x/"), "***", "http://x/")
	code, more, stderr := chatshard(t, "config", "print", "-c", written(t, "c.yaml", again))
	if code != exitOK || !strings.Contains(more, "sample: 0.25") || !strings.Contains(more, "sends: 10/1m0s") {
		t.Errorf("exit %d: %s%s\nof\n%s", code, more, stderr, again)
	}
	environ = func() []string {
		return []string{"HOOK=http://hunter4/", "KEY=hunter5", "CHATSHARD_RELAY_WEBHOOKS_1_SECRET_ENV=KEY"}
	}
	if c, err = loadConfig(file, environ()); err != nil || c.Relay.Webhooks[1].Secret != "hunter5" {
		t.Errorf("%v: the variable does not win", err)
	}
}

// Every kind that there is can be asked for, and no other.
func TestKindsAreKnown(t *testing.T) {
	var schema struct {
		Properties struct {
			Kind struct{ OneOf []struct{ Const string } }
		}
	}
	if err := json.Unmarshal([]byte(envelopeSchema), &schema); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, k := range schema.Properties.Kind.OneOf {
		kinds = append(kinds, k.Const)
	}
	known := slices.Sorted(slices.Values(kindNames))
	if slices.Sort(kinds); !slices.Equal(known, kinds) {
		t.Errorf("filters know %v, the schema %v", known, kinds)
	}
}

// A relay with a certificate serves HTTPS, to a command as well.
func TestRunTLS(t *testing.T) {
	twitch, twitchAddr := twitchOn(t, nil)
	addr := freeAddr(t)
	cert, key := selfSigned(t)
	file := written(t, "c.yaml", fmt.Sprintf("version: 1\ntwitch: {address: %q, tls: false, channels: [forsen]}\nrelay: {listen: %q, cert_file: relay.crt, key_file: relay.key}\n", twitchAddr, addr))
	for name, pem := range map[string][]byte{"relay.crt": cert, "relay.key": key} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := begin(t, nil, "run", "-c", file)
	until(t, "forsen", func() bool { return twitch.Members("forsen") == 1 })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/v1/channels", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.TLS == nil || !strings.Contains(string(text), `"channel":"twitch:forsen"`) {
		t.Errorf("%s, %v", text, err)
	}
	if res, err := http.Get("http://" + addr + "/livez"); err == nil {
		if res.Body.Close(); res.StatusCode == http.StatusOK {
			t.Error("it is served without TLS as well")
		}
	}
	if code, _, stderr := chatshard(t, "channels", "list", "--url", "https://"+addr); code != exitFailure || !strings.Contains(stderr, "certificate") {
		t.Errorf("a command that does not know the authority: exit %d: %s", code, stderr)
	}
	p.stop()
	if code := p.end(t); code != exitOK {
		t.Errorf("exit %d: %s", code, &p.stderr)
	}
}

// selfSigned returns a certificate of this machine's own address and its key.
func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	made, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
