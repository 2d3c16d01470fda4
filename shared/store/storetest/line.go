package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// lines are the jobs of the batch's lines from one to another.
func lines(b completion.Batch, from, to int) []completion.Job {
	var list []completion.Job
	at := now()
	for n := from; n <= to; n++ {
		list = append(list, completion.Job{
			ID: b.LineJobID(n), Tenant: b.Tenant, Lane: completion.LaneBatch, State: completion.Queued, Model: "m", Endpoint: b.Endpoint,
			Request: json.RawMessage(fmt.Sprintf(`{"n":%d,"\u0000":"'\\é"}`, n)), Batch: b.ID, Line: n, CustomID: fmt.Sprint("line?'", n),
			Deadline: b.Deadline, RequestID: "req_1", CreatedAt: at, UpdatedAt: at,
		})
	}
	return list
}

// fed is a batch in progress whose first n lines are jobs.
func fed(t *testing.T, s *store.Store, n int, change ...func(*completion.Batch)) completion.Batch {
	t.Helper()
	b := running(t, s, change...)
	b.Checkpoint.Fed, b.Checkpoint.Offset = n, int64(n*100)
	require.NoError(t, s.FeedBatch(t.Context(), &b, lines(b, 1, n)))
	return b
}

// end brings a line to its end.
func end(t *testing.T, s *store.Store, b completion.Batch, line int, o completion.Outcome) {
	t.Helper()
	ref := completion.Ref{Tenant: b.Tenant, Job: b.LineJobID(line)}
	job, err := s.Claim(t.Context(), ref, "w", now())
	require.NoError(t, err)
	o.Result = fmt.Appendf(nil, `{"answer":%d}`, line)
	_, err = s.Finish(t.Context(), ref, job.Attempt, o)
	require.NoError(t, err)
}

func numbers(list []completion.Job) []int {
	all := []int{}
	for _, j := range list {
		all = append(all, j.Line)
	}
	return all
}

func lineFeed(t *testing.T, s *store.Store) {
	b := running(t, s)
	b.Checkpoint.Fed, b.Checkpoint.Offset = 3, 1<<40
	list := lines(b, 1, 3)
	list[1].Metadata = map[string]string{"k": "\x00"}
	require.NoError(t, s.FeedBatch(t.Context(), &b, list))
	require.Equal(t, b, batch(t, s, b))
	for _, j := range list {
		require.Equal(t, j, get(t, s, j))
	}
	end(t, s, b, 2, outcome(completion.Completed))
	b.Checkpoint.Fed = 4
	require.NoError(t, s.FeedBatch(t.Context(), &b, lines(b, 1, 4)), "what is there already stays as it is")
	require.Equal(t, completion.Completed, get(t, s, list[1]).State)
	counts, err := s.CountLines(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Equal(t, map[completion.State]int{completion.Queued: 3, completion.Completed: 1}, counts)
	b.Checkpoint.Fed, b.Checkpoint.Offset = 9, 1<<41
	require.NoError(t, s.FeedBatch(t.Context(), &b, nil), "lines that need no jobs")
	require.Equal(t, b.Checkpoint, batch(t, s, b).Checkpoint)

	stranger := lines(newBatch(), 10, 10)
	require.Error(t, s.FeedBatch(t.Context(), &b, stranger))
	_, err = s.CancelBatch(t.Context(), b.Ref(), now())
	require.NoError(t, err)
	require.ErrorIs(t, s.FeedBatch(t.Context(), &b, lines(b, 10, 12)), completion.ErrStale)
	require.Equal(t, 9, batch(t, s, b).Checkpoint.Fed)
}

func lineRead(t *testing.T, s *store.Store) {
	b := fed(t, s, 6)
	fed(t, s, 6, func(other *completion.Batch) { other.ID = b.ID + "0" })
	end(t, s, b, 4, outcome(completion.Failed))
	list, err := s.Lines(t.Context(), b.Ref(), []int{5, 2, 4, 77})
	require.NoError(t, err)
	require.Equal(t, []int{2, 4, 5}, numbers(list))
	require.Nil(t, list[1].Request)
	require.JSONEq(t, `{"answer":4}`, string(list[1].Result))
	require.Equal(t, "line?'4", list[1].CustomID)
	none, err := s.Lines(t.Context(), b.Ref(), nil)
	require.NoError(t, err)
	require.Empty(t, none)

	list, err = s.LinesFrom(t.Context(), b.Ref(), 1, 5, 3)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 4}, numbers(list))
	require.Nil(t, list[0].Request)
	require.JSONEq(t, `{"answer":4}`, string(list[2].Result))
	list, err = s.LinesFrom(t.Context(), b.Ref(), 4, 5, 3)
	require.NoError(t, err)
	require.Equal(t, []int{5}, numbers(list))

	list, err = s.OpenLines(t.Context(), b.Ref(), 2, 3)
	require.NoError(t, err)
	require.Equal(t, []int{3, 5, 6}, numbers(list))
	require.Equal(t, completion.Task{Ref: completion.Ref{Tenant: "acme", Job: b.LineJobID(3)}, Lane: completion.LaneBatch}, list[0].Task())
	require.Equal(t, completion.Queued, list[0].State)
	require.Equal(t, "line?'3", list[0].CustomID)

	theirs := completion.Ref{Tenant: "other", Job: b.ID}
	counts, err := s.CountLines(t.Context(), theirs)
	require.NoError(t, err)
	require.Empty(t, counts, "I8")
	list, err = s.Lines(t.Context(), theirs, []int{1, 2})
	require.NoError(t, err)
	require.Empty(t, list, "I8")
}

func lineEnd(t *testing.T, s *store.Store) {
	for _, to := range []completion.State{completion.Cancelled, completion.Expired} {
		b := fed(t, s, 5)
		other := fed(t, s, 1)
		end(t, s, b, 1, outcome(completion.Completed))
		worker := "w" + string(to)
		job := claim(t, s, completion.Job{Tenant: b.Tenant, ID: b.LineJobID(2)}, worker)
		at := now().Add(time.Minute)
		n, err := s.EndLines(t.Context(), b.Ref(), to, at)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		counts, err := s.CountLines(t.Context(), b.Ref())
		require.NoError(t, err)
		require.Equal(t, map[completion.State]int{completion.Completed: 1, completion.Running: 1, to: 3}, counts)
		ended := get(t, s, completion.Job{Tenant: b.Tenant, ID: b.LineJobID(5)})
		require.Equal(t, at, ended.FinishedAt)
		require.Equal(t, map[completion.State]completion.Code{completion.Cancelled: completion.CodeCancelled, completion.Expired: completion.CodeExpired}[to], ended.Error.Code)
		asked, err := s.CancelRequests(t.Context(), worker)
		require.NoError(t, err)
		require.Equal(t, []completion.Ref{job.Ref()}, asked)
		n, err = s.EndLines(t.Context(), b.Ref(), to, at)
		require.NoError(t, err)
		require.Zero(t, n)
		open, err := s.OpenLines(t.Context(), other.Ref(), 0, 9)
		require.NoError(t, err)
		require.Equal(t, []int{1}, numbers(open), "others go on")
	}
}

// lineApart: lists of jobs, of stored answers and of late ones know no lines; what looks after lost jobs does.
func lineApart(t *testing.T, s *store.Store) {
	at := now()
	b := fed(t, s, 3, func(b *completion.Batch) { b.Deadline = at })
	job := add(t, s)
	page, _, err := s.List(t.Context(), "acme", store.Query{})
	require.NoError(t, err)
	require.Equal(t, []string{job.ID}, ids(page))
	page, next, err := s.List(t.Context(), "acme", store.Query{Batch: b.ID, Limit: 2, Oldest: true})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, numbers(page))
	page, _, err = s.List(t.Context(), "acme", store.Query{Batch: b.ID, After: next, Oldest: true, State: completion.Queued})
	require.NoError(t, err)
	require.Equal(t, []int{3}, numbers(page))
	page, _, err = s.List(t.Context(), "other", store.Query{Batch: b.ID})
	require.NoError(t, err)
	require.Empty(t, page, "I8")

	ended, err := s.Expire(t.Context(), at, 100)
	require.NoError(t, err)
	require.Empty(t, ended)
	late, err := s.Claim(t.Context(), completion.Ref{Tenant: "acme", Job: b.LineJobID(1)}, "w", at)
	require.ErrorIs(t, err, completion.ErrFinal)
	require.Equal(t, completion.Expired, late.State)
	lost, err := s.Orphans(t.Context(), now().Add(time.Minute), now(), "", 100)
	require.NoError(t, err)
	second := completion.Ref{Tenant: "acme", Job: b.LineJobID(2)}
	require.ElementsMatch(t, []string{second.Job, b.LineJobID(3), job.ID}, ids(lost))
	_, err = s.Claim(t.Context(), second, "dead", at.Add(-time.Second))
	require.NoError(t, err)
	abandoned, err := s.Abandoned(t.Context(), now(), "", 100)
	require.NoError(t, err)
	require.Equal(t, []int{2}, numbers(abandoned))
}

// The answer to a response repeats what was asked; no other needs the request.
func lineRequests(t *testing.T, s *store.Store) {
	for _, e := range completion.Endpoints {
		b := fed(t, s, 2, func(b *completion.Batch) { b.Endpoint = e })
		some, err := s.Lines(t.Context(), b.Ref(), []int{2})
		require.NoError(t, err)
		all, err := s.LinesFrom(t.Context(), b.Ref(), 0, 2, 9)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, numbers(all))
		for _, j := range append(some, all...) {
			if e == completion.EndpointResponses {
				require.Equal(t, lines(b, j.Line, j.Line)[0].Request, j.Request)
			} else {
				require.Empty(t, j.Request, e)
			}
		}
	}
}
