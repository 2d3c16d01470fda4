package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/shared/completion"
)

// Batch is a batch as the API shows it. Times are Unix times in seconds, 0 for what is not yet.
type Batch struct {
	ID           string                `json:"id"`
	State        completion.BatchState `json:"status"`
	Endpoint     completion.Endpoint   `json:"endpoint"`
	Model        string                `json:"model,omitzero"` // of its first line; empty until that was read
	Errors       BatchErrors           `json:"errors,omitzero"`
	InputFileID  string                `json:"input_file_id"`
	OutputFileID string                `json:"output_file_id,omitzero"` // empty: no line has an answer, or not yet
	ErrorFileID  string                `json:"error_file_id,omitzero"`  // empty: no line has failed, or not yet
	Window       string                `json:"completion_window"`
	Counts       completion.Counts     `json:"request_counts"`
	Usage        BatchUsage            `json:"usage"`
	Metadata     map[string]string     `json:"metadata,omitzero"`
	Paused       bool                  `json:"paused"`
	Deduplicate  bool                  `json:"deduplicate"`
	RetryOf      string                `json:"retry_of,omitzero"`
	Subject      string                `json:"subject"`
	LastSeq      int64                 `json:"last_seq"` // of an event, as a rule the latest: to follow after it is to hear what comes
	CreatedAt    int64                 `json:"created_at"`
	InProgressAt int64                 `json:"in_progress_at,omitzero"`
	ExpiresAt    int64                 `json:"expires_at,omitzero"`
	FinalizingAt int64                 `json:"finalizing_at,omitzero"`
	CancellingAt int64                 `json:"cancelling_at,omitzero"`
	CompletedAt  int64                 `json:"completed_at,omitzero"`
	FailedAt     int64                 `json:"failed_at,omitzero"`
	ExpiredAt    int64                 `json:"expired_at,omitzero"`
	CancelledAt  int64                 `json:"cancelled_at,omitzero"`
}

// BatchErrors are what is wrong with a batch's file.
type BatchErrors struct {
	Data []completion.LineError `json:"data"`
}

// BatchUsage is what the lines of a batch have cost together, in tokens.
type BatchUsage struct {
	Input        int64 `json:"input_tokens"`
	InputDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	Output        int64 `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int64 `json:"total_tokens"`
}

// BatchCreation is what a batch is made of.
type BatchCreation struct {
	InputFileID string              `json:"input_file_id"`
	Endpoint    completion.Endpoint `json:"endpoint"`
	Window      string              `json:"completion_window"` // from 1m to 7d, as 30m, 24h or 7d
	Metadata    map[string]string   `json:"metadata,omitempty"`
	Deduplicate bool                `json:"deduplicate,omitempty"` // identical lines share one upstream call
	OutputAge   time.Duration       `json:"-"`                     // how long its output is kept, in whole seconds; 0: the server's default
	Key         string              `json:"-"`                     // idempotency key; empty: none
}

// expiry is how OpenAI's API says after what time a file goes.
type expiry struct {
	Anchor  string `json:"anchor"`
	Seconds int64  `json:"seconds"`
}

// CreateBatch makes a batch of a file. With the key of an earlier one of the same content, it returns that.
func (c *Client) CreateBatch(ctx context.Context, b BatchCreation) (Batch, error) {
	send := struct {
		BatchCreation
		OutputExpiresAfter *expiry `json:"output_expires_after,omitempty"`
	}{BatchCreation: b}
	if b.OutputAge > 0 {
		send.OutputExpiresAfter = &expiry{Anchor: "created_at", Seconds: int64(b.OutputAge / time.Second)}
	}
	body, err := json.Marshal(send)
	if err != nil {
		return Batch{}, fmt.Errorf("encode batch: %w", err)
	}
	return c.batch(ctx, http.MethodPost, batchPath(""), body, http.Header{"Idempotency-Key": {b.Key}})
}

// Batch reads a batch.
func (c *Client) Batch(ctx context.Context, id string) (Batch, error) {
	return c.batch(ctx, http.MethodGet, batchPath(id), nil, nil)
}

// BatchQuery pages a list of batches. The zero value is the first page.
type BatchQuery struct {
	Limit int    // 0: the server's default
	After string // the last id of the page before
}

// Batches reads one page of batches, newest first and without their errors, and whether there are more.
func (c *Client) Batches(ctx context.Context, q BatchQuery) (batches []Batch, more bool, err error) {
	v := pageOf(q.After, q.Limit, false)
	var page struct {
		Data    []Batch `json:"data"`
		HasMore bool    `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, batchPath("")+"?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// CancelBatch ends a batch; what its lines have by then is kept. It is cancelling at first, and cancelled a little later.
func (c *Client) CancelBatch(ctx context.Context, id string) (Batch, error) {
	return c.batch(ctx, http.MethodPost, batchPath(id)+"/cancel", nil, nil)
}

// PauseBatch puts no further line of a batch into the queue. Those that are there or run go on, and so does its completion window.
func (c *Client) PauseBatch(ctx context.Context, id string) (Batch, error) {
	return c.batch(ctx, http.MethodPost, batchPath(id)+"/pause", nil, nil)
}

// ResumeBatch ends what PauseBatch began.
func (c *Client) ResumeBatch(ctx context.Context, id string) (Batch, error) {
	return c.batch(ctx, http.MethodPost, batchPath(id)+"/resume", nil, nil)
}

// RetryBatch makes a new batch of the lines that failed, expired or were cancelled; asked again, it returns the same new
// batch and false.
func (c *Client) RetryBatch(ctx context.Context, id string) (b Batch, created bool, err error) {
	created, err = c.create(ctx, batchPath(id)+"/retry", nil, nil, &b)
	return b, created, err
}

// BatchCredential asks for a credential that opens the batch's stream.
func (c *Client) BatchCredential(ctx context.Context, id string) (Credential, error) {
	var cred Credential
	err := c.call(ctx, http.MethodPost, batchPath(id)+"/credential", nil, nil, &cred)
	return cred, err
}

// BatchLine is what has become of one line of a batch, as its output, its error file, its results and its events have it.
type BatchLine struct {
	Line      int           `json:"line"` // its number, from 1; 0 in files, which do not say it
	ID        string        `json:"id"`
	CustomID  string        `json:"custom_id"`
	Response  *LineResponse `json:"response"`  // nil: there was none
	Error     *LineFailure  `json:"error"`     // why there was none
	Truncated bool          `json:"truncated"` // of an event: the answer is too large for it
}

// LineResponse is what the endpoint answered to a line.
type LineResponse struct {
	Status    int             `json:"status_code"`
	RequestID string          `json:"request_id"`
	Body      json.RawMessage `json:"body"`
}

// LineFailure is why a line has no answer.
type LineFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"` // of a line that is not valid: what is wrong with it
	Line    int    `json:"line"`  // of a line that is not valid: its number
}

func (f *LineFailure) Error() string { return fmt.Sprintf("%s [%s]", f.Message, f.Code) }

// Failure is why the line has no good answer; nil if it has one.
func (l *BatchLine) Failure() error {
	switch {
	case l.Error != nil:
		return l.Error
	case l.Response != nil && l.Response.Status >= http.StatusBadRequest:
		return refusal(l.Response.Status, l.Response.Body)
	}
	return nil
}

// BatchResults yields the lines with a number above after that have ended so far, in their order. A connection that breaks
// ends it with an error; the number of the last line is where to go on.
func (c *Client) BatchResults(ctx context.Context, id string, after int) iter.Seq2[BatchLine, error] {
	return func(yield func(BatchLine, error) bool) {
		resp, err := c.send(ctx, http.MethodGet, batchPath(id)+"/results?after="+strconv.Itoa(after), nil, nil)
		if err != nil {
			yield(BatchLine{}, err)
			return
		}
		defer resp.Body.Close()
		for in := json.NewDecoder(resp.Body); ; {
			var l BatchLine
			err := in.Decode(&l)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(BatchLine{}, fmt.Errorf("read results of %s: %w", id, err))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}

func (c *Client) batch(ctx context.Context, method, path string, body []byte, h http.Header) (Batch, error) {
	var b Batch
	err := c.call(ctx, method, path, body, h, &b)
	return b, err
}

func batchPath(id string) string {
	if id == "" {
		return "/v1/batches"
	}
	return "/v1/batches/" + url.PathEscape(id)
}
