package batches_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api/internal/batches"
	"sluice/api/internal/blob"
	"sluice/shared/completion"
)

// said is what results say, as LINE:CUSTOM_ID:STATUS or error code.
func said(body string) string {
	var all []string
	for _, row := range gjson.Parse("[" + strings.ReplaceAll(strings.TrimSpace(body), "\n", ",") + "]").Array() {
		what := row.Get("response.status_code").Raw
		if what == "" {
			what = row.Get("error.code").Str
		}
		all = append(all, row.Get("line").Raw+":"+row.Get("custom_id").Str+":"+what)
	}
	return strings.Join(all, " ")
}

const (
	done   = completion.Completed
	failed = completion.Failed
	queued = completion.Queued
)

func TestResults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(6), "")
	_, body := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results", "")
	require.Empty(t, body)
	b.run(ref, completion.BatchInProgress, 6, done, queued, failed, done)
	resp, body := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results", "")
	require.Equal(t, "application/jsonl", resp.Header.Get("Content-Type"))
	require.Equal(t, "1:a:200 3:c:502 4:d:200", said(body))
	require.Equal(t, "to a", gjson.Get(body, "response.body.choices.0.message.content").Str)
	require.Equal(t, 3, strings.Count(body, "\n"))
	_, body = b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results?after=1", "")
	require.Equal(t, "3:c:502 4:d:200", said(body))
	for _, after := range []string{"-1", "x", "1000001"} {
		b.refused(http.StatusBadRequest, http.MethodGet, "/v1/batches/"+ref.Job+"/results?after="+after, "")
	}
}

func TestResults_Unrun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for state, code := range map[completion.BatchState]string{completion.BatchExpired: "batch_expired", completion.BatchCancelled: "batch_cancelled"} {
		ref := b.create(inputs(4), "")
		batch := b.run(ref, state, 4, done, failed)
		_, body := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results?after=1", "")
		require.Equal(t, "2:b:502 3:c:"+code+" 4:d:"+code, said(body))
		_, err := b.back.Store.DeleteFile(t.Context(), "acme", batch.Input, batch.EndedAt)
		require.NoError(t, err)
		_, body = b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results?after=1", "")
		require.Equal(t, "2:b:502", said(body), "nobody knows the others any more")
	}
}

func TestResults_Twins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(input("a", "x")+input("b", "y")+input("c", "x")+input("d", "y"), `,"deduplicate":true`)
	b.run(ref, completion.BatchInProgress, 4, done, queued, done, queued)
	_, body := b.do(http.MethodGet, "/v1/batches/"+ref.Job+"/results", "")
	require.Equal(t, "1:a:200 3:c:200", said(body))
	require.Equal(t, 2, strings.Count(body, "to a"))
}

// failing is blob storage that breaks while it is read.
type failing struct{ blob.Store }

func (f failing) Open(ctx context.Context, name string) (blob.Blob, error) {
	b, err := f.Store.Open(ctx, name)
	return &brokenBlob{Blob: b}, err
}

type brokenBlob struct {
	blob.Blob
	read int
}

func (b *brokenBlob) Read(p []byte) (int, error) {
	if b.read > 400_000 {
		return 0, errors.New("the disk is gone")
	}
	n, err := b.Blob.Read(p[:min(len(p), 10_000)])
	b.read += n
	return n, err
}

// Half of the results are not taken for all of them.
func TestResults_Break(t *testing.T) {
	t.Parallel()
	b := setup(t, func(p *batches.Parts) { p.Blobs = failing{p.Blobs.(blob.Store)} })
	ref := b.create(inputs(3)+strings.Repeat(input("x", strings.Repeat("x", 5000)), 100), `,"deduplicate":true`)
	b.run(ref, completion.BatchExpired, 103, done, done, done)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/batches/"+ref.Job+"/results", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(5), `,"metadata":{"k":"v"},"output_expires_after":{"anchor":"created_at","seconds":7200}`)
	require.Equal(t, ref, b.ring())
	old := b.run(ref, completion.BatchExpired, 5, done, failed, done)
	resp, body := b.do(http.MethodPost, "/v1/batches/"+ref.Job+"/retry", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	again := completion.Ref{Tenant: "acme", Job: gjson.Get(body, "id").Str}
	require.Equal(t, again, b.ring())
	got, err := b.back.Store.Batch(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, ref.Job, got.RetryOf)
	require.Equal(t, completion.BatchValidating, got.State)
	require.Equal(t, []any{old.Endpoint, old.Window, old.Metadata, old.OutputAge, old.Deduplicate}, []any{got.Endpoint, got.Window, got.Metadata, got.OutputAge, got.Deduplicate})
	require.Equal(t, old.Deadline.Sub(old.CreatedAt), got.Deadline.Sub(got.CreatedAt))
	require.Equal(t, input("b", "1")+input("d", "3")+input("e", "4"), b.content(got.Input))
	file, err := b.back.Store.File(t.Context(), "acme", got.Input, got.CreatedAt)
	require.NoError(t, err)
	require.Equal(t, completion.PurposeBatch, file.Purpose)
	require.EqualValues(t, len(b.content(got.Input)), file.Bytes)

	resp, second := b.do(http.MethodPost, "/v1/batches/"+ref.Job+"/retry", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
	require.JSONEq(t, body, second)
}

// Many who ask at once get one batch, and nothing else stays behind.
func TestRetry_AtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(inputs(2), "")
	b.run(ref, completion.BatchCompleted, 2, done, failed)
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			resp, err := http.Post(b.url+"/v1/batches/"+ref.Job+"/retry", "", nil)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			ids[i] = gjson.GetBytes(text, "id").Str
		})
	}
	all.Wait()
	require.NotEmpty(t, ids[0])
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	made, err := b.back.Store.Batch(t.Context(), completion.Ref{Tenant: "acme", Job: ids[0]})
	require.NoError(t, err)
	require.Equal(t, input("b", "1"), b.content(made.Input))
}

func TestRetry_Twins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.create(input("a", "x")+input("b", "y")+input("c", "x")+input("d", "y"), `,"deduplicate":true`)
	b.run(ref, completion.BatchCompleted, 4, done, failed, done, failed)
	_, body := b.do(http.MethodPost, "/v1/batches/"+ref.Job+"/retry", "")
	require.Equal(t, input("b", "y")+input("d", "y"), b.content(gjson.Get(body, "input_file_id").Str))
}

func TestRetry_Refuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	live, invalid, fine, lost := b.create(inputs(1), ""), b.create("", ""), b.create(inputs(1), ""), b.create(inputs(1), "")
	b.run(invalid, completion.BatchFailed, 0)
	b.run(fine, completion.BatchCompleted, 1, done)
	gone := b.run(lost, completion.BatchCompleted, 1, failed)
	require.NoError(t, b.blobs.Delete(t.Context(), blob.Name("acme", gone.Input)))
	for _, ref := range []completion.Ref{live, invalid, fine, lost} {
		require.Equal(t, "batch_not_retryable", b.refused(http.StatusConflict, http.MethodPost, "/v1/batches/"+ref.Job+"/retry", "").Get("code").Str)
	}
}

// full is blob storage without room.
type full struct{ blob.Store }

func (full) Put(_ context.Context, _ string, r io.Reader) (int64, error) {
	_, _ = r.Read(make([]byte, 10))
	return 0, errors.New("no room")
}

// A retry that cannot be written leaves nothing behind.
func TestRetry_NoRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, func(p *batches.Parts) { p.Blobs = full{p.Blobs.(blob.Store)} })
	ref := b.create(input("a", strings.Repeat("x", 10_000))+input("b", "1"), "")
	b.run(ref, completion.BatchCompleted, 2, failed, failed)
	resp, err := http.Post(b.url+"/v1/batches/"+ref.Job+"/retry", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	doomed, err := b.back.Store.DoomedFiles(t.Context(), time.Now().Add(3*time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, doomed)
	_, body := b.do(http.MethodGet, "/v1/batches", "")
	require.Len(t, gjson.Get(body, "data").Array(), 1)
}
