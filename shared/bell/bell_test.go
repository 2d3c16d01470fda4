package bell_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/bell"
	"sluice/shared/completion"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBell_Wake(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	ringer, listener := bell.New(testkit.Conn(t, n)), bell.New(testkit.Conn(t, n))
	heard := map[completion.Lane]chan struct{}{}
	for _, lane := range completion.Lanes {
		ch := make(chan struct{}, 16)
		heard[lane] = ch
		stop, err := listener.OnWake(lane, func() { ch <- struct{}{} })
		require.NoError(t, err)
		defer stop()
	}
	ringer.Wake(completion.LaneBatch)
	<-heard[completion.LaneBatch]
	require.Empty(t, heard[completion.LaneInteractive])
	ringer.Wake(completion.LaneInteractive)
	<-heard[completion.LaneInteractive]
}

func TestBell_Cancel(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	ringer := bell.New(testkit.Conn(t, n))
	heard := make(chan completion.Ref, 16)
	for range 2 {
		stop, err := bell.New(testkit.Conn(t, n)).OnCancel(func(ref completion.Ref) { heard <- ref })
		require.NoError(t, err)
		defer stop()
	}
	want := completion.Ref{Tenant: "acme", Job: completion.NewJobID()}
	ringer.Cancel(want)
	require.Equal(t, want, <-heard)
	require.Equal(t, want, <-heard)
}

func TestBell_Batch(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	type ring struct {
		ref   completion.Ref
		lines []int
	}
	heard := make(chan ring, 16)
	stop, err := bell.New(testkit.Conn(t, n)).OnBatch(func(ref completion.Ref, lines []int) { heard <- ring{ref, lines} })
	require.NoError(t, err)
	defer stop()
	nc := testkit.Conn(t, n)
	ref := completion.Ref{Tenant: "acme", Job: completion.NewBatchID()}
	for _, lines := range [][]int{{7}, {1, 2, completion.MaxBatchLines}, nil} {
		bell.New(nc).Batch(ref, lines...)
		require.Equal(t, ring{ref, lines}, <-heard)
	}
	for _, nonsense := range []string{",", "1,", "x", "0", "-1", "1,99999999", "99999999999999999999"} {
		require.NoError(t, nc.Publish("batch.acme."+ref.Job, []byte(nonsense)))
		require.Equal(t, ring{ref, nil}, <-heard, nonsense)
	}
}

func TestBell_Stop(t *testing.T) {
	t.Parallel()
	nc := testkit.Conn(t, testkit.NATS(t))
	b := bell.New(nc)
	before := nc.NumSubscriptions()
	stop, err := b.OnWake(completion.LaneBatch, func() {})
	require.NoError(t, err)
	require.Equal(t, before+1, nc.NumSubscriptions())
	stop()
	require.Equal(t, before, nc.NumSubscriptions())
}

func TestBell_ClosedConnection(t *testing.T) {
	t.Parallel()
	nc := testkit.Conn(t, testkit.NATS(t))
	nc.Close()
	b := bell.New(nc)
	b.Wake(completion.LaneBatch)
	_, err := b.OnCancel(func(completion.Ref) {})
	require.ErrorContains(t, err, "cancel.*.*")
}
