package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sluice/shared/completion"
)

// System is the whole installation at one moment.
type System struct {
	Version    string           `json:"version"` // of the process that answered
	At         time.Time        `json:"at"`
	QueueReady bool             `json:"queue_ready"` // false: Redis is away, and what it knows is nil
	Lanes      []SystemLane     `json:"lanes"`       // interactive, then batch
	Rates      SystemSpans      `json:"rates"`       // of both lanes
	Upstreams  []SystemUpstream `json:"upstreams"`   // by name, as the live workers see them
	Workers    []SystemWorker   `json:"workers"`     // the one heard of last first
}

// SystemLane is one lane of all workers.
type SystemLane struct {
	Lane    completion.Lane `json:"lane"`
	Slots   int             `json:"slots"` // of live workers that take jobs
	Running int             `json:"running"`
	Queue   *SystemQueue    `json:"queue,omitempty"` // nil while Redis is away
	Rates   SystemSpans     `json:"rates"`
}

// SystemQueue is what waits in one lane, in jobs.
type SystemQueue struct {
	Waiting    int64    `json:"waiting"`
	Oldest     *float64 `json:"oldest_waiting_seconds"` // how long the one has waited that has waited longest; nil: none
	Active     int64    `json:"active"`                 // those that workers have taken, dead ones too
	Retrying   int64    `json:"retrying"`
	Scheduled  int64    `json:"scheduled"`
	Unreadable int64    `json:"unreadable"`
}

// SystemSpans are rates over two times.
type SystemSpans struct {
	Minute  SystemRates `json:"last_minute"`
	Quarter SystemRates `json:"last_15_minutes"`
}

// SystemRates are what jobs came to in some time.
type SystemRates struct {
	Accepted     *int64           `json:"accepted"` // nil while Redis is away
	Completed    int64            `json:"completed"`
	Failed       int64            `json:"failed"`
	Cancelled    int64            `json:"cancelled"`
	Expired      int64            `json:"expired"`
	Retried      int64            `json:"retried"` // attempts that another follows
	OutputTokens int64            `json:"output_tokens"`
	PerSecond    float64          `json:"output_tokens_per_second"`
	FirstDelta   SystemFirstDelta `json:"first_delta"`
}

// SystemFirstDelta is how long it took from submit to the first delta, to a tenth.
type SystemFirstDelta struct {
	Count int64    `json:"count"`
	P50   *float64 `json:"p50_seconds"` // nil: no job had one
	P95   *float64 `json:"p95_seconds"`
}

// SystemWorker is one worker process.
type SystemWorker struct {
	ID        string                 `json:"id"`
	Host      string                 `json:"host"`
	Version   string                 `json:"version"`
	StartedAt time.Time              `json:"started_at,omitzero"` // zero: it does not say
	SeenAt    time.Time              `json:"seen_at"`
	Alive     bool                   `json:"alive"`
	Draining  bool                   `json:"draining"` // it was told to stop, and lets its jobs finish
	Lanes     []SystemWorkerLane     `json:"lanes"`    // those that it has slots for
	Upstreams []SystemWorkerUpstream `json:"upstreams"`
}

// SystemWorkerLane is one lane of a worker.
type SystemWorkerLane struct {
	Lane     completion.Lane `json:"lane"`
	Slots    int             `json:"slots"`
	Running  int             `json:"running"`
	Throttle *SystemThrottle `json:"throttle,omitempty"` // nil: no upstream slows it down
}

// SystemThrottle is how an upstream's rate limit slows a lane of a worker down.
type SystemThrottle struct {
	Limit   int       `json:"limit"`          // jobs that may ask the upstream at once
	Waiting int       `json:"waiting"`        // jobs that have a slot and wait for their turn
	Until   time.Time `json:"until,omitzero"` // none asks before; zero: it has passed
}

// SystemWorkerUpstream is an upstream as one worker sees it, in the last minute.
type SystemWorkerUpstream struct {
	Name    string                    `json:"name"`
	State   completion.UpstreamState  `json:"state"`
	Running int                       `json:"running"`
	Calls   int64                     `json:"calls"` // that ended
	Errors  map[completion.Code]int64 `json:"errors"`
}

// SystemUpstream is an upstream as all live workers see it, in the last minute.
type SystemUpstream struct {
	Name    string                    `json:"name"`
	State   string                    `json:"state"` // ok, degraded (it fails for some workers), failing, idle
	Workers int                       `json:"workers"`
	Running int                       `json:"running"` // calls under way
	Calls   int64                     `json:"calls"`   // that ended
	Errors  map[completion.Code]int64 `json:"errors"`  // of these, those that failed
}

// System reads how the whole installation does. It needs a key with the scope system.
func (c *Client) System(ctx context.Context) (System, error) {
	var s System
	err := c.call(ctx, http.MethodGet, "/v1/system", nil, nil, &s)
	return s, err
}

// Failure is a job of any tenant that has failed or expired, without what it was asked or answered.
type Failure struct {
	Tenant     string              `json:"tenant"`
	ID         string              `json:"id"`
	State      completion.State    `json:"state"`
	Lane       completion.Lane     `json:"lane"`
	Endpoint   completion.Endpoint `json:"endpoint"`
	Model      string              `json:"model"`
	Upstream   string              `json:"upstream,omitempty"` // the one that was asked last; empty: none
	Attempt    int                 `json:"attempt"`
	Error      FailureReason       `json:"error"`
	CreatedAt  time.Time           `json:"created_at"`
	FinishedAt time.Time           `json:"finished_at"`
	Turn       bool                `json:"turn,omitempty"` // of a conversation
	Retry      string              `json:"retry,omitempty"`
}

// FailureReason is why a job failed.
type FailureReason struct {
	Code           completion.Code `json:"code"`
	Message        string          `json:"message"`
	UpstreamStatus int             `json:"upstream_status,omitempty"` // 0: the upstream did not answer
}

// Failures reads the latest failures, the newest first; lines of batches are not among them. A limit of 0 is the server's
// default, 20; 100 is the most. It needs a key with the scope system.
func (c *Client) Failures(ctx context.Context, limit int) ([]Failure, error) {
	path := "/v1/system/failures"
	if limit > 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	var page struct {
		Data []Failure `json:"data"`
	}
	err := c.call(ctx, http.MethodGet, path, nil, nil, &page)
	return page.Data, err
}
