module github.com/chatshard/chatshard/discord/discordtest/testdata/interop

go 1.26.0

require (
	github.com/diamondburned/arikawa/v3 v3.4.0
	github.com/disgoorg/disgo v0.19.2
)

require (
	github.com/disgoorg/godave v0.0.0-20260211222359-4ef3e359a3af // indirect
	github.com/disgoorg/json/v2 v2.0.0 // indirect
	github.com/disgoorg/omit v1.0.0 // indirect
	github.com/disgoorg/snowflake/v2 v2.0.3 // indirect
	github.com/gorilla/schema v1.4.1 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/klauspost/compress v1.18.4 // indirect
	github.com/sasha-s/go-csync v0.0.0-20240107134140-fcbab37b09ad // indirect
	golang.org/x/crypto v0.48.0 // indirect
	golang.org/x/sys v0.41.0 // indirect
	golang.org/x/time v0.6.0 // indirect
)
