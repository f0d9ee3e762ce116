package discordtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// interactionDue is how soon an interaction has to be answered.
const interactionDue = 3 * time.Second

// InteractionRecord is what became of one interaction.
type InteractionRecord struct {
	ID       ID
	Guild    uint64
	Sent     time.Time
	Answered bool
	Delay    time.Duration // until the first answer
	Answers  int           // in time or not
}

// interaction is one that was dispatched.
type interaction struct {
	InteractionRecord
	token   string
	g       *guild
	channel uint64
	b       *bot
}

// interaction returns the d of INTERACTION_CREATE and keeps it.
func (s *Server) interaction(e *Event, g *guild, b *bot, channel uint64, id ID, now time.Time) []byte {
	i := &interaction{token: "i" + s.newSessionID(), g: g, channel: channel, b: b}
	i.ID, i.Guild, i.Sent = id, g.id, now
	s.rest.mu.Lock()
	if len(s.rest.interactions) == maxPosts {
		clear(s.rest.interactions)
	}
	s.rest.interactions[id] = i
	s.rest.mu.Unlock()
	user := appendUser(nil, UserID(e.User), e.User, false)
	who := fmt.Sprintf(`"user":%s`, user)
	place := fmt.Sprintf(`"channel":{"id":%s,"type":%d}`, quoteID(channel), channelType(g))
	if g.id != 0 {
		who = fmt.Sprintf(`"member":{"permissions":"2248473465835073","user":%s,%s`, user, member[1:])
		place += fmt.Sprintf(`,"guild_id":%s,"guild":{"id":%s,"locale":"en-US","features":[]},"guild_locale":"en-US"`, quoteID(g.id), quoteID(g.id))
	}
	return fmt.Appendf(nil, `{"version":1,"type":2,"token":%s,%s,"locale":"en-US","id":"%d","entitlements":[],"entitlement_sku_ids":[],"data":{"type":1,"name":%s,"id":%s},"context":0,%s,"channel_id":%s,"authorizing_integration_owners":{},"attachment_size_limit":10485760,"application_id":%s,"app_permissions":"2248473465835073"}`,
		quote(i.token), who, id, quote(e.Content), quoteID(hash(e.Content)&(1<<62-1)), place, quoteID(channel), quoteID(b.ApplicationID))
}

// Interactions returns what became of the interactions, oldest first; of the
// last 100,000 at most.
func (s *Server) Interactions() []InteractionRecord {
	s.rest.mu.Lock()
	defer s.rest.mu.Unlock()
	var all []InteractionRecord
	for _, i := range s.rest.interactions {
		all = append(all, i.InteractionRecord)
	}
	slices.SortFunc(all, func(a, b InteractionRecord) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// callback is POST /interactions/{id}/{token}/callback.
func (a *restAPI) callback(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	a.mu.Lock()
	i := a.interactions[ID(number(r, "id"))]
	if i == nil || i.token != r.PathValue("token") {
		a.mu.Unlock()
		fail(w, http.StatusNotFound, 10062, "Unknown interaction")
		return
	}
	i.Answers++
	again := i.Answered
	late := now.Sub(i.Sent) > interactionDue
	if i.Answers == 1 {
		i.Delay = now.Sub(i.Sent)
		i.Answered = !late
	}
	a.mu.Unlock()
	switch {
	case again:
		fail(w, http.StatusBadRequest, 40060, "Interaction has already been acknowledged.")
	case late:
		a.s.violate(LateInteraction, i.b, [2]int{}, fmt.Sprint(i.ID))
		fail(w, http.StatusNotFound, 10062, "Unknown interaction")
	case r.URL.Query().Get("with_response") == "true":
		send(w, http.StatusOK, `{"interaction":{"id":"%d","type":2,"response_message_loading":false,"response_message_ephemeral":false}}`, i.ID)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// interactionByToken returns the interaction of a token, or nil.
func (a *restAPI) interactionByToken(token string) *interaction {
	if len(token) != 33 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.interactions {
		if i.token == token {
			return i
		}
	}
	return nil
}

// followUp posts in answer to an interaction.
func (a *restAPI) followUp(w http.ResponseWriter, r *http.Request, i *interaction) {
	m, ok := a.body(w, r)
	if !ok {
		return
	}
	e := m.event("MESSAGE_CREATE", i.channel)
	e.from = i.b
	send(w, http.StatusOK, "%s", a.post(i.g, e, Post{Bot: i.b.Name}, &m, i.b))
}
