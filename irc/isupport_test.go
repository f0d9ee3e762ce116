package irc

import (
	"strings"
	"testing"
)

func supports(t testing.TB, lines ...string) *ISupport {
	t.Helper()
	s := new(ISupport)
	for _, line := range lines {
		s.Add(mustParse(t, line))
	}
	return s
}

func TestISupport(t *testing.T) {
	libera := supports(t,
		":lead.libera.chat 005 me CHANTYPES=# EXCEPTS INVEX CHANMODES=eIbq,k,flj,CFLMPQScgimnprstuz CHANLIMIT=#:250 "+
			"PREFIX=(ov)@+ NETWORK=Libera.Chat STATUSMSG=@+ CASEMAPPING=rfc1459 NICKLEN=16 :are supported by this server",
		":lead.libera.chat 005 me CHANNELLEN=50 TARGMAX=NAMES:1,KICK:1,PRIVMSG:4,NOTICE:4,ACCEPT: :are supported by this server")
	efnet := supports(t, ":efnet.port80.se 005 me CHANTYPES=&# CHANLIMIT=&#:50 PREFIX=(ov)@+ NETWORK=EFnet :are supported by this server")
	dalnet := supports(t, ":x 005 me MAXCHANNELS=50 CASEMAPPING=ascii TARGMAX=JOIN:,KICK:4 MAXTARGETS=20 LINELEN=2048 :are ok")
	noNick := supports(t, ":x 005 CHANTYPES=# CHANLIMIT=#:120 :are supported by this server")
	odd := supports(t, `:x 005 me NETWORK=A\x20B\x5c\x CHANLIMIT=#:99,#&:10,+:0,!:x,& PREFIX=(ov)@ MAXTARGETS=99999999999 X EMPTY=`,
		":x 005 me -X -NEVER =y -")
	empty := new(ISupport)
	for i, test := range []struct{ got, want any }{
		{libera.Network(), "Libera.Chat"}, {libera.ChanLimit('#'), 250}, {libera.ChanLimit('&'), 0}, {libera.ChanTypes(), "#"},
		{libera.NickLen(), 16}, {libera.ChannelLen(), 50}, {libera.CaseMapping(), CaseRFC1459}, {libera.StatusMsg(), "@+"},
		{libera.LineLen(), 512}, {libera.IsChannel("#a"), true}, {libera.IsChannel("&a"), false}, {libera.IsChannel(""), false},
		{libera.ValidChannel("#a"), nil}, {libera.ValidChannel("#" + strings.Repeat("x", 49)), nil},
		{efnet.ChanLimit('#'), 50}, {efnet.ChanLimit('&'), 50}, {efnet.ChanLimit('+'), 0}, {efnet.CaseMapping(), CaseRFC1459},
		{dalnet.ChanLimit('#'), 50}, {dalnet.CaseMapping(), CaseASCII}, {dalnet.LineLen(), 2048}, {dalnet.Encoder(), Encoder{LineLen: 2048}},
		{noNick.ChanLimit('#'), 120}, {noNick.ChanTypes(), "#"},
		{odd.Network(), `A B\\x`}, {odd.ChanLimit('#'), 10}, {odd.ChanLimit('&'), 10}, {odd.ChanLimit('+'), 0}, {odd.ChanLimit('!'), 0},
		{empty.ChanTypes(), "#&"}, {empty.ChanLimit('#'), 0}, {empty.LineLen(), 512}, {empty.NickLen(), 0}, {empty.Network(), ""},
		{empty.Fold("[A]"), "{a}"}, {(*ISupport)(nil).Fold("[A]~"), "{a}^"}, {(*ISupport)(nil).LineLen(), 512},
	} {
		if test.got != test.want {
			t.Errorf("%d: got %v, want %v", i, test.got, test.want)
		}
	}
	for _, test := range []struct {
		s       *ISupport
		command string
		n       int
		ok      bool
	}{
		{libera, "PRIVMSG", 4, true}, {libera, "privmsg", 4, true}, {libera, "ACCEPT", 0, true}, {libera, "JOIN", 0, false},
		{dalnet, "JOIN", 0, true}, {dalnet, "PRIVMSG", 20, true}, {odd, "PRIVMSG", 0, false}, {empty, "JOIN", 0, false},
	} {
		if n, ok := test.s.TargMax(test.command); n != test.n || ok != test.ok {
			t.Errorf("TargMax(%q) = %d, %v, want %d, %v", test.command, n, ok, test.n, test.ok)
		}
	}
	if modes, signs := libera.Prefix(); modes != "ov" || signs != "@+" {
		t.Errorf("Prefix() = %q %q", modes, signs)
	}
	if modes, signs := odd.Prefix(); modes != "" || signs != "" {
		t.Errorf("an uneven PREFIX = %q %q, want none", modes, signs)
	}
	if _, ok := odd.Token("X"); ok {
		t.Error("a token that was taken back is there")
	}
	if value, ok := odd.Token("EMPTY"); value != "" || !ok {
		t.Error("a token without a value is missing")
	}
	for _, name := range []string{"a", "", "&a", "#a b", "#a,b", "#a\a", "#" + strings.Repeat("x", 50)} {
		if libera.ValidChannel(name) == nil {
			t.Errorf("ValidChannel(%q) = nil", name)
		}
	}
}

func TestISupportTakesBackCaseMapping(t *testing.T) {
	s := supports(t, ":x 005 me CASEMAPPING=ascii :are ok")
	s.AddToken("-CASEMAPPING")
	if got := s.CaseMapping(); got != CaseRFC1459 {
		t.Errorf("CaseMapping() = %v, want rfc1459", got)
	}
}

func TestISupportIsBounded(t *testing.T) {
	var s ISupport
	for i := range 10_000 {
		s.AddToken("T" + strings.Repeat("x", i%200) + string(rune('A'+i%26)) + string(rune('a'+i/26%26)))
	}
	if len(s.tokens) > maxTokens {
		t.Errorf("%d tokens are kept, %d are allowed", len(s.tokens), maxTokens)
	}
}

// What real networks say, line by line.
func TestISupportRecorded(t *testing.T) {
	n := 0
	for _, line := range recorded(t, "irc/dialect-generic-irc.irc.txt") {
		m, err := Parse(line)
		if err != nil || m.Command() != "005" {
			continue
		}
		n++
		s := new(ISupport)
		s.Add(m)
		if limit := s.ChanLimit('#'); limit < 0 || limit > 250 || strings.Contains(line, "CHANLIMIT=") && limit == 0 {
			t.Errorf("%q: ChanLimit = %d", line, limit)
		}
		for _, token := range strings.Fields(line)[2:] {
			name, _, ok := strings.Cut(token, "=")
			if _, there := s.Token(name); ok && !there {
				t.Errorf("%q: no %s", line, name)
			}
		}
	}
	if n != 32 {
		t.Errorf("%d lines, want 32", n)
	}
}

func TestFold(t *testing.T) {
	for _, test := range []struct {
		c          CaseMapping
		name, want string
	}{
		{CaseRFC1459, `#A[]\~Z`, `#a{}|^z`}, {CaseStrict, `#A[]\~Z`, `#a{}|~z`}, {CaseASCII, `#A[]\~Z`, `#a[]\~z`},
		{CaseRFC1459, "#ÄÖ", "#ÄÖ"}, {CaseASCII, "", ""}, {CaseASCII, "#@`{|}", "#@`{|}"}, {CaseRFC1459, "_^-@", "_^-@"},
		{CaseASCII, "\xff\x00A", "\xff\x00a"},
	} {
		if got := test.c.Fold(test.name); got != test.want || test.c.Fold(got) != got {
			t.Errorf("%v: Fold(%q) = %q, want %q", test.c, test.name, got, test.want)
		}
	}
	for name, want := range map[string]CaseMapping{
		"ascii": CaseASCII, "rfc1459": CaseRFC1459, "RFC1459": CaseRFC1459, "rfc1459-strict": CaseStrict,
		"strict-rfc1459": CaseStrict, "rfc7613": CaseASCII, "": CaseASCII,
	} {
		if got := caseMapping(name); got != want {
			t.Errorf("CASEMAPPING=%s is %v, want %v", name, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { sink += len(CaseRFC1459.Fold("#already_folded{}")) }); n != 0 {
		t.Errorf("a folded name: %v allocations, want 0", n)
	}
}
