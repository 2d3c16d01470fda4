package sweeper

import (
	"context"
	"time"

	"sluice/shared/completion"
)

// announceLimit bounds how long a sweep waits for the log and the queue to take note of jobs that have expired.
const announceLimit = 2 * time.Second

// expire ends the queued jobs whose deadline has passed, and tells their viewers.
func (s *Sweeper) expire(ctx context.Context) {
	for {
		jobs, err := s.store.Expire(ctx, time.Now(), pageSize)
		s.storeSide.note(ctx, err)
		if len(jobs) == 0 {
			return
		}
		s.log.Info("jobs waited too long and expired", "jobs", len(jobs))
		s.announce(ctx, jobs)
		if len(jobs) < pageSize {
			return
		}
	}
}

// announce closes the logs of jobs that have ended, and takes their tasks out of the queue. What does not work now is
// made up for: by the first viewer who asks, and by the worker that takes the task.
func (s *Sweeper) announce(ctx context.Context, jobs []completion.Job) {
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	for _, job := range jobs {
		err := s.seals.Seal(ctx, job)
		if err == nil {
			err = s.queue.Forget(ctx, job.Task())
		}
		if err != nil && ctx.Err() != nil {
			s.log.Warn("end of expired jobs not announced yet", "error", err)
			return
		}
	}
}
