package discordtest

import (
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// BenchmarkPublish publishes to a bot whose guilds are on 16 shards, with
// clients that read and do nothing, without a judge and with one.
func BenchmarkPublish(b *testing.B) {
	for _, mode := range []string{"", "zlib-stream", "judge"} {
		b.Run("compress="+mode, func(b *testing.B) {
			s := New(&Config{Bots: []Bot{{GuildCount: 5000, MaxConcurrency: 16}}})
			defer s.Close()
			if mode == "judge" {
				s.Judge()
				mode = ""
			}
			var wg sync.WaitGroup
			var all []*client
			for i := range 16 {
				c := dial(b, s, "")
				if mode != "" {
					c.drop()
					c = dial(b, s, mode)
				}
				c.await(opHello, "")
				c.ask("bot-token", i, 16, allIntents)
				all = append(all, c)
				wg.Go(func() { io.Copy(io.Discard, c.ws.NetConn()) })
			}
			defer wg.Wait()
			defer func() {
				for _, c := range all {
					c.drop()
				}
			}()
			guilds := s.Guilds("")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Publish("", guilds[i%len(guilds)], Message(0, "ann", "hello everyone, who is up for a game tonight?"))
			}
		})
	}
}

// TestColdStart brings 1,024 shards of 10,000 guilds up at 16 a time: 320 s of
// virtual time.
func TestColdStart(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of work")
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(&Config{Bots: []Bot{{GuildCount: 10_000, MaxConcurrency: 16, IdentifyTotal: 3000}}, HeartbeatInterval: time.Hour})
		defer s.Close()
		start := time.Now()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var clients []*client
		for i := range 1024 {
			c := dial(t, s, "zlib-stream")
			c.await(opHello, "")
			c.ask("bot-token", i, 1024, IntentGuilds|IntentGuildMessages)
			c.await(opDispatch, "READY")
			clients = append(clients, c)
			if i%16 == 15 && i != 1023 {
				time.Sleep(identifyWindow)
			}
		}
		took := time.Since(start)
		for _, c := range clients {
			for range c.ready.Guilds {
				c.await(opDispatch, "GUILD_CREATE")
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		t.Logf("%v, %d KiB of heap per shard, client and pipe included", took, int(after.HeapAlloc-before.HeapAlloc)/1024/1024)
		if want := 63 * identifyWindow; took > want+want/20 || len(s.Violations()) != 0 {
			t.Errorf("took %v, want %v; %v", took, want, s.Violations())
		}
		if st := s.Stats().Bot(""); st.Remaining != 3000-1024 || st.Conns != 1024 {
			t.Errorf("%+v", st)
		}
	})
}
