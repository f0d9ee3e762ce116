package discordtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// restAPI is the REST calls that gateway clients and relays need.
type restAPI struct {
	s   *Server
	mux *http.ServeMux

	mu           sync.Mutex // guards all below
	buckets      map[string]*window
	nonces       map[string]nonce
	posts        []Post
	byID         map[ID]int // index in posts
	hooks        map[uint64]*webhook
	interactions map[ID]*interaction
}

func (a *restAPI) init(s *Server) {
	a.s = s
	a.buckets = make(map[string]*window)
	a.nonces = make(map[string]nonce)
	a.byID = make(map[ID]int)
	a.hooks = make(map[uint64]*webhook)
	a.interactions = make(map[ID]*interaction)
	a.mux = http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, *bot){
		"GET /gateway/bot":             a.gatewayBot,
		"GET /oauth2/applications/@me": a.application,
		"GET /applications/@me":        a.application,
		"GET /users/@me":               a.me,
		"GET /users/@me/guilds":        a.myGuilds,
		"GET /guilds/{guild}":          a.guildObject,
		"GET /channels/{channel}":      a.channelObject,

		"POST /channels/{channel}/messages":             a.createMessage,
		"PATCH /channels/{channel}/messages/{message}":  a.editMessage,
		"DELETE /channels/{channel}/messages/{message}": a.deleteMessage,
		"POST /channels/{channel}/typing":               a.typing,
		"POST /channels/{channel}/webhooks":             a.createWebhook,
		"GET /channels/{channel}/webhooks":              a.channelWebhooks,

		"PUT /applications/{app}/commands":                a.commands,
		"PUT /applications/{app}/guilds/{guild}/commands": a.commands,
		"GET /applications/{app}/commands":                a.noCommands,
		"GET /applications/{app}/guilds/{guild}/commands": a.noCommands,
	} {
		a.mux.HandleFunc(pattern, a.withBot(h))
	}
	a.mux.HandleFunc("GET /gateway", a.gateway)
	a.mux.HandleFunc("GET /webhooks/{hook}/{token}", a.webhookObject)
	a.mux.HandleFunc("POST /webhooks/{hook}/{token}", a.execute)
	a.mux.HandleFunc("PATCH /webhooks/{hook}/{token}/messages/{message}", a.editWebhookMessage)
	a.mux.HandleFunc("DELETE /webhooks/{hook}/{token}/messages/{message}", a.deleteWebhookMessage)
	a.mux.HandleFunc("POST /interactions/{id}/{token}/callback", a.callback)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fail(w, http.StatusNotFound, 0, "404: Not Found") })
}

// serve answers one request.
func (a *restAPI) serve(w http.ResponseWriter, r *http.Request, c *conn) {
	path := strings.TrimPrefix(r.URL.Path, "/api")
	for _, v := range []string{"/v10", "/v9"} {
		path = strings.TrimPrefix(path, v)
	}
	r.URL.Path, r.URL.RawPath = path, ""
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connKey{}, c)))
}

type connKey struct{}

func connOf(r *http.Request) *conn { return r.Context().Value(connKey{}).(*conn) }

// withBot lets only bots through that exist and are within their limits.
func (a *restAPI) withBot(h func(http.ResponseWriter, *http.Request, *bot)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := a.s.byToken(r.Header.Get("Authorization"))
		if b == nil || b.isDead() {
			a.s.violate(Unauthorized, nil, [2]int{}, r.Method+" "+r.URL.Path)
			fail(w, http.StatusUnauthorized, 0, "401: Unauthorized")
			return
		}
		if a.limit(w, r, b) {
			h(w, r, b)
		}
	}
}

// send answers with JSON.
func send(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

// fail answers with an error as Discord's API does.
func fail(w http.ResponseWriter, status, code int, message string) {
	send(w, status, `{"message":%s,"code":%d}`, quote(message), code)
}

// number reads an id from the path; 0 if there is none.
func number(r *http.Request, name string) uint64 {
	n, _ := strconv.ParseUint(r.PathValue(name), 10, 64)
	return n
}

// gateway is GET /gateway.
func (a *restAPI) gateway(w http.ResponseWriter, r *http.Request) {
	send(w, http.StatusOK, `{"url":%s}`, quote(connOf(r).gatewayURL(r.Host)))
}

// gatewayBot is GET /gateway/bot.
func (a *restAPI) gatewayBot(w http.ResponseWriter, r *http.Request, b *bot) {
	remaining, reset := b.startLimit()
	send(w, http.StatusOK, `{"url":%s,"shards":%d,"session_start_limit":{"total":%d,"remaining":%d,"reset_after":%d,"max_concurrency":%d}}`,
		quote(connOf(r).gatewayURL(r.Host)), b.recommended(), b.IdentifyTotal, remaining, reset.Milliseconds(), b.MaxConcurrency)
}

// application is the bot's application.
func (a *restAPI) application(w http.ResponseWriter, r *http.Request, b *bot) {
	b.mu.RLock()
	n := len(b.guilds)
	b.mu.RUnlock()
	send(w, http.StatusOK, `{"id":%s,"name":%s,"icon":null,"description":"","summary":"","type":null,"bot_public":true,"bot_require_code_grant":false,"verify_key":"%064x","flags":%d,"hook":true,"approximate_guild_count":%d,"redirect_uris":[],"tags":[],"bot":%s,"owner":%s,"team":null}`,
		quoteID(b.ApplicationID), quote(b.Name), b.ApplicationID, b.flags(), n, b.user(), appendUser(nil, UserID("owner"), "owner", false))
}

// me is the bot's user.
func (a *restAPI) me(w http.ResponseWriter, r *http.Request, b *bot) {
	send(w, http.StatusOK, "%s", withField([]byte(b.user()), "verified", `true,"mfa_enabled":true,"locale":"en-US","flags":0,"bio":"","email":null`))
}

// myGuilds is a page of the bot's guilds.
func (a *restAPI) myGuilds(w http.ResponseWriter, r *http.Request, b *bot) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if limit < 1 || limit > 200 {
		limit = 200
	}
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	var out []byte
	for _, id := range sorted(a.s.Guilds(b.Name)) {
		if id <= after || limit == 0 {
			continue
		}
		if limit--; out != nil {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"id":%s,"name":%s,"icon":null,"banner":null,"owner":false,"permissions":"2248473465835073","features":[]}`, quoteID(id), quote(a.s.guild(id).name))
	}
	send(w, http.StatusOK, "[%s]", out)
}

// guildObject is GET /guilds/{guild}.
func (a *restAPI) guildObject(w http.ResponseWriter, r *http.Request, b *bot) {
	g := a.s.guild(number(r, "guild"))
	if g == nil || g.id == 0 || !b.in(g) {
		fail(w, http.StatusNotFound, 10004, "Unknown Guild")
		return
	}
	send(w, http.StatusOK, "%s", appendGuild(nil, g, b, 0, 0))
}

// channelObject is GET /channels/{channel}.
func (a *restAPI) channelObject(w http.ResponseWriter, r *http.Request, b *bot) {
	channel := number(r, "channel")
	g := a.sees(w, b, channel)
	if g == nil {
		return
	}
	if g.id == 0 {
		send(w, http.StatusOK, `{"id":%s,"type":1,"last_message_id":null,"flags":0,"recipients":[]}`, quoteID(channel))
		return
	}
	n := int(channel - g.id - 1)
	send(w, http.StatusOK, "%s", withField(appendChannel(nil, g, n, channelNames[n]), "guild_id", quoteID(g.id)))
}

// sees returns the guild of a channel, or answers why not.
func (a *restAPI) sees(w http.ResponseWriter, b *bot, channel uint64) *guild {
	g := a.s.guildOf(channel)
	if g == nil && channel&(1<<41) != 0 && channel>>22 > 100_000_000_000 {
		g = a.s.guild(0) // where everyone's direct messages are
	}
	switch {
	case g == nil:
		fail(w, http.StatusNotFound, 10003, "Unknown Channel")
	case !b.in(g):
		fail(w, http.StatusForbidden, 50001, "Missing Access")
	default:
		return g
	}
	return nil
}

// commands takes slash commands and gives them ids.
func (a *restAPI) commands(w http.ResponseWriter, r *http.Request, b *bot) {
	var list []map[string]any
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		fail(w, http.StatusBadRequest, 50109, "The request body contains invalid JSON.")
		return
	}
	for _, c := range list {
		c["id"], c["application_id"], c["version"] = a.s.mint.next(0).String(), ID(b.ApplicationID).String(), a.s.mint.next(0).String()
		c["default_member_permissions"] = nil
		if c["type"] == nil {
			c["type"] = 1
		}
	}
	out, _ := json.Marshal(list)
	send(w, http.StatusOK, "%s", out)
}

func (a *restAPI) noCommands(w http.ResponseWriter, r *http.Request, b *bot) {
	send(w, http.StatusOK, "[]")
}

// The limits of one channel or webhook, which are not documented but seen by
// users, and of one bot.
const (
	channelLimit  = 5
	channelWindow = 5 * time.Second
	globalLimit   = 50
)
