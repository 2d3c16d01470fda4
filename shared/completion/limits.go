package completion

import (
	"errors"
	"fmt"
)

// Limits are a tenant's. Zero means no limit of its own.
type Limits struct {
	SubmitsPerSecond float64 `json:"submits_per_second,omitempty"` // as many may come at once as in one second
	Queued           int     `json:"queued,omitempty"`             // jobs that wait, in each lane
	Running          int     `json:"running,omitempty"`            // jobs that run, in each lane
	BodyBytes        int64   `json:"body_bytes,omitempty"`         // of a submission, and of the body of each line of a batch
	Streams          int     `json:"streams,omitempty"`            // open event streams over HTTP

	// Completions that are accepted: each turn, job, chat completion and response counts, and each line of a batch.
	CompletionsPerDay      int `json:"completions_per_day,omitempty"`       // in a day of UTC
	Completions            int `json:"completions,omitempty"`               // ever, from when the limit was set
	OwnerCompletionsPerDay int `json:"owner_completions_per_day,omitempty"` // in a day of UTC, of each owner of conversations
}

// EveryTenant is the name under which limits are kept for tenants that have none of their own.
const EveryTenant = "*"

// Validate reports all faults of l at once.
func (l Limits) Validate() error {
	var err error
	for name, n := range map[string]float64{
		"submits per second": l.SubmitsPerSecond, "queued": float64(l.Queued), "running": float64(l.Running),
		"body bytes": float64(l.BodyBytes), "streams": float64(l.Streams), "completions per day": float64(l.CompletionsPerDay),
		"completions": float64(l.Completions), "owner completions per day": float64(l.OwnerCompletionsPerDay),
	} {
		if !(n >= 0) { // NaN is not
			err = errors.Join(err, fmt.Errorf("%s %v: want 0 (no limit) or more", name, n))
		}
	}
	return err
}
