package files

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"sluice/api/internal/blob"
	"sluice/shared/completion"
)

// Doomed is what the Janitor needs of the store.
type Doomed interface {
	DoomedFiles(ctx context.Context, at time.Time, limit int) ([]completion.File, error)
	DropFile(ctx context.Context, tenant, id string) error
}

// Janitor removes the content of files that were deleted, have expired, or whose upload has not ended, and then their rows.
// Any number of processes may run one: removing twice is no error.
type Janitor struct {
	store   Doomed
	blobs   blob.Store
	log     *slog.Logger
	failing bool // the latest round failed
}

const (
	interval  = time.Minute // between two rounds, with a jitter of a quarter
	pageSize  = 100         // files that are looked up at once
	dropLimit = time.Minute // for the content of one file
)

// NewJanitor returns a Janitor.
func NewJanitor(s Doomed, b blob.Store, log *slog.Logger) *Janitor {
	return &Janitor{store: s, blobs: b, log: log.With("part", "janitor")}
}

// Run removes until ctx ends and then returns nil. Outages are waited for and logged, once when they begin and once when
// they end.
func (j *Janitor) Run(ctx context.Context) error {
	for {
		err := j.round(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !j.failing:
			j.log.Warn("content of files that are gone is not removed yet", "error", err)
		case err == nil && j.failing:
			j.log.Info("content of files that are gone is removed again")
		}
		j.failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(interval*3/4 + rand.N(interval/2)):
		}
	}
}

// round removes all that is to go. One file that cannot be removed does not keep the others, as long as each page brings the
// round on.
func (j *Janitor) round(ctx context.Context) error {
	for {
		page, err := j.store.DoomedFiles(ctx, time.Now(), pageSize)
		if err != nil {
			return err
		}
		var failed error
		dropped := 0
		for _, f := range page {
			if err := j.drop(ctx, f); err != nil {
				failed = err
				continue
			}
			dropped++
		}
		if len(page) < pageSize || dropped == 0 {
			return failed
		}
	}
}

// drop removes the content first: without its row nobody would know of it.
func (j *Janitor) drop(ctx context.Context, f completion.File) error {
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	if err := j.blobs.Delete(ctx, blob.Name(f.Tenant, f.ID)); err != nil {
		return err
	}
	return j.store.DropFile(ctx, f.Tenant, f.ID)
}
