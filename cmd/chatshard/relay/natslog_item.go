package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/nats-io/nats.go"
)

// Headers of what is not stored as it is: a body that was compressed, and one
// of several messages that are one entry.
const (
	headerEncoding = "Chatshard-Encoding" // gzip, which every language reads
	headerPart     = "Chatshard-Part"     // "2/3"
	headerExpect   = "Nats-Expected-Last-Sequence"
)

const (
	compressOver = 64 << 10
	partOver     = 6 << 20
	smallBody    = 16 << 10 // every server takes it
	itemOverhead = 384      // bytes that an entry costs beside its name and body
	maxNames     = 100_000
)

// item is an entry on its way.
type item struct {
	entry  *Entry
	name   string   // of its subject
	parts  [][]byte // as stored; none for a copy
	gzip   bool
	hash   uint64
	serial uint64 // what tells it from all others
	copy   bool   // the same ID was appended before
	sent   bool   // handed to an engine that did not answer: it may yet turn up
	done   Done
}

func (it *item) cost() int {
	n := itemOverhead + len(it.name)
	for _, p := range it.parts {
		n += len(p)
	}
	return n
}

func (it *item) finish(seq uint64, dup bool, err error) {
	if it.done != nil {
		it.done(seq, dup, err)
	}
}

// item makes an entry ready to be stored.
func (l *NATSLog) item(e *Entry, done Done) (item, error) {
	if len(e.Body) > l.cfg.MaxBody {
		return item{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(e.Body), l.cfg.MaxBody)
	}
	it := item{entry: e, name: l.names.of(e.Subject), done: done}
	body := e.Body
	if len(body) > compressOver {
		if small := compressed(body); len(small) < len(body) {
			body, it.gzip = small, true
		}
	}
	limit := partOver
	if len(body) > smallBody { // an external server may take less
		limit = min(limit, max(smallBody, int(l.read.MaxPayload())-4096))
	}
	for len(body) > limit {
		it.parts = append(it.parts, body[:limit:limit])
		body = body[limit:]
	}
	it.parts = append(it.parts, body)
	return it, nil
}

var gzips = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for a wrong level only
	return w
}}

func compressed(body []byte) []byte {
	var out bytes.Buffer
	w := gzips.Get().(*gzip.Writer)
	w.Reset(&out)
	_, _ = w.Write(body) // into memory
	_ = w.Close()
	w.Reset(io.Discard) // so that it does not keep it
	gzips.Put(w)
	return out.Bytes()
}

func inflated(data []byte, most int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(body) > most {
		err = ErrTooLarge
	}
	return body, err
}

// names are the names of subjects, made once. Safe for concurrent use. When
// there are too many it begins anew.
type names struct {
	mu  sync.RWMutex // guards all
	all map[Subject]string
}

func (ns *names) of(s Subject) string {
	ns.mu.RLock()
	name, ok := ns.all[s]
	ns.mu.RUnlock()
	if ok {
		return name
	}
	name = s.Name()
	if s.long() {
		return name
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.all == nil || len(ns.all) >= maxNames {
		ns.all = make(map[Subject]string)
	}
	ns.all[s] = name
	return name
}

// long reports whether a subject is not worth its memory.
func (s Subject) long() bool {
	return len(s.Platform)+len(s.Network)+len(s.Account)+len(s.Channel)+len(s.Kind) > 1024
}

// header returns the header of a part; nil if it needs none.
func (it *item) header(part int) nats.Header {
	if !it.gzip && len(it.parts) == 1 {
		return nil
	}
	h := nats.Header{}
	if it.gzip {
		h[headerEncoding] = []string{"gzip"}
	}
	if len(it.parts) > 1 {
		h[headerPart] = []string{strconv.Itoa(part+1) + "/" + strconv.Itoa(len(it.parts))}
	}
	return h
}

// is reports whether a stored message is a part of the item.
func (it *item) is(m *stored, part int) bool {
	n, of := m.part()
	return n == part+1 && of == len(it.parts) && m.name == it.name && bytes.Equal(m.data, it.parts[part])
}

// stored is a message as the engine has it.
type stored struct {
	seq    uint64
	name   string
	header nats.Header
	data   []byte
}

// part returns which of how many parts of an entry the message is.
func (m *stored) part() (n, of int) {
	p := m.header[headerPart]
	if len(p) == 0 {
		return 1, 1
	}
	a, b, _ := strings.Cut(p[0], "/")
	n, err1 := strconv.Atoi(a)
	of, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || n < 1 || of < n {
		return 0, 0
	}
	return n, of
}

// assembly puts the parts of entries together. Parts of two writers may stand
// among each other; a part that came to nothing is forgotten with the next
// entry of its name.
type assembly struct {
	open map[string]*parts
}

type parts struct {
	n, of int
	body  []byte
}

// maxOpen bounds the names of which an assembly keeps parts.
const maxOpen = 8

var errBody = errors.New("relay: log: an entry cannot be read")

// add returns the body that a message completes; nil if it completes none.
func (a *assembly) add(m *stored, max int) ([]byte, error) {
	body := m.data
	if n, of := m.part(); of != 1 {
		if n == 1 {
			if a.open == nil || len(a.open) >= maxOpen {
				a.open = make(map[string]*parts)
			}
			a.open[m.name] = &parts{of: of}
		}
		p := a.open[m.name]
		if p == nil || n != p.n+1 || of != p.of || len(p.body)+len(body) > 2*max {
			delete(a.open, m.name)
			return nil, nil
		}
		p.n, p.body = n, append(p.body, body...)
		if n < of {
			return nil, nil
		}
		body = p.body
		delete(a.open, m.name)
	}
	if e := m.header[headerEncoding]; len(e) > 0 {
		var err error
		if body, err = inflated(body, 2*max); e[0] != "gzip" || err != nil {
			return nil, fmt.Errorf("%w: number %d: encoding %.20q: %v", errBody, m.seq, e[0], err)
		}
	}
	return body, nil
}
