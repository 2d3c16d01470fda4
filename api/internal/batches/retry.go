package batches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"sluice/api/internal/access"
	"sluice/api/internal/blob"
	"sluice/api/internal/line"
	"sluice/api/internal/row"
	"sluice/shared/completion"
)

func (f *Face) retry(ctx context.Context, in *idInput) (*output, error) {
	if err := f.Limits.Submit(ctx, access.Of(ctx).Tenant); err != nil {
		return nil, f.answer(ctx, err)
	}
	old, err := f.find(ctx, in.ID)
	if err == nil && (!old.State.Final() || old.State == completion.BatchFailed || old.Counts.Failed == 0) {
		err = completion.NewError(completion.CodeBatchNotOver, "")
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	b := newBatch(ctx, old.Tenant)
	b.Endpoint, b.Window, b.OutputAge, b.Metadata, b.Deduplicate = old.Endpoint, old.Window, old.OutputAge, old.Metadata, old.Deduplicate
	b.Input, b.RetryOf, b.Deadline = completion.NewFileID(), old.ID, b.CreatedAt.Add(old.Deadline.Sub(old.CreatedAt))
	stored, created, err := f.Store.AddBatch(ctx, b) // it may be there already
	if errors.Is(err, completion.ErrNotFound) {
		stored, created, err = f.again(ctx, &old, b)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	if created {
		f.Bell.Batch(stored.Ref())
	}
	return made(&stored, created), nil
}

// again adds b, which is old's, with its input.
func (f *Face) again(ctx context.Context, old *completion.Batch, b completion.Batch) (stored completion.Batch, created bool, err error) {
	if err := f.rest(ctx, old, &b); err != nil {
		return completion.Batch{}, false, err
	}
	stored, created, err = f.Store.AddBatch(ctx, b)
	if !created { // somebody was faster
		err = errors.Join(err, f.drop(ctx, &b))
	}
	return stored, created, err
}

// rest writes b's input: the lines of old's without an answer, in their order.
func (f *Face) rest(ctx context.Context, old, b *completion.Batch) error {
	in, err := f.Blobs.Open(ctx, blob.Name(old.Tenant, old.Input))
	if errors.Is(err, fs.ErrNotExist) {
		return completion.NewError(completion.CodeBatchNotOver, "The batch cannot be tried again: its input file is gone.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("open input of batch %s: %w", old.ID, err)
	}
	defer in.Close()
	answered, err := f.answered(ctx, old)
	if err == nil {
		_, err = f.Store.Batch(ctx, old.Ref()) // if it was pruned meanwhile, answers may have been missing
	}
	if err != nil {
		return err
	}
	now := time.Now()
	file := completion.File{
		ID: b.Input, Tenant: b.Tenant, Name: "retry_of_" + old.ID + ".jsonl", Purpose: completion.PurposeBatch, CreatedAt: now, ExpiresAt: now.Add(completion.BatchFileAge),
	}
	if err := f.Store.AddFile(ctx, file); err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(copyRest(w, in, old, answered))
	}()
	size, err := f.Blobs.Put(ctx, blob.Name(b.Tenant, b.Input), r)
	_ = r.CloseWithError(io.ErrClosedPipe) // a Put that failed has not read to the end
	<-written
	if err == nil {
		_, err = f.Store.ReadyFile(ctx, b.Tenant, b.Input, size)
	}
	if err != nil {
		return errors.Join(err, f.drop(ctx, b))
	}
	return nil
}

// answered are the lines of a batch that have an answer.
func (f *Face) answered(ctx context.Context, b *completion.Batch) (completion.LineSet, error) {
	var set completion.LineSet
	for r, err := range (row.Source{Jobs: f.Store, Files: f.Blobs}).Sofar(ctx, b, 0) {
		if err != nil {
			return nil, err
		}
		if r.Answered {
			set.Add(r.Line)
		}
	}
	return set, nil
}

// copyRest copies the lines that are not in the set.
func copyRest(to io.Writer, from io.Reader, b *completion.Batch, but completion.LineSet) error {
	out := bufio.NewWriter(to)
	for l, err := range line.Read(from, line.Position{}, b.Endpoint) {
		if err == nil && !but.Has(l.Number) {
			_, err = out.Write(append(l.Request(b.Endpoint), '\n'))
		}
		if err != nil {
			return fmt.Errorf("copy line %d of batch %s: %w", l.Number, b.ID, err)
		}
	}
	return out.Flush()
}

// drop takes back an input that is nobody's. What is left of it when that fails goes by and by.
func (f *Face) drop(ctx context.Context, b *completion.Batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropLimit)
	defer cancel()
	if err := f.Blobs.Delete(ctx, blob.Name(b.Tenant, b.Input)); err != nil {
		return fmt.Errorf("drop file %s: %w", b.Input, err)
	}
	return f.Store.DropFile(ctx, b.Tenant, b.Input)
}

const dropLimit = 10 * time.Second
