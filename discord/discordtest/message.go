package discordtest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Post is a message that a client sent by REST.
type Post struct {
	Bot     string // "" for webhooks
	Webhook uint64
	Name    string // the webhook message's username
	Guild   uint64
	Channel uint64
	ID      ID
	Content string // as it is now
	Edits   int
	Deleted bool
	At      time.Time
	Body    json.RawMessage // as it was sent first
}

// maxPosts is how many are kept.
const maxPosts = 100_000

// Posts returns what clients sent by REST, oldest first: the first 100,000.
func (s *Server) Posts() []Post {
	s.rest.mu.Lock()
	defer s.rest.mu.Unlock()
	return slices.Clone(s.rest.posts)
}

// messageBody is what clients post. Unknown fields are ignored.
type messageBody struct {
	Content    *string         `json:"content"`
	Embeds     json.RawMessage `json:"embeds"`
	Components json.RawMessage `json:"components"`
	Nonce      json.RawMessage `json:"nonce"`
	Enforce    bool            `json:"enforce_nonce"`
	Username   string          `json:"username"`
	Poll       json.RawMessage `json:"poll"`
	Stickers   json.RawMessage `json:"sticker_ids"`
	files      int
	raw        json.RawMessage
}

const (
	maxContent = 2000
	maxNonce   = 25
	nonceLife  = 3 * time.Minute // "the past few minutes"
)

// nonce is an enforced nonce and the message that it made.
type nonce struct {
	at  time.Time
	msg []byte
}

// body reads a message, or answers what is wrong with it.
func (a *restAPI) body(w http.ResponseWriter, r *http.Request) (m messageBody, ok bool) {
	raw, err := io.ReadAll(r.Body)
	kind, args, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/form-data" {
		raw, m.files, err = formPayload(raw, args["boundary"])
	}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, 50109, "The request body contains invalid JSON.")
		return m, false
	}
	m.raw = raw
	content := ""
	if m.Content != nil {
		content = *m.Content
	}
	some := func(j json.RawMessage) bool { s := string(j); return s != "" && s != "null" && s != "[]" }
	switch {
	case utf8.RuneCountInString(content) > maxContent:
		send(w, http.StatusBadRequest, `{"message":"Invalid Form Body","code":50035,"errors":{"content":{"_errors":[{"code":"BASE_TYPE_MAX_LENGTH","message":"Must be 2000 or fewer in length."}]}}}`)
	case len(strings.Trim(string(m.Nonce), `"`)) > maxNonce:
		send(w, http.StatusBadRequest, `{"message":"Invalid Form Body","code":50035,"errors":{"nonce":{"_errors":[{"code":"NONCE_TYPE_TOO_LONG","message":"Must be 25 or fewer in length."}]}}}`)
	case strings.TrimSpace(content) == "" && m.files == 0 && !some(m.Embeds) && !some(m.Components) && !some(m.Poll) && !some(m.Stickers):
		fail(w, http.StatusBadRequest, 50006, "Cannot send an empty message")
	default:
		return m, true
	}
	return m, false
}

// formPayload returns payload_json of a form with files.
func formPayload(b []byte, boundary string) (payload []byte, files int, err error) {
	payload = []byte("{}")
	mr := multipart.NewReader(strings.NewReader(string(b)), boundary)
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			return payload, files, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if p.FormName() == "payload_json" {
			if payload, err = io.ReadAll(p); err != nil {
				return nil, 0, err
			}
		} else {
			files++
		}
	}
}

// event returns the event that a body makes.
func (m *messageBody) event(t string, channel uint64) Event {
	e := Event{Type: t, Channel: channel, nonce: m.Nonce}
	if m.Content != nil {
		e.Content = *m.Content
	}
	list := func(j json.RawMessage) string {
		if len(j) == 0 || string(j) == "null" {
			return "[]"
		}
		return string(j)
	}
	e.extra = json.RawMessage(fmt.Sprintf(`"embeds":%s,"components":%s`, list(m.Embeds), list(m.Components)))
	return e
}

// createMessage posts a message: everyone in the channel gets it.
func (a *restAPI) createMessage(w http.ResponseWriter, r *http.Request, b *bot) {
	channel := number(r, "channel")
	g := a.sees(w, b, channel)
	if g == nil {
		return
	}
	m, ok := a.body(w, r)
	if !ok {
		return
	}
	key := fmt.Sprint(b.Name, " ", channel, " ", string(m.Nonce))
	if m.Enforce && len(m.Nonce) > 0 {
		a.mu.Lock()
		old, known := a.nonces[key]
		a.mu.Unlock()
		if known && time.Since(old.at) < nonceLife {
			send(w, http.StatusOK, "%s", old.msg)
			return
		}
	}
	e := m.event("MESSAGE_CREATE", channel)
	e.from = b
	msg := a.post(g, e, Post{Bot: b.Name}, &m, b)
	if m.Enforce && len(m.Nonce) > 0 {
		a.mu.Lock()
		if len(a.nonces) > 10_000 {
			clear(a.nonces)
		}
		a.nonces[key] = nonce{time.Now(), msg}
		a.mu.Unlock()
	}
	send(w, http.StatusOK, "%s", msg)
}

// post dispatches a message and keeps it, and returns it as its author sees it.
func (a *restAPI) post(g *guild, e Event, p Post, m *messageBody, bots ...*bot) []byte {
	if g.id != 0 {
		bots = nil // everyone who is there
	}
	now := time.Now()
	p.ID = a.s.publish(g, e, bots...)
	p.Guild, p.Channel, p.Content, p.At, p.Body = g.id, e.Channel, e.Content, now, m.raw
	a.mu.Lock()
	if len(a.posts) < maxPosts {
		a.byID[p.ID] = len(a.posts)
		a.posts = append(a.posts, p)
	}
	a.mu.Unlock()
	return appendMessage(nil, &e, g, e.Channel, p.ID, now, false)
}

// editMessage edits one of the bot's own messages.
func (a *restAPI) editMessage(w http.ResponseWriter, r *http.Request, b *bot) {
	channel, id := number(r, "channel"), ID(number(r, "message"))
	g := a.sees(w, b, channel)
	if g == nil {
		return
	}
	m, ok := a.body(w, r)
	if !ok {
		return
	}
	p, ok := a.change(id, func(p *Post) bool { return p.Bot == b.Name && p.Channel == channel && !p.Deleted }, func(p *Post) {
		p.Edits++
		if m.Content != nil {
			p.Content = *m.Content
		}
	})
	switch {
	case ok:
	case p.ID != 0 && !p.Deleted || p.ID == 0 && a.s.mint.of(id, g.id):
		fail(w, http.StatusForbidden, 50005, "Cannot edit a message authored by another user")
		return
	default:
		fail(w, http.StatusNotFound, 10008, "Unknown Message")
		return
	}
	e := m.event("MESSAGE_UPDATE", channel)
	e.from, e.Message = b, id
	a.tell(g, e, b)
	send(w, http.StatusOK, "%s", appendMessage(nil, &e, g, channel, id, time.Now(), false))
}

// deleteMessage deletes any message of the channel.
func (a *restAPI) deleteMessage(w http.ResponseWriter, r *http.Request, b *bot) {
	channel, id := number(r, "channel"), ID(number(r, "message"))
	g := a.sees(w, b, channel)
	if g == nil {
		return
	}
	p, ok := a.change(id, func(p *Post) bool { return p.Channel == channel && !p.Deleted }, func(p *Post) { p.Deleted = true })
	if !ok && (p.ID != 0 || !a.s.mint.of(id, g.id)) {
		fail(w, http.StatusNotFound, 10008, "Unknown Message")
		return
	}
	a.tell(g, Delete(channel, id), b)
	w.WriteHeader(http.StatusNoContent)
}

// change edits the record of a message if it fits, and returns it.
func (a *restAPI) change(id ID, fits func(*Post) bool, edit func(*Post)) (Post, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, ok := a.byID[id]
	if !ok {
		return Post{}, false
	}
	p := &a.posts[i]
	if !fits(p) {
		return *p, false
	}
	edit(p)
	return *p, true
}

// tell dispatches to everyone in the guild, or to the bot whose direct message
// it is.
func (a *restAPI) tell(g *guild, e Event, b *bot) {
	if g.id == 0 && b != nil {
		a.s.publish(g, e, b)
	} else {
		a.s.publish(g, e)
	}
}

// typing is POST /channels/{channel}/typing.
func (a *restAPI) typing(w http.ResponseWriter, r *http.Request, b *bot) {
	channel := number(r, "channel")
	if g := a.sees(w, b, channel); g != nil {
		e := Typing(channel, b.Name)
		e.from = b
		a.tell(g, e, b)
		w.WriteHeader(http.StatusNoContent)
	}
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func sorted(ids []uint64) []uint64 {
	slices.Sort(ids)
	return ids
}
