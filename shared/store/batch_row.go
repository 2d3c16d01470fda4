package store

import (
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// batchRow is a batch in the table.
type batchRow struct {
	bun.BaseModel `bun:"table:batch,alias:batch"`

	ID             string    `bun:"id,pk"`
	Tenant         string    `bun:"tenant"`
	State          string    `bun:"state"`
	Endpoint       string    `bun:"endpoint"`
	Model          string    `bun:"model"`
	Input          string    `bun:"input"`
	Output         string    `bun:"output"`
	Faults         string    `bun:"faults"`
	Window         string    `bun:"completion_window"`
	OutputAge      int64     `bun:"output_age"` // seconds
	Metadata       []byte    `bun:"metadata,nullzero"`
	Deduplicate    bool      `bun:"deduplicate"`
	Paused         bool      `bun:"paused"`
	RetryOf        string    `bun:"retry_of,nullzero"`
	RequestID      string    `bun:"request_id,nullzero"`
	IdempotencyKey string    `bun:"idempotency_key,nullzero"`
	BodyHash       string    `bun:"body_hash,nullzero"`
	Errors         []byte    `bun:"errors,nullzero"`
	Counts         []byte    `bun:"counts,nullzero"`
	Usage          []byte    `bun:"usage,nullzero"`
	Fed            int       `bun:"fed"`
	Offset         int64     `bun:"input_offset"`
	Told           []byte    `bun:"told,nullzero"`
	ToldSeq        int64     `bun:"told_seq"`
	Epoch          int       `bun:"epoch"`
	Holder         string    `bun:"holder"`
	HeldUntil      time.Time `bun:"held_until,nullzero"`
	CreatedAt      time.Time `bun:"created_at"`
	UpdatedAt      time.Time `bun:"updated_at"`
	Deadline       time.Time `bun:"deadline"`
	InProgressAt   time.Time `bun:"in_progress_at,nullzero"`
	FinalizingAt   time.Time `bun:"finalizing_at,nullzero"`
	CancellingAt   time.Time `bun:"cancelling_at,nullzero"`
	EndedAt        time.Time `bun:"ended_at,nullzero"`
}

// lightBatch are the columns that say where a batch stands and whose it is.
var lightBatch = []string{"id", "tenant", "state", "paused", "counts", "fed", "epoch", "holder", "held_until", "created_at", "updated_at", "deadline"}

func newBatchRow(b *completion.Batch) (*batchRow, error) {
	row := &batchRow{
		ID: text(b.ID), Tenant: text(b.Tenant), State: text(b.State), Endpoint: text(b.Endpoint), Model: text(b.Model),
		Input: text(b.Input), Output: text(b.Output), Faults: text(b.Faults), Window: text(b.Window),
		OutputAge: int64(b.OutputAge / time.Second), Deduplicate: b.Deduplicate, Paused: b.Paused, RetryOf: text(b.RetryOf),
		RequestID: text(b.RequestID), IdempotencyKey: text(b.IdempotencyKey), BodyHash: text(b.BodyHash),
		Fed: b.Checkpoint.Fed, Offset: b.Checkpoint.Offset, Told: b.Checkpoint.Told, ToldSeq: b.Checkpoint.Seq,
		Epoch: b.Epoch, Holder: text(b.Holder), HeldUntil: stamp(b.HeldUntil),
		CreatedAt: stamp(b.CreatedAt), UpdatedAt: stamp(b.UpdatedAt), Deadline: stamp(b.Deadline), InProgressAt: stamp(b.InProgressAt),
		FinalizingAt: stamp(b.FinalizingAt), CancellingAt: stamp(b.CancellingAt), EndedAt: stamp(b.EndedAt),
	}
	for _, part := range []struct {
		column *[]byte
		value  any
		none   bool
	}{
		{&row.Metadata, b.Metadata, len(b.Metadata) == 0},
		{&row.Errors, b.Errors, len(b.Errors) == 0},
		{&row.Counts, b.Counts, b.Counts == completion.Counts{}},
		{&row.Usage, b.Usage, b.Usage == completion.BatchUsage{}},
	} {
		encoded, err := encode(part.value, part.none)
		if err != nil {
			return nil, err
		}
		*part.column = encoded
	}
	return row, nil
}

func (r *batchRow) batch() (completion.Batch, error) {
	b := completion.Batch{
		ID: r.ID, Tenant: r.Tenant, State: completion.BatchState(r.State), Endpoint: completion.Endpoint(r.Endpoint), Model: r.Model,
		Input: r.Input, Output: r.Output, Faults: r.Faults, Window: r.Window,
		OutputAge: time.Duration(r.OutputAge) * time.Second, Deduplicate: r.Deduplicate, Paused: r.Paused, RetryOf: r.RetryOf,
		RequestID: r.RequestID, IdempotencyKey: r.IdempotencyKey, BodyHash: r.BodyHash,
		Checkpoint: completion.Checkpoint{Fed: r.Fed, Offset: r.Offset, Told: r.Told, Seq: r.ToldSeq},
		Epoch:      r.Epoch, Holder: r.Holder, HeldUntil: stamp(r.HeldUntil),
		CreatedAt: stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt), Deadline: stamp(r.Deadline), InProgressAt: stamp(r.InProgressAt),
		FinalizingAt: stamp(r.FinalizingAt), CancellingAt: stamp(r.CancellingAt), EndedAt: stamp(r.EndedAt),
	}
	for column, part := range map[string]struct {
		encoded []byte
		value   any
	}{
		"metadata": {r.Metadata, &b.Metadata}, "errors": {r.Errors, &b.Errors}, "counts": {r.Counts, &b.Counts}, "usage": {r.Usage, &b.Usage},
	} {
		if err := decode(part.encoded, part.value); err != nil {
			return completion.Batch{}, fmt.Errorf("decode %s of batch %s: %w", column, r.ID, err)
		}
	}
	return b, nil
}

func batches(rows []batchRow) ([]completion.Batch, error) {
	list := make([]completion.Batch, 0, len(rows))
	for i := range rows {
		b, err := rows[i].batch()
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}
