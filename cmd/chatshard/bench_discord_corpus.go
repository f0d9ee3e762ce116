package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// dispatches are a gateway's traffic as Discord sends it, made up: 60 %
// MESSAGE_CREATE of 1,394 bytes on average, 25 % PRESENCE_UPDATE of 417, 12 %
// TYPING_START of 731, 3 % MESSAGE_REACTION_ADD, and among 2,048 a GUILD_CREATE
// of 117 KB. Keys stand in the order in which the service writes them. The
// whole is sent over and over; what tells an event from the same one of the turn
// before (sequence number, message id) is written over in place.
type dispatches struct {
	text  []byte // WebSocket frames, not masked
	all   []dispatchAt
	large int // a GUILD_CREATE
}

// dispatchAt is where one dispatch stands in the text, with what changes in it.
type dispatchAt struct {
	start, payload, end int
	seq                 int // 10 digits
	id                  int // the last 12 digits of a message's id; 0: there is none
	keys                int // bytes of guild and channel id together
}

const (
	dispatchSize   = 8192
	dispatchGuilds = 1000
	guildBytes     = 117_000
)

// gateText writes made-up JSON.
type gateText struct {
	*rand.Rand
	b []byte
}

func (g *gateText) add(format string, args ...any) { g.b = fmt.Appendf(g.b, format, args...) }

func (g *gateText) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[g.IntN(16)]
	}
	return string(b)
}

func (g *gateText) word(least, most int) string { return someWord(g.Rand, least, most) }

// id returns a user's or role's id of 18 digits.
func (g *gateText) id() uint64 { return 100_000_000_000_000_000 + g.Uint64N(800_000_000_000_000_000) }

// guild and channel return ids of 18 and 19 digits.
func (g *gateText) guild() uint64 { return 200_000_000_000_000_000 + g.Uint64N(dispatchGuilds)<<22 }
func (g *gateText) channel(guild uint64) uint64 {
	return 1_000_000_000_000_000_000 + guild + g.Uint64N(20)
}

func (g *gateText) time() string {
	return fmt.Sprintf("20%02d-%02d-%02dT%02d:%02d:%02d.%03d000+00:00",
		18+g.IntN(9), 1+g.IntN(12), 1+g.IntN(28), g.IntN(24), g.IntN(60), g.IntN(60), g.IntN(1000))
}

func (g *gateText) user() {
	name := g.word(4, 16)
	g.add(`{"username":"%s","public_flags":%d,"primary_guild":null,"id":"%d","global_name":"%s","display_name_styles":null,"discriminator":"0","collectibles":null,"clan":null,`+
		`"avatar_decoration_data":null,"avatar":"%s"}`, name, g.IntN(2)<<8, g.id(), strings.ToUpper(name[:1])+name[1:], g.hex(32))
}

func (g *gateText) roles(n int) {
	g.add(`[`)
	for i := range n {
		if i > 0 {
			g.add(`,`)
		}
		g.add(`"%d"`, g.id())
	}
	g.add(`]`)
}

// member writes a member; with a user as TYPING_START has it.
func (g *gateText) member(user bool, roles int) {
	g.add(`{`)
	if user {
		g.add(`"user":`)
		g.user()
		g.add(`,`)
	}
	g.add(`"roles":`)
	g.roles(roles)
	nick := "null"
	if g.IntN(3) == 0 {
		nick = `"` + g.word(3, 20) + ` \"` + g.word(3, 8) + `\""`
	}
	g.add(`,"premium_since":null,"pending":false,"nick":%s,"mute":false,"joined_at":"%s","flags":%d,"deaf":false,"communication_disabled_until":null,"collectibles":null,"banner":null,"avatar":null}`,
		nick, g.time(), g.IntN(4))
}

// speech returns what somebody says, as a JSON string without its quotes. An
// emoji comes escaped, as Discord sends it.
func (g *gateText) speech(words int) string {
	var b strings.Builder
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch g.IntN(24) {
		case 0:
			b.WriteString(`\ud83d\ude02`)
		case 1:
			fmt.Fprintf(&b, "<:%s:%d>", g.word(3, 9), g.id())
		case 2:
			b.WriteString(`\n`)
		default:
			b.WriteString(commonWords[int(float64(len(commonWords))*g.Float64()*g.Float64())])
		}
	}
	return b.String()
}

var commonWords = strings.Fields(`the to a and is you that it of i in for on this what with be have was not are but my just like if so do we can they lol me
	your no at all get one how time about when know good think there out from up as would some now more who or really go people yeah want got then make why still
	need game even thing because should right see play only had thanks someone here back well work try will first server sure does could never use better way`)

// newDispatches returns the same dispatches at each call.
func newDispatches() *dispatches {
	g := &gateText{Rand: rand.New(rand.NewPCG(20, 27))}
	c := new(dispatches)
	for i := range dispatchSize {
		var at dispatchAt
		g.b = g.b[:0]
		begin := func(typ string) {
			g.add(`{"t":"%s","s":`, typ)
			at.seq = len(g.b)
			g.add(`0000000000,"op":0,"d":`)
		}
		guild := g.guild()
		channel := g.channel(guild)
		at.keys = len("200000000000000000") + len("1200000000000000000")
		switch kind := g.IntN(1000); {
		case i%2048 == 1024:
			c.large = i
			begin("GUILD_CREATE")
			g.guildCreate(guild)
			at.keys = len("200000000000000000")
		case kind < 600:
			begin("MESSAGE_CREATE")
			at.id = g.message(guild, channel)
		case kind < 850:
			begin("PRESENCE_UPDATE")
			g.presence(guild)
			at.keys = len("200000000000000000")
		case kind < 970:
			begin("TYPING_START")
			g.add(`{"user_id":"%d","timestamp":%d,"member":`, g.id(), 1_766_000_000+g.IntN(1e6))
			g.member(true, g.IntN(7))
			g.add(`,"channel_id":"%d","guild_id":"%d"}`, channel, guild)
		default:
			begin("MESSAGE_REACTION_ADD")
			g.add(`{"user_id":"%d","type":0,"message_id":"1%018d","message_author_id":"%d","member":`, g.id(), g.id(), g.id())
			g.member(true, g.IntN(7))
			g.add(`,"emoji":{"name":"%s","id":"%d"},"channel_id":"%d","burst":false,"guild_id":"%d"}`, g.word(3, 9), g.id(), channel, guild)
		}
		g.b = append(g.b, '}')
		at.start = len(c.text)
		c.text = appendFrameHead(c.text, opText, len(g.b))
		at.payload = len(c.text)
		at.seq += at.payload
		if at.id > 0 {
			at.id += at.payload
		}
		c.text = append(c.text, g.b...)
		at.end = len(c.text)
		c.all = append(c.all, at)
	}
	return c
}

// message writes d of a MESSAGE_CREATE and returns where the digits of its id
// stand that change.
func (g *gateText) message(guild, channel uint64) (id int) {
	mentions, answers := g.IntN(8) == 0, g.IntN(8) == 0
	kind := 0
	if answers {
		kind = 19
	}
	sent := g.time()
	g.add(`{"type":%d,"tts":false,"timestamp":"%s",`, kind, sent)
	if answers {
		to := g.id()
		g.add(`"referenced_message":{"type":0,"tts":false,"timestamp":"%s","pinned":false,"mentions":[],"mention_roles":[],"mention_everyone":false,"id":"1%018d","flags":0,"embeds":[],`+
			`"edited_timestamp":null,"content":"%s","components":[],"channel_id":"%d","author":`, g.time(), to, g.speech(1+g.IntN(30)), channel)
		g.user()
		g.add(`,"attachments":[]},"message_reference":{"type":0,"message_id":"1%018d","guild_id":"%d","channel_id":"%d"},`, to, guild, channel)
	}
	g.add(`"pinned":false,"nonce":"%d","mentions":[`, g.id())
	if mentions || answers {
		g.user()
	}
	g.add(`],"mention_roles":[],"mention_everyone":false,"member":`)
	g.member(false, g.IntN(10))
	g.add(`,"id":"1%06d`, 200_000+g.IntN(200_000))
	id = len(g.b)
	g.add(`000000000000","flags":0,"embeds":[`)
	if g.IntN(11) == 0 {
		g.add(`{"type":"rich","title":"%s","description":"%s","url":"https://example.org/%s","color":%d,"content_scan_version":4,"id":"%d","thumbnail":{"width":1200,"url":"https://example.org/%s.png",`+
			`"proxy_url":"https://images-ext-1.discordapp.net/external/%s/https/example.org/%s.png","placeholder_version":1,"placeholder":"%s","height":630,"flags":0},`+
			`"footer":{"text":"%s"},"fields":[{"value":"%s","name":"%s","inline":true},{"value":"%s","name":"%s","inline":true}]}`,
			g.speech(5), g.speech(20+g.IntN(20)), g.hex(12), g.IntN(1<<24), g.id(), g.hex(8), g.hex(40), g.hex(8), g.hex(28), g.speech(4), g.speech(6), g.speech(2), g.speech(5), g.speech(2))
	}
	g.add(`],"edited_timestamp":null,"content":"%s","components":[],"channel_type":0,"channel_id":"%d","author":`, g.speech(1+g.IntN(36)), channel)
	g.user()
	g.add(`,"attachments":[`)
	if g.IntN(8) == 0 {
		name := g.word(5, 12)
		at := fmt.Sprintf("/attachments/%d/%d/%s.png?ex=%s&is=%s&hm=%s&", channel, g.id(), name, g.hex(8), g.hex(8), g.hex(64))
		g.add(`{"width":%d,"url":"https://cdn.discordapp.com%s","size":%d,"proxy_url":"https://media.discordapp.net%s","placeholder_version":1,"placeholder":"%s","original_content_type":"image/png",`+
			`"id":"%d","height":%d,"filename":"%s.png","content_type":"image/png","content_scan_version":4}`, 200+g.IntN(2000), at, 1000+g.IntN(1<<20), at, g.hex(28), g.id(), 200+g.IntN(2000), name)
	}
	g.add(`],"guild_id":"%d"}`, guild)
	return id
}

func (g *gateText) presence(guild uint64) {
	status := [...]string{"online", "idle", "dnd", "offline"}[g.IntN(4)]
	g.add(`{"user":{"id":"%d"},"status":"%s","processed_at_timestamp":0,"guild_id":"%d","game":null,"client_status":{"desktop":"%s"},"broadcast":null,"activities":[`, g.id(), status, guild, status)
	switch g.IntN(3) {
	case 0:
		g.add(`{"type":4,"state":"%s","name":"Custom Status","id":"custom","created_at":%d}`, g.speech(1+g.IntN(8)), 1_766_000_000_000+g.Int64N(1e9))
	case 1:
		g.add(`{"type":0,"timestamps":{"start":%d},"state":"%s","session_id":"%s","party":{"size":[1,5],"id":"%s"},"name":"%s","id":"%s","details":"%s","created_at":%d,`+
			`"assets":{"small_text":"%s","small_image":"%d","large_text":"%s","large_image":"%d"},"application_id":"%d"}`,
			1_766_000_000_000+g.Int64N(1e9), g.speech(3), g.hex(32), g.hex(24), g.word(5, 18), g.hex(16), g.speech(4), 1_766_000_000_000+g.Int64N(1e9), g.word(4, 9), g.id(), g.word(4, 9), g.id(), g.id())
	}
	g.add(`]}`)
}

// guildCreate writes d of a GUILD_CREATE.
func (g *gateText) guildCreate(guild uint64) {
	start := len(g.b)
	g.add(`{"voice_states":[],"verification_level":1,"vanity_url_code":null,"unavailable":false,"threads":[],"system_channel_flags":0,"system_channel_id":"%d","stickers":[],"stage_instances":[],`+
		`"soundboard_sounds":[],"safety_alerts_channel_id":null,"rules_channel_id":null,"roles":[`, g.channel(guild))
	for i := 0; len(g.b)-start < guildBytes/3; i++ {
		if i > 0 {
			g.add(`,`)
		}
		g.add(`{"version":%d,"unicode_emoji":null,"tags":{},"position":%d,"permissions":"%d","name":"%s","mentionable":false,"managed":false,"id":"%d","icon":null,"hoist":false,"flags":0,"colors":`+
			`{"tertiary_color":null,"secondary_color":null,"primary_color":%d},"color":%d}`, 1_700_000_000_000+g.Int64N(1e9), i, g.Int64N(1<<48), g.word(3, 14), g.id(), g.IntN(1<<24), g.IntN(1<<24))
	}
	g.add(`],"region":"deprecated","public_updates_channel_id":null,"profile":null,"presences":[],"preferred_locale":"en-US","premium_tier":0,"premium_subscription_count":0,"owner_id":"%d","nsfw_level":0,`+
		`"name":"%s","mfa_level":0,"members":[`, g.id(), g.word(5, 20))
	for i := 0; len(g.b)-start < guildBytes/2; i++ {
		if i > 0 {
			g.add(`,`)
		}
		g.member(true, g.IntN(6))
	}
	g.add(`],"member_count":%d,"max_members":500000,"lazy":true,"large":true,"joined_at":"%s","inventory_settings":null,"incidents_data":null,"id":"%d","icon":"%s","home_header":null,"features":["COMMUNITY","NEWS"],`+
		`"explicit_content_filter":2,"emojis":[],"embedded_activities":[],"discovery_splash":null,"description":null,"default_message_notifications":1,"channels":[`, 300+g.IntN(9000), g.time(), guild, g.hex(32))
	for i := 0; len(g.b)-start < guildBytes; i++ {
		if i > 0 {
			g.add(`,`)
		}
		g.add(`{"version":%d,"type":0,"topic":"%s","rate_limit_per_user":0,"position":%d,"permission_overwrites":[{"type":0,"id":"%d","deny":"2048","allow":"0"}],"parent_id":"%d","name":"%s","last_message_id":"%d",`+
			`"id":"%d","icon_emoji":{"name":"\ud83d\udcac","id":null},"flags":0}`, 1_700_000_000_000+g.Int64N(1e9), g.speech(g.IntN(12)), i, g.id(), g.id(), g.word(3, 20), g.id(), g.channel(guild))
	}
	g.add(`],"banner":null,"application_id":null,"application_command_counts":{},"afk_timeout":300,"afk_channel_id":null}`)
}

const (
	opText   = 1
	opBinary = 2
)

// appendFrameHead appends the header of a final frame of n bytes.
func appendFrameHead(b []byte, op byte, n int) []byte {
	b = append(b, 0x80|op)
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
}

// dispatchStamp writes sequence numbers and ids that no dispatch had before.
type dispatchStamp struct {
	seq [10]byte
	id  [12]byte
}

func newDispatchStamp() *dispatchStamp {
	s := new(dispatchStamp)
	copy(s.seq[:], "1000000000")
	copy(s.id[:], "100000000000")
	return s
}

func (s *dispatchStamp) dispatch(c *dispatches, at *dispatchAt) {
	countUp(s.seq[:])
	copy(c.text[at.seq:], s.seq[:])
	if at.id > 0 {
		countUp(s.id[:])
		copy(c.text[at.id:], s.id[:])
	}
}

func countUp(digits []byte) {
	for i := len(digits) - 1; ; i-- {
		if digits[i]++; digits[i] <= '9' {
			return
		}
		digits[i] = '0'
	}
}
