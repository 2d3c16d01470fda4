package conductor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/testkit"
)

// exact requires that each line of a batch of n lines, which ask for their numbers, was told once, and is in the files once,
// in order and with its own text.
func (b *bed) exact(ref completion.Ref, n int) {
	b.t.Helper()
	batch := b.ended(ref, completion.BatchCompleted)
	require.Equal(b.t, completion.Counts{Total: n, Completed: n}, batch.Counts)
	require.Equal(b.t, completion.BatchUsage{Input: int64(3 * n), Output: int64(2 * n), Cached: int64(n)}, batch.Usage)
	require.Empty(b.t, batch.Faults)
	told := b.told(ref)
	require.Len(b.t, told, n)
	rows := b.rows(ref.Tenant, batch.Output)
	require.Len(b.t, rows, n)
	for i, row := range rows {
		require.Equal(b.t, fmt.Sprintf("c%d", i+1), row.Get("custom_id").Str)
		require.Equal(b.t, fmt.Sprint(i+1), row.Get("response.body.choices.0.message.content").Str)
		require.JSONEq(b.t, row.Get("response").Raw, told[i+1].Get("response").Raw)
	}
	require.Equal(b.t, 1, b.outputs(ref.Tenant))
}

func TestConductor_Lines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	w := b.work(16)
	ref := b.submit(lines(200))
	b.exact(ref, 200)
	require.Equal(t, 200, w.once())

	records := b.records(ref)
	require.Equal(t, completion.EventStarted, records[0].Type)
	require.Equal(t, "validating", gjson.GetBytes(records[0].Data, "batch.status").Str)
	var states []string
	for i, r := range records {
		require.Equal(t, int64(i+1), r.Seq)
		require.Equal(t, 1, r.Attempt)
		if s := gjson.GetBytes(r.Data, "batch.status").Str; len(states) == 0 || states[len(states)-1] != s {
			states = append(states, s)
		}
	}
	require.Equal(t, []string{"validating", "in_progress", "finalizing", "completed"}, states)
	last := gjson.GetBytes(records[len(records)-1].Data, "batch")
	require.Equal(t, int64(200), last.Get("request_counts.completed").Int())
	batch := b.batch(ref)
	require.Equal(t, batch.Output, last.Get("output_file_id").Str)
	from := gjson.GetBytes(batch.Object(), "last_seq").Int()
	require.Positive(t, from)
	for _, r := range records[from:] {
		require.NotEqual(t, completion.EventLines, r.Type, "told after what the counts say")
	}
}

// TestConductor_Embedded is what the all-in-one has: SQLite, and Redis in the process.
func TestConductor_Embedded(t *testing.T) {
	t.Parallel()
	b := bedOn(t, testkit.Backend)
	b.conduct()
	b.conduct()
	w := b.work(16)
	ref := b.submit(lines(200))
	b.exact(ref, 200)
	require.Equal(t, 200, w.once())
}

func TestConductor_SomeFail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(8)
	ref := b.submit(request(1, "one") + request(2, "bad") + request(3, "three") + request(4, "bad too"))
	batch := b.ended(ref, completion.BatchCompleted)
	require.Equal(t, completion.Counts{Total: 4, Completed: 2, Failed: 2}, batch.Counts)
	output, faults := b.rows("acme", batch.Output), b.rows("acme", batch.Faults)
	require.Len(t, output, 2)
	require.Len(t, faults, 2)
	require.Equal(t, "c3", output[1].Get("custom_id").Str)
	require.Equal(t, "c2", faults[0].Get("custom_id").Str)
	require.Equal(t, int64(400), faults[0].Get("response.status_code").Int())
	require.Len(t, b.told(ref), 4)
}

func TestConductor_AllFail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(8)
	ref := b.submit(request(1, "bad"))
	batch := b.ended(ref, completion.BatchCompleted)
	require.Equal(t, completion.Counts{Total: 1, Failed: 1}, batch.Counts)
	require.Empty(t, batch.Output, "no file without a row")
	require.Len(t, b.rows("acme", batch.Faults), 1)
}

func TestConductor_Invalid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	model := strings.Replace(request(3, "x"), `"m"`, `"x-model"`, 1)
	ref := b.submit(request(1, "one") + "{\n" + model + request(1, "again"))
	batch := b.ended(ref, completion.BatchFailed)
	require.Equal(t, completion.Counts{Total: 4, Failed: 4}, batch.Counts)
	require.Len(t, batch.Errors, 3)
	rows := b.rows("acme", batch.Faults)
	require.Len(t, rows, 3)
	for i, number := range []int{2, 3, 4} {
		require.Equal(t, number, batch.Errors[i].Line)
		require.Equal(t, int64(number), rows[i].Get("error.line").Int())
		require.Equal(t, batch.Errors[i].Code, rows[i].Get("error.code").Str)
	}
	states, err := b.back.Store.CountLines(t.Context(), ref)
	require.NoError(t, err)
	require.Empty(t, states)
}

// Who may submit so many bytes at once may not put more of them in a line.
func TestConductor_TenantsBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.back.Store.SetLimits(t.Context(), "acme", completion.Limits{BodyBytes: 300}, time.Now()))
	require.NoError(t, b.back.Limit.Read(t.Context()))
	b.conduct()
	batch := b.ended(b.submit(request(1, "a")+request(2, strings.Repeat("a", 300))), completion.BatchFailed)
	require.Len(t, batch.Errors, 1)
	require.Equal(t, 2, batch.Errors[0].Line)
	require.Equal(t, "request_too_large", batch.Errors[0].Code)
	other := b.submit(request(1, strings.Repeat("a", 300)), func(c *completion.Batch) { c.Tenant = "other" })
	b.await(other, "in progress", func(c completion.Batch) bool { return c.State == completion.BatchInProgress })
}

func TestConductor_InvalidManyTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	n := completion.MaxBatchErrors + 500
	batch := b.ended(b.submit(strings.Repeat("{}\n", n)), completion.BatchFailed)
	require.Len(t, batch.Errors, completion.MaxBatchErrors)
	require.Len(t, b.rows("acme", batch.Faults), n)
}

func TestConductor_Empty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	batch := b.ended(b.submit(""), completion.BatchFailed)
	require.Len(t, batch.Errors, 1)
	require.Empty(t, batch.Faults)
	require.Zero(t, batch.Counts)
}

func TestConductor_LargeAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(4, func(w *worker) {
		w.outcome = func(_ context.Context, j completion.Job) completion.Outcome {
			o := answer(j)
			size := []int{1 << 10, 100 << 10, 400 << 10}[j.Line%3]
			o.Result = json.RawMessage(strings.Replace(string(o.Result), `"created":1`, `"created":1,"pad":"`+strings.Repeat("x", size)+`"`, 1))
			return o
		}
	})
	ref := b.submit(lines(30))
	batch := b.ended(ref, completion.BatchCompleted)
	told := b.told(ref)
	require.Len(t, told, 30)
	for i, row := range b.rows("acme", batch.Output) {
		require.Equal(t, fmt.Sprint(i+1), row.Get("response.body.choices.0.message.content").Str)
		require.Equal(t, (i+1)%3 == 2, told[i+1].Get("truncated").Bool(), i+1)
	}
}

func TestConductor_Cancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	w := b.work(4, slow(5*time.Millisecond))
	ref := b.submit(lines(800))
	b.await(ref, "begun", func(b completion.Batch) bool { return b.Counts.Completed > 20 })
	_, err := b.back.Store.CancelBatch(t.Context(), ref, time.Now())
	require.NoError(t, err)
	b.back.Bell.Batch(ref)
	batch := b.ended(ref, completion.BatchCancelled)
	require.Equal(t, 800, batch.Counts.Total)
	output, faults := b.rows("acme", batch.Output), b.rows("acme", batch.Faults)
	require.Len(t, output, batch.Counts.Completed)
	require.Len(t, faults, batch.Counts.Failed)
	require.GreaterOrEqual(t, w.once(), len(output))
	require.Less(t, len(output), 800)
	require.Equal(t, "c800", faults[len(faults)-1].Get("custom_id").Str)
	require.Equal(t, "batch_cancelled", faults[len(faults)-1].Get("error.code").Str)
	require.Len(t, b.told(ref), b.batch(ref).Checkpoint.Fed)
}

func TestConductor_CancelRunning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	asked := make(chan completion.Ref, 64)
	stop, err := b.back.Bell.OnCancel(func(ref completion.Ref) { asked <- ref })
	require.NoError(t, err)
	defer stop()
	begun := make(chan struct{}, 4)
	b.work(4, func(w *worker) {
		w.outcome = func(context.Context, completion.Job) completion.Outcome {
			begun <- struct{}{}
			<-asked
			return completion.Outcome{State: completion.Cancelled, At: time.Now(), Error: completion.NewError(completion.CodeCancelled, "")}
		}
	})
	ref := b.submit(lines(10))
	for range 4 {
		<-begun
	}
	_, err = b.back.Store.CancelBatch(t.Context(), ref, time.Now())
	require.NoError(t, err)
	b.back.Bell.Batch(ref)
	batch := b.ended(ref, completion.BatchCancelled)
	require.Equal(t, completion.Counts{Total: 10, Failed: 10}, batch.Counts)
	require.Empty(t, batch.Output)
}

func TestConductor_CancelBeforeItIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.submit(lines(10))
	_, err := b.back.Store.CancelBatch(t.Context(), ref, time.Now())
	require.NoError(t, err)
	b.conduct()
	batch := b.ended(ref, completion.BatchCancelled)
	require.Zero(t, batch.Counts)
	require.Empty(t, batch.Output+batch.Faults)
}

func TestConductor_Expires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(2, slow(5*time.Millisecond))
	ref := b.submit(lines(2000), func(b *completion.Batch) { b.Deadline = time.Now().Add(3 * time.Second) })
	batch := b.ended(ref, completion.BatchExpired)
	require.Equal(t, 2000, batch.Counts.Total)
	output, faults := b.rows("acme", batch.Output), b.rows("acme", batch.Faults)
	require.NotEmpty(t, output)
	require.Len(t, output, batch.Counts.Completed)
	require.Len(t, faults, batch.Counts.Failed)
	require.Equal(t, "batch_expired", faults[len(faults)-1].Get("error.code").Str)
}

func TestConductor_ExpiresBeforeItIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ref := b.submit(lines(10), func(b *completion.Batch) { b.Deadline = time.Now() })
	b.conduct()
	require.Zero(t, b.ended(ref, completion.BatchExpired).Counts)
}

func TestConductor_Pause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(4, slow(5*time.Millisecond))
	ref := b.submit(lines(800))
	b.await(ref, "begun", func(b completion.Batch) bool { return b.Counts.Completed > 50 })
	_, err := b.back.Store.PauseBatch(t.Context(), ref, true, time.Now())
	require.NoError(t, err)
	b.back.Bell.Batch(ref)
	still := b.await(ref, "what was fed has ended", func(b completion.Batch) bool { return b.Counts.Ended() == b.Checkpoint.Fed })
	require.Less(t, still.Checkpoint.Fed, 800)
	time.Sleep(500 * time.Millisecond) // in which nothing may happen
	require.Equal(t, still.Checkpoint.Fed, b.batch(ref).Checkpoint.Fed)
	require.Len(t, b.told(ref), still.Checkpoint.Fed, "what has ended is told")
	_, err = b.back.Store.PauseBatch(t.Context(), ref, false, time.Now())
	require.NoError(t, err)
	b.back.Bell.Batch(ref)
	b.exact(ref, 800)
}

func TestConductor_Deduplicate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	w := b.work(8)
	var text strings.Builder
	for i := range 600 {
		text.WriteString(request(i+1, fmt.Sprint(i%50)))
	}
	ref := b.submit(text.String(), func(b *completion.Batch) { b.Deduplicate = true })
	batch := b.ended(ref, completion.BatchCompleted)
	require.Equal(t, 50, w.once())
	require.Equal(t, completion.Counts{Total: 600, Completed: 600}, batch.Counts)
	require.Equal(t, int64(150), batch.Usage.Input, "a call costs once")
	require.Len(t, b.told(ref), 600)
	rows := b.rows("acme", batch.Output)
	require.Len(t, rows, 600)
	for i, row := range rows {
		require.Equal(t, fmt.Sprintf("c%d", i+1), row.Get("custom_id").Str)
		require.Equal(t, fmt.Sprint(i%50), row.Get("response.body.choices.0.message.content").Str)
	}
}

// A batch comes in with all of its lines, shared ones too, or with none.
func TestConductor_Quota(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limits := completion.Limits{CompletionsPerDay: 5, Completions: 100}
	require.NoError(t, b.back.Store.SetLimits(t.Context(), "acme", limits, time.Now()))
	require.NoError(t, b.back.Limit.Read(t.Context()))
	used := func() map[completion.Account]int {
		all, err := b.back.Store.Used(t.Context(), "acme", limits.Quota(""), time.Now())
		require.NoError(t, err)
		return all
	}
	b.conduct()
	b.work(4)
	refused := b.ended(b.submit(lines(6)), completion.BatchFailed)
	require.Equal(t, completion.Counts{}, refused.Counts)
	require.Len(t, refused.Errors, 1)
	require.Equal(t, string(completion.CodeDayQuota), refused.Errors[0].Code)
	require.Contains(t, refused.Errors[0].Message, "6 more completions")
	for _, n := range used() {
		require.Zero(t, n)
	}
	batch := b.ended(b.submit(request(1, "a")+request(2, "a")+request(3, "a")+request(4, "b"), func(c *completion.Batch) { c.Deduplicate = true }), completion.BatchCompleted)
	require.Equal(t, 4, batch.Counts.Completed)
	b.ended(b.submit(lines(2)), completion.BatchFailed)
	b.ended(b.submit(lines(1)), completion.BatchCompleted)
	require.Len(t, used(), 2)
	for a, n := range used() {
		require.Equal(t, 5, n, a)
	}
	b.ended(b.submit(lines(6), func(c *completion.Batch) { c.Tenant = "other" }), completion.BatchCompleted)
}
