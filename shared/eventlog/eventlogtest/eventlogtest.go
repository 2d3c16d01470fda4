// Package eventlogtest is the contract of completion.Log as a test suite, for every way to reach one.
package eventlogtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// Run tests what open returns. Each test opens its own log and uses jobs of its own, so open may return one log again
// and again.
func Run(t *testing.T, open func(t *testing.T) completion.Log) {
	for _, c := range []struct {
		name string
		test func(*testing.T, completion.Log)
	}{
		{"Append_NumbersWithoutGaps", appendNumbers},
		{"Append_FinalIsTheEnd", appendFinal},
		{"Append_EndedContext", appendEnded},
		{"Open_ContinuesAfterTheLastRecord", openContinues},
		{"Open_InvalidName", openInvalid},
		{"Append_I5_LaterTailFencesEarlier", fences},
		{"Append_I5_RacingTakeOvers", takeOvers},
		{"Follow_I3_BeforeDuringAfter", followAnyTime},
		{"Follow_I3_ManyViewers", followMany},
		{"Follow_I3_FromAnySeq", followFrom},
		{"Follow_I3_BlockedViewerMissesNothing", followBlocked},
		{"Follow_KeepsBytes", followBytes},
		{"Follow_LargeEvents", followLarge},
		{"Follow_EndedContext", followEnded},
		{"Follow_LeftLoop", followLeft},
		{"Follow_I8_TenantsAreWalls", followTenants},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
		if act, found := strings.CutPrefix(c.name, "Append"); found {
			t.Run("Offer"+act, func(t *testing.T) {
				t.Parallel()
				c.test(t, Offering(open(t)))
			})
		}
	}
}

func appendNumbers(t *testing.T, log completion.Log) {
	ref := Job()
	all := Whole(t, log, ref, 5)
	for i, r := range all {
		require.Equal(t, int64(i+1), r.Seq)
		e, err := r.Event()
		require.NoError(t, err)
		require.Equal(t, r.Seq, e.Seq)
	}
	got, err := Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	Same(t, all, got)
}

func appendFinal(t *testing.T, log completion.Log) {
	ref := Job()
	early := Open(t, log, ref)
	tail := Open(t, log, ref)
	Write(t, tail, Started(1), Completed(1))
	require.ErrorIs(t, tail.Append(t.Context(), Delta(1, "x")), completion.ErrFinal)
	require.ErrorIs(t, Open(t, log, ref).Append(t.Context(), Started(2)), completion.ErrFinal)
	require.ErrorIs(t, early.Append(t.Context(), Started(2)), completion.ErrFinal)
}

func appendEnded(t *testing.T, log completion.Log) {
	ref := Job()
	tail := Open(t, log, ref)
	cause := errors.New("drained")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, tail.Append(ctx, Started(1)), cause)
	Write(t, tail, Started(1), Completed(1))
}

func openContinues(t *testing.T, log completion.Log) {
	ref := Job()
	require.Zero(t, Open(t, log, ref).Last().Seq)
	first := Open(t, log, ref)
	Write(t, first, Started(1), Delta(1, "a"))
	second := Open(t, log, ref)
	require.Equal(t, first.Last(), second.Last())
	Write(t, second, Started(2))
	require.Equal(t, int64(3), second.Last().Seq)
}

func openInvalid(t *testing.T, log completion.Log) {
	for _, ref := range []completion.Ref{{}, {Tenant: "a"}, {Tenant: "a", Job: "*"}, {Tenant: "a.b", Job: "c"}, {Tenant: ">", Job: "c"}} {
		_, err := log.Open(t.Context(), ref)
		require.ErrorIs(t, err, completion.ErrNotFound)
		_, err = Collect(log.Follow(t.Context(), ref, 0))
		require.ErrorIs(t, err, completion.ErrNotFound)
	}
}

func fences(t *testing.T, log completion.Log) {
	ref := Job()
	zombie := Open(t, log, ref)
	Write(t, zombie, Started(1), Delta(1, "a"))
	owner := Open(t, log, ref)
	Write(t, owner, Started(2))
	for range 3 {
		require.ErrorIs(t, zombie.Append(t.Context(), Delta(1, "zombie")), completion.ErrStale)
	}
	Write(t, owner, Delta(2, "b"), Completed(2))
	got, err := Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 5)
	for _, r := range got {
		require.NotContains(t, string(r.Data), "zombie")
	}
}

// takeOvers lets each attempt write until it is fenced off by the next, which does not wait for it.
func takeOvers(t *testing.T, log completion.Log) {
	const attempts = 6
	ref := Job()
	live := make(chan []completion.Record, 1)
	failed := make(chan error, attempts+1)
	go func() {
		got, err := Collect(log.Follow(t.Context(), ref, 0))
		failed <- err
		live <- got
	}()
	for a := 1; a <= attempts; a++ {
		tail := takeOver(t, log, ref, a)
		if a == attempts {
			Write(t, tail, Delta(a, "end"), Completed(a))
			failed <- nil
			break
		}
		spoke := make(chan struct{})
		go func() { failed <- speak(t.Context(), tail, a, spoke) }()
		<-spoke
	}
	for range attempts + 1 {
		require.NoError(t, <-failed)
	}
	got := <-live
	stored, err := Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	Same(t, stored, got)
	attempt := 0
	for i, r := range got {
		require.Equal(t, int64(i+1), r.Seq)
		require.GreaterOrEqual(t, r.Attempt, attempt, "an older attempt spoke")
		if r.Attempt > attempt {
			require.Equal(t, completion.EventStarted, r.Type, "an attempt begins with its start")
		}
		attempt = r.Attempt
	}
	require.Equal(t, attempts, attempt)
}

func takeOver(t *testing.T, log completion.Log, ref completion.Ref, attempt int) completion.Tail {
	for {
		tail := Open(t, log, ref)
		err := tail.Append(t.Context(), Started(attempt))
		if err == nil {
			return tail
		}
		require.ErrorIs(t, err, completion.ErrStale)
	}
}

// speak appends until it is fenced off. It closes spoke after a few events.
func speak(ctx context.Context, tail completion.Tail, attempt int, spoke chan struct{}) error {
	for i := 0; ; i++ {
		if i == 5 {
			close(spoke)
		}
		switch err := tail.Append(ctx, Delta(attempt, fmt.Sprint(i))); {
		case errors.Is(err, completion.ErrStale), errors.Is(err, completion.ErrFinal):
			return nil
		case err != nil:
			return err
		}
	}
}

type viewing struct {
	got []completion.Record
	err error
}

func view(ctx context.Context, log completion.Log, ref completion.Ref) chan viewing {
	done := make(chan viewing, 1)
	go func() {
		got, err := Collect(log.Follow(ctx, ref, 0))
		done <- viewing{got, err}
	}()
	return done
}

func followAnyTime(t *testing.T, log completion.Log) {
	const n = 60
	ref := Job()
	viewers := []chan viewing{view(t.Context(), log, ref)}
	tail := Open(t, log, ref)
	var all []completion.Record
	for i := range n {
		e := Delta(1, fmt.Sprint(i))
		switch i {
		case 0:
			e = Started(1)
		case n - 1:
			e = Completed(1)
		}
		Write(t, tail, e)
		all = append(all, tail.Last())
		if i%6 == 0 {
			viewers = append(viewers, view(t.Context(), log, ref))
		}
	}
	viewers = append(viewers, view(t.Context(), log, ref))
	for _, v := range viewers {
		r := <-v
		require.NoError(t, r.err)
		Same(t, all, r.got)
	}
}

func followMany(t *testing.T, log completion.Log) {
	ref := Job()
	var viewers []chan viewing
	for range 40 {
		viewers = append(viewers, view(t.Context(), log, ref))
	}
	all := Whole(t, log, ref, 20)
	for _, v := range viewers {
		r := <-v
		require.NoError(t, r.err)
		Same(t, all, r.got)
	}
}

func followFrom(t *testing.T, log completion.Log) {
	ref := Job()
	all := Whole(t, log, ref, 6)
	for after := range len(all) + 1 {
		got, err := Collect(log.Follow(t.Context(), ref, int64(after)))
		require.NoError(t, err)
		Same(t, all[after:], got)
	}
}

// followBlocked stops reading for so long that whatever is kept for it overflows.
func followBlocked(t *testing.T, log completion.Log) {
	ref := Job()
	reading, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan viewing, 1)
	go func() {
		var v viewing
		for r, err := range log.Follow(t.Context(), ref, 0) {
			if v.err = err; err != nil {
				break
			}
			v.got = append(v.got, r)
			if r.Seq == 1 {
				close(reading)
				<-goOn
			}
		}
		done <- v
	}()
	tail := Open(t, log, ref)
	Write(t, tail, Started(1))
	all := []completion.Record{tail.Last()}
	<-reading
	for i := range 600 {
		Write(t, tail, Delta(1, fmt.Sprint(i)))
		all = append(all, tail.Last())
	}
	Write(t, tail, Completed(1))
	all = append(all, tail.Last())
	close(goOn)
	v := <-done
	require.NoError(t, v.err)
	Same(t, all, v.got)
}

func followBytes(t *testing.T, log completion.Log) {
	ref := Job()
	tail := Open(t, log, ref)
	chunk := json.RawMessage(`{"choices":[{"delta":{"content":"\u0000\ud83d <&> é \" 𝄞"}}],"n":1.50}`)
	Write(t, tail, Started(1), completion.Event{Type: completion.EventDelta, Attempt: 1, Chunks: []json.RawMessage{chunk}}, Completed(1))
	got, err := Collect(log.Follow(t.Context(), ref, 1))
	require.NoError(t, err)
	require.True(t, bytes.Contains(got[0].Data, chunk))
}

func followLarge(t *testing.T, log completion.Log) {
	ref := Job()
	during := view(t.Context(), log, ref)
	tail := Open(t, log, ref)
	Write(t, tail, Started(1))
	all := []completion.Record{tail.Last()}
	for i := range 12 {
		Write(t, tail, Delta(1, strings.Repeat(string(rune('a'+i)), 190<<10)))
		all = append(all, tail.Last())
	}
	Write(t, tail, Completed(1))
	all = append(all, tail.Last())
	for _, v := range []chan viewing{during, view(t.Context(), log, ref)} {
		r := <-v
		require.NoError(t, r.err)
		Same(t, all, r.got)
	}
}

func followEnded(t *testing.T, log completion.Log) {
	ref := Job()
	Write(t, Open(t, log, ref), Started(1))
	cause := errors.New("hung up")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for r, err := range log.Follow(ctx, ref, 0) {
		if n++; n == 1 {
			require.NoError(t, err)
			require.Equal(t, int64(1), r.Seq)
			cancel(cause)
			continue
		}
		require.ErrorIs(t, err, cause)
	}
	require.Equal(t, 2, n)
}

func followLeft(t *testing.T, log completion.Log) {
	ref := Job()
	all := Whole(t, log, ref, 3)
	for r, err := range log.Follow(t.Context(), ref, 0) {
		require.NoError(t, err)
		require.Equal(t, int64(1), r.Seq)
		break
	}
	got, err := Collect(log.Follow(t.Context(), ref, 1))
	require.NoError(t, err)
	Same(t, all[1:], got)
}

func followTenants(t *testing.T, log completion.Log) {
	ours := Job()
	theirs := completion.Ref{Tenant: "other", Job: ours.Job}
	all := Whole(t, log, ours, 2)
	require.Zero(t, Open(t, log, theirs).Last().Seq)
	Whole(t, log, theirs, 5)
	got, err := Collect(log.Follow(t.Context(), ours, 0))
	require.NoError(t, err)
	Same(t, all, got)
}
