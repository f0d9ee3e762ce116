package discord

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// size counts entries, and is -1 where the parts of a stripe disagree.
func (t *cacheTable[K, V]) size() int {
	n := 0
	for i := range t.stripes {
		s := &t.stripes[i]
		n += len(s.ring)
		if len(s.at) != len(s.ring) || len(s.ring) > max(s.max, 0) {
			return -1
		}
		of := 0
		for _, keys := range s.guilds {
			of += len(keys)
		}
		for j, e := range s.ring {
			if e.guild != "" {
				of--
			}
			if e.index != j || s.at[e.key] != e {
				return -1
			}
		}
		if of != 0 {
			return -1
		}
	}
	return n
}

// A table with room for all behaves as a map; a small one knows a part of it.
func TestTableProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{1, 2, 5, 600, 10_000}).Draw(t, "max")
		tab := newCacheTable[int, int](most)
		model := map[int][2]int{} // guild and value
		keys, guilds := rapid.IntRange(0, 20), rapid.IntRange(0, 3)
		id := func(g int) ID { return ID(strings.Repeat("g", g)) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, g, v := keys.Draw(t, "key"), guilds.Draw(t, "guild"), rapid.Int().Draw(t, "value")
				tab.put(k, id(g), v)
				model[k] = [2]int{g, v}
				if got, ok := tab.get(k); !ok || got != v {
					t.Fatalf("get(%d) after put = %d, %v, want %d", k, got, ok, v)
				}
			},
			"remove": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				tab.remove(k)
				delete(model, k)
			},
			"drop": func(t *rapid.T) {
				g := guilds.Filter(func(g int) bool { return g > 0 }).Draw(t, "guild")
				tab.drop(id(g))
				for k, m := range model {
					if m[0] == g {
						delete(model, k)
					}
				}
			},
			"": func(t *rapid.T) {
				n := tab.size()
				if n < 0 || n > most {
					t.Fatalf("size %d of at most %d", n, most)
				}
				for k := range 21 {
					v, ok := tab.get(k)
					m, known := model[k]
					if ok && (!known || v != m[1]) {
						t.Fatalf("get(%d) = %d, want %v, %v", k, v, m, known)
					}
					if !ok && known && most >= 10_000 {
						t.Fatalf("get(%d): forgotten without need", k)
					}
				}
			},
		})
	})
}

// What is asked for again and again stays, whatever passes by.
func TestTableKeepsWhatIsRead(t *testing.T) {
	tab := newCacheTable[int, int](10)
	for k := range 1000 {
		tab.put(k, "", k)
		if _, ok := tab.get(0); !ok {
			t.Fatalf("key 0 was forgotten after %d", k)
		}
	}
}
