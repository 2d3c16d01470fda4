package generate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// lose makes the job one whose first attempt said words, and finish if it is not empty, before its worker died.
func (b *bundle) lose(finish string, words ...string) {
	b.m.job.State, b.m.job.Attempt = completion.Running, 1
	b.m.events = []completion.Event{{Type: completion.EventStarted, Attempt: 1, Upstream: "first"}}
	for _, w := range words {
		b.m.events = append(b.m.events, delta(fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, w)))
	}
	if finish != "" {
		b.m.events = append(b.m.events, delta(fmt.Sprintf(`{"choices":[{"index":0,"delta":{},"finish_reason":%q}]}`, finish)))
	}
}

func delta(chunk string) completion.Event {
	return completion.Event{Type: completion.EventDelta, Attempt: 1, Chunks: []json.RawMessage{json.RawMessage(chunk)}}
}

func (b *bundle) content() string {
	return gjson.GetBytes(b.m.job.Result, "choices.0.message.content").String()
}

func TestResume_I2_WholeAnswerIsNotGeneratedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"other"}})
		b.lose("stop", "a", "b")
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, "ab", b.content())
		require.Equal(t, "ab", b.m.text(), "I4")
		require.Equal(t, "stop", b.m.job.FinishReason)
		require.True(t, gjson.GetBytes(b.m.job.Usage, "estimated").Bool(), "what the upstream did not get to say")
		require.Zero(t, b.up.calls, "the upstream is not asked again")
		require.Equal(t, []string{"publish storing", "store completed"}, b.m.acts, "I5: from the fence on the lost attempt says nothing more")
		require.Equal(t, 1, b.m.sealed)
	})
}

func TestResume_HalfAnswerIsGeneratedAgain(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"unfinished": `{}`, "one choice of two": `{"n":2}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(&model{words: []string{"x"}})
				b.m.job.Request = json.RawMessage(request)
				finish := ""
				if name != "unfinished" {
					finish = "stop"
				}
				b.lose(finish, "a", "b")
				require.NoError(t, b.handle(t.Context()))
				require.Equal(t, "x", b.content())
				require.Equal(t, "x", b.m.text(), "I4")
				require.Equal(t, 1, b.up.calls)
			})
		})
	}
}

func TestResume_I9_CancelledWhileItsWorkerWasDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"other"}})
		b.lose("", "a", "b")
		b.m.job.CancelRequested = true
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Cancelled, b.m.job.State)
		require.Equal(t, "ab", b.content(), "the partial text is kept")
		require.NotEmpty(t, b.m.job.Usage)
		require.Zero(t, b.up.calls)
	})
}

func TestResume_DeadlinePassedWhileItsWorkerWasDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"other"}})
		b.lose("", "a")
		b.m.job.Deadline = time.Now()
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Expired, b.m.job.State)
		require.Equal(t, completion.CodeExpired, b.m.job.Error.Code)
		require.Equal(t, "a", b.content())
		require.Zero(t, b.up.calls)
	})
}

func TestResume_JobThatEndsItsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"other"}})
		b.lose("", "a")
		b.m.job.Attempt, b.m.job.Tries = 27, 1
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Failed, b.m.job.State)
		require.Equal(t, completion.CodeLost, b.m.job.Error.Code)
		require.Zero(t, b.up.calls)
	})
}

// TestHandle_I2_KilledWhileTheStoreIsAway has the store away when the answer is whole, and the worker dead before it is
// back. Another one stores what the first has left in the log.
func TestHandle_I2_KilledWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    error
		cancel bool
		want   completion.State
	}{
		"completed": {nil, false, completion.Completed},
		"failed":    {completion.NewError(completion.CodeUpstreamRejected, ""), false, completion.Failed},
		"cancelled": {nil, true, completion.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(&model{words: []string{"a", "b"}, end: c.end})
				b.m.storing = errors.New("connection refused")
				if c.cancel {
					b.up.words = append(b.up.words, "c")
					time.AfterFunc(2500*time.Millisecond, func() { b.gen.Cancel(b.m.job.Ref()) })
				}
				first := make(chan error, 1)
				go func() { first <- b.handle(t.Context()) }()
				time.Sleep(time.Minute) // the fake clock passes the answer, the cancel and many tries to store
				b.m.set(func(m *memory) { m.storing = nil })

				second := b.other("w2")
				require.NoError(t, second.Handle(t.Context(), completion.Task{Ref: b.m.job.Ref(), Lane: b.m.job.Lane}))
				require.ErrorIs(t, <-first, queue.ErrNotMine, "I5: the first finds the job taken")
				require.Equal(t, c.want, b.m.job.State)
				require.Equal(t, "ab", b.content())
				require.Equal(t, "ab", b.m.text(), "I4")
				require.Equal(t, 1, b.up.calls, "paid once")
				if c.end != nil {
					require.Equal(t, completion.CodeUpstreamRejected, b.m.job.Error.Code)
				}
			})
		})
	}
}

// TestHandle_I5_LogLostWithASuccessor: a log that has lost everything cannot tell that a later attempt has the job.
func TestHandle_I5_LogLostWithASuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		time.AfterFunc(1500*time.Millisecond, func() {
			b.m.set(func(m *memory) {
				m.job.Attempt++
				m.lost, m.events = true, nil
			})
		})
		require.ErrorIs(t, b.handle(t.Context()), queue.ErrNotMine)
		require.Empty(t, b.m.events)
	})
}

func TestHandle_I4_LogAwayAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b"}})
		time.AfterFunc(1500*time.Millisecond, func() { b.m.set(func(m *memory) { m.logging = errors.New("no responders") }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.True(t, b.m.job.Unsaid, "whoever closes the log must restate the result")
		require.Equal(t, "a", b.m.text())
	})
}

func TestHandle_DeadlineInMidStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		b.m.job.Deadline = time.Now().Add(2500 * time.Millisecond)
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Expired, b.m.job.State)
		require.Equal(t, "ab", b.content())
		require.NotEmpty(t, b.m.job.Usage)
		require.Equal(t, completion.EventExpired, b.m.events[len(b.m.events)-1].Type)
	})
}

func TestHandle_NoRetryBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failure := completion.NewError(completion.CodeRateLimited, "")
		failure.RetryAfter = completion.Wait(time.Minute)
		b := setup(&model{end: failure})
		b.m.job.Deadline = time.Now().Add(time.Minute)
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Failed, b.m.job.State, "at once: the next try would come too late")
		require.Equal(t, completion.CodeRateLimited, b.m.job.Error.Code)
	})
}
