package gauge_test

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/worker/internal/gauge"
)

func lane(g *gauge.Gauge, name completion.Lane) completion.LaneStatus {
	s := completion.LaneStatus{Lane: name}
	g.Lane(&s)
	return s
}

func ended(lane completion.Lane, state completion.State, usage string, first time.Duration) *completion.Job {
	now := time.Now()
	j := &completion.Job{Lane: lane, State: state, CreatedAt: now.Add(-time.Minute), Usage: json.RawMessage(usage)}
	if first > 0 {
		j.FirstTokenAt = j.CreatedAt.Add(first)
	}
	return j
}

// What jobs come to is counted by lane, for a minute and for a quarter of an hour.
func TestGauge_Windows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gauge.New()
		g.Ended(ended(completion.LaneInteractive, completion.Completed, `{"completion_tokens":7}`, 300*time.Millisecond))
		g.Ended(ended(completion.LaneInteractive, completion.Failed, ``, 0))
		g.Ended(ended(completion.LaneBatch, completion.Expired, `{"output_tokens":5}`, time.Second))
		g.Ended(ended(completion.LaneBatch, completion.Cancelled, `{"completion_tokens":-5}`, 0))
		g.Ended(ended("other", completion.Completed, `{`, 0))
		g.Retried(&completion.Job{Lane: completion.LaneBatch})
		s := lane(g, completion.LaneInteractive)
		require.Equal(t, s.Minute, s.Quarter)
		require.EqualValues(t, 1, s.Minute.FirstDelta.Count())
		require.InEpsilon(t, 0.3, s.Minute.FirstDelta.Quantile(0.5).Seconds(), 0.1)
		s.Minute.FirstDelta = nil
		require.Equal(t, completion.Yield{Completed: 1, Failed: 1, OutputTokens: 7}, s.Minute)
		s = lane(g, completion.LaneBatch)
		s.Quarter.FirstDelta = nil
		require.Equal(t, completion.Yield{Cancelled: 1, Expired: 1, Retried: 1, OutputTokens: 5}, s.Quarter)

		time.Sleep(time.Minute) // the fake clock passes the minute that is shown
		s = lane(g, completion.LaneInteractive)
		require.Zero(t, s.Minute)
		require.EqualValues(t, 1, s.Quarter.Completed)
		g.Ended(ended(completion.LaneInteractive, completion.Completed, ``, 0))
		s = lane(g, completion.LaneInteractive)
		require.EqualValues(t, 1, s.Minute.Completed)
		require.EqualValues(t, 2, s.Quarter.Completed)
		time.Sleep(15 * time.Minute) // the fake clock passes the quarter of an hour that is shown
		require.Zero(t, lane(g, completion.LaneInteractive).Quarter)
		g.Ended(ended(completion.LaneInteractive, completion.Completed, ``, 0)) // where an old count stands
		require.Equal(t, completion.Yield{Completed: 1}, lane(g, completion.LaneInteractive).Quarter)
	})
}

// script is an upstream whose next call goes as it says.
type script struct {
	err  error
	wait chan struct{} // closed when it may end; nil: at once
}

func (*script) Name() string { return "up" }

func (s *script) Stream(context.Context, completion.Endpoint, json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if !yield(json.RawMessage(`{}`), nil) {
			return
		}
		if s.wait != nil {
			<-s.wait
		}
		if s.err != nil {
			yield(nil, s.err)
		}
	}
}

func call(ctx context.Context, u *gauge.Upstream) (chunks int, err error) {
	for _, err = range u.Stream(ctx, completion.EndpointChat, nil) {
		chunks++
	}
	return chunks, err
}

// The upstream below is heard as it is, and counts as failing after three failures in a row that are its own.
func TestUpstream_States(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, s := gauge.New(), &script{}
		u := g.Watch(s)
		status := func() completion.UpstreamStatus { return g.Upstreams()[0] }
		require.Equal(t, completion.UpstreamStatus{Name: "up", State: completion.UpstreamIdle}, status())
		fail := func(code completion.Code) {
			t.Helper()
			s.err = completion.NewError(code, "")
			n, err := call(t.Context(), u)
			require.Equal(t, 2, n)
			require.Equal(t, s.err, err)
		}
		for range 2 {
			fail(completion.CodeCut)
		}
		fail(completion.CodeRateLimited)
		require.Equal(t, completion.UpstreamOK, status().State, "a limit is no failure")
		fail(completion.CodeUnreachable)
		require.Equal(t, completion.UpstreamFailing, status().State)
		fail(completion.CodeUpstreamRejected)
		require.Equal(t, completion.UpstreamOK, status().State, "it refused a bad request, so it works")
		s.err = nil
		n, err := call(t.Context(), u)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, completion.UpstreamStatus{Name: "up", State: completion.UpstreamOK, Calls: 6, Errors: map[completion.Code]int64{
			completion.CodeCut: 2, completion.CodeRateLimited: 1, completion.CodeUnreachable: 1, completion.CodeUpstreamRejected: 1,
		}}, status())
		time.Sleep(time.Minute) // the fake clock passes the minute that is shown
		require.Equal(t, completion.UpstreamStatus{Name: "up", State: completion.UpstreamIdle}, status())
	})
}

// A call counts while it runs, and not at all once its caller has given it up.
func TestUpstream_GivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, s := gauge.New(), &script{wait: make(chan struct{}), err: completion.NewError(completion.CodeCancelled, "")}
		u := g.Watch(s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := call(ctx, u)
			done <- err
		}()
		synctest.Wait()
		require.Equal(t, completion.UpstreamStatus{Name: "up", State: completion.UpstreamOK, Running: 1}, g.Upstreams()[0])
		cancel()
		close(s.wait)
		require.Error(t, <-done)
		for range u.Stream(t.Context(), completion.EndpointChat, nil) {
			break
		}
		require.Equal(t, completion.UpstreamStatus{Name: "up", State: completion.UpstreamIdle}, g.Upstreams()[0])
	})
}
