package discord

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/rs/zerolog"
)

const (
	gatewayVersion  = 10
	gatewayEncoding = "json"

	sessionsVersion   = 1
	defaultSessionAge = 3 * time.Minute
	mostRecords       = 1 << 16
	mostText          = 512 // bytes of an ID or URL in a record
)

// Record is a session as it is stored: all that a RESUME needs, and by what it
// can be told whether one makes sense. It prints as its shard and sequence.
type Record struct {
	AppID        string
	Shard, Count int // [shard_id, num_shards]
	SessionID    Secret
	ResumeURL    string
	Seq          uint64 // the last one that was acknowledged
	Intents      Intents
	Version      int         // of the gateway
	Encoding     string      // of the gateway
	Compression  Compression // a RESUME has to use the same
	Guilds       int         // that the shard had
	WrittenAt    time.Time
	LastEventAt  time.Time
}

// String returns the shard and sequence.
func (r Record) String() string { return fmt.Sprintf("shard %d/%d at %d", r.Shard, r.Count, r.Seq) }

// GoString is String.
func (r Record) GoString() string { return r.String() }

// MarshalZerologObject adds the shard and sequence.
func (r Record) MarshalZerologObject(e *zerolog.Event) {
	e.Str("shard", fmt.Sprintf("%d/%d", r.Shard, r.Count)).Uint64("seq", r.Seq)
}

// session is a Record in a file or a balancer.Session.
type session struct {
	App       string `json:"app"`
	Shard     int    `json:"shard"`
	Count     int    `json:"count"`
	Session   string `json:"session"`
	URL       string `json:"url"`
	Seq       uint64 `json:"seq"`
	Intents   uint64 `json:"intents"`
	Version   int    `json:"v"`
	Encoding  string `json:"encoding"`
	Compress  int    `json:"compress"`
	Guilds    int    `json:"guilds"`
	Written   int64  `json:"written"` // ms since 1970
	LastEvent int64  `json:"last_event"`
}

func (r Record) session() session {
	return session{
		App: r.AppID, Shard: r.Shard, Count: r.Count, Session: r.SessionID.Reveal(), URL: r.ResumeURL, Seq: r.Seq,
		Intents: uint64(r.Intents), Version: r.Version, Encoding: r.Encoding, Compress: int(r.Compression),
		Guilds: r.Guilds, Written: millis(r.WrittenAt), LastEvent: millis(r.LastEventAt),
	}
}

// record returns the Record, and why it cannot be one.
func (s session) record() (Record, string) {
	why := ""
	switch u, err := url.Parse(s.URL); {
	case !isID(s.App) || len(s.App) > 20:
		why = "no application id"
	case s.Count < 1 || s.Count > mostRecords || s.Shard < 0 || s.Shard >= s.Count:
		why = "a shard number that cannot be"
	case s.Session == "" || len(s.Session) > mostText:
		why = "no session id"
	case len(s.URL) > mostText || s.URL != "" && (err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss"):
		why = "a resume address that is none"
	case s.Compress < int(ZlibStream) || s.Compress > int(Uncompressed) || s.Guilds < 0 || len(s.Encoding) > 16:
		why = "a gateway that there is not"
	case s.Written < 0 || s.LastEvent < 0 || s.Written > 1<<50 || s.LastEvent > 1<<50:
		why = "a time that cannot be"
	}
	if why != "" {
		return Record{}, why
	}
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms)
	}
	return Record{
		AppID: s.App, Shard: s.Shard, Count: s.Count, SessionID: NewSecret(s.Session), ResumeURL: s.URL, Seq: s.Seq,
		Intents: Intents(s.Intents), Version: s.Version, Encoding: s.Encoding, Compression: Compression(s.Compress),
		Guilds: s.Guilds, WrittenAt: at(s.Written), LastEventAt: at(s.LastEvent),
	}, ""
}

// sessions is a file of sessions: the sum is SHA-256 of Records as it stands there.
type sessions struct {
	Version int             `json:"version"`
	Sum     string          `json:"sha256"`
	Records json.RawMessage `json:"records"`
}

// encodeSessions returns the file of these records. It is secret.
func encodeSessions(rs []Record) []byte {
	list := make([]session, len(rs))
	for i, r := range rs {
		list[i] = r.session()
	}
	records, err := json.Marshal(list)
	if err == nil {
		records, err = json.Marshal(sessions{sessionsVersion, sum(records), records})
	}
	if err != nil {
		panic(err) // numbers and strings alone
	}
	return records
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// decodeSessions returns what encodeSessions was given, none of nothing. The
// error is a *SessionFileError about where, and says nothing of what it read.
func decodeSessions(data []byte, where string) ([]Record, error) {
	bad := func(why string, args ...any) ([]Record, error) {
		return nil, &SessionFileError{Where: where, Why: fmt.Sprintf(why, args...)}
	}
	if data == nil {
		return nil, nil
	}
	if len(data) > storeMost {
		return bad("it has over %d bytes", storeMost)
	}
	var f sessions
	if json.Unmarshal(data, &f) != nil {
		return bad("it is corrupt: not JSON, or cut off")
	}
	if f.Version != sessionsVersion {
		return bad("it has version %d, and this program reads %d", f.Version, sessionsVersion)
	}
	if sum(f.Records) != f.Sum {
		return bad("it is corrupt: its checksum is not that of what it has")
	}
	var list []session
	if json.Unmarshal(f.Records, &list) != nil {
		return bad("it is corrupt: its records are none")
	}
	if len(list) > mostRecords {
		return bad("it has over %d records", mostRecords)
	}
	var rs []Record
	for i, s := range list {
		r, why := s.record()
		if why != "" {
			return bad("it is corrupt: record %d has %s", i+1, why)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// sessionsWanted is what a record has to match to be resumed.
type sessionsWanted struct {
	appID       string
	count       int // num_shards; 0: any
	intents     Intents
	compression Compression
	age         time.Duration // default defaultSessionAge
	now         time.Time
}

// dropped is a record that is not to be resumed, and why.
type dropped struct {
	Record
	why string
}

// resumable sorts records into those to resume, one for each shard, and the
// others. Those of another bot are a *SessionFileError about where.
func resumable(rs []Record, where string, w sessionsWanted) (keep []Record, drop []dropped, err error) {
	if w.age <= 0 {
		w.age = defaultSessionAge
	}
	best := map[[2]int]int{} // shard to index in keep
	for _, r := range rs {
		if r.AppID != w.appID {
			return nil, nil, &SessionFileError{Where: where, Why: fmt.Sprintf("it is of another bot (application %s, this one is %s): use a directory for each", r.AppID, w.appID)}
		}
		why := ""
		switch alive := latest(r.WrittenAt, r.LastEventAt); {
		case w.now.Sub(alive) > w.age:
			why = fmt.Sprintf("it is %v old, %v at most", w.now.Sub(alive).Round(time.Second), w.age)
		case w.count != 0 && r.Count != w.count:
			why = fmt.Sprintf("it is of %d shards, not %d", r.Count, w.count)
		case r.Intents != w.intents:
			why = fmt.Sprintf("its intents were %v", r.Intents)
		case r.Compression != w.compression:
			why = "it was compressed with " + r.Compression.String()
		case r.Version != gatewayVersion || r.Encoding != gatewayEncoding:
			why = fmt.Sprintf("it is of gateway v%d %q", r.Version, r.Encoding)
		}
		if why != "" {
			drop = append(drop, dropped{r, why})
			continue
		}
		id := [2]int{r.Shard, r.Count}
		if i, ok := best[id]; ok {
			if r.WrittenAt.After(keep[i].WrittenAt) {
				keep[i], r = r, keep[i]
			}
			drop = append(drop, dropped{r, "there is a newer one of the same shard"})
			continue
		}
		best[id] = len(keep)
		keep = append(keep, r)
	}
	return keep, drop, nil
}

// heard is since when events may be missing if the session is not resumed.
func (r Record) heard() time.Time {
	if r.LastEventAt.IsZero() {
		return r.WrittenAt
	}
	return r.LastEventAt
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// encodeState returns the State of a balancer.Session. It is secret.
func encodeState(r Record) []byte {
	b, err := json.Marshal(r.session())
	if err != nil {
		panic(err) // numbers and strings alone
	}
	return b
}

// decodeState returns the Record of a State. Of the two sequence numbers that
// of the balancer.Session counts.
func decodeState(b []byte) (Record, error) {
	var s session
	if len(b) > 16*mostText || json.Unmarshal(b, &s) != nil {
		return Record{}, fmt.Errorf("%w: the state of a session is corrupt", ErrSessionFile)
	}
	r, why := s.record()
	if why != "" {
		return Record{}, fmt.Errorf("%w: the state of a session has %s", ErrSessionFile, why)
	}
	return r, nil
}
