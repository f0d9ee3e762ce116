package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filter says which envelopes a consumer wants: those of which each list that
// is not empty has one that fits. The zero value wants all.
//
// A gap that concerns no channel passes Channels: it may be about those wanted.
// What a reader says about itself (it was too slow, history is gone) is not
// filtered.
type Filter struct {
	Platforms []string `json:"platform,omitempty"`
	Networks  []string `json:"network,omitempty"`
	Accounts  []string `json:"account,omitempty"`
	Channels  []string `json:"channel,omitempty"` // an id, or a name, in which * and ? stand for others; case does not matter in ASCII
	Kinds     []string `json:"kind,omitempty"`
	Users     []string `json:"user,omitempty"`   // an id, or a login in any case
	Text      []string `json:"text,omitempty"`   // is contained in the text, in any case
	Sample    float64  `json:"sample,omitempty"` // the part of all ids that passes, the same ones always; 0: all
}

const (
	maxFilterValues = 1000 // of one list
	maxFilterGlobs  = 64
	maxFilterTexts  = 16
	maxFilterValue  = 128 // bytes
	maxFilterJSON   = 64 << 10
)

// ParseFilter reads a filter from query parameters: platform, network, account,
// channel, kind, user and text may be there more than once, and all but text
// have commas between values; sample is a number. Others are left alone.
func ParseFilter(q url.Values) (Filter, error) {
	var f Filter
	for _, l := range f.lists() {
		for _, v := range q[l.name] {
			if l.name == "text" {
				*l.list = append(*l.list, v)
				continue
			}
			for part := range strings.SplitSeq(v, ",") {
				if len(*l.list) > maxFilterValues {
					break // compile says so
				}
				if part = strings.TrimSpace(part); part != "" {
					*l.list = append(*l.list, part)
				}
			}
		}
	}
	if s := q.Get("sample"); s != "" {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || v <= 0 {
			return f, fmt.Errorf("%w: sample=%.32q: want a number above 0, up to 1", ErrFilter, s)
		}
		f.Sample = v
	}
	_, err := f.compile()
	return f, err
}

// UnmarshalFilter reads a filter from a JSON object with the same names; every
// value but sample is a list of strings. Names that it does not know, but for
// "type", are an error.
func UnmarshalFilter(data []byte) (Filter, error) {
	if len(data) > maxFilterJSON {
		return Filter{}, fmt.Errorf("%w: %d bytes: at most %d", ErrFilter, len(data), maxFilterJSON)
	}
	var in struct {
		Type string `json:"type"`
		Filter
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return Filter{}, fmt.Errorf("%w: %s: want %s, as in {\"channel\":[\"go*\"],\"sample\":0.1}", ErrFilter, wrong.Field, wrong.Type)
		}
		return Filter{}, fmt.Errorf("%w: %w: known are platform, network, account, channel, kind, user, text, sample", ErrFilter, err)
	}
	_, err := in.Filter.compile()
	return in.Filter, err
}

// Check says what is wrong with a filter, an error that wraps ErrFilter.
func (f Filter) Check() error {
	_, err := f.compile()
	return err
}

type filterList struct {
	name string
	list *[]string
}

func (f *Filter) lists() []filterList {
	return []filterList{
		{"platform", &f.Platforms}, {"network", &f.Networks}, {"account", &f.Accounts}, {"channel", &f.Channels},
		{"kind", &f.Kinds}, {"user", &f.Users}, {"text", &f.Text},
	}
}

// matcher is a filter made ready. It never changes: readers share it.
type matcher struct {
	all                                  bool
	platforms, networks, accounts, kinds []string
	channels                             map[string]bool // ids, and names in lower case
	prefixes                             []string        // patterns that end in their only star
	globs                                []string
	users                                map[string]bool
	texts                                [][]byte // in lower case
	unicode                              bool     // a text is not ASCII
	sample                               uint64   // ids whose hash is below pass; 0: all
}

func (f *Filter) compile() (*matcher, error) {
	for _, l := range f.lists() {
		limit := maxFilterValues
		if l.name == "text" {
			limit = maxFilterTexts
		}
		if len(*l.list) > limit {
			return nil, fmt.Errorf("%w: more than %d values of %s: use a pattern, or several consumers", ErrFilter, limit, l.name)
		}
		for _, v := range *l.list {
			if v == "" || len(v) > maxFilterValue || !utf8.ValidString(v) {
				return nil, fmt.Errorf("%w: %s=%.32q: want 1 to %d bytes of UTF-8", ErrFilter, l.name, v, maxFilterValue)
			}
		}
	}
	if math.IsNaN(f.Sample) || f.Sample < 0 || f.Sample > 1 {
		return nil, fmt.Errorf("%w: sample=%v: want a number above 0, up to 1", ErrFilter, f.Sample)
	}
	m := &matcher{
		platforms: slices.Clone(f.Platforms), networks: slices.Clone(f.Networks),
		accounts: slices.Clone(f.Accounts), kinds: slices.Clone(f.Kinds),
	}
	for _, c := range f.Channels {
		c = lowerASCII(c)
		if p, ok := strings.CutSuffix(c, "*"); ok && !strings.ContainsAny(p, "*?") {
			m.prefixes = append(m.prefixes, p)
			continue
		}
		if strings.ContainsAny(c, "*?") {
			m.globs = append(m.globs, c)
			continue
		}
		if m.channels == nil {
			m.channels = map[string]bool{}
		}
		m.channels[c] = true
	}
	if len(m.globs)+len(m.prefixes) > maxFilterGlobs {
		return nil, fmt.Errorf("%w: more than %d patterns of channel: use names, or several consumers", ErrFilter, maxFilterGlobs)
	}
	for _, u := range f.Users {
		if m.users == nil {
			m.users = map[string]bool{}
		}
		m.users[lowerASCII(u)] = true
	}
	for _, t := range f.Text {
		text := appendLower(nil, []byte(t), true)
		m.texts = append(m.texts, text)
		m.unicode = m.unicode || slices.ContainsFunc(text, func(c byte) bool { return c >= utf8.RuneSelf })
	}
	if f.Sample > 0 && f.Sample < 1 {
		m.sample = uint64(f.Sample * (1 << 63) * 2)
	}
	m.all = len(m.platforms)+len(m.networks)+len(m.accounts)+len(m.kinds)+len(m.channels)+len(m.globs)+len(m.prefixes)+len(m.users)+len(m.texts) == 0 && m.sample == 0
	return m, nil
}

// match is called for every entry and consumer: it allocates nothing.
func (m *matcher) match(line []byte, meta *Meta, scratch *[]byte) bool {
	if m.all {
		return true
	}
	if len(m.kinds) > 0 && !has(m.kinds, meta.raw(line, FieldKind)) ||
		len(m.platforms) > 0 && !has(m.platforms, meta.raw(line, FieldPlatform)) ||
		len(m.accounts) > 0 && !has(m.accounts, meta.value(line, FieldAccount, scratch)) ||
		len(m.networks) > 0 && !has(m.networks, meta.value(line, FieldNetwork, scratch)) {
		return false
	}
	if (m.channels != nil || m.prefixes != nil || m.globs != nil) && !m.channel(line, meta, scratch) {
		return false
	}
	if m.users != nil && !inFold(m.users, meta.raw(line, FieldUserID)) && !inFold(m.users, meta.value(line, FieldUserLogin, scratch)) {
		return false
	}
	if m.sample > 0 && hashMix(hashBytes(hashStart, meta.raw(line, FieldID))) >= m.sample {
		return false
	}
	return m.texts == nil || m.text(line, meta, scratch)
}

func (m *matcher) channel(line []byte, meta *Meta, scratch *[]byte) bool {
	if meta.spans[FieldChannelID].n == 0 && meta.spans[FieldChannelName].n == 0 {
		return string(meta.raw(line, FieldKind)) == "gap"
	}
	name := meta.value(line, FieldChannelName, scratch)
	if m.channels != nil && (inFold(m.channels, name) || inFold(m.channels, meta.raw(line, FieldChannelID))) {
		return true
	}
	for _, p := range m.prefixes {
		if hasPrefixFold(name, p) {
			return true
		}
	}
	for _, g := range m.globs {
		if globMatch(g, name) {
			return true
		}
	}
	return false
}

// hasPrefixFold is globMatch for "prefix*".
func hasPrefixFold(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(name[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// text looks for the texts. Both are in lower case, so that the search is that
// of package bytes, which no text makes slow.
func (m *matcher) text(line []byte, meta *Meta, scratch *[]byte) bool {
	text := meta.value(line, FieldText, scratch)
	if len(text) == 0 {
		return false
	}
	*scratch = appendLower((*scratch)[:0], text, m.unicode)
	for _, t := range m.texts {
		if bytes.Contains(*scratch, t) {
			return true
		}
	}
	return false
}

func has(list []string, v []byte) bool {
	for _, s := range list {
		if s == string(v) {
			return true
		}
	}
	return false
}

func inFold(set map[string]bool, v []byte) bool {
	var buf [maxFilterValue]byte
	if len(v) > len(buf) {
		return false
	}
	low := buf[:len(v)]
	for i, c := range v {
		low[i] = lower(c)
	}
	return set[string(low)]
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

// appendLower appends text in lower case: of all scripts, or of ASCII. dst may
// be the start of text's own memory: no rune gets longer before it is read, or
// the text is copied.
func appendLower(dst, text []byte, all bool) []byte {
	if !all {
		for _, c := range text {
			dst = append(dst, lower(c))
		}
		return dst
	}
	return append(dst, bytes.Map(unicode.ToLower, text)...)
}
