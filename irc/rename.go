package irc

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/chatshard/chatshard/balancer"
)

// Renamed is the Data of an event that says that a Twitch channel has another
// login now and is joined under it. Event.Key is the new one.
type Renamed struct {
	From, To balancer.Key
	RoomID   string
}

// names knows channels by their room-ids, and follows them when their logins
// change.
type names struct {
	c  *Client
	wg sync.WaitGroup // of the goroutine that asks Resolve

	mu     sync.Mutex // guards all below; never held while calling out
	ids    map[balancer.Key]string
	keys   map[string]balancer.Key
	asked  []balancer.Key // whose present logins are to be found out
	asking bool
}

func newNames(c *Client) *names {
	return &names{c: c, ids: make(map[balancer.Key]string), keys: make(map[string]balancer.Key)}
}

// SetRoomID says which room-id a channel has, such as one that was stored: the
// channel is found even if its login changed while nobody looked.
func (c *Client) SetRoomID(channel, roomID string) error {
	k, err := c.t.Key(channel)
	if err != nil {
		return err
	}
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	c.names.ids[k], c.names.keys[roomID] = roomID, k
	return nil
}

// RoomID returns the room-id of a channel, "" if it is not known.
func (c *Client) RoomID(channel string) string {
	k, err := c.t.Key(channel)
	if err != nil {
		return ""
	}
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	return c.names.ids[k]
}

// arrived learns the room-id of a channel that is joined, and says if it is
// that of a channel which had another login.
func (n *names) arrived(k balancer.Key, roomID string) (r Renamed, ok bool) {
	if roomID == "" || k == "" {
		return r, false
	}
	n.mu.Lock()
	before, known := n.keys[roomID]
	if known && before == k && n.ids[k] == roomID {
		n.mu.Unlock()
		return r, false
	}
	roomID = strings.Clone(roomID)
	if old := n.ids[k]; old != "" && n.keys[old] == k && old != roomID {
		delete(n.keys, old) // the login is another's now
	}
	n.ids[k], n.keys[roomID] = roomID, k
	if known && before != k {
		delete(n.ids, before)
	}
	n.mu.Unlock()
	if !known || before == k {
		return r, false
	}
	n.c.b.Part(before)
	return Renamed{From: before, To: k, RoomID: roomID}, true
}

// joined reports whether the channel of a room-id is joined.
func (n *names) joined(roomID string) bool {
	n.mu.Lock()
	k, ok := n.keys[roomID]
	n.mu.Unlock()
	if !ok {
		return false
	}
	st, ok := n.c.b.Locate(k)
	return ok && st.State == balancer.Member
}

// missing hears that a channel is not joined. If that may be because its login
// changed, the present one is found out.
func (n *names) missing(ctx context.Context, k balancer.Key, err error) {
	if n.c.cfg.Resolve == nil ||
		!errors.Is(err, ErrSuspended) && !errors.Is(err, ErrRemoved) && !errors.Is(err, balancer.ErrUnconfirmed) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids[k] == "" {
		return
	}
	for _, o := range n.asked {
		if o == k {
			return
		}
	}
	n.asked = append(n.asked, k)
	if !n.asking {
		n.asking = true
		n.wg.Go(func() { n.resolve(ctx) })
	}
}

// resolve asks for the present logins until there is none to ask for.
func (n *names) resolve(ctx context.Context) {
	for {
		n.mu.Lock()
		if len(n.asked) == 0 || ctx.Err() != nil {
			n.asked, n.asking = nil, false
			n.mu.Unlock()
			return
		}
		from := n.asked[0]
		n.asked = n.asked[1:]
		roomID := n.ids[from]
		n.mu.Unlock()
		login, err := n.c.cfg.Resolve(ctx, roomID)
		if err != nil {
			n.c.t.cfg.Logger.Warn().Err(err).Str("key", string(from)).Msg("cannot find out the login of a channel")
			continue
		}
		to, err := n.c.t.Key(login)
		if login == "" || err != nil || to == from {
			continue
		}
		n.c.t.cfg.Logger.Info().Str("key", string(from)).Str("login", login).Msg("channel has another login")
		n.c.b.Part(from)
		n.c.b.Join(to) // its ROOMSTATE tells the rest
	}
}
