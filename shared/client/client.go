// Package client is the typed Go client of the HTTP API. Errors that the API answers are of type *Error. Following a
// job or a batch, over HTTP (Follow, FollowBatch) or NATS (View, ViewBatch), resumes by itself after a broken connection;
// the state to resume anywhere is one number, the seq of the last event. FollowConversation and ViewConversation tell when a
// conversation has changed.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/shared/completion"
)

// Client talks to one installation. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New returns a client of the API at base, for instance http://127.0.0.1:8080. A nil h means http.DefaultClient; a
// client with a Timeout would cut event streams.
func New(base string, h *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("API address %q: want http://HOST:PORT", base)
	}
	if h == nil {
		h = http.DefaultClient
	}
	return &Client{base: strings.TrimSuffix(base, "/"), http: h}, nil
}

// WithKey returns a client that shows the API key; empty: none.
func (c *Client) WithKey(key string) *Client {
	with := *c
	with.key = key
	return &with
}

// Job is a job as the API shows it.
type Job struct {
	ID              string            `json:"id"`
	State           completion.State  `json:"state"`
	Lane            completion.Lane   `json:"lane"`
	Model           string            `json:"model"`
	Attempt         int               `json:"attempt"`
	CancelRequested bool              `json:"cancel_requested"`
	Metadata        map[string]string `json:"metadata"`
	Subject         string            `json:"subject"`
	Stream          Stream            `json:"stream"`
	EventsURL       string            `json:"events_url"`
	Result          json.RawMessage   `json:"result"`
	Usage           json.RawMessage   `json:"usage"`
	FinishReason    string            `json:"finish_reason"`
	Error           *completion.Error `json:"error"`
	RequestID       string            `json:"request_id"`
	RetryOf         string            `json:"retry_of"`
	Batch           string            `json:"batch"` // the batch that the job is a line of; empty: none
	Line            int               `json:"line"`  // its number in the batch's file, from 1
	CustomID        string            `json:"custom_id"`
	Conversation    string            `json:"conversation"` // the one that the job is a turn of; empty: none
	Held            bool              `json:"held"`         // it waits for the turns before it
	CreatedAt       time.Time         `json:"created_at"`
	Deadline        time.Time         `json:"deadline"`
	StartedAt       time.Time         `json:"started_at"`
	FirstTokenAt    time.Time         `json:"first_token_at"`
	RetryAt         time.Time         `json:"retry_at"`
	FinishedAt      time.Time         `json:"finished_at"`
}

// Stream is where a job's events are on NATS, and what opens them.
type Stream struct {
	NATSURL      string    `json:"nats_url"`
	WebSocketURL string    `json:"websocket_url"`
	Credential   string    `json:"credential"` // a bearer JWT; only of a job just submitted or retried, and from Credential
	ExpiresAt    time.Time `json:"expires_at"` // of the credential
}

// Credential is a Stream with a fresh credential.
type Credential struct {
	Subject string `json:"subject"` // what it opens
	Stream
}

// Submission is what Submit sends.
type Submission struct {
	Request  json.RawMessage   `json:"request"` // the chat completion body
	Lane     completion.Lane   `json:"lane,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Timeout  float64           `json:"timeout,omitempty"` // seconds until the job must have ended; 0: the lane's default
	Key      string            `json:"-"`                 // idempotency key; empty: none
}

// Error is the API's answer to a request that it did not serve.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"param"`
	Code    string `json:"code"`
}

func (e *Error) Error() string {
	s := e.Message
	if e.Param != "" {
		s += " (" + e.Param + ")"
	}
	return fmt.Sprintf("%s [%d %s]", s, e.Status, e.Code)
}

// Submit hands in a job.
func (c *Client) Submit(ctx context.Context, s Submission) (Job, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Job{}, fmt.Errorf("encode submission: %w", err)
	}
	return c.job(ctx, http.MethodPost, "/v1/jobs", body, http.Header{"Idempotency-Key": {s.Key}})
}

// Get reads a job.
func (c *Client) Get(ctx context.Context, id string) (Job, error) {
	return c.job(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id), nil, nil)
}

// Cancel ends a job.
func (c *Client) Cancel(ctx context.Context, id string) (Job, error) {
	return c.job(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/cancel", nil, nil)
}

// Credential asks for a credential that opens the job's stream.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	var cred Credential
	err := c.call(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/credential", nil, nil, &cred)
	return cred, err
}

// TenantCredential asks for a credential that opens the streams of all of the tenant's jobs.
func (c *Client) TenantCredential(ctx context.Context) (Credential, error) {
	var cred Credential
	err := c.call(ctx, http.MethodPost, "/v1/credential", nil, nil, &cred)
	return cred, err
}

// Retry makes a new job of one that failed, expired or was cancelled; asked again, it returns the same new job and false.
func (c *Client) Retry(ctx context.Context, id string) (job Job, created bool, err error) {
	created, err = c.create(ctx, "/v1/jobs/"+url.PathEscape(id)+"/retry", nil, nil, &job)
	return job, created, err
}

// Query narrows and pages a list. The zero value is the first page of everything, newest first.
type Query struct {
	State  completion.State
	Lane   completion.Lane
	Model  string
	Batch  string // the batch whose lines are listed, the last line first; empty: jobs that are no lines
	Oldest bool   // oldest, or first line, first
	Limit  int    // 0: the server's default
	After  string // the last id of the page before
}

// pageOf are the query parameters that page a list.
func pageOf(after string, limit int, oldest bool) url.Values {
	v := url.Values{}
	if after != "" {
		v.Set("after", after)
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	if oldest {
		v.Set("order", "asc")
	}
	return v
}

// List reads one page of jobs, without their results, and whether there are more.
func (c *Client) List(ctx context.Context, q Query) (jobs []Job, more bool, err error) {
	v := pageOf(q.After, q.Limit, q.Oldest)
	for name, value := range map[string]string{"state": string(q.State), "lane": string(q.Lane), "model": q.Model, "batch": q.Batch} {
		if value != "" {
			v.Set(name, value)
		}
	}
	var page struct {
		Data    []Job `json:"data"`
		HasMore bool  `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, "/v1/jobs?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// Model is a model that an upstream says it serves.
type Model struct {
	ID      string `json:"id"`
	Created int64  `json:"created"` // Unix time in seconds; 0: not said
	OwnedBy string `json:"owned_by"`
}

// Models lists the models there are, sorted by id.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var page struct {
		Data []Model `json:"data"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/models", nil, nil, &page)
	return page.Data, err
}

func (c *Client) job(ctx context.Context, method, path string, body []byte, h http.Header) (Job, error) {
	var j Job
	err := c.call(ctx, method, path, body, h, &j)
	return j, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, h http.Header, into any) error {
	resp, err := c.send(ctx, method, path, body, h)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read answer to %s %s: %w", method, path, err)
	}
	return nil
}

// create is a POST that makes something, or answers what an equal one made before: then created is false.
func (c *Client) create(ctx context.Context, path string, body []byte, h http.Header, into any) (created bool, err error) {
	resp, err := c.send(ctx, http.MethodPost, path, body, h)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return false, fmt.Errorf("read answer to POST %s: %w", path, err)
	}
	return resp.Header.Get("Idempotent-Replayed") != "true", nil
}

// send does one request and turns an error status into an *Error.
func (c *Client) send(ctx context.Context, method, path string, body []byte, h http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build %s %s: %w", method, path, err)
	}
	for name, values := range h {
		if values[0] != "" {
			req.Header[name] = values
		}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req)
}

// do sends one request and turns an error status into an *Error.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what arrived is enough for a message
	return nil, refusal(resp.StatusCode, text)
}

// refusal reads the body of an answer with an error status.
func refusal(status int, body []byte) *Error {
	answer := struct {
		Error *Error `json:"error"`
	}{}
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil {
		answer.Error = &Error{}
	}
	if answer.Error.Message == "" {
		answer.Error.Message = strings.TrimSpace(fmt.Sprintf("the server answered %d %s", status, http.StatusText(status)))
	}
	answer.Error.Status = status
	return answer.Error
}
