package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// jobRow is a job in the table.
type jobRow struct {
	bun.BaseModel `bun:"table:job,alias:job"`

	ID              string    `bun:"id,pk"`
	Tenant          string    `bun:"tenant"`
	Lane            string    `bun:"lane"`
	State           string    `bun:"state"`
	Model           string    `bun:"model"`
	Request         []byte    `bun:"request"`
	Metadata        []byte    `bun:"metadata,nullzero"`
	IdempotencyKey  string    `bun:"idempotency_key,nullzero"`
	BodyHash        string    `bun:"body_hash,nullzero"`
	Attempt         int       `bun:"attempt"`
	Tries           int       `bun:"tries"`
	Returned        int       `bun:"returned"`
	Worker          string    `bun:"worker,nullzero"`
	CancelRequested bool      `bun:"cancel_requested"`
	RetryAt         time.Time `bun:"retry_at,nullzero"`
	Upstream        string    `bun:"upstream,nullzero"`
	Result          []byte    `bun:"result,nullzero"`
	Usage           []byte    `bun:"usage,nullzero"`
	FinishReason    string    `bun:"finish_reason,nullzero"`
	Error           []byte    `bun:"error,nullzero"`
	CreatedAt       time.Time `bun:"created_at"`
	UpdatedAt       time.Time `bun:"updated_at"`
	StartedAt       time.Time `bun:"started_at,nullzero"`
	FirstTokenAt    time.Time `bun:"first_token_at,nullzero"`
	FinishedAt      time.Time `bun:"finished_at,nullzero"`
	Deadline        time.Time `bun:"deadline,nullzero"`
	RetryOf         string    `bun:"retry_of,nullzero"`
	Unsaid          bool      `bun:"unsaid"`
	RequestID       string    `bun:"request_id,nullzero"`
	Endpoint        string    `bun:"endpoint"`
	Stored          bool      `bun:"stored"`
	Batch           string    `bun:"batch,nullzero"`
	Line            int       `bun:"line,nullzero"`
	CustomID        string    `bun:"custom_id,nullzero"`
	Conversation    string    `bun:"conversation,nullzero"`
	Held            bool      `bun:"held"`
}

// heavy are the columns that lists leave out.
var heavy = []string{"request", "result"}

// stamp is a time as both databases keep it: UTC, whole microseconds.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// text is s as both databases take it in a text column.
func text[S ~string](s S) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(s), "\uFFFD"), "\x00", "\uFFFD")
}

func newRow(j *completion.Job) (*jobRow, error) {
	failure, err := encode(j.Error, j.Error == nil)
	if err != nil {
		return nil, err
	}
	metadata, err := encode(j.Metadata, len(j.Metadata) == 0)
	if err != nil {
		return nil, err
	}
	return &jobRow{
		ID: text(j.ID), Tenant: text(j.Tenant), Lane: text(j.Lane), State: text(j.State), Model: text(j.Model), Request: j.Request,
		Metadata: metadata, IdempotencyKey: text(j.IdempotencyKey), BodyHash: text(j.BodyHash),
		Attempt: j.Attempt, Tries: j.Tries, Returned: j.Returned, Worker: text(j.Worker), CancelRequested: j.CancelRequested, RetryAt: stamp(j.RetryAt),
		Upstream: text(j.Upstream), Result: j.Result, Usage: j.Usage, FinishReason: text(j.FinishReason), Error: failure,
		CreatedAt: stamp(j.CreatedAt), UpdatedAt: stamp(j.UpdatedAt), StartedAt: stamp(j.StartedAt),
		FirstTokenAt: stamp(j.FirstTokenAt), FinishedAt: stamp(j.FinishedAt),
		Deadline: stamp(j.Deadline), RetryOf: text(j.RetryOf), Unsaid: j.Unsaid, RequestID: text(j.RequestID),
		Endpoint: text(cmp.Or(j.Endpoint, completion.EndpointChat)), Stored: j.Stored,
		Batch: text(j.Batch), Line: j.Line, CustomID: text(j.CustomID), Conversation: text(j.Conversation), Held: j.Held,
	}, nil
}

func (r *jobRow) job() (completion.Job, error) {
	j := completion.Job{
		ID: r.ID, Tenant: r.Tenant, Lane: completion.Lane(r.Lane), State: completion.State(r.State), Model: r.Model, Request: r.Request,
		IdempotencyKey: r.IdempotencyKey, BodyHash: r.BodyHash,
		Attempt: r.Attempt, Tries: r.Tries, Returned: r.Returned, Worker: r.Worker, CancelRequested: r.CancelRequested, RetryAt: stamp(r.RetryAt),
		Upstream: r.Upstream, Result: r.Result, Usage: r.Usage, FinishReason: r.FinishReason,
		CreatedAt: stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt), StartedAt: stamp(r.StartedAt),
		FirstTokenAt: stamp(r.FirstTokenAt), FinishedAt: stamp(r.FinishedAt),
		Deadline: stamp(r.Deadline), RetryOf: r.RetryOf, Unsaid: r.Unsaid, RequestID: r.RequestID,
		Endpoint: completion.Endpoint(r.Endpoint), Stored: r.Stored,
		Batch: r.Batch, Line: r.Line, CustomID: r.CustomID, Conversation: r.Conversation, Held: r.Held,
	}
	if err := decode(r.Metadata, &j.Metadata); err != nil {
		return completion.Job{}, fmt.Errorf("decode metadata of job %s: %w", r.ID, err)
	}
	if err := decode(r.Error, &j.Error); err != nil {
		return completion.Job{}, fmt.Errorf("decode error of job %s: %w", r.ID, err)
	}
	return j, nil
}

func jobs(rows []jobRow) ([]completion.Job, error) {
	list := make([]completion.Job, 0, len(rows))
	for i := range rows {
		j, err := rows[i].job()
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

// encode renders v as JSON, or as NULL if it says nothing.
func encode(v any, none bool) ([]byte, error) {
	if none {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// decode is encode's reverse; NULL leaves v as it is.
func decode(b []byte, v any) error {
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}

// nullText returns s for a column that is NULL when s is empty.
func nullText(s string) any {
	if s == "" {
		return nil
	}
	return text(s)
}

// nullBytes is nullText for bytes.
func nullBytes(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// nullTime is nullText for times.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}
