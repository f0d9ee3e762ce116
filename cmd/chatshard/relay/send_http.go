package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxSendBody is how many bytes a request as JSON may have.
const maxSendBody = 64 << 10

// sendProblem is an error as RFC 9457 has it, with the result where there is one.
type sendProblem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail,omitempty"`
	Code   string      `json:"code,omitempty"`
	Result *SendResult `json:"result,omitempty"`
}

// SendHandler answers POST /v1/send: a [SendRequest] as JSON, the key in it or
// in the header Idempotency-Key. The answer is a [SendResult] with 200 if it
// was sent; else a sendProblem (RFC 9457) that holds the result: 422 refused, 429
// and 503 to be tried again after Retry-After, 504 unknown; and 400, 405, 413,
// 415 for what is no request. Who may send is for the server around it to say,
// and from tells who it is, so that keys of one never meet those of another;
// nil: all are one.
//
// A request with a key is carried on when its client goes away, since that one
// will ask again for what became of it.
func SendHandler(r *Router, from func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		q, status, err := readSend(w, req)
		if err != nil {
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", http.MethodPost)
			}
			writeSendProblem(w, sendProblem{Status: status, Title: http.StatusText(status), Detail: err.Error(), Code: CodeBadRequest})
			return
		}
		if from != nil {
			q.From = from(req)
		}
		ctx := req.Context()
		if q.Key != "" {
			ctx = context.WithoutCancel(ctx)
		}
		res := r.Send(ctx, q)
		if res.Status == StatusSent {
			w.Header().Set("Content-Type", "application/json")
			writeSendBody(w, http.StatusOK, res)
			return
		}
		p := sendProblem{Status: httpStatus(&res), Title: "The message was " + res.Status, Detail: res.Reason, Code: res.Code, Result: &res}
		if res.Status == StatusUnknown {
			p.Title = "Nobody knows whether the message was sent"
		}
		if res.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(res.RetryAfter.Seconds()))))
		}
		writeSendProblem(w, p)
	})
}

func httpStatus(res *SendResult) int {
	switch {
	case res.Status == StatusUnknown:
		return http.StatusGatewayTimeout
	case res.Code == CodeNotReady:
		return http.StatusServiceUnavailable
	case res.RetryAfter > 0:
		return http.StatusTooManyRequests
	}
	return http.StatusUnprocessableEntity
}

// readSend reads a request, or says what is wrong with it.
func readSend(w http.ResponseWriter, req *http.Request) (q SendRequest, status int, err error) {
	if req.Method != http.MethodPost {
		return q, http.StatusMethodNotAllowed, errors.New("use POST")
	}
	kind, args, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if charset := args["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return q, http.StatusUnsupportedMediaType, errors.New("the body has to be JSON: Content-Type: application/json")
	}
	// A client that sends its body slowly is not waited for longer than one
	// that waits for its answer. Not every ResponseWriter can do that.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(sendTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxSendBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return q, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", maxSendBody)
	case err != nil:
		return q, http.StatusBadRequest, errors.New("the body ended early")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if q, err = parseSend(body); err != nil {
		return q, http.StatusBadRequest, err
	}
	keys := req.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return q, 0, nil
	}
	// A string of a structured field, or as most people write it.
	key := strings.TrimSpace(keys[0])
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if len(keys) > 1 || key == "" || q.Key != "" && q.Key != key {
		return q, http.StatusBadRequest, errors.New("one idempotency key, please: the header Idempotency-Key or the field key")
	}
	q.Key = key
	return q, 0, nil
}

// parseSend reads a request from JSON and refuses what it does not know.
func parseSend(body []byte) (q SendRequest, err error) {
	if !utf8.Valid(body) { // package json would replace it
		return q, errors.New("the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return SendRequest{}, fmt.Errorf("the body is no request: %s", clipped(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := d.Token(); err != io.EOF {
		return SendRequest{}, errors.New("the body goes on after the request")
	}
	return q, nil
}

func writeSendProblem(w http.ResponseWriter, p sendProblem) {
	p.Type = "about:blank"
	w.Header().Set("Content-Type", "application/problem+json")
	writeSendBody(w, p.Status, p)
}

func writeSendBody(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // nothing here can be the cause
		status, b = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that went away
}
