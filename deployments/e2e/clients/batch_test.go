package clients_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// TestBehaviour_Log tells a log as it is written down, to the clients that put past and present together themselves.
func TestBehaviour_Log(t *testing.T) {
	t.Parallel()
	for _, r := range table(t) {
		for _, name := range []string{"node", "go over NATS"} {
			if r.Log != nil {
				t.Run(r.Name+"/"+name, func(t *testing.T) {
					t.Parallel()
					r.hear(t, actors[name])
				})
			}
		}
	}
}

func (r row) hear(t *testing.T, a actor) {
	t.Helper()
	o := &office{life: time.Minute, refuse: func(int64) int { return 0 }}
	for _, e := range r.Log {
		o.script = append(o.script, said(e.Type, e.Seq, e.Attempt))
	}
	o = startOffice(t, o)
	var seen []int64
	var last string
	for l := range a.act(t, nil, plan{Base: o.api.URL, Act: r.Act, ID: "unknown"}) {
		require.Empty(t, l.Broken)
		require.Nil(t, l.Error)
		if l.Event != nil {
			seen, last = append(seen, gjson.GetBytes(l.Event, "seq").Int()), gjson.GetBytes(l.Event, "type").Str
		}
	}
	require.Equal(t, r.Expect.Seen, seen)
	require.Equal(t, string(r.Expect.Final), last)
}

// prepareBatch makes the batch. Unless it is to have ended before, it is paused until the client listens.
func (s *scene) prepareBatch(t *testing.T, p *plan) (begin func()) {
	t.Helper()
	s.batch = s.in.batch(t, s.Lines, s.Model)
	p.ID = s.batch.ID
	if s.Disturb.Kind == "late" {
		s.in.followBatch(t, s.batch.ID)
		return func() {}
	}
	if s.Disturb.Kind == "leave" {
		p.LeaveAt = int64(s.Disturb.At[0])
	}
	_, err := s.in.api().PauseBatch(t.Context(), s.batch.ID)
	require.NoError(t, err)
	return func() {
		if err := s.actor.stream(s.in).await(some); err != nil {
			t.Error(err)
		}
		if _, err := s.in.api().ResumeBatch(t.Context(), s.batch.ID); err != nil {
			t.Error(err)
		}
	}
}

// checkBatch compares what the client has seen with what the API has.
func (s *scene) checkBatch(t *testing.T) {
	t.Helper()
	want := s.in.followBatch(t, s.batch.ID)
	stored, err := s.in.api().Batch(t.Context(), s.batch.ID)
	require.NoError(t, err)
	require.Equal(t, string(s.Expect.Final), string(stored.State))
	s.checkEvents(t, want)
	last := want[len(want)-1]
	if s.Disturb.Outlast {
		heard := slices.IndexFunc(want, func(e completion.Event) bool { return e.Type == completion.EventLines }) // the client was there by then
		require.Greater(t, last.At.Sub(want[heard].At), credentialAge, "the credential has ended")
	}
	require.GreaterOrEqual(t, last.Attempt, s.Expect.Attempts, "how often it was taken on")
	require.JSONEq(t, fmt.Sprintf(`{"total":%d,"completed":%d,"failed":0}`, s.Lines, s.Lines), gjson.GetBytes(last.Batch, "request_counts").Raw)
	var told []int64
	for l := range linesOf(s.events) {
		require.EqualValues(t, 200, l.Get("response.status_code").Int(), l.Raw)
		told = append(told, l.Get("line").Int())
	}
	slices.Sort(told)
	require.Len(t, told, s.Lines)
	for i, n := range told {
		require.EqualValues(t, i+1, n, "every line once")
	}
}

func linesOf(events []json.RawMessage) iter.Seq[gjson.Result] {
	return func(yield func(gjson.Result) bool) {
		for _, e := range events {
			for _, l := range gjson.GetBytes(e, "lines").Array() {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// followBatch reads the batch's event stream to its end, past the proxies.
func (in *installation) followBatch(t *testing.T, id string) []completion.Event {
	t.Helper()
	var events []completion.Event
	for e, err := range in.api().FollowBatch(t.Context(), id, 0) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}
