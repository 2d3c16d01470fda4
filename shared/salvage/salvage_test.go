package salvage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/salvage"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, nc *nats.Conn, opts eventlog.Options) *eventlog.Log {
	t.Helper()
	log, err := eventlog.New(nc, opts)
	require.NoError(t, err)
	require.NoError(t, log.Ensure(t.Context()))
	return log
}

func setup(t *testing.T, opts eventlog.Options) *eventlog.Log {
	t.Helper()
	return open(t, testkit.Conn(t, testkit.NATS(t)), opts)
}

// lost is a running job whose attempt 1 was lost; attempt 2 ends it.
func lost(ref completion.Ref) completion.Job {
	return completion.Job{
		ID: ref.Job, Tenant: ref.Tenant, State: completion.Running, Attempt: 2,
		Request: json.RawMessage(`{"model":"m","messages":[{"role":"user","content":"hello"}]}`),
	}
}

// cancelled is lost, and was to be cancelled.
func cancelled(ref completion.Ref) completion.Job {
	job := lost(ref)
	job.CancelRequested = true
	return job
}

// chunks are a delta of the attempt with raw chunks.
func chunks(attempt int, raw ...string) completion.Event {
	e := completion.Event{Type: completion.EventDelta, Attempt: attempt, At: time.Now()}
	for _, r := range raw {
		e.Chunks = append(e.Chunks, json.RawMessage(r))
	}
	return e
}

func says(text string) string {
	return `{"choices":[{"index":0,"delta":{"content":"` + text + `"}}]}`
}

const (
	finish = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usage  = `{"usage":{"prompt_tokens":1.50,"completion_tokens":2,"total_tokens":3}}`
)

// verdict decides as a worker does that claims the job.
func verdict(job completion.Job) salvage.Decide {
	return func(r *answer.Recalled) (completion.State, *completion.Error) { return salvage.Verdict(job, r) }
}

// told folds what the log says: what every viewer has seen.
func told(t *testing.T, log completion.Log, ref completion.Ref) *answer.Recalled {
	t.Helper()
	r, ok, err := answer.Recall(log.Read(t.Context(), ref))
	require.NoError(t, err)
	require.True(t, ok)
	return r
}

func content(result json.RawMessage) string {
	return strings.Trim(gjson.GetBytes(result, "choices.0.message.content").Raw, `"`)
}

func TestAttempt_I2_I4_BringsTheAnswerHome(t *testing.T) {
	t.Parallel()
	log := setup(t, eventlog.Options{})
	failure := completion.NewError(completion.CodeCut, "")
	for name, c := range map[string]struct {
		events []completion.Event
		job    func(completion.Ref) completion.Job
		state  completion.State // empty: the job goes on
		code   completion.Code
		text   string
		usage  string // empty: an estimate
	}{
		"Whole": {
			[]completion.Event{eventlogtest.Started(1), chunks(1, says(`\ud83d`), says(`\ude00 \u0000`)), chunks(1, says("é"), finish), chunks(1, usage)},
			lost, completion.Completed, "", `\ud83d\ude00 \u0000é`, gjson.Get(usage, "usage").Raw,
		},
		"WholeButForItsUsage": {[]completion.Event{eventlogtest.Started(1), chunks(1, says("a")), chunks(1, finish)}, lost, completion.Completed, "", "a", ""},
		"WholeAfterARetry": {
			[]completion.Event{eventlogtest.Started(1), chunks(1, says("no")), {Type: completion.EventRetrying, Attempt: 1}, eventlogtest.Started(2), chunks(2, says("yes"), finish, usage)},
			lost, completion.Completed, "", "yes", gjson.Get(usage, "usage").Raw,
		},
		"HalfAndCancelled":     {[]completion.Event{eventlogtest.Started(1), chunks(1, says("ha"))}, cancelled, completion.Cancelled, completion.CodeCancelled, "ha", ""},
		"Half":                 {[]completion.Event{eventlogtest.Started(1), chunks(1, says("ha"))}, lost, "", "", "", ""},
		"NothingAndCancelled":  {[]completion.Event{eventlogtest.Started(1)}, cancelled, completion.Cancelled, completion.CodeCancelled, "", "none"},
		"Nothing":              {nil, lost, "", "", "", ""},
		"NoLogAndCancelled":    {nil, cancelled, completion.Cancelled, completion.CodeCancelled, "", "none"},
		"RetryingAndCancelled": {[]completion.Event{eventlogtest.Started(1), chunks(1, says("no")), {Type: completion.EventRetrying, Attempt: 1}}, cancelled, completion.Cancelled, completion.CodeCancelled, "", "none"},
		"Storing": {
			[]completion.Event{eventlogtest.Started(1), chunks(1, says("so far"), usage), {Type: completion.EventStoring, Attempt: 1, State: completion.Failed, Error: failure}},
			lost, completion.Failed, completion.CodeCut, "so far", gjson.Get(usage, "usage").Raw,
		},
		"StoringAndCancelled": {
			[]completion.Event{eventlogtest.Started(1), chunks(1, says("all"), finish, usage), {Type: completion.EventStoring, Attempt: 1, State: completion.Completed}},
			cancelled, completion.Completed, "", "all", gjson.Get(usage, "usage").Raw,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := eventlogtest.Job()
			zombie := eventlogtest.Open(t, log, ref)
			eventlogtest.Write(t, zombie, c.events...)
			o, ok, err := salvage.Attempt(t.Context(), log, c.job(ref), verdict(c.job(ref)))
			require.NoError(t, err)
			require.Equal(t, c.state != "", ok)
			if !ok {
				require.EqualValues(t, len(c.events), eventlogtest.Open(t, log, ref).Last().Seq, "nothing was written")
				return
			}
			require.Equal(t, c.state, o.State)
			require.Equal(t, c.text, content(o.Result))
			require.True(t, o.Error == nil && c.code == "" || o.Error != nil && o.Error.Code == c.code, o.Error)
			switch c.usage {
			case "none":
				require.Empty(t, o.Usage)
				require.Empty(t, o.Result)
			case "":
				require.True(t, gjson.GetBytes(o.Usage, "estimated").Bool())
			default:
				require.Equal(t, c.usage, string(o.Usage))
			}
			require.ErrorIs(t, zombie.Append(t.Context(), chunks(1, says("zombie"))), completion.ErrStale, "I5")
			end := eventlogtest.Open(t, log, ref).Last()
			require.Equal(t, completion.EventStoring, end.Type)
			require.Equal(t, 2, end.Attempt)
		})
	}
}

// interrupted is a log in which something happens after it was read, each time.
type interrupted struct {
	completion.Log
	after func()
}

func (l interrupted) Read(ctx context.Context, ref completion.Ref) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		defer l.after()
		l.Log.Read(ctx, ref)(yield)
	}
}

// The worker that was thought dead goes on speaking while its answer is read: what it gets to say is in the outcome.
func TestAttempt_I4_I5_ZombieSpeaksMeanwhile(t *testing.T) {
	t.Parallel()
	log := setup(t, eventlog.Options{})
	for name, c := range map[string]struct {
		says  []completion.Event // one after each reading
		state completion.State
		text  string
	}{
		"MoreText":     {[]completion.Event{chunks(1, says("b")), chunks(1, says("c"), usage)}, completion.Cancelled, "abc"},
		"TheEnd":       {[]completion.Event{chunks(1, says("b"), finish)}, completion.Cancelled, "ab"},
		"ItsOutcome":   {[]completion.Event{chunks(1, says("b"), finish), {Type: completion.EventStoring, Attempt: 1, State: completion.Completed}}, completion.Completed, "ab"},
		"ItStartsAnew": {[]completion.Event{eventlogtest.Started(1)}, completion.Cancelled, ""},
		"ItRetries":    {[]completion.Event{{Type: completion.EventRetrying, Attempt: 1}}, completion.Cancelled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := eventlogtest.Job()
			zombie := eventlogtest.Open(t, log, ref)
			eventlogtest.Write(t, zombie, eventlogtest.Started(1), chunks(1, says("a")))
			left := c.says
			o, ok, err := salvage.Attempt(t.Context(), interrupted{log, func() {
				if len(left) > 0 {
					eventlogtest.Write(t, zombie, left[0])
					left = left[1:]
				}
			}}, cancelled(ref), verdict(cancelled(ref)))
			require.NoError(t, err)
			require.True(t, ok)
			require.Empty(t, left)
			require.Equal(t, c.state, o.State)
			require.Equal(t, c.text, content(o.Result))
			for range 2 {
				require.ErrorIs(t, zombie.Append(t.Context(), chunks(1, says("zombie"))), completion.ErrStale)
			}
			if c.text != "" {
				require.Equal(t, string(told(t, log, ref).Answer.Completion()), string(o.Result), "I4")
			}
		})
	}
}

// The zombie closes its log while it is read: the job has ended as the log says, and nothing is salvaged.
func TestAttempt_ZombieClosesItsLog(t *testing.T) {
	t.Parallel()
	log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	zombie := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, zombie, eventlogtest.Started(1), chunks(1, says("a")))
	_, ok, err := salvage.Attempt(t.Context(), interrupted{log, sync.OnceFunc(func() {
		eventlogtest.Write(t, zombie, eventlogtest.Completed(1))
	})}, cancelled(ref), verdict(cancelled(ref)))
	require.ErrorIs(t, err, completion.ErrFinal)
	require.False(t, ok)
	require.Equal(t, completion.EventCompleted, eventlogtest.Open(t, log, ref).Last().Type)
}

// Several at once, who would decide differently, agree.
func TestAttempt_I1_ManyAtOnce(t *testing.T) {
	t.Parallel()
	log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1), chunks(1, says("all"), finish, usage))
	type answered struct {
		o   completion.Outcome
		ok  bool
		err error
	}
	done := make(chan answered, 8)
	for i := range cap(done) {
		job := lost(ref)
		job.CancelRequested = i%2 == 0
		go func() {
			var a answered
			a.o, a.ok, a.err = salvage.Attempt(t.Context(), log, job, verdict(job))
			done <- a
		}()
	}
	states := map[completion.State]int{}
	for range cap(done) {
		a := <-done
		require.NoError(t, a.err)
		require.True(t, a.ok)
		require.Equal(t, "all", content(a.o.Result))
		require.Equal(t, gjson.Get(usage, "usage").Raw, string(a.o.Usage))
		states[a.o.State]++
	}
	require.Len(t, states, 1, "%v", states)
	require.Equal(t, cap(done), states[told(t, log, ref).Ended.State])
}

// A log that has discarded what was said first has nothing to be salvaged.
func TestAttempt_I4_TrimmedLog(t *testing.T) {
	t.Parallel()
	log := setup(t, eventlog.Options{MaxBytes: 64 << 10})
	ref := eventlogtest.Job()
	tail := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
	for i := range 60 {
		eventlogtest.Write(t, tail, chunks(1, says(fmt.Sprint(i)+strings.Repeat("x", 2<<10))))
	}
	eventlogtest.Write(t, tail, chunks(1, finish, usage))
	_, ok, err := salvage.Attempt(t.Context(), log, lost(ref), verdict(lost(ref)))
	require.NoError(t, err)
	require.False(t, ok, "half an answer is not taken for a whole one")
	require.Equal(t, tail.Last(), eventlogtest.Open(t, log, ref).Last(), "nothing was written")

	o, ok, err := salvage.Attempt(t.Context(), log, cancelled(ref), verdict(cancelled(ref)))
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, o.Result)
	require.Empty(t, o.Usage)
}

func TestAttempt_LogIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(log completion.Log, stop func()) completion.Log{
		"BeforeItIsRead": func(log completion.Log, stop func()) completion.Log { stop(); return log },
		"AfterItWasRead": func(log completion.Log, stop func()) completion.Log { return interrupted{log, sync.OnceFunc(stop)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), Authority: testkit.Authority(t)}
			n := testkit.StartNATS(t, cfg)
			cfg.Addr = strings.TrimPrefix(n.ClientURL(), "nats://")
			nc, err := nats.Connect(n.ClientURL(), testkit.As(t, n, credential.API), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0),
				nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
			require.NoError(t, err)
			t.Cleanup(nc.Close)
			log, ref := open(t, nc, eventlog.Options{}), eventlogtest.Job()
			zombie := eventlogtest.Open(t, log, ref)
			eventlogtest.Write(t, zombie, eventlogtest.Started(1), chunks(1, says("a")))

			cause := errors.New("given up")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, cause)
			defer cancel()
			_, ok, err := salvage.Attempt(ctx, away(log, n.Close), cancelled(ref), verdict(cancelled(ref)))
			require.ErrorIs(t, err, cause)
			require.False(t, ok)

			testkit.StartNATS(t, cfg)
			if name == "BeforeItIsRead" {
				eventlogtest.Write(t, zombie, chunks(1, says("b")))
			}
			o, ok, err := salvage.Attempt(t.Context(), log, cancelled(ref), verdict(cancelled(ref)))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, string(told(t, log, ref).Answer.Completion()), string(o.Result), "I4")
			require.ErrorIs(t, zombie.Append(t.Context(), chunks(1, says("zombie"))), completion.ErrStale)
		})
	}
}
