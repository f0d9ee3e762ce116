package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// An hour at full size with a storm of faults, in the time of a bubble: a
// minute or two of ours.
func TestSoakVirtual(t *testing.T) {
	needSoak(t)
	begin := time.Now()
	defer func() { t.Logf("took %v", time.Since(begin).Round(time.Second)) }()
	synctest.Test(t, func(t *testing.T) {
		soak{network: "memory", length: time.Hour, every: 5 * time.Minute}.run(t)
	})
}

// Two minutes of it by the real clock, over sockets. The JOIN budget makes
// joining take as long again: 110 s.
func TestSoakReal(t *testing.T) {
	needSoak(t)
	soak{network: "tcp", length: 2 * time.Minute, every: 15 * time.Second}.run(t)
}

// needSoak skips a test that takes minutes, unless it was asked for.
func needSoak(t *testing.T) {
	t.Helper()
	if os.Getenv("CHATSHARD_SOAK") != "1" {
		t.Skip("takes minutes: set CHATSHARD_SOAK=1")
	}
}

// What a soak may hold. Simulator and judge are in the same process and count.
const (
	soakPerShard   = 3    // goroutines: its reader here, reader and writer at the simulator
	soakGoroutines = 60   // the rest: a dozen, and a few for each shard that connects again
	soakGrowth     = 1.2  // of memory, from the second sample to the last
	soakHeap       = 8.0  // MiB besides
	soakResident   = 16.0 // MiB besides: the allocator's own, and stacks
)

// soak is a demo of 20,000 channels on 400 shards that is looked into meanwhile.
type soak struct {
	network string
	length  time.Duration // from the first sample to the last, faults going on
	every   time.Duration // between samples
}

// soakSample is what the process holds at one moment.
type soakSample struct {
	state          demoState
	goroutines     int
	heap, resident float64 // MiB, after a collection; resident is 0 where the system does not say
}

func (s soakSample) String() string {
	f := s.state.fleets[0]
	return fmt.Sprintf("%v: %d goroutines, heap %.1f MiB, resident %.1f MiB; %d shards, %d channels joined, %d connections made anew, %d received",
		s.state.elapsed.Round(time.Second), s.goroutines, s.heap, s.resident,
		f.shards, f.joined, f.reconnects, f.received)
}

func takeSoakSample(state demoState) soakSample {
	const mebi = 1 << 20
	runtime.GC() // the next one frees what pools kept over this one
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return soakSample{state: state, goroutines: runtime.NumGoroutine(), heap: float64(m.HeapAlloc) / mebi, resident: residentMemory() / mebi}
}

func (s soak) run(t *testing.T) {
	o := demoOptions{
		length:   s.length + 5*time.Second, // the demo ends its faults 3 s before
		channels: 20_000, channelsPerShard: 50, maxShardCount: 450,
		rate: 300, faults: "storm", network: s.network, seed: 20_000,
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	d, err := newDemo(&o)
	if err != nil {
		t.Fatal(err)
	}
	var samples []soakSample
	r := d.run(t.Context(), nil, func(state demoState) {
		due := time.Duration(len(samples)) * s.every
		if state.phase == "running" && state.elapsed >= due && due <= s.length {
			samples = append(samples, takeSoakSample(state))
			t.Log(samples[len(samples)-1])
		}
	})
	v, state := r.fleets[0].verdict, r.fleets[0].state
	t.Logf("%+v; %d connections made anew", v, state.reconnects)

	if err := r.failure(); err != nil {
		t.Error(err)
	}
	if want := int64(o.rate * s.length.Seconds()); v.sent < want*9/10 || v.received+v.inGaps != v.sent {
		t.Errorf("%d sent, %d received and %d in gaps, want about %d sent, and the sum", v.sent, v.received, v.inGaps, want)
	}
	violations := d.fleets[0].(*twitchFleet).server.Violations()
	for _, violation := range violations[:min(5, len(violations))] {
		t.Errorf("one of %d violations: %v", len(violations), violation)
	}
	if state.shards < o.needed() {
		t.Errorf("%d shards at the end, want %d", state.shards, o.needed())
	}
	if want := int64(50 * s.length.Minutes()); state.reconnects < want {
		t.Errorf("%d connections made anew, want %d for it to be a storm", state.reconnects, want)
	}
	if want := int(s.length/s.every) + 1; len(samples) != want {
		t.Fatalf("%d samples, want %d", len(samples), want)
	}
	for _, x := range samples[1:] {
		if most := soakPerShard*o.needed() + soakGoroutines; x.goroutines > most {
			t.Errorf("%d goroutines after %v, want at most %d", x.goroutines, x.state.elapsed, most)
		}
	}
	second, last := samples[1], samples[len(samples)-1]
	if most := second.heap*soakGrowth + soakHeap; last.heap > most {
		t.Errorf("the heap grew from %.1f to %.1f MiB, want at most %.1f", second.heap, last.heap, most)
	}
	if most := second.resident*soakGrowth + soakResident; last.resident > most {
		t.Errorf("resident memory grew from %.1f to %.1f MiB, want at most %.1f", second.resident, last.resident, most)
	}
}
