package discord

import (
	"context"
	"errors"
	"time"

	"github.com/chatshard/chatshard/balancer"
)

// Start reads what the Store has of an earlier process. Dial calls it; who wants
// to hear of a session file that cannot be used before anything is dialled
// calls it first. The error wraps ErrSessionFile or ErrToken, or is the Store's.
func (t *Transport) Start(ctx context.Context) error {
	t.starting.Lock()
	defer t.starting.Unlock()
	if t.started {
		return nil
	}
	if t.own != nil {
		if err := t.own.Load(ctx); err != nil {
			return err
		}
	}
	if t.cfg.Store != nil {
		if err := t.load(ctx); err != nil {
			return err
		}
	}
	t.started = true
	return nil
}

func (t *Transport) load(ctx context.Context) error {
	data, err := t.cfg.Store.Load(ctx, storeSessions)
	if err != nil {
		return never(err)
	}
	if len(data) == 0 {
		return nil
	}
	app, err := t.rest.application(ctx)
	if err != nil {
		if errors.Is(err, ErrToken) {
			return never(err)
		}
		return err
	}
	where := t.cfg.Store.String() + ": " + storeSessions
	recs, err := decodeSessions(data, where)
	if err != nil {
		return never(err)
	}
	keep, drop, err := resumable(recs, where, sessionsWanted{appID: app.ID, intents: t.cfg.Intents, compression: t.cfg.Compression, age: t.cfg.SessionAge, now: time.Now()})
	if err != nil {
		return never(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored, t.gone = make(map[[2]int]Record), make(map[[2]int]Record)
	for _, d := range drop {
		t.cfg.Logger.Info().Object("session", d.Record).Str("why", d.why).Msg("stored session not resumed")
		t.gone[[2]int{d.Shard, d.Count}] = d.Record
	}
	for _, r := range keep {
		t.stored[[2]int{r.Shard, r.Count}] = r
	}
	return nil
}

// storedOf returns the stored session of a shard; or since when events may be
// missing because what was stored is of no use to it.
func (t *Transport) storedOf(id balancer.ShardID) (rec *Record, gone time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]int{id.Index, id.Count}
	if r, ok := t.stored[key]; ok {
		return &r, time.Time{}
	}
	if r, ok := t.gone[key]; ok {
		return nil, r.heard()
	}
	// Guilds of this one may have been on any shard of another count.
	earlier := func(at time.Time) {
		if gone.IsZero() || at.Before(gone) {
			gone = at
		}
	}
	for _, m := range []map[[2]int]Record{t.gone, t.stored} {
		for k, r := range m {
			if k[1] != id.Count {
				earlier(r.heard())
			}
		}
	}
	return nil, gone
}

// sessionBegan notes that a shard has a session, which takes the place of what was
// stored of it. Until the Balancer has heard of it, this is all that Save knows: a
// stop may come in between. It is not called for one after which a gap is to be
// told: until the Balancer has, what is stored stays.
func (t *Transport) sessionBegan(id balancer.ShardID, rec Record) {
	key := [2]int{id.Index, id.Count}
	rec.WrittenAt = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.stored, key)
	delete(t.gone, key)
	t.begun[id] = rec
}

// StoredCount returns the number of shards that the stored sessions are of,
// and how many of them there are to be resumed. After Start.
func (t *Transport) StoredCount() (count, sessions int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	per := make(map[int]int)
	for _, r := range t.stored {
		per[r.Count]++
	}
	for c, n := range per {
		if n > sessions || n == sessions && c > count {
			count, sessions = c, n
		}
	}
	return count, sessions
}

// onTheWay is how long an event may be on its way from Discord: a gap starts
// that much before a session was last saved.
const onTheWay = 5 * time.Second

// Save stores the sessions of a Balancer's shards with the sequence number
// acknowledged last. It is called every few seconds, and after Run has returned.
func (t *Transport) Save(ctx context.Context, b *balancer.Balancer) error {
	if t.cfg.Store == nil {
		return nil
	}
	now := time.Now()
	var recs []Record
	shards := b.Shards()
	live := make(map[balancer.ShardID]balancer.Session)
	for _, s := range shards {
		if ses, err := b.Session(s.ID); err == nil && len(ses.State) > 0 {
			live[s.ID] = ses
		}
	}
	gen := 0
	for _, s := range shards {
		if len(recs) > 0 && s.ID.Gen != gen && len(recs) == recs[0].Count {
			break // of a generation that has not taken over: to be started again
		}
		gen = s.ID.Gen
		ses, ok := live[s.ID]
		if !ok {
			continue
		}
		rec, err := decodeState(ses.State)
		if err != nil {
			continue
		}
		rec.Seq, rec.WrittenAt, rec.LastEventAt = ses.Seq, now, now.Add(-onTheWay)
		sh := t.shard(s.ID)
		if ms := sh.down.Load(); ms > 0 {
			rec.LastEventAt = earliest(rec.LastEventAt, time.UnixMilli(ms))
		}
		rec.Guilds, _, _ = sh.guilds.total()
		recs = append(recs, rec)
	}
	t.mu.Lock()
	for _, r := range recs { // the Balancer has heard of these
		delete(t.stored, [2]int{r.Shard, r.Count})
		delete(t.gone, [2]int{r.Shard, r.Count})
	}
	for id, r := range t.begun {
		if _, ok := live[id]; ok {
			delete(t.begun, id)
		} else if len(shards) > 0 && id.Gen == shards[0].ID.Gen { // not of one that has not taken over
			recs = append(recs, r)
		}
	}
	if whole(recs) {
		// All shards have sessions: what was stored of others is told or resumed.
		t.stored, t.gone = nil, nil
	}
	for _, m := range []map[[2]int]Record{t.stored, t.gone} {
		for _, r := range m { // not resumed yet, or not told since when
			recs = append(recs, r)
		}
	}
	t.mu.Unlock()
	return t.cfg.Store.Save(ctx, storeSessions, encodeSessions(recs))
}

// whole reports whether records are all that there are of a number of shards.
func whole(recs []Record) bool { return len(recs) > 0 && len(recs) >= recs[0].Count }
