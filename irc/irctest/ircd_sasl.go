package irctest

import (
	"crypto/tls"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/xdg-go/scram"
)

// saslState is a SASL exchange under way.
type saslState struct {
	mech  string
	input strings.Builder // of several AUTHENTICATE lines
	scram *scram.ServerConversation
}

const (
	saslChunk = 400       // base64 bytes in one AUTHENTICATE (IRCv3 SASL)
	saslMax   = 16 * 1024 // base64 bytes in one answer
)

// authenticate takes one AUTHENTICATE.
func (p ircd) authenticate(c *conn, arg string) {
	st := &c.login.sasl
	switch {
	case arg == "*":
		*st = saslState{}
		p.num(c, "906", ":SASL authentication aborted")
	case st.mech == "":
		mech := strings.ToUpper(arg)
		if !slices.Contains(p.conf().SASL, mech) {
			p.num(c, "908", strings.Join(p.conf().SASL, ",")+" :are available SASL mechanisms")
			p.num(c, "904", ":SASL authentication failed")
			return
		}
		*st = saslState{mech: mech}
		c.line("AUTHENTICATE +")
	case len(arg) > saslChunk || st.input.Len() > saslMax:
		*st = saslState{}
		p.num(c, "905", ":SASL message too long")
	default:
		if arg != "+" {
			st.input.WriteString(arg)
		}
		if len(arg) == saslChunk {
			return // there is more
		}
		data, err := base64.StdEncoding.DecodeString(st.input.String())
		st.input.Reset()
		if err != nil {
			p.saslDone(c, "")
			return
		}
		p.saslStep(c, st, string(data))
	}
}

func (p ircd) saslStep(c *conn, st *saslState, data string) {
	switch st.mech {
	case "PLAIN":
		f := strings.Split(data, "\x00")
		if len(f) != 3 || !p.knows(f[1], f[2]) {
			p.saslDone(c, "")
			return
		}
		p.saslDone(c, f[1])
	case "EXTERNAL":
		name := p.certName(c)
		if name == "" || data != "" && data != name || p.s.cfg.Accounts != nil && p.s.named(name) == nil {
			name = ""
		}
		p.saslDone(c, name)
	case "SCRAM-SHA-256":
		p.scramStep(c, st, data)
	default:
		p.saslDone(c, "")
	}
}

func (p ircd) scramStep(c *conn, st *saslState, data string) {
	if st.scram == nil {
		server, err := scram.SHA256.NewServer(p.credentials)
		if err != nil {
			p.saslDone(c, "")
			return
		}
		st.scram = server.NewConversation()
	}
	if st.scram.Done() { // the client has acknowledged the last message
		name := ""
		if st.scram.Valid() {
			name = st.scram.Username()
		}
		p.saslDone(c, name)
		return
	}
	answer, err := st.scram.Step(data)
	if err != nil {
		p.saslDone(c, "")
		return
	}
	c.line("AUTHENTICATE " + base64.StdEncoding.EncodeToString([]byte(answer)))
}

// credentials derives what SCRAM needs from an account's token.
func (p ircd) credentials(user string) (scram.StoredCredentials, error) {
	token := ""
	if acc := p.s.named(user); acc != nil {
		acc.mu.Lock()
		token = acc.token
		acc.mu.Unlock()
	}
	client, err := scram.SHA256.NewClient(user, token, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "irctest's salt", Iters: 4096})
}

// knows reports whether an account may log in with a password.
func (p ircd) knows(user, password string) bool {
	acc := p.s.named(user)
	if acc == nil || password == "" {
		return false
	}
	acc.mu.Lock()
	defer acc.mu.Unlock()
	return acc.token == "" || acc.token == password
}

// certName returns the name in the client's certificate.
func (p ircd) certName(c *conn) string {
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	if t, ok := nc.(*tls.Conn); ok {
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			return certs[0].Subject.CommonName
		}
	}
	return ""
}

// saslDone ends the exchange: with an account's name, or "" for a refusal.
func (p ircd) saslDone(c *conn, name string) {
	c.login.sasl = saslState{}
	if name == "" {
		p.num(c, "904", ":SASL authentication failed")
		return
	}
	acc := p.s.named(name)
	c.mu.Lock()
	c.acc = acc
	c.mu.Unlock()
	p.num(c, "900", p.source(c)+" "+acc.login+" :You are now logged in as "+acc.login)
	p.num(c, "903", ":SASL authentication successful")
}
