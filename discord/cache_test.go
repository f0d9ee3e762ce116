package discord

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chatshard/chatshard/balancer"
)

// cacheStep is one step of a story: an event of a generation, by number.
type cacheStep struct {
	gen  int
	kind string
	data string
}

// guildJSON returns the data of GUILD_CREATE for guild 1.
func guildJSON(joined int, name, channels, roles, members string) string {
	return fmt.Sprintf(`{"id":"1","name":%q,"joined_at":"20%02d-01-01T00:00:00Z","member_count":3,"channels":[%s],"roles":[%s],"members":[%s]}`, name, joined, channels, roles, members)
}

func memberJSON(user, nick string, joined int) string {
	return fmt.Sprintf(`{"guild_id":"1","user":{"id":%q,"username":"u%s"},"nick":%q,"roles":["7"],"joined_at":"20%02d-01-01T00:00:00Z"}`, user, user, nick, joined)
}

func namedJSON(id, name string) string {
	return fmt.Sprintf(`{"id":%q,"name":%q,"guild_id":"1"}`, id, name)
}

// cacheState prints what the cache knows of guild 1, channels 2 to 4, role 7 and
// members 8 and 9.
func cacheState(c Cache) string {
	var b []string
	if g, ok := c.Guild("1"); ok {
		if g.Unavailable {
			g.Name += "(out)"
		}
		b = append(b, g.Name)
	}
	for _, id := range []ID{"2", "3", "4"} {
		if ch, ok := c.Channel(id); ok {
			b = append(b, "#"+ch.Name)
		}
	}
	if r, ok := c.Role("7"); ok {
		b = append(b, "@"+r.Name)
	}
	for _, id := range []ID{"8", "9"} {
		if m, ok := c.Member("1", id); ok {
			b = append(b, string(id)+"="+m.Nick)
		}
	}
	return strings.Join(b, " ")
}

func TestCache(t *testing.T) {
	whole := guildJSON(20, "g", namedJSON("2", "a")+","+namedJSON("3", "b"), namedJSON("7", "mod"), memberJSON("8", "x", 20))
	for name, c := range map[string]struct {
		story []cacheStep
		want  string
	}{
		"guild":                {[]cacheStep{{0, "GUILD_CREATE", whole}}, "g #a #b @mod 8=x"},
		"guild of nothing":     {[]cacheStep{{0, "GUILD_CREATE", `{"id":"1"}`}}, ""},
		"renamed":              {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_UPDATE", namedJSON("1", "h")}}, "h #a #b @mod 8=x"},
		"outage":               {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1","unavailable":true}`}}, "g(out) #a #b @mod 8=x"},
		"outage over":          {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1","unavailable":true}`}, {0, "GUILD_CREATE", guildJSON(20, "g", "", "", "")}}, "g 8=x"},
		"created in an outage": {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_CREATE", `{"id":"1","unavailable":true}`}}, "g(out) #a #b @mod 8=x"},
		"left":                 {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1"}`}}, ""},
		"left, then told":      {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1"}`}, {0, "CHANNEL_UPDATE", namedJSON("2", "z")}, {0, "GUILD_MEMBER_UPDATE", memberJSON("8", "z", 20)}, {0, "GUILD_UPDATE", namedJSON("1", "z")}}, ""},
		"added again":          {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1"}`}, {0, "GUILD_CREATE", guildJSON(21, "again", namedJSON("2", "c"), "", "")}}, "again #c"},
		"left while away":      {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "READY", `{"guilds":[]}`}}, ""},
		"still there":          {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "READY", `{"guilds":[{"id":"1","unavailable":true}]}`}}, "g #a #b @mod 8=x"},
		"channels":             {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "CHANNEL_CREATE", namedJSON("4", "c")}, {0, "CHANNEL_UPDATE", namedJSON("2", "A")}, {0, "CHANNEL_DELETE", namedJSON("3", "b")}}, "g #A #c @mod 8=x"},
		"threads":              {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "THREAD_CREATE", `{"id":"4","name":"t","guild_id":"1","type":11,"parent_id":"3"}`}}, "g #a #b #t @mod 8=x"},
		"thread list":          {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "THREAD_LIST_SYNC", `{"guild_id":"1","threads":[{"id":"4","name":"t","type":11,"parent_id":"3"}]}`}}, "g #a #b #t @mod 8=x"},
		"thread's channel":     {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "THREAD_CREATE", `{"id":"4","name":"t","guild_id":"1","type":11,"parent_id":"3"}`}, {0, "CHANNEL_DELETE", namedJSON("3", "b")}}, "g #a @mod 8=x"},
		"roles":                {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_ROLE_UPDATE", `{"guild_id":"1","role":{"id":"7","name":"boss"}}`}}, "g #a #b @boss 8=x"},
		"role deleted":         {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_ROLE_DELETE", `{"guild_id":"1","role_id":"7"}`}}, "g #a #b 8=x"},
		"members":              {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_MEMBER_ADD", memberJSON("9", "y", 21)}, {0, "GUILD_MEMBER_UPDATE", memberJSON("8", "X", 20)}}, "g #a #b @mod 8=X 9=y"},
		"member gone":          {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_MEMBER_REMOVE", `{"guild_id":"1","user":{"id":"8"}}`}}, "g #a #b @mod"},
		"chunk":                {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_MEMBERS_CHUNK", `{"guild_id":"1","members":[` + memberJSON("9", "y", 21) + `]}`}}, "g #a #b @mod 8=x 9=y"},

		// The same shard that comes back without its session says how it is now.
		"new session": {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", memberJSON("8", "X", 20))}}, "h #A 8=X"},
		// A new generation's first word is older than what the old one told since.
		"stale snapshot": {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "CHANNEL_UPDATE", namedJSON("2", "A")}, {0, "CHANNEL_DELETE", namedJSON("3", "b")}, {0, "GUILD_ROLE_DELETE", `{"guild_id":"1","role_id":"7"}`},
			{0, "GUILD_UPDATE", namedJSON("1", "h")}, {0, "GUILD_MEMBER_REMOVE", `{"guild_id":"1","user":{"id":"8"}}`}, {0, "GUILD_MEMBER_ADD", memberJSON("9", "y", 21)}, {1, "GUILD_CREATE", whole}}, "h #A 9=y"},
		"snapshot fills in":        {[]cacheStep{{0, "GUILD_CREATE", guildJSON(20, "g", "", "", "")}, {1, "GUILD_CREATE", whole}}, "g #a #b @mod 8=x"},
		"outage over in the new":   {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1","unavailable":true}`}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", "")}}, "h #A 8=x"},
		"snapshot of the old one":  {[]cacheStep{{1, "GUILD_CREATE", guildJSON(20, "new", namedJSON("2", "A"), "", "")}, {0, "GUILD_CREATE", guildJSON(20, "old", namedJSON("2", "a"), "", "")}}, "new #A"},
		"snapshot after a gap":     {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "gap", "1"}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", "")}}, "h #A 8=x"},
		"snapshot after many gaps": {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "gap", ""}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", "")}}, "h #A 8=x"},
		"snapshot after a session": {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "up", ""}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", "")}}, "h #A 8=x"},
		"gap of another":           {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "gap", ""}, {1, "up", ""}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "A"), "", "")}}, "g #a #b @mod 8=x"},
		"new generation goes on":   {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "GUILD_CREATE", whole}, {1, "CHANNEL_UPDATE", namedJSON("2", "A")}, {1, "GUILD_CREATE", guildJSON(20, "h", namedJSON("2", "B"), "", "")}}, "h #B 8=x"},
		"stale after leaving":      {[]cacheStep{{0, "GUILD_CREATE", whole}, {0, "GUILD_DELETE", `{"id":"1"}`}, {1, "GUILD_CREATE", whole}}, ""},
		"stale READY":              {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "READY", `{"guilds":[]}`}}, "g #a #b @mod 8=x"},
		"stale role":               {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "GUILD_ROLE_DELETE", `{"guild_id":"1","role_id":"7"}`}, {0, "GUILD_ROLE_UPDATE", `{"guild_id":"1","role":{"id":"7","name":"boss"}}`}}, "g #a #b 8=x"},
		"stale channel":            {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "CHANNEL_DELETE", namedJSON("2", "a")}, {0, "CHANNEL_UPDATE", namedJSON("2", "A")}}, "g #b @mod 8=x"},
		"stale member":             {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "GUILD_MEMBER_REMOVE", `{"guild_id":"1","user":{"id":"8"}}`}, {0, "GUILD_MEMBER_UPDATE", memberJSON("8", "X", 20)}}, "g #a #b @mod"},
		"member is back":           {[]cacheStep{{0, "GUILD_CREATE", whole}, {1, "GUILD_MEMBER_REMOVE", `{"guild_id":"1","user":{"id":"8"}}`}, {1, "GUILD_MEMBER_ADD", memberJSON("8", "back", 22)}, {0, "GUILD_MEMBER_UPDATE", memberJSON("8", "X", 20)}}, "g #a #b @mod 8=back"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := NewMemoryCache(nil)
			for _, f := range c.story {
				e := balancer.Event{Shard: balancer.ShardID{Gen: f.gen, Count: 1}, Data: &Dispatch{Type: f.kind, Data: []byte(f.data)}}
				switch f.kind {
				case "gap":
					e.Key, e.Data = balancer.Key(f.data), balancer.Gap{}
				case "up":
					e.Data = balancer.Up{}
				}
				if err := cache.Apply(context.Background(), e); err != nil {
					t.Fatal(err)
				}
			}
			if got := cacheState(cache); got != c.want {
				t.Errorf("known: %s\nwant:  %s", got, c.want)
			}
		})
	}
}

func TestCacheInvalid(t *testing.T) {
	c := NewMemoryCache(nil)
	for _, kind := range []string{"READY", "GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE", "GUILD_ROLE_CREATE", "GUILD_ROLE_DELETE", "CHANNEL_UPDATE", "CHANNEL_DELETE", "THREAD_LIST_SYNC", "GUILD_MEMBER_ADD", "GUILD_MEMBER_REMOVE", "GUILD_MEMBERS_CHUNK", "USER_UPDATE"} {
		for _, data := range oddData {
			err := c.Apply(context.Background(), balancer.Event{Data: &Dispatch{Type: kind, Data: []byte(data)}})
			if len(data) == 0 && err == nil {
				t.Errorf("%s of nothing: no error", kind)
			}
		}
	}
	for _, data := range []any{nil, (*Dispatch)(nil), &Dispatch{Type: "MESSAGE_CREATE", Data: []byte("{")}, balancer.Down{}} {
		if err := c.Apply(context.Background(), balancer.Event{Data: data}); err != nil {
			t.Errorf("Apply of %T: %v", data, err)
		}
	}
	if n := len(c.guilds.keys(func(ID, *guildEntry) bool { return true })); n > 2 {
		t.Errorf("%d guilds came of it", n)
	}
}

// What is handed out belongs to the caller.
func TestCacheCopies(t *testing.T) {
	c := NewMemoryCache(nil)
	if err := c.Apply(context.Background(), balancer.Event{Data: &Dispatch{Type: "GUILD_CREATE", Data: []byte(guildCreateJSON)}}); err != nil {
		t.Fatal(err)
	}
	read := func() []any {
		g, ok1 := c.Guild("197038439483310086")
		ch, ok2 := c.Channel("197038439483310099")
		th, ok3 := c.Channel("197038439483310100")
		m, ok4 := c.Member("197038439483310086", "80351110224678912")
		u, ok5 := c.User("80351110224678912")
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			t.Fatal("something is not in the cache", ok1, ok2, ok3, ok4, ok5)
		}
		return []any{&g, &ch, &th, &m, &u}
	}
	want, mine := read(), read()
	if g := mine[0].(*Guild); len(g.Roles)+len(g.Channels)+len(g.Threads)+len(g.Members)+len(g.VoiceStates) > 0 {
		t.Errorf("Guild comes with what has an ID of its own: %+v", g)
	}
	mine[0].(*Guild).Features[0] = "changed"
	mine[1].(*Channel).Overwrites[0].Deny = 1
	mine[2].(*Channel).Thread.Archived = true
	mine[3].(*Member).Roles[0] = "changed"
	mine[3].(*Member).User.Username = "changed"
	if got := read(); !reflect.DeepEqual(got, want) {
		t.Errorf("the cache changed with what it handed out")
	}
	// A name that another guild tells of is every member's.
	if err := c.Apply(context.Background(), balancer.Event{Data: &Dispatch{Type: "GUILD_MEMBER_ADD", Data: []byte(
		`{"guild_id":"5","user":{"id":"80351110224678912","username":"renamed"},"joined_at":"2026-01-01T00:00:00Z"}`)}}); err != nil {
		t.Fatal(err)
	}
	if m, _ := c.Member("197038439483310086", "80351110224678912"); m.User.Username != "renamed" {
		t.Errorf("Member.User.Username = %q, want renamed", m.User.Username)
	}
}

// No kind ever holds more than its maximum.
func TestCacheBound(t *testing.T) {
	for _, max := range []int{-1, 1, 7, 1000} {
		cfg := &CacheConfig{max, max, max, max, max}
		c := NewMemoryCache(cfg)
		for g := range 3 {
			var channels, roles, members []string
			for i := range 1500 {
				id := strconv.Itoa(10000*(g+1) + i)
				channels = append(channels, `{"id":"`+id+`"}`)
				roles = append(roles, `{"id":"`+id+`"}`)
				members = append(members, `{"user":{"id":"`+id+`"}}`)
			}
			data := fmt.Sprintf(`{"id":"%d","name":"x","joined_at":"2026-01-01T00:00:00Z","channels":[%s],"roles":[%s],"members":[%s]}`,
				g+1, strings.Join(channels, ","), strings.Join(roles, ","), strings.Join(members, ","))
			if err := c.Apply(context.Background(), balancer.Event{Data: &Dispatch{Type: "GUILD_CREATE", Data: []byte(data)}}); err != nil {
				t.Fatal(err)
			}
		}
		for kind, n := range map[string]int{"channels": c.channels.size(), "roles": c.roles.size(), "members": c.members.size(), "users": c.users.size()} {
			if n < max*9/10 || n > max && max > 0 || max < 0 && n > 0 {
				t.Errorf("%d %s of at most %d", n, kind, max)
			}
		}
		if n := c.guilds.size(); n > 3 || max > 0 && n > max || max > 3 && n < 3 {
			t.Errorf("%d guilds of at most %d", n, max)
		}
	}
}

// Shards apply and handlers read at once; for the race detector.
func TestCacheConcurrent(t *testing.T) {
	c := NewMemoryCache(&CacheConfig{Guilds: 4, Channels: 20, Roles: 20, Members: 20, Users: 20})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 300 {
				g := strconv.Itoa(1 + (i+w)%6)
				data := guildJSON(20+i%9, "g", namedJSON("2"+g, "a"), namedJSON("7"+g, "mod"), memberJSON("8"+g, "x", 20+i%9))
				for kind, data := range map[string]string{
					"GUILD_CREATE": strings.Replace(data, `{"id":"1"`, `{"id":"`+g+`"`, 1), "CHANNEL_UPDATE": namedJSON("2"+g, "b"), "GUILD_MEMBER_ADD": memberJSON("9"+g, "y", 21),
					"GUILD_DELETE": `{"id":"` + g + `"}`, "READY": `{"guilds":[{"id":"1"},{"id":"2"}]}`,
				} {
					e := balancer.Event{Shard: balancer.ShardID{Gen: w % 2, Count: 1}, Data: &Dispatch{Type: kind, Data: []byte(data)}}
					if err := c.Apply(context.Background(), e); err != nil {
						t.Error(err)
					}
				}
				c.Apply(context.Background(), balancer.Event{Shard: balancer.ShardID{Count: 1}, Data: balancer.Gap{}})
				cacheState(c)
			}
		})
	}
	wg.Wait()
	for kind, n := range map[string]int{"guilds": c.guilds.size(), "channels": c.channels.size(), "roles": c.roles.size(), "members": c.members.size()} {
		if n < 0 || n > 20 {
			t.Errorf("%d %s", n, kind)
		}
	}
}
