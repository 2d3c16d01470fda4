package eventlogtest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// Job names a new job.
func Job() completion.Ref { return completion.Ref{Tenant: "acme", Job: completion.NewJobID()} }

// Started opens an attempt.
func Started(attempt int) completion.Event {
	return completion.Event{Type: completion.EventStarted, Attempt: attempt, At: time.Now(), Model: "m", Upstream: "u"}
}

// Delta says text, in one chunk.
func Delta(attempt int, text string) completion.Event {
	chunk, err := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text}}}})
	if err != nil {
		panic(err) // a string always encodes
	}
	return completion.Event{Type: completion.EventDelta, Attempt: attempt, At: time.Now(), Chunks: []json.RawMessage{chunk}}
}

// Completed ends the job.
func Completed(attempt int) completion.Event {
	return completion.Event{Type: completion.EventCompleted, Attempt: attempt, At: time.Now(), Result: json.RawMessage(`{"id":"x"}`), FinishReason: "stop"}
}

// Open opens a tail or fails the test.
func Open(t testing.TB, log completion.Log, ref completion.Ref) completion.Tail {
	t.Helper()
	tail, err := log.Open(t.Context(), ref)
	require.NoError(t, err)
	return tail
}

// Offering is log with tails that append what they are told to by an offer.
func Offering(log completion.Log) completion.Log { return offering{log} }

type offering struct{ completion.Log }

// Open is completion.Log's.
func (o offering) Open(ctx context.Context, ref completion.Ref) (completion.Tail, error) {
	tail, err := o.Log.Open(ctx, ref)
	return offerer{tail}, err
}

type offerer struct{ completion.Tail }

// Append is completion.Tail's.
func (o offerer) Append(ctx context.Context, e completion.Event) error {
	settled := make(chan error, 1)
	o.Offer(ctx, &e, func(err error) { settled <- err })
	return <-settled
}

// Write appends events or fails the test.
func Write(t testing.TB, tail completion.Tail, events ...completion.Event) {
	t.Helper()
	for _, e := range events {
		require.NoError(t, tail.Append(t.Context(), e))
	}
}

// Whole appends a job of one attempt with n deltas and returns its records.
func Whole(t testing.TB, log completion.Log, ref completion.Ref, n int) []completion.Record {
	t.Helper()
	tail := Open(t, log, ref)
	var all []completion.Record
	put := func(e completion.Event) {
		Write(t, tail, e)
		all = append(all, tail.Last())
	}
	put(Started(1))
	for i := range n {
		put(Delta(1, fmt.Sprintf("t%d ", i)))
	}
	put(Completed(1))
	return all
}

// Collect reads seq to its end.
func Collect(seq iter.Seq2[completion.Record, error]) ([]completion.Record, error) {
	var all []completion.Record
	for r, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Same requires two logs to be the same, byte for byte.
func Same(t testing.TB, want, got []completion.Record) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Seq, got[i].Seq)
		require.Equal(t, want[i].Type, got[i].Type)
		require.Equal(t, want[i].Attempt, got[i].Attempt)
		require.Equal(t, string(want[i].Data), string(got[i].Data))
	}
}
