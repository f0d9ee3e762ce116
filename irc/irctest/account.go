package irctest

import (
	"strconv"
	"sync"
	"time"
)

// account is one account of the service with what it has spent, over all of
// its connections. All anonymous connections from one address share one.
type account struct {
	login, display, token string
	userID                string
	anon                  bool

	mu       sync.Mutex // guards all below
	limits   Limits
	joins    window
	logins   window
	sends    window
	modSends window
	members  map[*membership]struct{} // memberships over all connections
	ignored  time.Time                // until then what it sends is ignored
	last     map[*channel]sentText
}

// sentText is what an account sent to a channel last.
type sentText struct {
	text string
	at   time.Time
}

func newAccount(login string, a *Account, normal Limits) *account {
	def := normal
	acc := &account{login: login, display: login}
	if a != nil {
		if a.Verified {
			def = verifiedLimits
		}
		def = a.Limits.or(def)
		acc.token = a.Token
		if a.Display != "" {
			acc.display = a.Display
		}
	}
	acc.userID = userID(login)
	acc.limits = def
	acc.joins = newWindow(def.Joins, joinWindow)
	acc.logins = newWindow(def.Logins, loginWindow)
	acc.sends = newWindow(def.Sends, sendWindow)
	acc.modSends = newWindow(def.ModSends, sendWindow)
	acc.members = make(map[*membership]struct{})
	acc.last = make(map[*channel]sentText)
	return acc
}

// userID makes up a stable numeric id for a login.
func userID(login string) string {
	h := uint64(14695981039346656037)
	for i := range len(login) {
		h = (h ^ uint64(login[i])) * 1099511628211
	}
	return strconv.FormatUint(10_000_000+h%900_000_000, 10)
}

// named returns the account of a login; nil if none such may log in.
func (s *Server) named(login string) *account {
	key := s.prof.casefold(login)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[key]
	if a == nil && s.cfg.Accounts == nil {
		a = newAccount(key, nil, s.cfg.Normal)
		s.accounts[key] = a
	}
	return a
}

// anonymous returns the account that anonymous connections from addr share.
func (s *Server) anonymous(addr string) *account {
	key := "anonymous at " + addr
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[key]
	if a == nil {
		a = newAccount("justinfan", nil, s.cfg.Anonymous)
		a.anon = true
		s.accounts[key] = a
	}
	return a
}

// name is the account's name in violations and for judges.
func (a *account) name() string {
	if a == nil {
		return ""
	}
	return a.login
}

// counted returns how many memberships count against the account's cap, not
// counting those of connections that the client has closed already.
func (a *account) counted(s *Server) int {
	a.mu.Lock()
	members := make([]*membership, 0, len(a.members))
	for m := range a.members {
		members = append(members, m)
	}
	a.mu.Unlock()
	n := 0
	for _, m := range members {
		if !m.ch.exempt(a.login) && !m.c.left() {
			n++
		}
	}
	return n
}
