package line

import (
	"time"

	"sluice/shared/completion"
)

// Job is the job that runs a line which has passed its checks: what the synchronous endpoint would make of the body, but for
// the batch's lane, deadline and names, and that the OpenAI endpoints do not show it, whatever the body says of store. Its
// RequestID goes to the upstream, and into the line's answer.
func Job(b *completion.Batch, l *Line, at time.Time) completion.Job {
	id := b.LineJobID(l.Number)
	return completion.Job{
		ID: id, Tenant: b.Tenant, Lane: completion.LaneBatch, State: completion.Queued, Endpoint: b.Endpoint,
		Request: l.Body, Model: l.Model, Metadata: l.Metadata, Deadline: b.Deadline,
		Batch: b.ID, Line: l.Number, CustomID: l.CustomID, RequestID: requestID(id), CreatedAt: at, UpdatedAt: at,
	}
}

// requestID is that of a line's job.
func requestID(job string) string { return completion.Alias("req_", job) }

// rowID is the id of the line of the output that a job is told in.
func rowID(job string) string { return completion.Alias("batch_req_", job) }
