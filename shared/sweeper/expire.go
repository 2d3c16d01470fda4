package sweeper

import (
	"context"
	"time"

	"sluice/shared/completion"
	"sluice/shared/salvage"
)

// announceLimit bounds how long a sweep waits for the log and the queue to take note of jobs that have expired.
const announceLimit = 2 * time.Second

// expire ends the queued jobs whose deadline has passed, and tells their viewers.
func (s *Sweeper) expire(ctx context.Context) {
	for {
		now := time.Now()
		jobs, err := s.store.Expire(ctx, now, pageSize)
		s.storeSide.note(ctx, now, err)
		if len(jobs) == 0 {
			return
		}
		s.cfg.Found(Expired, len(jobs))
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
		err := s.events.Seal(ctx, job)
		if err == nil {
			err = s.queue.Forget(ctx, job.Task())
		}
		if err != nil && ctx.Err() != nil {
			s.log.Warn("end of expired jobs not announced yet", "error", err)
			return
		}
	}
}

// end ends those of the dead workers' jobs that shall not run again, and returns the others.
func (s *Sweeper) end(ctx context.Context, jobs []completion.Job) (others []completion.Job) {
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	for _, job := range jobs {
		if !job.CancelRequested && !job.Overdue(time.Now()) {
			others = append(others, job)
			continue
		}
		ended, err := salvage.End(ctx, s.store, s.events, job.Ref())
		switch {
		case err != nil:
			s.log.Warn("job of a dead worker not ended yet", "tenant", job.Tenant, "job_id", job.ID, "error", err)
			others = append(others, job)
		case ended.State.Final():
			s.cfg.Found(Ended, 1)
			s.log.Info("job of a dead worker ended", "tenant", job.Tenant, "job_id", job.ID, "state", ended.State)
		default:
			others = append(others, job)
		}
	}
	return others
}
