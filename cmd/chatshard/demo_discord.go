package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/discord"
	"github.com/chatshard/chatshard/discord/discordtest"
)

const (
	demoToken       = "demo-token"
	demoConcurrency = 16
)

// discordFleet is Discord in a demo: the client that "chatshard run" uses,
// against a simulator.
type discordFleet struct {
	opts    *demoOptions
	server  *discordtest.Server
	judge   *discordtest.Judge
	load    *discordtest.Load
	client  *discord.Client
	encoder *encoder
	out     sink

	received atomic.Int64
	due      atomic.Int64 // shards that were to be started
	peak     int

	mu     sync.Mutex // guards all below
	ups    int64      // connections that were logged in
	begun  int64      // of them those that began a session
	shards map[balancer.ShardID]bool
}

func newDiscordFleet(o *demoOptions, cursor *cursor) (*discordFleet, error) {
	f := &discordFleet{opts: o, shards: make(map[balancer.ShardID]bool)}
	f.server = discordtest.New(&discordtest.Config{
		Seed: o.seed,
		Bots: []discordtest.Bot{{
			Token: demoToken, Name: "demo", GuildCount: o.guilds,
			MaxConcurrency: demoConcurrency, IdentifyTotal: max(1000, 10*o.grown),
		}},
		// A connection that died without a word is found out within seconds.
		HeartbeatInterval: 3 * time.Second,
	})
	f.judge = f.server.Judge()
	f.load = &discordtest.Load{Rate: o.guildRate, Zipf: 1, Mix: discordtest.Mix{Message: 95, Edit: 1, Delete: 1, Reaction: 2, DM: 1}}
	cfg := discord.Config{
		Intents: discord.IntentsChat | discord.IntentGuildMessageReactions,
		API:     "http://discord.test/api/v10", HTTPClient: f.server.HTTPClient(), DialContext: f.server.DialContext,
		DialTimeout: 5 * time.Second, HelloTimeout: 5 * time.Second, ReadyTimeout: 5 * time.Second, GuildTimeout: 5 * time.Second,
	}
	if o.network == "tcp" {
		at, err := f.server.Listen("127.0.0.1:0")
		if err != nil {
			f.server.Close()
			return nil, fmt.Errorf("demo: 127.0.0.1: %w", err)
		}
		cfg.API, cfg.HTTPClient, cfg.DialContext = "http://"+at.String()+"/api/v10", nil, nil
	}
	f.client = discord.NewClient(discord.FixedToken(demoToken), &discord.ClientConfig{
		Transport: cfg,
		Balancer: balancer.Config{
			ChannelsPerShard: o.perShard,
			MaxShardCount:    o.maxShards,
			Reuse:            true, // what is kept of an event is encoded or counted
			ManualAck:        true, // once it is in the log
			Overlap:          time.Second,
			// The longest is what a question whether a connection lives may take.
			Backoff: balancer.Backoff{Min: 200 * time.Millisecond, Max: 8 * time.Second, Reset: 5 * time.Second},
		},
		ReshardAt: -1, // when --reshard-at says
	})
	f.encoder = &encoder{platform: "discord", account: "demo", cursor: cursor, now: now}
	return f, nil
}

func (f *discordFleet) read(ctx context.Context, out sink) error {
	f.out = out
	f.due.Store(int64(f.opts.shards))
	return f.client.Run(ctx, f.handle)
}

func (f *discordFleet) chat(ctx context.Context) { f.server.Load(ctx, f.load) }

func (f *discordFleet) inject(ctx context.Context) {
	plan := discordFaultPlan(f.opts.faults)
	plan.Corrupt = 0 // a letter of a text that is another one is found out by nobody, and TLS lets none through
	f.server.InjectPlan(ctx, plan)
}

// change resizes the fleet when it is time.
func (f *discordFleet) change(ctx context.Context) {
	if f.opts.reshardAt == 0 {
		return
	}
	timer := time.NewTimer(f.opts.reshardAt)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if f.client.Resize(ctx, f.opts.grown) == nil {
			f.due.Add(int64(f.opts.grown))
			return
		}
		timer.Reset(time.Second) // shards are down at the moment, say
	}
}

func (f *discordFleet) drain(ctx context.Context) { _ = f.client.Balancer().Drain(ctx) }
func (f *discordFleet) close()                    { f.server.Close() }

// handle takes an event as the last one to see it, so it is what the judge
// goes by.
func (f *discordFleet) handle(_ context.Context, e balancer.Event) {
	switch data := e.Data.(type) {
	case *discord.Dispatch:
		if data.Type == "MESSAGE_CREATE" {
			f.received.Add(1)
			f.judge.Received(string(e.Key), e.ID, time.Now())
		}
	case balancer.Gap:
		f.judge.GapShard(data.From, data.To, e.Shard.Index, e.Shard.Count)
	case balancer.Up:
		f.mu.Lock()
		f.ups++
		if !data.Resumed {
			f.begun++
		}
		f.shards[e.Shard] = true
		f.mu.Unlock()
	}
	f.out.write(f.encoder, e, e.Ack)
}

// look counts the guilds of the generation of shards that has most of them.
func (f *discordFleet) look() fleetState {
	s := fleetState{platform: "discord", channels: f.opts.guilds, maxShards: f.opts.maxShards, received: f.received.Load()}
	available := make(map[int]int)
	for _, sh := range f.client.Shards() {
		s.queued += sh.Queued
		f.peak = max(f.peak, sh.Guilds)
		if sh.State == balancer.Ready {
			s.shards++
			available[sh.ID.Gen] += sh.Guilds - sh.Away - sh.Awaited
			s.joined = max(s.joined, available[sh.ID.Gen])
		}
	}
	s.peak = f.peak
	f.mu.Lock()
	s.reconnects = f.ups - int64(len(f.shards))
	f.mu.Unlock()
	return s
}

func (f *discordFleet) verdict() verdict {
	v := f.judge.Verdict()
	out := verdict{
		sent: v.Sent, received: v.Received, lost: v.Lost, lostLive: v.LostLive, doubled: v.Doubled, disordered: v.OutOfOrder,
		gaps: v.Gaps, inGaps: v.InGaps, misrouted: v.Misrouted,
	}
	for _, o := range v.Offences {
		out.offences = append(out.offences, o.String())
	}
	return out
}

// settled reports whether there is one generation of shards, of the size that
// was asked for, and all of them are up.
func (f *discordFleet) settled(time.Time) bool { return f.astray() == "" }

// astray says what of the shards is not as it should be in the end.
func (f *discordFleet) astray() string {
	ready := 0
	for _, sh := range f.client.Shards() {
		if sh.ID.Count != f.opts.grown {
			return fmt.Sprintf("shard %v is there, and %d were asked for", sh.ID, f.opts.grown)
		}
		if sh.State == balancer.Ready && sh.Awaited == 0 {
			ready++
		}
	}
	if ready != f.opts.grown {
		return fmt.Sprintf("%d of %d shards are ready", ready, f.opts.grown)
	}
	return ""
}

func (f *discordFleet) result(v verdict, s fleetState) fleetDone {
	r := fleetDone{state: s, verdict: v, identified: true}
	st := f.server.Stats().Bot("")
	r.identifies, r.resumes, r.kept = st.Identifies, st.Resumes, st.SessionsKept
	// A session that a fault cut off before the client heard of it cannot be resumed.
	f.mu.Lock()
	unheard := max(0, st.Identifies-f.begun)
	f.mu.Unlock()
	r.due = f.due.Load() + st.SessionsEnded + unheard
	if why := f.astray(); why != "" {
		r.problems = append(r.problems, why)
	}
	if s.joined != s.channels {
		r.problems = append(r.problems, fmt.Sprintf("%d guilds not available", s.channels-s.joined))
	}
	if s.peak > f.opts.perShard {
		r.problems = append(r.problems, fmt.Sprintf("%d guilds on one shard", s.peak))
	}
	if r.identifies > r.due {
		r.problems = append(r.problems, fmt.Sprintf("%d IDENTIFYs spent, and %d were due: %d for new shards, %d for sessions that Discord ended, %d for sessions that were cut off as they began",
			r.identifies, r.due, f.due.Load(), st.SessionsEnded, unheard))
	}
	if vs := f.server.Violations(); len(vs) > 0 {
		r.problems = append(r.problems, fmt.Sprintf("%d limits broken, first %s", len(vs), vs[0]))
	}
	return r
}

// begins is how long IDENTIFYing takes: the first max_concurrency go at once.
func (f *discordFleet) begins() time.Duration {
	return discord.StartTime(f.opts.shards, demoConcurrency) - discord.StartTime(1, 1)
}
