package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func newBatch(change ...func(*completion.Batch)) completion.Batch {
	at := now()
	b := completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Window: "24h",
		CreatedAt: at, UpdatedAt: at, Deadline: at.Add(24 * time.Hour),
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

// begin adds a batch, and its input if it names none.
func begin(t *testing.T, s *store.Store, change ...func(*completion.Batch)) completion.Batch {
	t.Helper()
	b := newBatch(change...)
	if b.Input == "" {
		b.Input = upload(t, s, func(f *completion.File) { f.Tenant = b.Tenant }).ID
	}
	stored, created, err := s.AddBatch(t.Context(), b)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, b, stored)
	return stored
}

// take makes the test the batch's holder, and leaves other batches alone.
func take(t *testing.T, s *store.Store, b completion.Batch) completion.Batch {
	t.Helper()
	list, err := s.TakeBatches(t.Context(), "me", time.Minute, 100, now())
	require.NoError(t, err)
	for _, got := range list {
		if got.ID == b.ID {
			return got
		}
	}
	require.Failf(t, "not taken", "%s is not among %d", b.ID, len(list))
	return b
}

// running is a taken batch that is in progress.
func running(t *testing.T, s *store.Store, change ...func(*completion.Batch)) completion.Batch {
	t.Helper()
	b := take(t, s, begin(t, s, change...))
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchInProgress, now()))
	return b
}

func batch(t *testing.T, s *store.Store, b completion.Batch) completion.Batch {
	t.Helper()
	stored, err := s.Batch(t.Context(), b.Ref())
	require.NoError(t, err)
	return stored
}

func requireCode(t *testing.T, err error, code completion.Code) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
}

func batchRoundTrip(t *testing.T, s *store.Store) {
	want := begin(t, s, func(b *completion.Batch) {
		b.Endpoint, b.Window, b.OutputAge, b.RequestID = completion.EndpointEmbeddings, "1h", time.Hour, "req_1"
		b.Metadata, b.Deduplicate = map[string]string{"a": "\x00é"}, true
		b.IdempotencyKey, b.BodyHash = "k", "h"
	})
	require.Equal(t, want, batch(t, s, want))
	_, err := s.Batch(t.Context(), completion.Ref{Tenant: "other", Job: want.ID})
	require.ErrorIs(t, err, completion.ErrNotFound, "I8")
}

func batchSameKey(t *testing.T, s *store.Store) {
	f := upload(t, s)
	keyed := func(hash string) func(*completion.Batch) {
		return func(b *completion.Batch) { b.IdempotencyKey, b.BodyHash, b.Input = "k", hash, f.ID }
	}
	first := take(t, s, begin(t, s, keyed("h1")))
	require.NoError(t, s.MoveBatch(t.Context(), &first, completion.BatchFailed, now()))
	_, err := s.DeleteFile(t.Context(), "acme", f.ID, now())
	require.NoError(t, err)
	got, created, err := s.AddBatch(t.Context(), newBatch(keyed("h1")))
	require.NoError(t, err, "its input is not asked for any more")
	require.False(t, created)
	require.Equal(t, batch(t, s, first), got)
	_, _, err = s.AddBatch(t.Context(), newBatch(keyed("h2")))
	require.ErrorIs(t, err, completion.ErrConflict)
	begin(t, s, func(b *completion.Batch) { b.Tenant, b.IdempotencyKey, b.BodyHash = "other", "k", "h2" })
}

func batchRetryOf(t *testing.T, s *store.Store) {
	again := func(b *completion.Batch) { b.RetryOf = "batch_0" }
	first := begin(t, s, again)
	other := newBatch(again, func(b *completion.Batch) { b.Input, b.BodyHash = first.Input, "another" })
	got, created, err := s.AddBatch(t.Context(), other)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first, got)
	other.IdempotencyKey = "k"
	_, _, err = s.AddBatch(t.Context(), other)
	require.Error(t, err)
}

func batchManyAtOnce(t *testing.T, s *store.Store) {
	f := upload(t, s)
	var made atomic.Int32
	var wg sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			b, created, err := s.AddBatch(t.Context(), newBatch(func(b *completion.Batch) { b.Input, b.IdempotencyKey = f.ID, "k" }))
			if err != nil {
				t.Errorf("add: %v", err)
			}
			if created {
				made.Add(1)
			}
			ids[i] = b.ID
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

// batchInput: a batch needs a file that its tenant can read and that is meant for it.
func batchInput(t *testing.T, s *store.Store) {
	at := now()
	deleted := upload(t, s)
	_, err := s.DeleteFile(t.Context(), "acme", deleted.ID, at)
	require.NoError(t, err)
	unready := completion.NewFileID()
	require.NoError(t, s.AddFile(t.Context(), completion.File{ID: unready, Tenant: "acme", Purpose: completion.PurposeBatch, CreatedAt: at}))
	for name, id := range map[string]string{
		"Missing": "file-0", "Deleted": deleted.ID, "Unready": unready,
		"Expired": upload(t, s, func(f *completion.File) { f.ExpiresAt = at }).ID,
		"Others":  upload(t, s, func(f *completion.File) { f.Tenant = "other" }).ID,
		"Purpose": upload(t, s, func(f *completion.File) { f.Purpose = completion.PurposeBatchOutput }).ID,
	} {
		b := newBatch(func(b *completion.Batch) { b.Input = id })
		_, _, err := s.AddBatch(t.Context(), b)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Batch(t.Context(), b.Ref())
		require.ErrorIs(t, err, completion.ErrNotFound, name)
	}
}

func batchList(t *testing.T, s *store.Store) {
	var ids []string
	for _, id := range []string{"batch_1", "batch_2", "batch_3"} {
		ids = append(ids, running(t, s, func(b *completion.Batch) { b.ID = id }).ID)
	}
	begin(t, s, func(b *completion.Batch) { b.Tenant = "other" })
	page, more, err := s.ListBatches(t.Context(), "acme", store.BatchQuery{Limit: 2})
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, page, 2)
	require.Equal(t, []string{ids[2], ids[1]}, []string{page[0].ID, page[1].ID})
	page, more, err = s.ListBatches(t.Context(), "acme", store.BatchQuery{After: ids[1]})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, page, 1)
	require.Equal(t, ids[0], page[0].ID)
}

func batchCancel(t *testing.T, s *store.Store) {
	b, at := running(t, s), now()
	_, err := s.CancelBatch(t.Context(), completion.Ref{Tenant: "other", Job: b.ID}, at)
	require.ErrorIs(t, err, completion.ErrNotFound, "I8")
	_, err = s.PauseBatch(t.Context(), b.Ref(), true, at)
	require.NoError(t, err)
	got, err := s.CancelBatch(t.Context(), b.Ref(), at)
	require.NoError(t, err)
	require.Equal(t, completion.BatchCancelling, got.State)
	require.Equal(t, at, got.CancellingAt)
	require.False(t, got.Paused)
	require.Equal(t, got, batch(t, s, b))
	again, err := s.CancelBatch(t.Context(), b.Ref(), at.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, got, again)
	ended := take(t, s, begin(t, s))
	require.NoError(t, s.MoveBatch(t.Context(), &ended, completion.BatchFailed, at))
	got, err = s.CancelBatch(t.Context(), ended.Ref(), at)
	require.NoError(t, err)
	require.Equal(t, completion.BatchFailed, got.State)
}

func batchPause(t *testing.T, s *store.Store) {
	b, at := begin(t, s), now()
	for _, paused := range []bool{true, true, false, true} {
		got, err := s.PauseBatch(t.Context(), b.Ref(), paused, at)
		require.NoError(t, err)
		require.Equal(t, paused, got.Paused)
		require.Equal(t, got, batch(t, s, b))
	}
	b = take(t, s, b)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchInProgress, at))
	require.True(t, batch(t, s, b).Paused, "it stays so")
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchFinalizing, at))
	require.False(t, b.Paused)
	_, err := s.PauseBatch(t.Context(), b.Ref(), true, at)
	requireCode(t, err, completion.CodeBatchOver)
	_, err = s.PauseBatch(t.Context(), completion.Ref{Tenant: "other", Job: b.ID}, true, at)
	require.ErrorIs(t, err, completion.ErrNotFound, "I8")
}
