package system

import (
	"time"

	"sluice/shared/completion"
)

// Overview is the installation at one moment.
type Overview struct {
	Object     string         `json:"object" enum:"system"`
	Version    string         `json:"version" doc:"Of the process that answers."`
	At         time.Time      `json:"at"`
	QueueReady bool           `json:"queue_ready" doc:"false: Redis did not answer, and what it knows is left out or null."`
	Lanes      []LaneOverview `json:"lanes" doc:"Interactive, then batch."`
	Rates      Spans          `json:"rates" doc:"Of both lanes."`
	Upstreams  []Upstream     `json:"upstreams" doc:"By name, as the live workers see them."`
	Workers    []Worker       `json:"workers" doc:"The one heard of last first. One that died is listed for an hour, one that stopped is not."`
}

// LaneOverview is one lane of all workers.
type LaneOverview struct {
	Lane    completion.Lane `json:"lane" enum:"interactive,batch"`
	Slots   int             `json:"slots" doc:"Of live workers that take jobs."`
	Running int             `json:"running" doc:"Jobs that have a slot of a live worker."`
	Queue   *LaneQueue      `json:"queue,omitempty" doc:"What waits; left out while Redis is away."`
	Rates   Spans           `json:"rates"`
}

// LaneQueue is what waits in one lane.
type LaneQueue struct {
	Waiting    int64    `json:"waiting" doc:"Jobs that are due and wait for a slot, or for their tenant to run less."`
	Oldest     *float64 `json:"oldest_waiting_seconds" nullable:"true" doc:"How long the one has waited that has waited longest; null if none waits that says so."`
	Active     int64    `json:"active" doc:"Jobs that workers have taken, dead ones too."`
	Retrying   int64    `json:"retrying" doc:"Jobs that were handed back and wait for their time."`
	Scheduled  int64    `json:"scheduled" doc:"Jobs that were put in for a later time."`
	Unreadable int64    `json:"unreadable" doc:"Tasks that cannot be read, kept to be looked at."`
}

// Spans are rates over two times.
type Spans struct {
	Minute  Rates `json:"last_minute"`
	Quarter Rates `json:"last_15_minutes"`
}

// Rates are what jobs came to in some time, as the workers that are alive have seen it.
type Rates struct {
	Accepted     *int64     `json:"accepted" nullable:"true" doc:"Jobs, lines of batches too; null while Redis is away."`
	Completed    int64      `json:"completed"`
	Failed       int64      `json:"failed"`
	Cancelled    int64      `json:"cancelled" doc:"While they ran."`
	Expired      int64      `json:"expired" doc:"While they ran."`
	Retried      int64      `json:"retried" doc:"Attempts that another follows."`
	OutputTokens int64      `json:"output_tokens" doc:"Of the jobs that ended."`
	PerSecond    float64    `json:"output_tokens_per_second"`
	FirstDelta   FirstDelta `json:"first_delta"`
}

// FirstDelta is how long it took from submit to the first delta of the attempt that was the last, to a tenth.
type FirstDelta struct {
	Count int64    `json:"count"`
	P50   *float64 `json:"p50_seconds" nullable:"true"`
	P95   *float64 `json:"p95_seconds" nullable:"true"`
}

// Worker is one worker process.
type Worker struct {
	ID        string           `json:"id"`
	Host      string           `json:"host"`
	Version   string           `json:"version"`
	StartedAt *time.Time       `json:"started_at" nullable:"true"`
	SeenAt    time.Time        `json:"seen_at"`
	Alive     bool             `json:"alive" doc:"It was heard of within SLUICE_WORKER_TTL."`
	Draining  bool             `json:"draining" doc:"It was told to stop, and lets its jobs finish."`
	Lanes     []WorkerLane     `json:"lanes" doc:"Those that it has slots for; none of a worker too old to say."`
	Upstreams []WorkerUpstream `json:"upstreams"`
}

// WorkerLane is one lane of a worker.
type WorkerLane struct {
	Lane     completion.Lane `json:"lane" enum:"interactive,batch"`
	Slots    int             `json:"slots"`
	Running  int             `json:"running"`
	Throttle *Throttle       `json:"throttle,omitempty" doc:"How an upstream's rate limit slows the lane down; left out while none does."`
}

// Throttle is how an upstream's rate limit slows a lane of a worker down.
type Throttle struct {
	Limit   int        `json:"limit" doc:"Jobs that may ask the upstream at once."`
	Waiting int        `json:"waiting" doc:"Jobs that have a slot and wait for their turn."`
	Until   *time.Time `json:"until" nullable:"true" doc:"None asks before; null if that has passed."`
}

// WorkerUpstream is an upstream as one worker sees it, in the last minute.
type WorkerUpstream struct {
	Name    string                    `json:"name"`
	State   completion.UpstreamState  `json:"state" enum:"ok,failing,idle" doc:"failing: the latest three calls have failed, and not for the request's sake; idle: there was no call."`
	Running int                       `json:"running" doc:"Calls under way."`
	Calls   int64                     `json:"calls" doc:"Calls that ended."`
	Errors  map[completion.Code]int64 `json:"errors" doc:"Of these, those that failed, by code."`
}

// Upstream is an upstream as all live workers see it, in the last minute.
type Upstream struct {
	Name    string                    `json:"name"`
	State   string                    `json:"state" enum:"ok,degraded,failing,idle" doc:"degraded: it fails for some workers and not for others."`
	Workers int                       `json:"workers"`
	Running int                       `json:"running"`
	Calls   int64                     `json:"calls"`
	Errors  map[completion.Code]int64 `json:"errors"`
}

// FailedJob is a job that has failed or expired. What it was asked and what the upstream said of that is its tenant's.
type FailedJob struct {
	Object     string              `json:"object" enum:"failure"`
	Tenant     string              `json:"tenant"`
	ID         string              `json:"id"`
	State      completion.State    `json:"state" enum:"failed,expired"`
	Lane       completion.Lane     `json:"lane" enum:"interactive,batch"`
	Endpoint   completion.Endpoint `json:"endpoint"`
	Model      string              `json:"model"`
	Upstream   string              `json:"upstream,omitempty" doc:"The name of the one that was asked last."`
	Attempt    int                 `json:"attempt" doc:"The latest attempt's number."`
	Error      Reason              `json:"error"`
	CreatedAt  time.Time           `json:"created_at"`
	FinishedAt time.Time           `json:"finished_at"`
	Turn       bool                `json:"turn,omitempty" doc:"It is a turn of a conversation, where it is tried again."`
	Retry      *string             `json:"retry" nullable:"true" doc:"The job that tries it again."`
}

// Reason is why a job failed, in our words.
type Reason struct {
	Code           completion.Code `json:"code"`
	Message        string          `json:"message" doc:"What the code means."`
	UpstreamStatus int             `json:"upstream_status,omitempty" doc:"HTTP status of the upstream, if it answered."`
}

// FailedJobs is the latest failures, in the shape of OpenAI's lists.
type FailedJobs struct {
	Object string      `json:"object" enum:"list"`
	Data   []FailedJob `json:"data"`
}

// FailedJobRetry is the job that tries a failed one again.
type FailedJobRetry struct {
	Object   string           `json:"object" enum:"system.retry"`
	Tenant   string           `json:"tenant"`
	ID       string           `json:"id"`
	State    completion.State `json:"state" enum:"queued,running,completed,failed,cancelled,expired"`
	Lane     completion.Lane  `json:"lane" enum:"interactive,batch"`
	RetryOf  string           `json:"retry_of"`
	Replayed bool             `json:"replayed" doc:"There was one already."`
}
