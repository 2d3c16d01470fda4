package batches_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/api/internal/access"
	"sluice/api/internal/batches"
	"sluice/api/internal/blob"
	"sluice/api/internal/follow"
	"sluice/api/internal/intake"
	"sluice/api/internal/line"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// bed is the face over embedded servers, for the tenant acme, without a conductor: the tests bring batches to their ends.
type bed struct {
	t     *testing.T
	back  *backend.Backend
	blobs blob.Store
	url   string
	rings chan completion.Ref
}

func setup(t *testing.T, change ...func(*batches.Parts)) *bed {
	t.Helper()
	back, _ := testkit.Backend(t)
	blobs, err := blob.New(blob.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	guard := access.New(back.Store, "acme", log)
	in := intake.New(intake.Parts{Store: back.Store, Queue: back.Queue, Log: back.Log, Bell: back.Bell, Limits: back.Limit, Logger: log})
	p := batches.Parts{
		Intake: in, Store: back.Store, Blobs: blobs, Bell: back.Bell, Limits: back.Limit, Logger: log, Write: time.Minute,
		Follow: follow.New(follow.Parts{
			Log: back.Log, Limits: back.Limit, Guard: guard, Logger: log, Heartbeat: time.Minute, Write: time.Minute, Stopping: t.Context(),
		}),
	}
	for _, f := range change {
		f(&p)
	}
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("batches", "0"))
	api.UseMiddleware(guard.Middleware)
	batches.Register(api, p)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b := &bed{t: t, back: back, blobs: blobs, url: server.URL, rings: make(chan completion.Ref, 64)}
	stop, err := back.Bell.OnBatch(func(ref completion.Ref, _ []int) { b.rings <- ref })
	require.NoError(t, err)
	t.Cleanup(stop)
	return b
}

// do asks the face.
func (b *bed) do(method, path, body string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	require.NoError(b.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp, string(text)
}

// refused asks for what is answered with an error, and returns that.
func (b *bed) refused(status int, method, path, body string, headers ...string) gjson.Result {
	b.t.Helper()
	resp, text := b.do(method, path, body, headers...)
	require.Equal(b.t, status, resp.StatusCode, text)
	require.NotEmpty(b.t, gjson.Get(text, "error.message").Str)
	return gjson.Get(text, "error")
}

// upload is a file with that content.
func (b *bed) upload(purpose completion.Purpose, content string) string {
	b.t.Helper()
	f := completion.File{ID: completion.NewFileID(), Tenant: "acme", Name: "in.jsonl", Purpose: purpose, CreatedAt: time.Now()}
	require.NoError(b.t, b.back.Store.AddFile(b.t.Context(), f))
	size, err := b.blobs.Put(b.t.Context(), blob.Name("acme", f.ID), strings.NewReader(content))
	require.NoError(b.t, err)
	_, err = b.back.Store.ReadyFile(b.t.Context(), "acme", f.ID, size)
	require.NoError(b.t, err)
	return f.ID
}

func (b *bed) content(file string) string {
	b.t.Helper()
	f, err := b.blobs.Open(b.t.Context(), blob.Name("acme", file))
	require.NoError(b.t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	require.NoError(b.t, err)
	return string(text)
}

// input is a line of a file of chat completions.
func input(id, text string) string {
	return `{"custom_id":"` + id + `","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"` + text + `"}]}}` + "\n"
}

// inputs are lines a, b, c … with a text of their own.
func inputs(n int) string {
	all := ""
	for i := range n {
		all += input(string(rune('a'+i)), fmt.Sprint(i))
	}
	return all
}

// create makes a batch of a new file.
func (b *bed) create(content, more string) completion.Ref {
	b.t.Helper()
	resp, text := b.do(http.MethodPost, "/v1/batches", `{"input_file_id":"`+b.upload(completion.PurposeBatch, content)+
		`","endpoint":"/v1/chat/completions","completion_window":"24h"`+more+`}`)
	require.Equal(b.t, http.StatusOK, resp.StatusCode, text)
	return completion.Ref{Tenant: "acme", Job: gjson.Get(text, "id").Str}
}

// run brings the lines of a batch to the states, as far as they go, and the batch to a state.
func (b *bed) run(ref completion.Ref, to completion.BatchState, total int, states ...completion.State) completion.Batch {
	b.t.Helper()
	ctx, now := b.t.Context(), time.Now()
	_, err := b.back.Store.TakeBatches(ctx, "w", time.Minute, 100, now)
	require.NoError(b.t, err)
	batch, err := b.back.Store.Batch(ctx, ref)
	require.NoError(b.t, err)
	batch.Counts.Total = total
	move := func(to completion.BatchState) { require.NoError(b.t, b.back.Store.MoveBatch(ctx, &batch, to, now)) }
	if to == completion.BatchFailed {
		batch.Errors = []completion.LineError{{Code: line.CodeEmpty, Message: "The file is empty."}}
		move(to)
		return batch
	}
	move(completion.BatchInProgress)
	b.feed(&batch, states)
	for _, s := range states {
		if s == completion.Completed {
			batch.Counts.Completed++
		}
	}
	if to.Final() {
		batch.Counts.Failed = total - batch.Counts.Completed
	}
	switch to {
	case completion.BatchCompleted:
		move(completion.BatchFinalizing)
		move(to)
	case completion.BatchCancelled:
		_, err := b.back.Store.CancelBatch(ctx, ref, now)
		require.NoError(b.t, err)
		move(to)
	case completion.BatchExpired:
		move(to)
	}
	return batch
}

// feed makes jobs of as many lines as there are states, save for twins, and brings them there.
func (b *bed) feed(batch *completion.Batch, states []completion.State) {
	b.t.Helper()
	ctx, now := b.t.Context(), time.Now()
	var twins line.Twins
	var jobs []completion.Job
	for l, err := range line.Read(strings.NewReader(b.content(batch.Input)), line.Position{}, batch.Endpoint) {
		require.NoError(b.t, err)
		if l.Number > len(states) {
			break
		}
		if !batch.Deduplicate || twins.Original(&l) == l.Number {
			jobs = append(jobs, line.Job(batch, &l, now))
		}
		batch.Checkpoint.Fed, batch.Checkpoint.Offset = l.Number, l.Next
	}
	require.NoError(b.t, b.back.Store.FeedBatch(ctx, batch, jobs))
	for _, j := range jobs {
		state := states[j.Line-1]
		if state == completion.Queued {
			continue
		}
		claimed, err := b.back.Store.Claim(ctx, j.Ref(), "w", now)
		require.NoError(b.t, err)
		o := completion.Outcome{State: state, At: now, Result: fmt.Appendf(nil, `{"choices":[{"message":{"content":"to %s"}}]}`, j.CustomID)}
		if state != completion.Completed {
			o.Error = completion.NewError(completion.CodeUpstream, "")
		}
		_, err = b.back.Store.Finish(ctx, j.Ref(), claimed.Attempt, o)
		require.NoError(b.t, err)
	}
}

// ring is the next one.
func (b *bed) ring() completion.Ref {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	select {
	case ref := <-b.rings:
		return ref
	case <-ctx.Done():
		b.t.Fatal("nobody has rung")
		return completion.Ref{}
	}
}
