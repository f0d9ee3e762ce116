package channels

import "container/heap"

// TwitchCap is how many channels a named Twitch account, verified or not, may
// have joined at once (since 2024-06-26).
const TwitchCap = 100

// Account is an account that can carry channels.
type Account struct {
	Name string
	Cap  int // channels that it may have joined at once; 0: no cap
}

// Assignment says by name which account carries a channel.
type Assignment map[Name]string

// Assign says which account carries each channel of set that is not disabled;
// set holds channels of one platform. Where a channel names its account, that
// one carries it. Others stay where before had them, if there is room, or go
// to the account with the most room. Channels that are exempt from the cap
// take no room; one that names no account is given to the first, whose
// exemption it is taken to be.
//
// If not all fit, Assign returns those that do and a [*CapError]. Names of
// accounts that do not exist give an [*AccountError] and no assignment. The
// result depends on the arguments alone.
func Assign(set Set, accounts []Account, before Assignment) (Assignment, error) {
	pool := make(rooms, 0, len(accounts))
	byName := make(map[string]*room, len(accounts))
	for i, a := range accounts {
		r := &room{Account: a, order: i}
		pool = append(pool, r)
		byName[a.Name] = r
	}

	var unknown, open, rest []Entry
	out := make(Assignment, set.Len())
	full := &CapError{Accounts: accounts}
	for e := range set.All() {
		switch r := byName[e.Settings.Account]; {
		case e.Settings.Disabled:
		case e.Settings.Account != "" && r == nil, len(pool) == 0:
			unknown = append(unknown, e)
		case e.Settings.Account != "":
			if full.count(e); !r.take(e) {
				full.Over = append(full.Over, e)
				continue
			}
			out[e.Name] = r.Name
		case e.Settings.CapExempt:
			r := pool[0]
			if had := byName[before[e.Name]]; had != nil {
				r = had
			}
			r.take(e)
			out[e.Name] = r.Name
		default:
			full.count(e)
			open = append(open, e)
		}
	}
	if unknown != nil {
		return nil, &AccountError{Entries: unknown, Accounts: accounts}
	}
	for _, e := range open {
		if r := byName[before[e.Name]]; r != nil && r.take(e) {
			out[e.Name] = r.Name
		} else {
			rest = append(rest, e)
		}
	}
	heap.Init(&pool)
	for _, e := range rest {
		r := pool[0]
		if !r.take(e) {
			full.Over = append(full.Over, e)
			continue
		}
		out[e.Name] = r.Name
		heap.Fix(&pool, 0)
	}
	if full.Over != nil {
		return out, full
	}
	return out, nil
}

// room is an account being filled.
type room struct {
	Account
	order int
	used  int // channels that count
}

func (r *room) take(e Entry) bool {
	switch {
	case e.Settings.CapExempt:
		return true
	case r.Cap > 0 && r.used >= r.Cap:
		return false
	}
	r.used++
	return true
}

// rooms is a heap with the account that has the most room at the top.
type rooms []*room

func (h rooms) Len() int      { return len(h) }
func (h rooms) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *rooms) Push(x any)   { *h = append(*h, x.(*room)) }
func (h *rooms) Pop() any     { panic("channels: accounts never leave the pool") }
func (h rooms) Less(i, j int) bool {
	a, b := h[i], h[j]
	switch {
	case (a.Cap == 0) != (b.Cap == 0):
		return a.Cap == 0
	case a.Cap == 0 && a.used != b.used:
		return a.used < b.used
	case a.Cap != 0 && a.Cap-a.used != b.Cap-b.used:
		return a.Cap-a.used > b.Cap-b.used
	}
	return a.order < b.order
}
