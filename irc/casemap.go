package irc

import "strings"

// CaseMapping says which names of a network are equal. The zero CaseMapping is
// rfc1459, which holds for servers that name none.
type CaseMapping uint8

// The case mappings. A network may name others, such as rfc7613: of those
// everything but ASCII letters is taken as it stands.
const (
	CaseRFC1459 CaseMapping = iota // A-Z[]\~ are the capitals of a-z{}|^
	CaseStrict                     // rfc1459-strict: A-Z[]\
	CaseASCII                      // A-Z
)

func (c CaseMapping) String() string {
	switch c {
	case CaseRFC1459:
		return "rfc1459"
	case CaseStrict:
		return "rfc1459-strict"
	}
	return "ascii"
}

func caseMapping(name string) CaseMapping {
	switch strings.ToLower(name) {
	case "rfc1459":
		return CaseRFC1459
	case "rfc1459-strict", "strict-rfc1459":
		return CaseStrict
	}
	return CaseASCII
}

// Fold returns name in lower case: two names are equal for the network if what
// Fold returns is. It allocates only if there is something to change.
func (c CaseMapping) Fold(name string) string {
	for i := 0; i < len(name); i++ {
		if c.lower(name[i]) != name[i] {
			b := []byte(name)
			for ; i < len(b); i++ {
				b[i] = c.lower(b[i])
			}
			return string(b)
		}
	}
	return name
}

func (c CaseMapping) lower(b byte) byte {
	switch {
	case 'A' <= b && b <= 'Z', c != CaseASCII && '[' <= b && b <= ']':
		return b + 0x20
	case b == '~' && c == CaseRFC1459:
		return '^'
	}
	return b
}
