package eventlog

import (
	"time"

	"sluice/shared/completion"
)

// Ending is how what a log tells of has ended: a job, or a batch of them.
type Ending struct {
	Ref   completion.Ref
	Began time.Time        // when the job or batch was made
	Final completion.Event // closes the log; without a type: it has not ended
	Quiet bool             // its log is not begun only to be closed: it is told of elsewhere

	restate func() []completion.Event // what is said again before the end; nil: nothing
}

// Ended reports whether there is an end.
func (e *Ending) Ended() bool { return e.Final.Type.Final() }

// JobEnding is how a job ended. A line of a batch is told of on the batch's subject.
func JobEnding(job completion.Job) Ending {
	e := Ending{Ref: job.Ref(), Began: job.CreatedAt, Quiet: job.Quiet()}
	if job.State.Final() {
		e.Final = job.FinalEvent()
	}
	if job.Unsaid {
		e.restate = func() []completion.Event { return restated(job) }
	}
	return e
}

// BatchEnding is how a batch ended.
func BatchEnding(b completion.Batch) Ending {
	e := Ending{Ref: b.Ref(), Began: b.CreatedAt}
	if b.State.Final() {
		e.Final = b.FinalEvent()
	}
	return e
}
