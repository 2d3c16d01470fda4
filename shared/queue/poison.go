package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"sluice/shared/completion"
)

// Poison is a task that could not be read. It is archived when it is first delivered, and never delivered again.
type Poison struct {
	ID  string    // the task's id: "<tenant>:<job>" if it was ours
	At  time.Time // when it was archived
	Why string
}

// maxPoison is how many poisonous tasks are listed.
const maxPoison = 100

// Poison lists up to 100 of the lane's archived tasks, the latest first.
func (c *Client) Poison(ctx context.Context, lane completion.Lane) ([]Poison, error) {
	known, err := c.rc.SIsMember(ctx, "asynq:queues", string(lane)).Result()
	if err != nil {
		return nil, unavailable("look for lane "+string(lane), err)
	}
	if !known { // nothing was ever enqueued
		return nil, nil
	}
	tasks, err := asynq.NewInspectorFromRedisClient(c.rc).ListArchivedTasks(string(lane), asynq.PageSize(maxPoison))
	if err != nil {
		return nil, unavailable("list archived tasks", fmt.Errorf("lane %s: %w", lane, err))
	}
	list := make([]Poison, len(tasks))
	for i, t := range tasks {
		list[i] = Poison{ID: t.ID, At: t.LastFailedAt, Why: t.LastErr}
	}
	return list, nil
}
