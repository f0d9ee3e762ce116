package irc

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatshard/chatshard/balancer"
)

// loginStep is what a login makes of one line: what to send, and whether it is
// complete. Neither profile's login reads or writes: the connection does.
type loginStep struct {
	send []byte
	done bool
}

// loginMachine is a login under way.
type loginMachine interface {
	// begin returns what is sent first.
	begin() ([]byte, error)
	// step takes one line. What it keeps of it, it copies.
	step(m *Message) (loginStep, error)
	// result is what is known once the login is done.
	result() loginResult
}

// loginResult is what a login found out.
type loginResult struct {
	nick string
	caps map[string]bool
	isup *ISupport // plain IRC
}

var errRetryLater = errors.New("irc: the server asked to come again later")

// login runs the profile's login on a connection that was just made.
func (c *conn) login(ctx context.Context) error {
	t := c.t
	token, err := t.account.secret(ctx)
	if err != nil {
		return err
	}
	if t.account.spent(token) {
		return never(&LoginError{Login: t.account.String(), Err: ErrToken,
			Do: "the token was turned down before and is still the same: get a new one"})
	}
	c.token = token
	m, secrets, err := t.machine(ctx, c.id, token)
	if err != nil {
		return err
	}
	out, err := m.begin()
	if err == nil {
		err = c.send(out)
	}
	msg := new(Message)
	for err == nil {
		line, ok := c.in.next()
		if !ok {
			if _, err = c.src.fill(true); err != nil {
				err = fmt.Errorf("connection ended during the login: %w", err)
			}
			continue
		}
		if msg.Tokenize(line) != nil {
			continue
		}
		var s loginStep
		if s, err = m.step(msg); err != nil {
			break
		}
		if len(s.send) > 0 {
			err = c.send(s.send)
		}
		if s.done && err == nil {
			c.ready(m.result())
			return nil
		}
	}
	return t.refused(ctx, err, token, secrets[:])
}

// machine returns the login of a connection, and the secrets that it may send.
func (t *Transport) machine(ctx context.Context, id balancer.ShardID, token Secret) (m loginMachine, secrets [2]Secret, err error) {
	secrets[0] = token
	if t.cfg.Profile == Twitch {
		return &twitchLogin{nick: t.account.nick(), token: token, membership: t.cfg.Membership}, secrets, nil
	}
	if t.cfg.Password != nil {
		if secrets[1], err = t.cfg.Password(ctx); err != nil {
			return nil, secrets, fmt.Errorf("irc: password of the server: %w", err)
		}
	}
	nick := nickFor(t.cfg.Nick, t.account.login, id.Index)
	return &ircLogin{
		nick: nick, user: t.cfg.User, real: t.cfg.RealName, password: secrets[1], want: t.cfg.Caps,
		sasl: sasl{mech: t.cfg.SASL, user: t.account.login, password: token, secure: t.addr.tls},
	}, secrets, nil
}

// refused makes of the error of a login what the balancer is told. If the
// token was turned down, the account is asked for another one: with a new one
// it is tried again, with the same one never.
func (t *Transport) refused(ctx context.Context, err error, token Secret, secrets []Secret) error {
	var le *LoginError
	if !errors.As(err, &le) {
		return err
	}
	le.Text = hide(le.Text, secrets...)
	if le.Err != ErrToken {
		return err
	}
	t.account.reject(token)
	if again, terr := t.account.secret(ctx); terr == nil && !again.IsZero() && again.Reveal() != token.Reveal() {
		return &balancer.ConnError{Err: le, Retry: balancer.Resume}
	}
	return never(le)
}

func never(err error) error { return &balancer.ConnError{Err: err, Retry: balancer.Never} }
