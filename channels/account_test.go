package channels

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func many(t testing.TB, n int) Set {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("twitch:c%d", i))
	}
	return set(t, names...)
}

func TestAssignSpreads(t *testing.T) {
	got, err := Assign(many(t, 150), []Account{{"one", 100}, {"two", 100}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := carried(got); n["one"] != 75 || n["two"] != 75 {
		t.Errorf("Assign spread %v, want 75 each", n)
	}
}

func TestAssignPrefersUncapped(t *testing.T) {
	got, err := Assign(many(t, 500), []Account{{"one", 100}, {"anonymous", 0}}, nil)
	if n := carried(got); err != nil || n["anonymous"] != 500 {
		t.Errorf("Assign = %v, %v, want all 500 on anonymous", n, err)
	}
}

func TestAssignSaysWhatDoesNotFit(t *testing.T) {
	got, err := Assign(many(t, 123), []Account{{"bot1", 100}}, nil)
	var ce *CapError
	if !errors.As(err, &ce) || len(ce.Over) != 23 || ce.Counted != 123 || len(got) != 100 {
		t.Fatalf("Assign placed %d, error %v, want 100 and 23 over", len(got), err)
	}
	for _, part := range []string{"23 of 123", `"bot1": 100`, "twitch:c100", "18 more", "cap_exempt"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestAssignNamedAccounts(t *testing.T) {
	entry := func(name, account string) Entry {
		return Entry{Name: Name{Twitch, "", name}, Settings: Settings{Account: account}, Origin: "f:1:1"}
	}
	s, _ := NewSet(entry("a", "two"), entry("b", "three"))
	var ae *AccountError
	if _, err := Assign(s, []Account{{"one", 0}, {"two", 0}}, nil); !errors.As(err, &ae) ||
		len(ae.Entries) != 1 || !strings.Contains(err.Error(), `f:1:1`) || !strings.Contains(err.Error(), `"one", "two"`) {
		t.Errorf("Assign with an unknown account: %v", err)
	}
	if _, err := Assign(many(t, 1), nil, nil); !errors.As(err, &ae) {
		t.Errorf("Assign without accounts: %v", err)
	}
	// What names its account displaces what was there before.
	s, _ = NewSet(entry("old", ""), entry("new", "one"))
	got, err := Assign(s, []Account{{"one", 1}, {"two", 1}}, Assignment{{Twitch, "", "old"}: "one"})
	if err != nil || got[Name{Twitch, "", "new"}] != "one" || got[Name{Twitch, "", "old"}] != "two" {
		t.Errorf("Assign = %v, %v, want new on one, old on two", got, err)
	}
}

func TestAssignProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t, "set")
		accounts := []Account{
			{"one", rapid.IntRange(0, 6).Draw(t, "cap")},
			{"two", rapid.IntRange(0, 6).Draw(t, "cap")},
			{"three", rapid.IntRange(1, 3).Draw(t, "cap")},
		}
		before, _ := Assign(drawSet(t, "before"), accounts, nil)
		got, err := Assign(s, accounts, before)
		again, _ := Assign(s, accounts, before)
		if !maps.Equal(got, again) {
			t.Fatalf("Assign gives %v and then %v", got, again)
		}
		over := map[Name]bool{}
		var ce *CapError
		if errors.As(err, &ce) {
			for _, e := range ce.Over {
				over[e.Name] = true
			}
		} else if err != nil {
			t.Fatal(err)
		}
		used := map[string]int{}
		for e := range s.All() {
			by, placed := got[e.Name]
			if placed == (over[e.Name] || e.Settings.Disabled) {
				t.Fatalf("%+v: placed %v, over %v", e, placed, over[e.Name])
			}
			if placed && e.Settings.Account != "" && by != e.Settings.Account {
				t.Fatalf("%+v is on %s", e, by)
			}
			if placed && !e.Settings.CapExempt {
				used[by]++
			}
		}
		for _, a := range accounts {
			if a.Cap > 0 && used[a.Name] > a.Cap {
				t.Fatalf("%s carries %d, cap %d", a.Name, used[a.Name], a.Cap)
			}
			for _, e := range overEntries(ce) {
				if (e.Settings.Account == "" || e.Settings.Account == a.Name) && (a.Cap == 0 || used[a.Name] < a.Cap) {
					t.Fatalf("%v does not fit, but %s has room", e.Name, a.Name)
				}
			}
		}
		// Placing again what is placed moves nothing.
		still, _ := Assign(s, accounts, got)
		for n, by := range got {
			if still[n] != by {
				t.Fatalf("%v moved from %s to %s for no reason", n, by, still[n])
			}
		}
	})
}

func overEntries(e *CapError) []Entry {
	if e == nil {
		return nil
	}
	return e.Over
}

func carried(a Assignment) map[string]int {
	n := map[string]int{}
	for _, by := range a {
		n[by]++
	}
	return n
}
