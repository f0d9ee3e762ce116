package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/chatshard/chatshard/channels"
	"github.com/chatshard/chatshard/cmd/chatshard/relay"
)

// channelsAnswer is what the API says about channels.
type channelsAnswer struct {
	Channels []channelStatus `json:"channels"`
	// Kept says whether what is joined over the API outlives the relay.
	Kept bool   `json:"kept"`
	Note string `json:"note,omitempty"`
}

const notKept = "relay.log.dir is none: what is joined over the API ends with the relay"

// serveChannels adds the routes.
//
//	GET  /v1/channels       where each channel stands that is wanted
//	POST /v1/channels/join  all channels of a joinRequest, or none
//	POST /v1/channels/part  likewise
func (r *relayRun) serveChannels(s *relay.Server) {
	answer := func(w http.ResponseWriter, keep func(channels.Name) bool) {
		a := channelsAnswer{Channels: r.standing(keep), Kept: r.roster.store != nil}
		if !a.Kept {
			a.Note = notKept
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(a) // a client that went away
	}
	s.Handle("GET /v1/channels", relay.RoleRead, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, func(channels.Name) bool { return true })
	}))
	change := func(do func(context.Context, *joinRequest) ([]channels.Name, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			var q joinRequest
			if status, err := readRequest(req, &q); err != nil {
				relay.WriteProblem(w, status, relay.CodeBadRequest, err.Error())
				return
			}
			names, err := do(req.Context(), &q)
			var no *rosterError
			switch {
			case errors.As(err, &no):
				if no.status == http.StatusServiceUnavailable {
					w.Header().Set("Retry-After", "1")
				}
				relay.WriteProblem(w, no.status, no.code, no.text)
			case err != nil:
				relay.WriteProblem(w, http.StatusInternalServerError, "", err.Error())
			default:
				answer(w, func(n channels.Name) bool { return slices.Contains(names, n) })
			}
		})
	}
	s.Handle("POST /v1/channels/join", relay.RoleAdmin, change(r.join))
	s.Handle("POST /v1/channels/part", relay.RoleAdmin, change(r.part))
}

// readRequest reads the one JSON object of a body, which the server bounds.
func readRequest(req *http.Request, v any) (status int, err error) {
	// A form of another page cannot say that it is JSON.
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("the body has to be JSON: Content-Type: application/json")
	}
	d := json.NewDecoder(req.Body)
	d.DisallowUnknownFields()
	err = d.Decode(v)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, errors.New("the body is too large: ask for fewer at once")
	case err != nil:
		return http.StatusBadRequest, errors.New("the body is no request: " + clipped(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if _, err := d.Token(); err != io.EOF {
		return http.StatusBadRequest, errors.New("the body goes on after the request")
	}
	return 0, nil
}
