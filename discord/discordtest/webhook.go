package discordtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// webhook is one webhook of a channel.
type webhook struct {
	id      uint64
	token   string
	name    string
	channel uint64
	guild   *guild
	owner   *bot
}

const maxWebhooks = 15 // of a channel

func (h *webhook) json() []byte {
	return fmt.Appendf(nil, `{"id":%s,"type":1,"guild_id":%s,"channel_id":%s,"name":%s,"avatar":null,"application_id":null,"token":%s,"user":%s}`,
		quoteID(h.id), quoteID(h.guild.id), quoteID(h.channel), quote(h.name), quote(h.token), h.owner.user())
}

// createWebhook is POST /channels/{channel}/webhooks.
func (a *restAPI) createWebhook(w http.ResponseWriter, r *http.Request, b *bot) {
	channel := number(r, "channel")
	g := a.sees(w, b, channel)
	if g == nil {
		return
	}
	var f struct {
		Name string `json:"name"`
	}
	low := ""
	if json.NewDecoder(r.Body).Decode(&f) == nil {
		low = strings.ToLower(f.Name)
	}
	if low == "" || len(f.Name) > 80 || strings.Contains(low, "clyde") || strings.Contains(low, "discord") {
		fail(w, http.StatusBadRequest, 50035, "Invalid Form Body")
		return
	}
	h := &webhook{id: uint64(a.s.mint.next(g.id)), name: f.Name, channel: channel, guild: g, owner: b, token: a.s.newSessionID()}
	a.mu.Lock()
	n := 0
	for _, o := range a.hooks {
		if o.channel == channel {
			n++
		}
	}
	if n < maxWebhooks {
		a.hooks[h.id] = h
	}
	a.mu.Unlock()
	if n >= maxWebhooks {
		fail(w, http.StatusBadRequest, 30007, "Maximum number of webhooks reached (15)")
		return
	}
	send(w, http.StatusOK, "%s", h.json())
}

// channelWebhooks is GET /channels/{channel}/webhooks.
func (a *restAPI) channelWebhooks(w http.ResponseWriter, r *http.Request, b *bot) {
	channel := number(r, "channel")
	if a.sees(w, b, channel) == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []byte
	for _, h := range a.hooks {
		if h.channel == channel {
			if out != nil {
				out = append(out, ',')
			}
			out = append(out, h.json()...)
		}
	}
	send(w, http.StatusOK, "[%s]", out)
}

// hook returns the webhook that a request means, or answers 404.
func (a *restAPI) hook(w http.ResponseWriter, r *http.Request) *webhook {
	a.mu.Lock()
	h := a.hooks[number(r, "hook")]
	a.mu.Unlock()
	if h == nil || h.token != r.PathValue("token") {
		fail(w, http.StatusNotFound, 10015, "Unknown Webhook")
		return nil
	}
	return h
}

func (a *restAPI) webhookObject(w http.ResponseWriter, r *http.Request) {
	if h := a.hook(w, r); h != nil {
		send(w, http.StatusOK, "%s", h.json())
	}
}

// execute posts a webhook's message, or a follow-up of an interaction. Without
// wait=true errors of saving are not told.
func (a *restAPI) execute(w http.ResponseWriter, r *http.Request) {
	if i := a.interactionByToken(r.PathValue("token")); i != nil {
		a.followUp(w, r, i)
		return
	}
	h := a.hook(w, r)
	if h == nil || !a.limit(w, r, nil) {
		return
	}
	m, ok := a.body(w, r)
	if !ok {
		return
	}
	name := m.Username
	if name == "" {
		name = h.name
	}
	e := m.event("MESSAGE_CREATE", h.channel)
	e.hook, e.User = h, name
	msg := a.post(h.guild, e, Post{Webhook: h.id, Name: name}, &m)
	if r.URL.Query().Get("wait") == "true" {
		send(w, http.StatusOK, "%s", msg)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// editWebhookMessage edits a message of the webhook.
func (a *restAPI) editWebhookMessage(w http.ResponseWriter, r *http.Request) {
	if i := a.interactionByToken(r.PathValue("token")); i != nil {
		a.followUp(w, r, i)
		return
	}
	h := a.hook(w, r)
	if h == nil || !a.limit(w, r, nil) {
		return
	}
	m, ok := a.body(w, r)
	if !ok {
		return
	}
	p, ok := a.change(ID(number(r, "message")), func(p *Post) bool { return p.Webhook == h.id && !p.Deleted }, func(p *Post) {
		p.Edits++
		if m.Content != nil {
			p.Content = *m.Content
		}
	})
	if !ok {
		fail(w, http.StatusNotFound, 10008, "Unknown Message")
		return
	}
	e := m.event("MESSAGE_UPDATE", h.channel)
	e.hook, e.User, e.Message = h, p.Name, p.ID
	a.s.publish(h.guild, e)
	send(w, http.StatusOK, "%s", appendMessage(nil, &e, h.guild, h.channel, p.ID, time.Now(), false))
}

// deleteWebhookMessage deletes a message of the webhook.
func (a *restAPI) deleteWebhookMessage(w http.ResponseWriter, r *http.Request) {
	h := a.hook(w, r)
	if h == nil || !a.limit(w, r, nil) {
		return
	}
	p, ok := a.change(ID(number(r, "message")), func(p *Post) bool { return p.Webhook == h.id && !p.Deleted }, func(p *Post) { p.Deleted = true })
	if !ok {
		fail(w, http.StatusNotFound, 10008, "Unknown Message")
		return
	}
	a.s.publish(h.guild, Delete(h.channel, p.ID))
	w.WriteHeader(http.StatusNoContent)
}
