package channels

import (
	"fmt"
	"iter"
)

// Settings are what may be said about one channel. The zero value is the
// default of each.
type Settings struct {
	Account   string // the account that carries the channel; empty: any with room
	CapExempt bool   // the account is broadcaster or moderator there: the channel does not count towards its cap
	Disabled  bool   // listed, but not wanted
}

// Entry is a channel in a [Set]. Origin says where it was written
// ("channels.txt:3:1"), for error messages; it makes no difference otherwise.
type Entry struct {
	Name     Name
	Settings Settings
	Origin   string
}

func (e Entry) where() string {
	if e.Origin == "" {
		return ""
	}
	return " (" + e.Origin + ")"
}

// Set is an ordered set of channels. It is immutable, safe for concurrent use,
// and its zero value is empty.
type Set struct {
	entries []Entry
	index   map[Name]int
}

// NewSet returns the set of entries, in their order. It returns an error for a
// name that stands twice.
func NewSet(entries ...Entry) (Set, error) {
	s := Set{entries: make([]Entry, 0, len(entries)), index: make(map[Name]int, len(entries))}
	for _, e := range entries {
		if i, ok := s.index[e.Name]; ok {
			return Set{}, fmt.Errorf("channels: %v%s: listed twice; remove this one or the first%s", e.Name, e.where(), s.entries[i].where())
		}
		s.add(e)
	}
	return s, nil
}

func (s *Set) add(e Entry) {
	s.index[e.Name] = len(s.entries)
	s.entries = append(s.entries, e)
}

// Len returns the number of channels, disabled ones included.
func (s Set) Len() int { return len(s.entries) }

// All ranges over the entries in the order of the set.
func (s Set) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, e := range s.entries {
			if !yield(e) {
				return
			}
		}
	}
}

// Lookup returns the entry of a name and whether there is one.
func (s Set) Lookup(n Name) (Entry, bool) {
	i, ok := s.index[n]
	if !ok {
		return Entry{}, false
	}
	return s.entries[i], true
}

// Filter returns the set of those entries that keep accepts.
func (s Set) Filter(keep func(Entry) bool) Set {
	out := Set{index: map[Name]int{}}
	for _, e := range s.entries {
		if keep(e) {
			out.add(e)
		}
	}
	return out
}

// Merge returns the union of sets. The entry of a name that is in several is
// that of the first, settings and place included.
func Merge(sets ...Set) Set {
	out := Set{index: map[Name]int{}}
	for _, s := range sets {
		for _, e := range s.entries {
			if _, ok := out.index[e.Name]; !ok {
				out.add(e)
			}
		}
	}
	return out
}

// Change is a channel whose settings are new.
type Change struct {
	Name     Name
	Old, New Settings
}

// Changes says how one set became another. Added and Changed are in the order
// of the new set, Removed in that of the old.
type Changes struct {
	Added, Removed []Entry
	Changed        []Change
}

// Empty reports whether nothing changed.
func (c Changes) Empty() bool {
	return len(c.Added) == 0 && len(c.Removed) == 0 && len(c.Changed) == 0
}

// Diff returns what makes new of old. A change of order alone, or of Origin,
// is none.
func Diff(old, new Set) Changes {
	var c Changes
	for _, e := range new.entries {
		was, ok := old.Lookup(e.Name)
		switch {
		case !ok:
			c.Added = append(c.Added, e)
		case was.Settings != e.Settings:
			c.Changed = append(c.Changed, Change{Name: e.Name, Old: was.Settings, New: e.Settings})
		}
	}
	for _, e := range old.entries {
		if _, ok := new.index[e.Name]; !ok {
			c.Removed = append(c.Removed, e)
		}
	}
	return c
}
