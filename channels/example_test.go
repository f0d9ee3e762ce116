package channels_test

import (
	"fmt"

	"github.com/chatshard/chatshard/channels"
)

func Example() {
	wanted, err := channels.ParseList("channels.txt", []byte(`
// streamers
twitch:forsen
twitch:xqc account=bot2
twitch:lirik enabled=false
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	pool := []channels.Account{{Name: "bot1", Cap: channels.TwitchCap}, {Name: "bot2", Cap: channels.TwitchCap}}
	by, err := channels.Assign(wanted, pool, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for e := range wanted.All() {
		fmt.Printf("%v by %q\n", e.Name, by[e.Name])
	}
	// Output:
	// twitch:forsen by "bot1"
	// twitch:xqc by "bot2"
	// twitch:lirik by ""
}

func ExampleParse() {
	for _, s := range []string{"twitch:#Forsen", "irc:libera/#go", "forsen"} {
		fmt.Println(channels.Parse(s))
	}
	// Output:
	// twitch:forsen <nil>
	// irc:libera/#go <nil>
	//  channels: "forsen": position 1: no platform; write twitch:forsen
}
