package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/rs/zerolog"
)

const (
	markEvery = time.Minute
	mostMarks = 1024
)

// marks tell when entries were received that the log has no more: a gap of a
// reader whose cursor is that old begins there. A mark is made every minute;
// when there are too many, every other one of the older half is forgotten.
type marks struct {
	store *relay.Store
	zlog  zerolog.Logger

	mu  sync.Mutex // guards all
	all []mark     // in the order of their times
}

// mark says that what stands behind a place was received later than a time.
type mark struct {
	Epoch string    `json:"epoch"`
	Seq   uint64    `json:"seq"`
	At    time.Time `json:"at"`
}

const docMarks = "marks"

func newMarks(ctx context.Context, store *relay.Store, zlog zerolog.Logger) (*marks, error) {
	m := &marks{store: store, zlog: zlog}
	text, err := store.Load(ctx, docMarks)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &m.all)
	}
	if err != nil {
		return nil, fmt.Errorf("when entries were received: %w", err)
	}
	return m, nil
}

// since returns a time after which all behind a place was received; zero if
// that is not known.
func (m *marks) since(c relay.Cursor) (at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := slices.IndexFunc(m.all, func(k mark) bool { return k.Epoch == c.Epoch })
	if first < 0 {
		return time.Time{}
	}
	list := m.all[first:]
	n := sort.Search(len(list), func(i int) bool { return list[i].Epoch != c.Epoch || list[i].Seq > c.Seq })
	if n == 0 {
		return time.Time{}
	}
	return list[n-1].At
}

// begin makes a mark of where the log ends, behind which nothing has been received
// yet.
func (m *marks) begin(hub *relay.Hub) { m.add(hub.Cursor(), now()) }

// mark makes a mark of the newest entry: now would be too late a time, because
// what is received while the log cannot be written comes behind it.
func (m *marks) mark(hub *relay.Hub) {
	if c, received := hub.Newest(); !received.IsZero() {
		m.add(c, received)
	}
}

// add makes a mark of a place, behind which nothing was received before a time,
// but for what other connections had on its way to the log then.
func (m *marks) add(c relay.Cursor, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.all); n > 0 && m.all[n-1].Epoch == c.Epoch && m.all[n-1].Seq >= c.Seq {
		return
	}
	m.all = append(m.all, mark{c.Epoch, c.Seq, at.Add(-onTheWay)})
	if len(m.all) <= mostMarks {
		return
	}
	thin := m.all[:0]
	for i, k := range m.all {
		if i%2 == 0 || i >= mostMarks/2 {
			thin = append(thin, k)
		}
	}
	m.all = thin
}

// watch makes marks until ctx ends.
func (m *marks) watch(ctx context.Context, hub *relay.Hub) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		m.mu.Lock()
		text, err := json.Marshal(m.all)
		m.mu.Unlock()
		if err == nil {
			err = m.store.Save(ctx, docMarks, text)
		}
		if err != nil && ctx.Err() == nil {
			m.zlog.Debug().Err(err).Msg("marks of the log's times were not stored")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.mark(hub)
		}
	}
}
