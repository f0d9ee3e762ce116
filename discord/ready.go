package discord

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"

	"github.com/chatshard/chatshard/balancer"
)

// readReady reads what a session is known by, and the guilds of the shard. It
// is called once per session.
func readReady(d *Dispatch) (Record, []uint64, error) {
	var r struct {
		SessionID   string `json:"session_id"`
		ResumeURL   string `json:"resume_gateway_url"`
		Application struct {
			ID string `json:"id"`
		} `json:"application"`
		Guilds []struct {
			ID string `json:"id"`
		} `json:"guilds"`
	}
	if err := json.Unmarshal(d.object(), &r); err != nil {
		return Record{}, nil, fmt.Errorf("%w: READY: %w", ErrProtocol, err)
	}
	if r.SessionID == "" {
		return Record{}, nil, fmt.Errorf("%w: READY without session_id", ErrProtocol)
	}
	ids := make([]uint64, 0, len(r.Guilds))
	for _, g := range r.Guilds {
		if id, err := strconv.ParseUint(g.ID, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	// What a session cannot be stored with must not cost the session.
	if _, err := gatewayAddress(r.ResumeURL, Uncompressed); err != nil || len(r.ResumeURL) > mostText {
		r.ResumeURL = ""
	}
	if !isID(r.Application.ID) || len(r.Application.ID) > 20 {
		r.Application.ID = "0"
	}
	return Record{AppID: r.Application.ID, SessionID: NewSecret(r.SessionID), Version: gatewayVersion, Encoding: gatewayEncoding, ResumeURL: r.ResumeURL, Guilds: len(ids)}, ids, nil
}

// identifyFrame is op 2 ("Identify", events/gateway-events).
func (t *Transport) identifyFrame(token Secret, id balancer.ShardID) ([]byte, error) {
	type properties struct {
		OS      string `json:"os"`
		Browser string `json:"browser"`
		Device  string `json:"device"`
	}
	var d struct {
		Token          string     `json:"token"`
		Properties     properties `json:"properties"`
		LargeThreshold int        `json:"large_threshold"`
		Shard          [2]int     `json:"shard"`
		Presence       *presence  `json:"presence,omitempty"`
		Intents        uint64     `json:"intents"`
	}
	d.Token = bare(token.Reveal())
	d.Properties = properties{runtime.GOOS, "chatshard", "chatshard"}
	d.LargeThreshold = 50
	d.Shard = [2]int{id.Index, id.Count}
	d.Intents = uint64(t.cfg.Intents)
	if p := t.cfg.Presence; p != nil {
		wire, err := p.wire()
		if err != nil {
			return nil, err
		}
		d.Presence = &wire
	}
	return frame(opIdentify, d)
}

// resumeFrame is op 6 ("Resume", events/gateway-events).
func resumeFrame(token Secret, rec *Record) []byte {
	b := append(make([]byte, 0, 256), `{"op":6,"d":{"token":`...)
	b = appendJSON(b, bare(token.Reveal()))
	b = append(b, `,"session_id":`...)
	b = appendJSON(b, rec.SessionID.Reveal())
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, rec.Seq, 10)
	return append(b, "}}"...)
}

func appendJSON(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string always can be
	return append(b, q...)
}
