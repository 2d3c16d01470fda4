package eventlog_test

import (
	"context"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// tight is a log that keeps some hundred small events.
var tight = eventlog.Options{MaxBytes: 64 << 10}

// neighbour names a job whose events are in the same stream as ref's.
func neighbour(ref completion.Ref) completion.Ref {
	shard := func(job string) uint32 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(job))
		return h.Sum32() % eventlog.Shards
	}
	for {
		if other := eventlogtest.Job(); shard(other.Job) == shard(ref.Job) {
			return other
		}
	}
}

// discard has the log drop all that it has of ref.
func discard(t *testing.T, log *eventlog.Log, ref completion.Ref) {
	t.Helper()
	tail := eventlogtest.Open(t, log, neighbour(ref))
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
	for eventlogtest.Open(t, log, ref).Last().Seq > 0 {
		eventlogtest.Write(t, tail, eventlogtest.Delta(1, strings.Repeat("x", 4<<10)))
	}
}

// readers are all ways to read a log.
func readers(t *testing.T, n *embedded.NATS, opts eventlog.Options) map[string]completion.Log {
	inside := open(t, connect(t, n.ClientURL(), testkit.As(t, n, credential.API)), opts)
	return map[string]completion.Log{
		"Follow": inside, "TCP": outside{inside, connect(t, n.ClientURL(), testkit.Viewer(t, n, acme))}, "WebSocket": outside{inside, connect(t, n.WebSocketURL(), testkit.Viewer(t, n, acme))},
	}
}

// reading is one reader's way through a job.
type reading struct {
	name string
	next chan completion.Record // closed at the end
	got  []completion.Record
}

// begin has all readers of the job begin after a seq.
func begin(ctx context.Context, logs map[string]completion.Log, ref completion.Ref, after int64) (all []*reading) {
	for name, log := range logs {
		r := &reading{name: name, next: make(chan completion.Record, 2000)}
		go func() {
			defer close(r.next)
			for record, err := range log.Follow(ctx, ref, after) {
				if err == nil {
					r.next <- record
				}
			}
		}()
		all = append(all, r)
	}
	return all
}

// saw waits until the reader has seen an event.
func (r *reading) saw(t *testing.T, seq int64) {
	t.Helper()
	for record := range r.next {
		if r.got = append(r.got, record); record.Seq >= seq {
			return
		}
	}
	t.Fatalf("%s ended before event %d", r.name, seq)
}

func (r *reading) end() []completion.Record {
	for record := range r.next {
		r.got = append(r.got, record)
	}
	return r.got
}

// spoken is what the last attempt among the records said.
func spoken(records []completion.Record) string {
	var b strings.Builder
	for _, r := range records {
		if r.Type == completion.EventStarted {
			b.Reset()
		}
		b.WriteString(gjson.GetBytes(r.Data, "chunks.0.choices.0.delta.content").Str)
	}
	return b.String()
}

// A log that is too small for its job drops the job's beginning while it runs. Who was there from the start misses
// nothing; who comes late, or resumes where the hole is, is led to where it can begin.
func TestLog_I3_HeadDiscardedWhileItRuns(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string][]completion.Event{
		"ThenItEnds":       {eventlogtest.Delta(1, "d"), completionOf("whole")},
		"ThenAnotherTry":   {{Type: completion.EventRetrying, Attempt: 1}, eventlogtest.Started(2), eventlogtest.Delta(2, "who"), eventlogtest.Delta(2, "le"), eventlogtest.Completed(2)},
		"ThenItIsRestated": {eventlogtest.Started(1), eventlogtest.Delta(1, "who"), eventlogtest.Delta(1, "le"), completionOf("whole")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, _, log := setup(t, tight)
			serve(t, log)
			ref, logs := eventlogtest.Job(), readers(t, n, eventlog.Options{})
			live := begin(t.Context(), logs, ref, 0)
			tail := eventlogtest.Open(t, log, ref)
			var all []completion.Record
			put := func(e completion.Event) {
				eventlogtest.Write(t, tail, e)
				all = append(all, tail.Last())
				for _, r := range live {
					r.saw(t, tail.Last().Seq)
				}
			}
			put(eventlogtest.Started(1))
			for range 60 {
				put(eventlogtest.Delta(1, strings.Repeat("x", 2<<10)))
			}
			kept, err := eventlogtest.Collect(log.Read(t.Context(), ref))
			require.NoError(t, err)
			require.Greater(t, kept[0].Seq, int64(10), "the beginning is gone")
			late := append(begin(t.Context(), logs, ref, 0), begin(t.Context(), logs, ref, 5)...)
			for _, e := range rest {
				put(e)
			}
			for _, r := range live {
				eventlogtest.Same(t, all, r.end())
			}
			want := all[len(all)-1:]
			for i, e := range rest {
				if e.Type == completion.EventStarted {
					want = all[len(all)-len(rest)+i:]
				}
			}
			for _, r := range append(late, begin(t.Context(), logs, ref, 0)...) {
				eventlogtest.Same(t, want, r.end())
			}
			require.Contains(t, string(all[len(all)-1].Data), `"result":`)
		})
	}
}

func completionOf(text string) completion.Event {
	e := eventlogtest.Completed(1)
	e.Result = []byte(eventlogtest.Answered(text))
	return e
}

// All of a running job's log goes; its worker begins it anew.
func TestLog_I3_AllDiscardedWhileItRuns(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, tight)
	serve(t, log)
	ref, logs := eventlogtest.Job(), readers(t, n, eventlog.Options{})
	live := begin(t.Context(), logs, ref, 0)
	tail := eventlogtest.Open(t, log, ref)
	said := []completion.Event{eventlogtest.Started(1), eventlogtest.Delta(1, "a"), eventlogtest.Delta(1, "b")}
	eventlogtest.Write(t, tail, said...)
	for _, r := range live {
		r.saw(t, 3)
	}
	discard(t, log, ref)
	late := begin(t.Context(), logs, ref, 0)
	said = append(said, eventlogtest.Delta(1, "c"))
	require.True(t, restate(t, tail, said))
	require.Equal(t, int64(7), tail.Last().Seq, "seqs go on")
	eventlogtest.Write(t, tail, completionOf("abc"))
	for _, r := range append(append(live, late...), begin(t.Context(), logs, ref, 2)...) {
		got := r.end()
		require.Equal(t, "abc", spoken(got), r.name)
		require.True(t, got[len(got)-1].Type.Final())
		for i, record := range got[1:] {
			require.True(t, record.Seq == got[i].Seq+1 || record.Type == completion.EventStarted, "%s jumps to %s", r.name, record.Type)
		}
	}
}

// A log that has lost everything cannot tell a zombie from the attempt that took its job: the zombie is told that the log
// is lost, may begin anew, and is fenced off as soon as its successor speaks. What it says meanwhile is shown to nobody
// who has seen the successor; it should ask the store before it begins anew.
func TestLog_I5_AllDiscardedUnderAZombie(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, tight)
	serve(t, log)
	ref, logs := eventlogtest.Job(), readers(t, n, eventlog.Options{})
	live := begin(t.Context(), logs, ref, 0)
	zombie := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, zombie, eventlogtest.Started(1), eventlogtest.Delta(1, "old"))
	owner := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, owner, eventlogtest.Started(2), eventlogtest.Delta(2, "n"))
	for _, r := range live {
		r.saw(t, 4)
	}
	require.ErrorIs(t, zombie.Append(t.Context(), eventlogtest.Delta(1, "zombie")), completion.ErrStale, "while the log knows")
	discard(t, log, ref)
	require.ErrorIs(t, zombie.Append(t.Context(), eventlogtest.Delta(1, "zombie")), completion.ErrLogLost)
	eventlogtest.Write(t, zombie, eventlogtest.Started(1), eventlogtest.Delta(1, "zombie"), eventlogtest.Delta(1, "zombie"))

	said := []completion.Event{eventlogtest.Started(2), eventlogtest.Delta(2, "n"), eventlogtest.Delta(2, "ew")}
	require.True(t, restate(t, owner, said))
	require.ErrorIs(t, zombie.Append(t.Context(), eventlogtest.Delta(1, "zombie")), completion.ErrStale)
	eventlogtest.Write(t, owner, eventlogtest.Completed(2))
	for _, r := range live {
		got := r.end()
		require.Equal(t, "new", spoken(got), r.name)
		for _, record := range got {
			require.NotContains(t, string(record.Data), "zombie", r.name)
		}
	}
	for _, r := range begin(t.Context(), logs, ref, 0) {
		require.Equal(t, "new", spoken(r.end()), r.name)
	}
}

// All of a finished job's log goes: viewers get the final event from the store, with the whole result.
func TestLog_I3_AllDiscardedAfterTheEnd(t *testing.T) {
	t.Parallel()
	var s shelf
	opts := tight
	opts.Fallback = s.get
	n, _, log := setup(t, opts)
	serve(t, log)
	ref := eventlogtest.Job()
	for _, unsaid := range []bool{false, true} {
		job := eventlogtest.Ended(ref, completion.Completed, eventlogtest.Answered(strings.Repeat("x", 100_000)))
		job.Unsaid = unsaid
		s.job.Store(&job)
		if !unsaid {
			eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1), eventlogtest.Delta(1, "x"), eventlogtest.Completed(1))
			discard(t, log, ref)
		}
		for _, after := range []int64{0, 2, 3} {
			for _, r := range begin(t.Context(), readers(t, n, opts), ref, after) {
				got := r.end()
				require.Len(t, got, 1, r.name)
				require.Equal(t, after+1, got[0].Seq)
				require.Equal(t, completion.EventCompleted, got[0].Type)
				require.Equal(t, string(job.Result), gjson.GetBytes(got[0].Data, "result").Raw)
			}
		}
	}
	require.Zero(t, eventlogtest.Open(t, log, ref).Last().Seq, "its log stays empty")
}

// Who knows of events that the log has lost goes on above them, and viewers who have seen them take what comes for news.
func TestLog_Resume(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	for _, known := range []int64{0, 40, 12} {
		end := max(known, eventlogtest.Open(t, log, ref).Last().Seq)
		tail, err := log.Resume(t.Context(), ref, known)
		require.NoError(t, err)
		require.Equal(t, end, tail.Last().Seq)
		eventlogtest.Write(t, tail, eventlogtest.Started(1))
		require.Equal(t, end+1, eventlogtest.Open(t, log, ref).Last().Seq)
	}
	_, err := log.Resume(t.Context(), completion.Ref{Tenant: "a.b", Job: "x"}, 1)
	require.ErrorIs(t, err, completion.ErrNotFound)
}
