package discordtest_test

import (
	"encoding/json"
	"fmt"

	"github.com/gorilla/websocket"

	"github.com/chatshard/chatshard/discord/discordtest"
)

func Example() {
	s := discordtest.New(nil)
	defer s.Close()
	d := websocket.Dialer{NetDialContext: s.DialContext}
	ws, _, err := d.Dial("ws://gateway.discord.test/?v=10&encoding=json", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ws.Close()
	ws.WriteMessage(websocket.TextMessage, []byte(`{"op":2,"d":{"token":"bot-token","intents":33281,"properties":{}}}`))
	for range 12 { // HELLO, READY, ten guilds
		var p struct {
			Op int
			T  string
			D  struct{ Content string }
		}
		ws.ReadJSON(&p)
		if p.T == "READY" {
			fmt.Println("ready")
		}
	}
	s.Publish("", s.Guilds("")[0], discordtest.Message(0, "ann", "hello"))
	var p struct {
		T string
		D json.RawMessage
	}
	ws.ReadJSON(&p)
	fmt.Println(p.T)
	// Output:
	// ready
	// MESSAGE_CREATE
}
