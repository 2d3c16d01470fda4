package completion

import "time"

// Worker is a worker process as the store knows it.
type Worker struct {
	ID     string
	SeenAt time.Time     // it last said that it lives
	Alive  bool          // it has said so of late
	Status *WorkerStatus // what it said of itself then; nil: nothing
}

// WorkerStatus is what a worker says of itself whenever it says that it lives.
type WorkerStatus struct {
	Host      string           `json:"host"`
	Version   string           `json:"version"`
	StartedAt time.Time        `json:"started_at"`
	Draining  bool             `json:"draining,omitempty"` // it takes no more jobs, and lets those that run finish
	Lanes     []LaneStatus     `json:"lanes"`              // those that it has slots for
	Upstreams []UpstreamStatus `json:"upstreams"`
}

// MaxWorkerStatus is the most bytes of a WorkerStatus as JSON that are kept.
const MaxWorkerStatus = 16 << 10

// LaneStatus is one lane of a worker.
type LaneStatus struct {
	Lane     Lane      `json:"lane"`
	Slots    int       `json:"slots"`
	Running  int       `json:"running"`
	Throttle *Throttle `json:"throttle,omitempty"` // nil: nothing slows it down
	Minute   Yield     `json:"minute"`             // what it did in the last minute
	Quarter  Yield     `json:"quarter"`            // what it did in the last 15 minutes
}

// Throttle is how an upstream that refused calls for their rate slows a lane down.
type Throttle struct {
	Limit   int       `json:"limit"`          // jobs that may run at once, fewer than there are slots
	Waiting int       `json:"waiting"`        // jobs that have a slot and wait
	Until   time.Time `json:"until,omitzero"` // nothing begins before; zero: it has passed
}

// Yield is what jobs came to in some time.
type Yield struct {
	Completed    int64  `json:"completed,omitempty"`
	Failed       int64  `json:"failed,omitempty"`
	Cancelled    int64  `json:"cancelled,omitempty"`
	Expired      int64  `json:"expired,omitempty"`
	Retried      int64  `json:"retried,omitempty"`       // attempts that another follows
	OutputTokens int64  `json:"output_tokens,omitempty"` // of the jobs that ended
	FirstDelta   Spread `json:"first_delta,omitempty"`   // times from submit to the first delta of the last attempt
}

// Add adds what o has.
func (y *Yield) Add(o Yield) {
	y.Completed += o.Completed
	y.Failed += o.Failed
	y.Cancelled += o.Cancelled
	y.Expired += o.Expired
	y.Retried += o.Retried
	y.OutputTokens += o.OutputTokens
	y.FirstDelta.Merge(o.FirstDelta)
}

// UpstreamState is how an upstream does, as far as a worker has seen.
type UpstreamState string

// The states of an upstream.
const (
	UpstreamOK      UpstreamState = "ok"
	UpstreamFailing UpstreamState = "failing" // the latest calls have all failed
	UpstreamIdle    UpstreamState = "idle"    // no call in the last minute, so nobody knows
)

// UpstreamStatus is one upstream of a worker.
type UpstreamStatus struct {
	Name    string         `json:"name"`
	State   UpstreamState  `json:"state"`
	Running int            `json:"running"`          // calls under way
	Calls   int64          `json:"calls"`            // that ended in the last minute
	Errors  map[Code]int64 `json:"errors,omitempty"` // of these, those that failed, by code
}
