package irc

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// The vectors of https://github.com/ircdocs/parser-tests.

type atoms struct {
	Tags   map[string]string
	Source string
	Verb   string
	Params []string
	Nick   string
	User   string
	Host   string
}

func vectors[T any](t *testing.T, name string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dataDir(t), "irc", "parser-tests", name))
	if os.IsNotExist(err) {
		t.Skip("the parser-tests are not on this machine: ", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Tests []T }
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Tests) == 0 {
		t.Fatalf("%s has no tests", name)
	}
	return doc.Tests
}

func params(m *Message) []string {
	var p []string
	for i := range min(m.NumParams(), 100) {
		p = append(p, m.Param(i))
	}
	return p
}

func TestVectorsSplit(t *testing.T) {
	for _, v := range vectors[struct {
		Input string
		Atoms atoms
	}](t, "msg-split.yaml") {
		m, err := Parse(v.Input)
		if err != nil {
			t.Errorf("Parse(%q): %v", v.Input, err)
			continue
		}
		tags := maps.Collect(m.Tags())
		if !maps.Equal(tags, v.Atoms.Tags) {
			t.Errorf("%q: tags %q, want %q", v.Input, tags, v.Atoms.Tags)
		}
		for name, want := range v.Atoms.Tags {
			if got, ok := m.Tag(name); got != want || !ok {
				t.Errorf("%q: Tag(%q) = %q, %v, want %q", v.Input, name, got, ok, want)
			}
		}
		if m.Source() != v.Atoms.Source {
			t.Errorf("%q: source %q, want %q", v.Input, m.Source(), v.Atoms.Source)
		}
		if want := upperVerb(v.Atoms.Verb); m.Command() != want {
			t.Errorf("%q: command %q, want %q", v.Input, m.Command(), want)
		}
		if got := params(m); !slices.Equal(got, v.Atoms.Params) {
			t.Errorf("%q: parameters %q, want %q", v.Input, got, v.Atoms.Params)
		}
	}
}

func TestVectorsJoin(t *testing.T) {
	for _, v := range vectors[struct {
		Desc    string
		Atoms   atoms
		Matches []string
	}](t, "msg-join.yaml") {
		var tags []Tag
		for name, value := range v.Atoms.Tags {
			tags = append(tags, Tag{name, value})
		}
		b, err := Encoder{}.AppendMessage(nil, tags, v.Atoms.Source, v.Atoms.Verb, v.Atoms.Params...)
		if err != nil {
			t.Errorf("%s: %v", v.Desc, err)
			continue
		}
		if got := string(b[:len(b)-2]); !slices.Contains(v.Matches, got) {
			t.Errorf("%s: %q, want one of %q", v.Desc, got, v.Matches)
		}
	}
}

func TestVectorsSource(t *testing.T) {
	for _, v := range vectors[struct {
		Source string
		Atoms  atoms
	}](t, "userhost-split.yaml") {
		nick, user, host := SplitSource(v.Source)
		if nick != v.Atoms.Nick || user != v.Atoms.User || host != v.Atoms.Host {
			t.Errorf("SplitSource(%q) = %q, %q, %q, want %q, %q, %q", v.Source, nick, user, host, v.Atoms.Nick, v.Atoms.User, v.Atoms.Host)
		}
	}
}

func TestVectorsMask(t *testing.T) {
	for _, v := range vectors[struct {
		Mask           string
		Matches, Fails []string
	}](t, "mask-match.yaml") {
		for _, s := range v.Matches {
			if !MatchMask(v.Mask, s) {
				t.Errorf("MatchMask(%q, %q) = false, want true", v.Mask, s)
			}
		}
		for _, s := range v.Fails {
			if MatchMask(v.Mask, s) {
				t.Errorf("MatchMask(%q, %q) = true, want false", v.Mask, s)
			}
		}
	}
}
