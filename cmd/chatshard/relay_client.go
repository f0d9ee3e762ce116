package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

const (
	relayURL  = "http://127.0.0.1:8787"
	maxAnswer = 64 << 20 // bytes; some 300,000 channels
)

// relayClient asks one relay.
type relayClient struct {
	what  string // who asks, for errors: send
	url   *url.URL
	token string
	http  http.Client
}

// relayFlags adds the flags that say which relay, and returns what makes a
// client of them once they are parsed.
func relayFlags(cmd *cobra.Command) func() (*relayClient, error) {
	flags := cmd.Flags()
	address := flags.String("url", relayURL, "`address` of the relay")
	tokenFile := flags.String("token-file", "", "`file` with the token")
	tokenEnv := flags.String("token-env", "", "`name` of the environment variable with the token")
	cmd.MarkFlagsMutuallyExclusive("token-file", "token-env")
	return func() (*relayClient, error) { return newRelayClient(shortPath(cmd), *address, *tokenFile, *tokenEnv) }
}

func newRelayClient(what, address, tokenFile, tokenEnv string) (*relayClient, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, usagef("%s: --url %q: give an address as %s", what, address, relayURL)
	}
	c := &relayClient{what: what, url: u}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	switch {
	case tokenFile != "":
		text, err := readFile(tokenFile, maxSecretFile)
		if err != nil {
			return nil, fmt.Errorf("%s: --token-file %s %w", what, tokenFile, err)
		}
		c.token = strings.TrimSpace(text)
	case tokenEnv != "":
		for _, kv := range environ() {
			if name, value, _ := strings.Cut(kv, "="); name == tokenEnv {
				c.token = strings.TrimSpace(value)
			}
		}
	default:
		return c, nil
	}
	if c.token == "" || strings.ContainsFunc(c.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, usagef("%s: the token is empty or has characters that no token has", what)
	}
	return c, nil
}

// ask makes one request, of JSON where there is a body, and returns the answer.
// Where there is none the error is a *url.Error.
func (c *relayClient) ask(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	u := c.url.JoinPath(path).String()
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", c.what, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return 0, nil, &url.Error{Op: method, URL: u, Err: err}
	}
	return res.StatusCode, answer, nil
}

// silent is the error of a relay that does not answer.
func (c *relayClient) silent(err *url.Error) error {
	return fmt.Errorf("%s: no answer from the relay: %w", c.what, err.Err)
}

// refused is the error that an answer stands for which is not what was asked for.
func (c *relayClient) refused(path string, status int, answer []byte) error {
	var problem struct{ Detail string }
	if err := json.Unmarshal(answer, &problem); err == nil && problem.Detail != "" {
		return fmt.Errorf("%s: the relay says: %s (HTTP %d)", c.what, oneLine(problem.Detail), status)
	}
	return fmt.Errorf("%s: %s answers HTTP %d and is no relay of this version", c.what, c.url.JoinPath(path), status)
}

// oneLine makes a text from outside safe for a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
