package channels

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func set(t testing.TB, names ...string) Set {
	t.Helper()
	var entries []Entry
	for _, s := range names {
		n, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Name: n})
	}
	s, err := NewSet(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func list(s Set) string {
	var out []string
	for e := range s.All() {
		out = append(out, strings.TrimPrefix(e.Name.String(), "twitch:"))
	}
	return strings.Join(out, " ")
}

func TestNewSetRefusesDuplicates(t *testing.T) {
	n := Name{Twitch, "", "forsen"}
	_, err := NewSet(Entry{Name: n, Origin: "a:1:1"}, Entry{Name: n, Origin: "a:2:1"})
	if err == nil || !strings.Contains(err.Error(), "a:1:1") || !strings.Contains(err.Error(), "a:2:1") {
		t.Fatalf("NewSet: %v, want both origins named", err)
	}
}

func TestMergePrefersTheFirst(t *testing.T) {
	n := Name{Twitch, "", "b"}
	first, _ := NewSet(Entry{Name: n, Settings: Settings{Account: "one"}})
	got := Merge(first, set(t, "twitch:a", "twitch:b", "twitch:c"))
	if s := list(got); s != "b a c" {
		t.Errorf("Merge = %s, want b a c", s)
	}
	if e, ok := got.Lookup(n); !ok || e.Settings.Account != "one" {
		t.Errorf("Lookup(b) = %+v, %v, want account one", e, ok)
	}
	if got := got.Filter(func(e Entry) bool { return e.Name != n }); list(got) != "a c" {
		t.Errorf("Filter = %s, want a c", list(got))
	}
}

func TestDiffKeepsOrder(t *testing.T) {
	c := Diff(set(t, "twitch:z", "twitch:m", "twitch:a"), set(t, "twitch:y", "twitch:m", "twitch:b"))
	var got []string
	for _, e := range slices.Concat(c.Added, c.Removed) {
		got = append(got, e.Name.Channel)
	}
	if want := []string{"y", "b", "z", "a"}; !slices.Equal(got, want) {
		t.Errorf("Diff added and removed %v, want %v", got, want)
	}
	if !Diff(set(t, "twitch:a", "twitch:b"), set(t, "twitch:b", "twitch:a")).Empty() {
		t.Error("a new order is a change, want none")
	}
}

func drawSet(t *rapid.T, label string) Set {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d]{1,2}`), 0, 12, rapid.ID).Draw(t, label)
	var entries []Entry
	for _, s := range names {
		entries = append(entries, Entry{Name: Name{Twitch, "", s}, Settings: Settings{
			Account:   rapid.SampledFrom([]string{"", "", "one", "two"}).Draw(t, "account"),
			CapExempt: rapid.Bool().Draw(t, "exempt"),
			Disabled:  rapid.IntRange(0, 4).Draw(t, "disabled") == 0,
		}})
	}
	s, err := NewSet(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func settingsOf(s Set) map[Name]Settings {
	m := map[Name]Settings{}
	for e := range s.All() {
		m[e.Name] = e.Settings
	}
	return m
}

func TestDiffApplied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, new := drawSet(t, "old"), drawSet(t, "new")
		c := Diff(old, new)
		m := settingsOf(old)
		for _, e := range c.Removed {
			if _, ok := m[e.Name]; !ok {
				t.Fatalf("removes %v, which was not there", e.Name)
			}
			delete(m, e.Name)
		}
		for _, ch := range c.Changed {
			if m[ch.Name] != ch.Old || ch.Old == ch.New {
				t.Fatalf("changes %+v, was %+v", ch, m[ch.Name])
			}
			m[ch.Name] = ch.New
		}
		for _, e := range c.Added {
			if _, ok := m[e.Name]; ok {
				t.Fatalf("adds %v, which was there", e.Name)
			}
			m[e.Name] = e.Settings
		}
		if !maps.Equal(m, settingsOf(new)) {
			t.Fatalf("old and Diff(old, new) make %v, want %v", m, settingsOf(new))
		}
		if c.Empty() != maps.Equal(settingsOf(old), settingsOf(new)) {
			t.Fatalf("Empty() = %v", c.Empty())
		}
	})
}
