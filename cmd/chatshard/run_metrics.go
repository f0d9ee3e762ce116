package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/channels"
)

// runMetrics says how connections, channels, budgets and webhooks are. It counts
// nothing itself: a scrape asks those who know. Labels are of the configuration,
// never of what a service sends: there is no channel among them.
type runMetrics struct {
	run *relayRun
	p   *pipeline
}

var (
	ofAccount    = []string{"platform", "network", "account"}
	shardsDesc   = prometheus.NewDesc("chatshard_shards", "Connections of an account, by state.", append(ofAccount[:3:3], "state"), nil)
	channelsDesc = prometheus.NewDesc("chatshard_channels", "Wanted channels of an account, by state; without an account: those that none has room for.", append(ofAccount[:3:3], "state"), nil)
	guildsDesc   = prometheus.NewDesc("chatshard_guilds", "Guilds of a bot, by state.", append(ofAccount[:3:3], "state"), nil)
	queueDesc    = prometheus.NewDesc("chatshard_queue_bytes", "What was received and waits to be written to the log.", ofAccount, nil)
	budgetDesc   = prometheus.NewDesc("chatshard_budget_left", "What an account may still do now, or Discord's day, without waiting; invalid: answers of 401, 403 and 429 before it waits.", append(ofAccount[:3:3], "budget"), nil)
	runningDesc  = prometheus.NewDesc("chatshard_account_running", "0 if the service has turned the account away for good.", ofAccount, nil)

	hookTakenDesc   = prometheus.NewDesc("chatshard_webhook_delivered_total", "Envelopes that the receiver has taken.", []string{"webhook"}, nil)
	hookRetriesDesc = prometheus.NewDesc("chatshard_webhook_retries_total", "Batches that were sent again.", []string{"webhook"}, nil)
	hookDeadDesc    = prometheus.NewDesc("chatshard_webhook_dead_letters_total", "Envelopes that were given up.", []string{"webhook"}, nil)
	hookUpDesc      = prometheus.NewDesc("chatshard_webhook_running", "0 if the receiver wants no more, or the cursor or dead letters cannot be written.", []string{"webhook"}, nil)
)

// Describe implements prometheus.Collector.
func (m *runMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		shardsDesc, channelsDesc, guildsDesc, queueDesc, budgetDesc, runningDesc,
		hookTakenDesc, hookRetriesDesc, hookDeadDesc, hookUpDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *runMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	up := func(turnedAway bool, who ...string) {
		n := 1
		if turnedAway {
			n = 0
		}
		gauge(runningDesc, n, who...)
	}
	shards := func(b *balancer.Balancer, who []string) {
		states, queued := b.CountShards()
		for s := balancer.Dialing; s <= balancer.Retiring; s++ {
			gauge(shardsDesc, states[s], append(who[:3:3], s.String())...)
		}
		gauge(queueDesc, queued, who...)
	}
	account := func(k *carrier, who []string, budgets ...balancer.Budget) {
		shards(k.balancer, who)
		for _, b := range budgets {
			if n, limited := k.transport.Account().Left(b); limited {
				gauge(budgetDesc, n, append(who[:3:3], b.String())...)
			}
		}
		up(k.ended.Load() != nil, who...)
	}
	for _, k := range m.run.carriers {
		who := []string{string(k.platform), "", k.encoder.account}
		if k.platform == channels.IRC {
			who[1] = k.account
		}
		account(k, who, balancer.BudgetJoin, balancer.BudgetLogin, balancer.BudgetSend)
		states := k.balancer.Count()
		for s := balancer.Wanted; s <= balancer.Parting; s++ {
			gauge(channelsDesc, states[s], append(who[:3:3], s.String())...)
		}
	}
	if k := m.run.sender; k != nil {
		account(k, []string{string(k.platform), "", k.account}, balancer.BudgetLogin, balancer.BudgetSend)
	}
	if m.run.config.Twitch != nil {
		gauge(channelsDesc, m.run.roster.now.Load().over, string(channels.Twitch), "", "", balancer.Denied.String())
	}
	if b := m.run.bot; b != nil {
		who := []string{string(channels.Discord), "", b.account}
		shards(b.client.Balancer(), who)
		gen, guilds, away := 0, 0, 0
		for _, s := range b.client.Shards() {
			if s.ID.Gen > gen { // while one takes over, both have all guilds
				gen, guilds, away = s.ID.Gen, 0, 0
			}
			if s.ID.Gen == gen {
				guilds, away = guilds+s.Guilds, away+s.Away
			}
		}
		gauge(guildsDesc, guilds-away, append(who[:3:3], "available")...)
		gauge(guildsDesc, away, append(who[:3:3], "unavailable")...)
		if left, ok := b.client.Transport().Budget(); ok {
			gauge(budgetDesc, left.Left, append(who[:3:3], balancer.BudgetIdentify.String())...)
		}
		if m.run.rest != nil {
			sends, invalid := m.run.rest.Left()
			gauge(budgetDesc, sends, append(who[:3:3], balancer.BudgetSend.String())...)
			gauge(budgetDesc, invalid, append(who[:3:3], "invalid")...)
		}
		up(b.ended.Load(), who...)
	}
	for _, h := range m.p.hooks {
		taken, retries, dead := h.Counts()
		for d, n := range map[*prometheus.Desc]uint64{hookTakenDesc: taken, hookRetriesDesc: retries, hookDeadDesc: dead} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), h.Name)
		}
		running := 0
		if h.running.Load() {
			running = 1
		}
		gauge(hookUpDesc, running, h.Name)
	}
}
