package batches_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/batches"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// vanishing is a store that loses each batch, as if it were old, when its lines are read.
type vanishing struct{ *store.Store }

func (v vanishing) LinesFrom(ctx context.Context, ref completion.Ref, after, upto, limit int) ([]completion.Job, error) {
	lease := store.Lease{Name: "prune", Holder: "test", TTL: time.Minute}
	if _, err := v.TakeLease(ctx, lease, time.Now(), true); err != nil {
		return nil, err
	}
	if _, err := v.Drop(ctx, lease, store.KindBatches, []string{ref.Job}, time.Now()); err != nil {
		return nil, err
	}
	old, err := v.Old(ctx, store.KindLines, time.Now(), time.Now(), limit)
	if err != nil {
		return nil, err
	}
	for _, o := range old[1:] {
		if _, err := v.Drop(ctx, lease, store.KindLines, []string{o.Job}, time.Now()); err != nil {
			return nil, err
		}
	}
	return v.Store.LinesFrom(ctx, ref, after, upto, limit)
}

// A batch that is pruned while its lines are read is not taken for one whose lines have no answers.
func TestPruned_InTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t, func(p *batches.Parts) { p.Store = vanishing{p.Store.(*store.Store)} })
	ref := b.create(inputs(4), "")
	b.run(ref, completion.BatchExpired, 4, done, done, failed, done)
	b.refused(http.StatusNotFound, http.MethodPost, "/v1/batches/"+ref.Job+"/retry", "")
	list, _, err := b.back.Store.ListBatches(t.Context(), "acme", store.BatchQuery{})
	require.NoError(t, err)
	require.Empty(t, list)

	ref = b.create(inputs(4), "")
	b.run(ref, completion.BatchInProgress, 4, done, done, done, done)
	batch, err := b.back.Store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.NoError(t, b.back.Store.MoveBatch(t.Context(), &batch, completion.BatchFinalizing, time.Now()))
	require.NoError(t, b.back.Store.MoveBatch(t.Context(), &batch, completion.BatchCompleted, time.Now()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/batches/"+ref.Job+"/results", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if _, err = io.Copy(io.Discard, resp.Body); resp.StatusCode == http.StatusNotFound {
			return // Go's client asks again by itself where a connection broke that was used before
		}
	}
	require.Error(t, err, "it does not seem to be all")
}
