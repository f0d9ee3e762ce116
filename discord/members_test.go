package discord

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemberBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memberBudget
		began := time.Now()
		var wg sync.WaitGroup
		for n := range 3 {
			for _, guild := range []string{"1", "2"} {
				wg.Go(func() {
					if err := m.Wait(t.Context(), guild); err != nil {
						t.Error(err)
					}
					if at, want := time.Since(began), time.Duration(n)*membersPer; at != want {
						t.Errorf("request %d of guild %s after %v, want %v", n, guild, at, want)
					}
				})
				synctest.Wait()
			}
		}
		wg.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := m.Wait(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("too early: %v", err)
		}
		if err := m.Wait(t.Context(), "1"); err != nil { // it spent nothing
			t.Error(err)
		}
		if took, want := time.Since(began), 3*membersPer; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

func TestMemberBudgetForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memberBudget
		most := 0
		for n := range 100_000 {
			if err := m.Wait(t.Context(), fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
			most = max(most, len(m.guilds))
			time.Sleep(500 * time.Millisecond) // 120 a minute, as a connection may
		}
		if most > 130 {
			t.Errorf("%d guilds remembered", most)
		}
	})
}
