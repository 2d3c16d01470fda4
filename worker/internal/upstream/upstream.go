// Package upstream asks providers that speak the OpenAI protocol for completions and embeddings. It is the only package that
// knows the client library.
//
// It promises: the caller's request travels whole (unknown members, number formats and order survive; only stream and
// stream_options are set); every chunk comes out as the upstream sent it; a sequence that ends without an error is a
// complete answer; every error is a *completion.Error whose text shows neither the upstream's address nor its key.
// It leaves to others: how often and when to try again, limits of rate and of total time, and what the chunks mean.
//
// # What the client library would lose
//
// go-openai sends the request and opens the stream. It would end a stream with io.EOF both after [DONE] and when it is cut,
// give up after 300 lines that are not data, drop a last line without newline, know an error only by the prefix {"error":
// and then wait for one more line; and match three expressions against each line. So the chunks are read by a reader of our
// own, see filter.
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"sluice/shared/completion"
)

// Config are the options of one upstream.
type Config struct {
	Name           string        // shown to clients; default "default"
	BaseURL        string        // http or https, with the path before /chat/completions; required
	APIKey         string        // bearer token; default: none is sent
	ConnectLimit   time.Duration // for connecting, and again for the TLS handshake; default 10 s
	HeaderLimit    time.Duration // from the request's last byte to the response's header; default 120 s
	IdleLimit      time.Duration // between two chunks, comments not counted; default 60 s
	MaxAnswerBytes int64         // largest response body, in bytes; default 64 MiB
	Native         bool          // it speaks Responses: it is asked for them as such; default: for chat completions that mean the same
}

func (c *Config) setDefaults() error {
	if c.Name == "" {
		c.Name = "default"
	}
	for _, d := range []struct {
		field    *time.Duration
		name     string
		fallback time.Duration
	}{
		{&c.ConnectLimit, "connect limit", 10 * time.Second},
		{&c.HeaderLimit, "header limit", 120 * time.Second},
		{&c.IdleLimit, "idle limit", 60 * time.Second},
	} {
		if *d.field < 0 {
			return fmt.Errorf("%s %v is negative", d.name, *d.field)
		}
		if *d.field == 0 {
			*d.field = d.fallback
		}
	}
	if c.MaxAnswerBytes < 0 {
		return fmt.Errorf("answer limit %d is negative", c.MaxAnswerBytes)
	}
	if c.MaxAnswerBytes == 0 {
		c.MaxAnswerBytes = 64 << 20
	}
	return checkBase(c.BaseURL)
}

func checkBase(base string) error {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return fmt.Errorf("parse base URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("base URL is not http:// or https:// with a host")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return errors.New("base URL may not have a user, a query or a fragment")
	}
	return nil
}

// Upstream is one provider. Make it with New. It is safe for concurrent use.
type Upstream struct {
	cfg    Config
	openai openai.ClientConfig
	pool   *http.Transport // keeps connections
	fresh  *http.Transport // a new connection for each request
	secret *scrubber
}

// New returns the upstream of cfg, or what is wrong with cfg. It does not connect.
func New(cfg Config) (*Upstream, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("configure upstream %q: %w", cfg.Name, err)
	}
	u := &Upstream{cfg: cfg, openai: openai.DefaultConfig(cfg.APIKey), pool: newTransport(cfg), secret: newScrubber(cfg)}
	u.openai.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	u.fresh = newTransport(cfg)
	u.fresh.DisableKeepAlives = true
	return u, nil
}

func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.ConnectLimit}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   cfg.ConnectLimit,
		ResponseHeaderTimeout: cfg.HeaderLimit,
		MaxIdleConnsPerHost:   1024,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ReadBufferSize:        2 << 10, // each stream holds both buffers for as long as it goes on
		WriteBufferSize:       1 << 10,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// Name is the upstream's name, as clients may see it.
func (u *Upstream) Name() string { return u.cfg.Name }

// Native reports whether the upstream is asked for Responses as such.
func (u *Upstream) Native() bool { return u.cfg.Native }

// Close closes the connections that wait for use. Streams go on.
func (u *Upstream) Close() {
	u.pool.CloseIdleConnections()
	u.fresh.CloseIdleConnections()
}

// Stream sends request, a body of endpoint e, and yields the answer's chunks as they come. Each is one JSON object
// as the upstream sent it, save for the white space around it and for bytes that are not UTF-8: each such byte 0xNN
// becomes the escape \udcNN, a lone surrogate, which can be told apart and turned back. The chunk is valid until the loop
// goes on. A whole answer from an upstream that does not stream comes as one chunk, and so does, as it is, the answer of
// an endpoint that has no streams.
//
// The chunks of a native response are the events of its stream, those of other types than response.* left out; one that comes
// whole is one response.completed or response.incomplete.
//
// The sequence ends without an error only if the answer is complete: after [DONE], when every choice has its finish_reason,
// or after response.completed or response.incomplete. Otherwise the last pair holds a *completion.Error: upstream_unreachable, upstream_cut,
// upstream_stalled, upstream_invalid, upstream_rate_limited, insufficient_quota, upstream_error, upstream_rejected,
// answer_too_large, or invalid_json for a request that is not an object; a response may also be an invalid_request. When ctx ends, the connection is closed at
// once and the error wraps context.Cause(ctx): the cause itself if it is a *completion.Error, generation_timeout for a
// deadline, else cancelled.
//
// Leaving the loop closes the connection. The idle limit does not run while the loop's body does.
func (u *Upstream) Stream(ctx context.Context, e completion.Endpoint, request json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		native := u.cfg.Native && e == completion.EndpointResponses
		body, choices, err := prepare(e, native, request)
		if err != nil {
			yield(nil, err)
			return
		}
		c := newCall(ctx, u, body, choices)
		c.native = native
		defer c.end()
		if !e.Streams() {
			yield(c.embed())
			return
		}
		if err := c.open(e); err != nil {
			yield(nil, c.failure(err))
			return
		}
		defer func() { _ = c.opened.Close() }() // the answer is judged by then
		for {
			c.arm()
			chunk, err := c.filter.next()
			c.idle.Stop()
			switch {
			case errors.Is(err, io.EOF): // complete: the filter never wraps it
				return
			case err != nil:
				yield(nil, c.failure(err))
				return
			case !yield(chunk, nil):
				return
			}
		}
	}
}

// open sends the call's request to a streaming endpoint. The library's stream is let go of, with its buffer; its body is
// call.opened.
func (c *call) open(e completion.Endpoint) (err error) {
	client := openai.NewClientWithConfig(c.config())
	switch {
	case c.native:
		_, err = client.CreateResponseStream(c.ctx, openai.CreateResponseRequest{})
	case e == completion.EndpointCompletions:
		_, err = client.CreateCompletionStream(c.ctx, openai.CompletionRequest{Model: openai.GPT3Dot5TurboInstruct, Prompt: ""})
	default:
		_, err = client.CreateChatCompletionStream(c.ctx, openai.ChatCompletionRequest{})
	}
	return err
}
