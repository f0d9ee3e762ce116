package discord

import (
	"context"
	"sync"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// membersPer is the time between requests for all members of a guild: 30 s,
// enforced since 2025-10 for the bot as a whole (events/gateway-events, "Request
// Guild Members"), and what the network may shorten it by.
const membersPer = 30*time.Second + defaultMargin

// memberBudget paces requests for all members of a guild, over all shards and
// generations. It is safe for concurrent use. It remembers guilds that were
// asked for within the last 30 s, and at most as many older ones.
type memberBudget struct {
	mu     sync.Mutex // guards all below; never held while waiting
	guilds map[string]*memberWait
	sweep  int // how many guilds make a sweep worth while
}

type memberWait struct {
	window *balancer.Window
	users  int // calls of Wait
}

// Wait blocks until all members of a guild may be asked for, first come, first
// served; or returns ctx's error, and has spent nothing.
func (m *memberBudget) Wait(ctx context.Context, guildID string) error {
	m.mu.Lock()
	g := m.guilds[guildID]
	if g == nil {
		if m.guilds == nil {
			m.guilds = map[string]*memberWait{}
		}
		if len(m.guilds) >= max(m.sweep, 64) {
			now := time.Now()
			for id, old := range m.guilds {
				if old.users == 0 && old.window.Left(now) == 1 {
					delete(m.guilds, id)
				}
			}
			m.sweep = 2 * len(m.guilds)
		}
		g = &memberWait{window: balancer.NewWindow(1, membersPer)}
		m.guilds[guildID] = g
	}
	g.users++
	m.mu.Unlock()
	err := g.window.Wait(ctx, 1)
	m.mu.Lock()
	g.users--
	m.mu.Unlock()
	return err
}
