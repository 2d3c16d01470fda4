package conductor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/api/internal/blob"
	"sluice/api/internal/conductor"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/queue"
	"sluice/shared/store"
	"sluice/shared/sweeper"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite runs more tests at once than there are processors: they wait for servers and leases more than they compute.
type suite struct{ *testing.M }

func (s suite) Run() int {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err) // it is one of package testing
	}
	return s.M.Run()
}

// bed is an installation of the test's own: a schema in PostgreSQL, a redis-server, NATS in the process, and files in a
// folder.
type bed struct {
	t     *testing.T
	back  *backend.Backend
	nats  *embedded.NATS
	files blob.Store
	log   *slog.Logger
}

func setup(t *testing.T) *bed {
	t.Helper()
	return bedOn(t, testkit.RealBackend)
}

func bedOn(t *testing.T, open func(testing.TB) (*backend.Backend, *embedded.NATS)) *bed {
	t.Helper()
	back, n := open(t)
	files, err := blob.New(blob.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	return &bed{t: t, back: back, nats: n, files: files, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// models knows every model but those that begin with x.
type models struct{}

func (models) Check(_ context.Context, model string) error {
	if strings.HasPrefix(model, "x") {
		return completion.NewError(completion.CodeModel, "There is no such model.")
	}
	return nil
}

func (models) Native(context.Context, string) bool { return false }

// setting is what a Conductor is made with.
type setting struct {
	conductor.Parts
	conductor.Config
}

// conduct runs a Conductor until stop.
func (b *bed) conduct(change ...func(*setting)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := b.conductUntil(ctx, change...)
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-done)
	})
	b.t.Cleanup(stop)
	return stop
}

// conductUntil runs a Conductor with short times until ctx ends.
func (b *bed) conductUntil(ctx context.Context, change ...func(*setting)) <-chan error {
	s := setting{Parts: conductor.Parts{
		Store: b.back.Store, Queue: b.back.Queue, Events: b.back.Log, Bell: b.back.Bell, Files: b.files, Models: models{},
		Limits: b.back.Limit, Log: b.log,
	}, Config: conductor.Config{Look: time.Second}}
	for _, c := range change {
		c(&s)
	}
	done := make(chan error, 1)
	go func() { done <- conductor.New(s.Parts, s.Config).Run(ctx) }()
	return done
}

// run runs something else until the test ends.
func (b *bed) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-done)
	})
	b.t.Cleanup(stop)
	return stop
}

// sweep runs a sweeper that loses no time.
func (b *bed) sweep() {
	cfg := sweeper.Config{Tick: 50 * time.Millisecond, Interval: 100 * time.Millisecond, Grace: 500 * time.Millisecond}
	b.run(sweeper.New(b.back.Store, b.back.Queue, b.back.Log, cfg, b.log).Run)
}

// worker is one with so many slots, that ends each line as it is told to.
type worker struct {
	*bed
	outcome func(ctx context.Context, j completion.Job) completion.Outcome
	mute    bool // it does not ring
	mu      sync.Mutex
	running map[string]bool // what it runs now
	ran     map[string]int  // how often a job was run
}

// slow lets each line take a while, so that there is time to strike in the middle of a batch.
func slow(pause time.Duration) func(*worker) {
	return func(w *worker) {
		w.outcome = func(_ context.Context, j completion.Job) completion.Outcome {
			time.Sleep(pause) // the upstream that the line would ask
			return answer(j)
		}
	}
}

func (b *bed) work(slots int, change ...func(*worker)) *worker {
	w := &worker{bed: b, running: map[string]bool{}, ran: map[string]int{}, outcome: func(_ context.Context, j completion.Job) completion.Outcome { return answer(j) }}
	for _, c := range change {
		c(w)
	}
	client, err := b.back.Redis(slots)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, client.Close()) })
	b.run(func(ctx context.Context) error {
		return queue.NewServer(client, queue.Config{
			Lane: completion.LaneBatch, Slots: slots, Handler: w.handle, MaxWait: 50 * time.Millisecond, Grace: time.Millisecond, Log: b.log,
			OnWake: func(wake func()) (func(), error) { return b.back.Bell.OnWake(completion.LaneBatch, wake) },
		}).Run(ctx)
	})
	return w
}

func (w *worker) handle(ctx context.Context, t completion.Task) error {
	if !w.begin(t.Ref.Job) {
		return &queue.Again{After: time.Millisecond}
	}
	defer w.end(t.Ref.Job)
	if err := w.back.Store.Beat(ctx, "worker", nil, time.Now()); err != nil {
		return err
	}
	j, err := w.back.Store.Claim(ctx, t.Ref, "worker", time.Now())
	switch {
	case errors.Is(err, completion.ErrFinal), errors.Is(err, completion.ErrHeld), errors.Is(err, completion.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	w.mu.Lock()
	w.ran[j.ID]++
	w.mu.Unlock()
	time.Sleep(rand.N(3 * time.Millisecond)) // so that lines end in another order than they began
	if _, err := w.back.Store.Finish(ctx, j.Ref(), j.Attempt, w.outcome(ctx, j)); err != nil {
		return err
	}
	if !w.mute {
		w.back.Bell.Batch(completion.Ref{Tenant: j.Tenant, Job: j.Batch}, j.Line)
	}
	return nil
}

// begin is false for a job that runs here already, as a task may be delivered twice after Redis was lost. The store would let
// it be claimed again: only the worker knows what it runs.
func (w *worker) begin(job string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[job] {
		return false
	}
	w.running[job] = true
	return true
}

func (w *worker) end(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, job)
}

// once is how many jobs were run, each of them once.
func (w *worker) once() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.ran {
		require.Equal(w.t, 1, n, id)
	}
	return len(w.ran)
}

// prompt is the text that a body asks about.
func prompt(body []byte) string { return gjson.GetBytes(body, "messages.0.content").Str }

// answer says what was asked, and costs 3 and 2 tokens; prompts that begin with "bad" are refused.
func answer(j completion.Job) completion.Outcome {
	text := prompt(j.Request)
	if strings.HasPrefix(text, "bad") {
		return completion.Outcome{State: completion.Failed, At: time.Now(), Error: completion.NewError(completion.CodeUpstreamRejected, "No.")}
	}
	result := fmt.Sprintf(`{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`, text)
	return completion.Outcome{
		State: completion.Completed, At: time.Now(), Result: json.RawMessage(result), FinishReason: "stop",
		Usage: json.RawMessage(`{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}`),
	}
}

// lines are n lines of a file; the i-th asks "i".
func lines(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(request(i+1, fmt.Sprint(i+1)))
	}
	return text.String()
}

func request(number int, text string) string {
	return fmt.Sprintf(`{"custom_id":"c%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":%q}]}}`+"\n", number, text)
}

// submit adds a batch over a file, and rings.
func (b *bed) submit(text string, change ...func(*completion.Batch)) completion.Ref {
	b.t.Helper()
	now := time.Now()
	batch := completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Window: "24h",
		Input: completion.NewFileID(), CreatedAt: now, UpdatedAt: now, Deadline: now.Add(24 * time.Hour),
	}
	for _, c := range change {
		c(&batch)
	}
	require.NoError(b.t, b.back.Store.AddFile(b.t.Context(), completion.File{
		ID: batch.Input, Tenant: batch.Tenant, Name: "in.jsonl", Purpose: completion.PurposeBatch, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}))
	size, err := b.files.Put(b.t.Context(), blob.Name(batch.Tenant, batch.Input), strings.NewReader(text))
	require.NoError(b.t, err)
	_, err = b.back.Store.ReadyFile(b.t.Context(), batch.Tenant, batch.Input, size)
	require.NoError(b.t, err)
	_, created, err := b.back.Store.AddBatch(b.t.Context(), batch)
	require.NoError(b.t, err)
	require.True(b.t, created)
	b.back.Bell.Batch(batch.Ref())
	return batch.Ref()
}

func (b *bed) batch(ref completion.Ref) completion.Batch {
	b.t.Helper()
	batch, err := b.back.Store.Batch(b.t.Context(), ref)
	require.NoError(b.t, err)
	return batch
}

// await waits until the batch is as it should be.
func (b *bed) await(ref completion.Ref, what string, is func(completion.Batch) bool) completion.Batch {
	b.t.Helper()
	var batch completion.Batch
	require.Eventually(b.t, func() bool {
		batch = b.batch(ref)
		return is(batch)
	}, 60*time.Second, 20*time.Millisecond, what)
	return batch
}

// ended waits for a state, and for the end of the log.
func (b *bed) ended(ref completion.Ref, state completion.BatchState) completion.Batch {
	b.t.Helper()
	batch := b.await(ref, "ended", func(b completion.Batch) bool { return b.State.Final() })
	require.Equal(b.t, state, batch.State)
	require.Equal(b.t, batch.Counts.Total, batch.Counts.Ended())
	follow, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	var last completion.Record
	for r, err := range b.back.Log.Follow(follow, ref, 0) {
		require.NoError(b.t, err)
		last = r
	}
	require.Equal(b.t, completion.EventType(state), last.Type, "the log ends")
	return batch
}

// records are what is in the batch's log.
func (b *bed) records(ref completion.Ref) []completion.Record {
	b.t.Helper()
	var all []completion.Record
	for r, err := range b.back.Log.Read(b.t.Context(), ref) {
		require.NoError(b.t, err)
		all = append(all, r)
	}
	return all
}

// told are the rows that the log tells, by line: none twice.
func (b *bed) told(ref completion.Ref) map[int]gjson.Result {
	b.t.Helper()
	rows := map[int]gjson.Result{}
	for _, r := range b.records(ref) {
		require.LessOrEqual(b.t, len(r.Data), completion.MaxEventBytes)
		for _, row := range gjson.GetBytes(r.Data, "lines").Array() {
			n := int(row.Get("line").Int())
			require.NotContains(b.t, rows, n, "told twice")
			rows[n] = row
		}
	}
	return rows
}

// rows are those of a file of the batch; none if it has no such file.
func (b *bed) rows(tenant, id string) []gjson.Result {
	b.t.Helper()
	if id == "" {
		return nil
	}
	meta, err := b.back.Store.File(b.t.Context(), tenant, id, time.Now())
	require.NoError(b.t, err)
	f, err := b.files.Open(b.t.Context(), blob.Name(tenant, id))
	require.NoError(b.t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	require.NoError(b.t, err)
	require.Len(b.t, text, int(meta.Bytes))
	require.NotEmpty(b.t, text)
	var rows []gjson.Result
	for row := range bytes.Lines(text) {
		require.True(b.t, json.Valid(row), "%s", row)
		rows = append(rows, gjson.ParseBytes(row))
	}
	return rows
}

// outputs are the visible files that the tenant's batches have written.
func (b *bed) outputs(tenant string) int {
	b.t.Helper()
	page, _, err := b.back.Store.ListFiles(b.t.Context(), tenant, store.FileQuery{Purpose: completion.PurposeBatchOutput}, time.Now())
	require.NoError(b.t, err)
	return len(page)
}
