package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
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

	taken   [sha256.Size]byte // of the content that was last judged, good or bad
	pending [sha256.Size]byte // of the one that was last seen
	failed  string            // the last error of reading, so that it is said once
}

// watchTokens looks at the file of tokens until ctx ends.
func watchTokens(ctx context.Context, c *relayConfig, set func([]relay.Token) error, log zerolog.Logger) {
	w := &tokenWatcher{config: c, set: set, log: log.With().Str("file", c.TokensFile).Logger(), taken: c.fileSum, pending: c.fileSum}
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
	text, err := readFile(w.config.TokensFile, maxTokensFile)
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
	tokens, err := w.config.readTokens(text)
	if err == nil {
		err = w.set(tokens)
	}
	if err != nil {
		w.log.Error().Err(err).Msg("the tokens stay as they are")
		return
	}
	w.log.Info().Int("tokens", len(tokens)).Msg("tokens taken from their file")
}

// errCutOff is of a file that somebody may be about to write.
var errCutOff = errors.New("empty, as if cut off while being written: to have no tokens in it, leave a comment")

// readTokens returns the tokens of the configuration and those of a new content
// of its file.
func (c *relayConfig) readTokens(text string) ([]relay.Token, error) {
	if text == "" && len(c.fromFile) > 0 {
		return nil, errCutOff
	}
	k := &checker{decoder: &decoder{}}
	all := k.tokensFile(c.TokensFile, text, maps.Clone(c.tokenNames))
	if n := len(c.Tokens) + len(all); n > maxTokens {
		k.fail(position{c.TokensFile, 1, 1}, fmt.Sprintf("%d tokens", n), fmt.Sprintf("use at most %d", maxTokens))
	}
	if len(k.problems) > 0 {
		return nil, k.problems
	}
	return serverTokens(c.Tokens, all), nil
}
