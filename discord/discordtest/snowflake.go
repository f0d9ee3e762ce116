package discordtest

import (
	"strconv"
	"sync/atomic"
	"time"
)

// ID is a snowflake: milliseconds since [Server.Epoch] above 22 other bits.
type ID uint64

// String returns the ID in decimal, as it is in JSON.
func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// discordEpoch is when Discord's snowflakes begin.
var discordEpoch = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

// idMint makes message ids. They grow, and ten of their bits are a hash of the
// guild, so that a judge knows an id that was reported for another guild.
type idMint struct {
	epoch time.Time
	last  atomic.Uint64 // milliseconds<<12 | increment
}

func newMint(now time.Time) *idMint {
	m := &idMint{epoch: discordEpoch}
	if now.Before(discordEpoch.AddDate(1, 0, 0)) { // a synctest bubble lives in the year 2000
		m.epoch = now.AddDate(-11, 0, 0)
	}
	return m
}

// next returns a new id for something in the guild. Ids of one guild grow in
// the order of the calls.
func (m *idMint) next(guild uint64) ID {
	for {
		old := m.last.Load()
		n := max(uint64(time.Since(m.epoch).Milliseconds())<<12, old+1)
		if m.last.CompareAndSwap(old, n) {
			return ID(n>>12<<22 | guildHash(guild)<<12 | n&0xfff)
		}
	}
}

// of reports whether the id may be one of the guild's.
func (m *idMint) of(id ID, guild uint64) bool { return uint64(id)>>12&0x3ff == guildHash(guild) }

// millis returns when an id was made, in Unix milliseconds.
func (m *idMint) millis(id ID) int64 { return m.epoch.UnixMilli() + int64(id>>22) }

func guildHash(guild uint64) uint64 { return mix(guild) & 0x3ff }

// mix is the finalizer of splitmix64: a cheap bijection that spreads bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// guildID returns the i-th guild of a bot: consecutive milliseconds spread
// evenly over any number of shards. Its low 8 bits are free for channels.
func guildID(seed uint64, bot, i int) uint64 {
	const base = 200_000_000_000 // in 2021
	ms := base + uint64(bot)*50_000_000 + uint64(i)
	return ms<<22 | mix(seed^ms)&0x3fff00
}

// Epoch returns the time at which the Server's snowflakes begin: Discord's, or
// in a synctest bubble, whose clock is before that, some years before the
// Server was made.
func (s *Server) Epoch() time.Time { return s.mint.epoch }

// Place returns which of count shards carries the guild; 0 carries what
// belongs to none.
func Place(guild uint64, count int) int { return int(guild >> 22 % uint64(max(1, count))) }
