package channels

import (
	"fmt"
	"strings"
)

// NameError says why a text is not a [Name].
type NameError struct {
	Text     string // what was parsed
	Position int    // of the first character that is wrong, from 1
	What     string // what is wrong
	Fix      string // what to do
}

func (e *NameError) Error() string {
	return fmt.Sprintf("channels: %s: position %d: %s; %s", quote(e.Text), e.Position, e.What, e.Fix)
}

// LineError says what is wrong with one line of a file of channels.
type LineError struct {
	File         string
	Line, Column int    // from 1, the column in characters
	What         string // what is wrong
	Fix          string // what to do
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s; %s", e.File, e.Line, e.Column, e.What, e.Fix)
}

// CapError says which channels no account has room for.
type CapError struct {
	Over     []Entry // what does not fit, in the order of the set
	Counted  int     // channels that count towards a cap, those in Over included
	Accounts []Account
}

func (e *CapError) count(entry Entry) {
	if !entry.Settings.CapExempt {
		e.Counted++
	}
}

func (e *CapError) Error() string {
	var caps []string
	for _, a := range e.Accounts {
		if a.Cap > 0 {
			caps = append(caps, fmt.Sprintf("%s: %d", quote(a.Name), a.Cap))
		}
	}
	return fmt.Sprintf("channels: %d of %d channels exceed what the accounts may join (%s): %s; add an account, read anonymously, or set cap_exempt where the account is broadcaster or moderator",
		len(e.Over), e.Counted, some(caps), some(names(e.Over)))
}

// AccountError says which channels name an account that does not exist.
type AccountError struct {
	Entries  []Entry
	Accounts []Account
}

func (e *AccountError) Error() string {
	if len(e.Accounts) == 0 {
		return fmt.Sprintf("channels: no account to carry %s; add one", some(names(e.Entries)))
	}
	var have []string
	for _, a := range e.Accounts {
		have = append(have, quote(a.Name))
	}
	first := e.Entries[0]
	return fmt.Sprintf("channels: %v%s: no account is called %s (%d channels want such); use one of %s",
		first.Name, first.where(), quote(first.Settings.Account), len(e.Entries), some(have))
}

func names(entries []Entry) []string {
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name.String()
	}
	return out
}

// some lists the first few of a list that may be long.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
