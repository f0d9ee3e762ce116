package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/chatshard/chatshard/cmd/chatshard/relay"
	"github.com/rs/zerolog"
)

// tokensEvery is the time between two looks at a file of tokens.
const tokensEvery = time.Second

// tokenWatcher takes up what changes in a file of tokens. A content counts when
// it has been seen twice, whole and without a mistake; until then the tokens
// stay as they are.
type tokenWatcher struct {
	config *relayConfig
	set    func([]relay.Token) error
	log    zerolog.Logger

	have    int               // tokens of the file
	taken   [sha256.Size]byte // of the content that was last judged, good or bad
	pending [sha256.Size]byte // of the one that was last seen
	failed  string            // the last error of reading, so that it is said once
}

func newTokenWatcher(c *relayConfig, set func([]relay.Token) error, log zerolog.Logger) *tokenWatcher {
	return &tokenWatcher{
		config: c, set: set, log: log.With().Str("file", c.TokensFile).Logger(),
		have: len(c.fromFile), taken: c.fileSum, pending: c.fileSum,
	}
}

// watch looks at the file until ctx ends.
func (w *tokenWatcher) watch(ctx context.Context) {
	tick := time.NewTicker(tokensEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.poll()
		}
	}
}

func (w *tokenWatcher) poll() {
	text, err := w.read()
	if err != nil {
		if w.failed != err.Error() {
			w.failed = err.Error()
			w.log.Error().Err(err).Msg("the tokens stay as they are: check the path and its permissions")
		}
		return
	}
	w.failed = ""
	sum := sha256.Sum256([]byte(text))
	once := sum != w.pending
	w.pending = sum
	if once || sum == w.taken {
		return
	}
	w.taken = sum
	tokens, err := w.judge(text)
	if err == nil {
		err = w.set(serverTokens(w.config.Tokens, tokens))
	}
	if err != nil {
		w.log.Error().Err(err).Msg("the tokens stay as they are")
		return
	}
	w.have = len(tokens)
	w.log.Info().Int("tokens", w.have).Msg("tokens taken from their file")
}

// read returns the content. What is no file is not opened: a pipe that nobody
// writes to would hold us up for ever.
func (w *tokenWatcher) read() (string, error) {
	if info, err := os.Stat(w.config.TokensFile); err == nil && !info.Mode().IsRegular() {
		return "", errNoFile
	}
	return readFile(w.config.TokensFile, maxTokensFile)
}

var (
	errNoFile = errors.New("no regular file: it is read at the start alone")
	errCutOff = errors.New("empty, as if cut off while being written: to have no tokens in it, leave a comment")
)

// judge returns the tokens of a content.
func (w *tokenWatcher) judge(text string) ([]relayToken, error) {
	if text == "" && w.have > 0 {
		return nil, errCutOff
	}
	k := &checker{decoder: &decoder{}}
	all := k.tokensFile(w.config.TokensFile, text, maps.Clone(w.config.tokenNames))
	if n := len(w.config.Tokens) + len(all); n > maxTokens {
		k.fail(position{w.config.TokensFile, 1, 1}, fmt.Sprintf("%d tokens", n), fmt.Sprintf("use at most %d", maxTokens))
	}
	if len(k.problems) > 0 {
		return nil, k.problems
	}
	return all, nil
}
