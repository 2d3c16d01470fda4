package e2e_test

import (
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
)

// viewer follows a job to its end.
type viewer struct {
	name string
	next chan completion.Event // what has no room here is only in all
	done chan struct{}
	all  []completion.Event // valid once done is closed, as err
	err  error
}

// watch begins to follow. The name is for messages.
func watch(t *testing.T, name string, follow func(context.Context) iter.Seq2[completion.Event, error]) *viewer {
	t.Helper()
	v := &viewer{name: name, next: make(chan completion.Event, 10_000), done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	go func() {
		defer close(v.done)
		defer close(v.next)
		for e, err := range follow(ctx) {
			if v.err = err; err != nil {
				return
			}
			v.all = append(v.all, e)
			select {
			case v.next <- e:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-v.done
	})
	return v
}

// sse follows a job through an api, after a seq.
func (a *apiProcess) sse(t *testing.T, job client.Job, after int64) *viewer {
	t.Helper()
	return watch(t, "SSE", func(ctx context.Context) iter.Seq2[completion.Event, error] { return a.Follow(ctx, job.ID, after) })
}

// native follows a job over NATS, after a seq, as the answer to its submission says.
func native(t *testing.T, job client.Job, url string, after int64) *viewer {
	t.Helper()
	tenant := strings.Split(job.Subject, ".")[1]
	ref := completion.Ref{Tenant: tenant, Job: job.ID}
	require.Equal(t, ref.Subject(), job.Subject)
	nc := connect(t, url, job.Stream.Credential)
	return watch(t, url, func(ctx context.Context) iter.Seq2[completion.Event, error] {
		return decoded(eventlog.View(ctx, nc, ref, after))
	})
}

func decoded(records iter.Seq2[completion.Record, error]) iter.Seq2[completion.Event, error] {
	return func(yield func(completion.Event, error) bool) {
		for r, err := range records {
			var e completion.Event
			if err == nil {
				e, err = r.Event()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// until returns the next event that is like that.
func (v *viewer) until(t *testing.T, like func(completion.Event) bool) completion.Event {
	t.Helper()
	for e := range v.next {
		if like(e) {
			return e
		}
	}
	require.NoError(t, v.err, v.name)
	t.Fatalf("%s ended without the event: %v", v.name, types(v.all))
	return completion.Event{}
}

// spoke waits until attempt n has said something.
func (v *viewer) spoke(t *testing.T, n int) {
	t.Helper()
	v.until(t, func(e completion.Event) bool {
		return e.Type == completion.EventDelta && e.Attempt == n && text(e) != ""
	})
}

// end waits for the last event, and checks that the viewer saw all of them after the seq, once, in order, and one final
// one, at the end (I3).
func (v *viewer) end(t *testing.T, after int64) []completion.Event {
	t.Helper()
	<-v.done
	require.NoError(t, v.err, v.name)
	require.NotEmpty(t, v.all, v.name)
	for i, e := range v.all {
		require.Equal(t, after+int64(i)+1, e.Seq, "%s: %v", v.name, types(v.all))
		require.Equal(t, i == len(v.all)-1, e.Type.Final(), "%s: %v", v.name, types(v.all))
	}
	return v.all
}

// types are for messages.
func types(events []completion.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, string(e.Type))
	}
	return list
}

// count is how many events of a type there are.
func count(events []completion.Event, typ completion.EventType) int {
	n := 0
	for _, e := range events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

// text is what the last attempt among the events said.
func text(events ...completion.Event) string {
	var b strings.Builder
	for _, e := range events {
		if e.Type == completion.EventStarted {
			b.Reset()
		}
		for _, chunk := range e.Chunks {
			b.WriteString(gjson.GetBytes(chunk, "choices.0.delta.content").Str)
		}
	}
	return b.String()
}
