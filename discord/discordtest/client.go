package discordtest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxPayload is how long a client's payload may be
// (events/gateway: Sending Events).
const maxPayload = 4096

// clientFrame is a payload from a client.
type clientFrame struct {
	Op *int            `json:"op"`
	D  json.RawMessage `json:"d"`
}

var errPayload = errors.New("discordtest: broken payload")

// parseClient reads a payload from a client.
func parseClient(b []byte) (op int, d json.RawMessage, err error) {
	var f clientFrame
	if len(b) > maxPayload {
		return 0, nil, fmt.Errorf("%w: %d bytes", errPayload, len(b))
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	if f.Op == nil {
		return 0, nil, fmt.Errorf("%w: no op", errPayload)
	}
	return *f.Op, f.D, nil
}

// identifyFrame is the d of op 2. Clients leave much out and send more.
type identifyFrame struct {
	Token      string          `json:"token"`
	Properties json.RawMessage `json:"properties"`
	Compress   json.RawMessage `json:"compress"` // true; oceanic.js names the stream of its connection here
	Large      int             `json:"large_threshold"`
	Shard      *[2]int         `json:"shard"`
	Presence   json.RawMessage `json:"presence"`
	Intents    *uint64         `json:"intents"`
}

// resumeFrame is the d of op 6.
type resumeFrame struct {
	Token   string `json:"token"`
	Session string `json:"session_id"`
	Seq     uint64 `json:"seq"`
}

// voiceFrame is the d of op 4.
type voiceFrame struct {
	Guild   snowflake  `json:"guild_id"`
	Channel *snowflake `json:"channel_id"`
	Mute    bool       `json:"self_mute"`
	Deaf    bool       `json:"self_deaf"`
}

// membersFrame is the d of op 8. Libraries send guild_id as a string, a
// number, or a list of one.
type membersFrame struct {
	Guild     oneOrMany       `json:"guild_id"`
	Query     *string         `json:"query"`
	Limit     int             `json:"limit"`
	Presences bool            `json:"presences"`
	Users     oneOrMany       `json:"user_ids"`
	Nonce     json.RawMessage `json:"nonce"`
}

// soundsFrame is the d of op 31.
type soundsFrame struct {
	Guilds []snowflake `json:"guild_ids"`
}

// channelInfoFrame is the d of op 43.
type channelInfoFrame struct {
	Guild  snowflake `json:"guild_id"`
	Fields []string  `json:"fields"`
}

// snowflake is an id as a string or a number.
type snowflake uint64

func (id *snowflake) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	var n uint64
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*id = snowflake(n)
	return nil
}

// oneOrMany is an id or a list of ids.
type oneOrMany []snowflake

func (ids *oneOrMany) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]snowflake)(ids))
	}
	if string(b) == "null" {
		return nil
	}
	var one snowflake
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*ids = oneOrMany{one}
	return nil
}
