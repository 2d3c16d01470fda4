package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/api/internal/meter"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// counted is a store that tells how many lines of batches it has taken as jobs, and how many have ended.
type counted struct {
	*store.Store
	accepted func(lane completion.Lane, e completion.Endpoint, n int)
	meter    *meter.Meter

	mu    sync.Mutex
	known map[completion.Ref]completion.Counts // as they are stored, of the batches that this process looks after
}

func (c *counted) FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error {
	err := c.Store.FeedBatch(ctx, b, jobs)
	if err == nil && len(jobs) > 0 {
		c.accepted(jobs[0].Lane, jobs[0].Endpoint, len(jobs))
	}
	return err
}

// TakeBatches begins to count the lines of the batches that were taken: from there on others' writes are refused.
func (c *counted) TakeBatches(ctx context.Context, holder string, ttl time.Duration, limit int, at time.Time) ([]completion.Batch, error) {
	list, err := c.Store.TakeBatches(ctx, holder, ttl, limit, at)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range list {
		c.known[list[i].Ref()] = list[i].Counts
	}
	return list, err
}

func (c *counted) SaveBatch(ctx context.Context, b *completion.Batch) error {
	counts := b.Counts
	err := c.Store.SaveBatch(ctx, b)
	c.count(b, counts, err)
	return err
}

func (c *counted) MoveBatch(ctx context.Context, b *completion.Batch, to completion.BatchState, at time.Time) error {
	counts := b.Counts
	err := c.Store.MoveBatch(ctx, b, to, at)
	c.count(b, counts, err)
	return err
}

// count takes account of counts that were to be stored, and forgets a batch that is no longer this process' to look after.
func (c *counted) count(b *completion.Batch, counts completion.Counts, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, mine := c.known[b.Ref()]
	if err == nil && mine {
		c.meter.Lines(before, counts)
		c.known[b.Ref()] = counts
	}
	if err == nil && b.State.Final() || errors.Is(err, completion.ErrStale) || errors.Is(err, completion.ErrFinal) {
		delete(c.known, b.Ref())
	}
}

// observed is a store that tells what became of deliveries and which files it drops.
type observed struct {
	*store.Store
	meter *meter.Meter
}

func (o observed) EndDelivery(ctx context.Context, d completion.Delivery) error {
	err := o.Store.EndDelivery(ctx, d)
	if err == nil {
		o.meter.Delivered(d)
	}
	return err
}

func (o observed) DropFile(ctx context.Context, tenant, id string) error {
	err := o.Store.DropFile(ctx, tenant, id)
	if err == nil {
		o.meter.Pruned(meter.Files, 1)
	}
	return err
}
