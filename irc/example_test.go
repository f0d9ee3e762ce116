package irc_test

import (
	"context"
	"fmt"

	"github.com/chatshard/chatshard/balancer"
	"github.com/chatshard/chatshard/irc"
)

func ExampleHandlers() {
	h := &irc.Handlers{
		PrivMsg: func(ctx context.Context, m irc.PrivMsg) {
			fmt.Printf("%s %s: %s\n", m.Channel(), m.DisplayName(), m.Text())
		},
		Gap: func(ctx context.Context, k balancer.Key, gap balancer.Gap) {
			fmt.Printf("%s: something is missing\n", k)
		},
	}
	// A Balancer's Run takes h.Handle and calls it like this.
	m, err := irc.Parse("@display-name=Ronni;id=1 :ronni!ronni@ronni.tmi.twitch.tv PRIVMSG #dallas :Kappa Keepo")
	if err != nil {
		fmt.Println(err)
		return
	}
	h.Handle(context.Background(), balancer.Event{Key: "dallas", ID: m.EventID(), Data: m})
	h.Handle(context.Background(), balancer.Event{Key: "dallas", Data: balancer.Gap{}})
	// Output:
	// #dallas Ronni: Kappa Keepo
	// dallas: something is missing
}

func ExampleEncoder_Split() {
	e := irc.Encoder{TextLen: 12}
	for _, piece := range e.Split("#go", "one line\nand a longer one") {
		frame, err := e.AppendPrivMsg(nil, "#go", piece)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%q\n", frame)
	}
	// Output:
	// "PRIVMSG #go :one line\r\n"
	// "PRIVMSG #go :and a longer\r\n"
	// "PRIVMSG #go :one\r\n"
}

func ExampleTagIndex() {
	m, err := irc.Parse("@id=1;color=#FF0000;display-name=Ann :ann!ann@ann PRIVMSG #forsen :hi")
	if err != nil {
		fmt.Println(err)
		return
	}
	var tags irc.TagIndex // to be used again for the next message
	indexed := tags.Of(m)
	for _, name := range []string{"display-name", "color", "badges"} {
		value, ok := indexed.Tag(name)
		fmt.Printf("%s %q %v\n", name, value, ok)
	}
	// Output:
	// display-name "Ann" true
	// color "#FF0000" true
	// badges "" false
}
