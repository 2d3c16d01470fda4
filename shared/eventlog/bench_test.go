package eventlog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

func benchBoth(b *testing.B, run func(b *testing.B, log *eventlog.Log)) {
	n := testkit.NATS(b)
	inside := open(b, testkit.Conn(b, n), eventlog.Options{})
	require.NoError(b, inside.Setup(b.Context()))
	b.Run("InProcess", func(b *testing.B) { run(b, inside) })
	b.Run("TCP", func(b *testing.B) {
		run(b, open(b, connect(b, n.ClientURL(), testkit.As(b, n, credential.API)), eventlog.Options{}))
	})
}

// BenchmarkAppend is one delta stored: what a worker waits between two.
func BenchmarkAppend(b *testing.B) {
	benchBoth(b, func(b *testing.B, log *eventlog.Log) {
		tail := eventlogtest.Open(b, log, eventlogtest.Job())
		eventlogtest.Write(b, tail, eventlogtest.Started(1))
		e := eventlogtest.Delta(1, " token")
		b.ReportAllocs()
		for b.Loop() {
			if err := tail.Append(b.Context(), e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFollow is one delta from Append to a waiting viewer.
func BenchmarkFollow(b *testing.B) {
	benchBoth(b, func(b *testing.B, log *eventlog.Log) {
		ref := eventlogtest.Job()
		tail := eventlogtest.Open(b, log, ref)
		seen := make(chan completion.Record, 1)
		go func() {
			defer close(seen)
			for r, err := range log.Follow(b.Context(), ref, 0) {
				if err != nil {
					return
				}
				seen <- r
			}
		}()
		eventlogtest.Write(b, tail, eventlogtest.Started(1))
		<-seen
		e := eventlogtest.Delta(1, " token")
		b.ReportAllocs()
		for b.Loop() {
			if err := tail.Append(b.Context(), e); err != nil {
				b.Fatal(err)
			}
			<-seen
		}
		eventlogtest.Write(b, tail, eventlogtest.Completed(1))
		<-seen
		<-seen
	})
}

// BenchmarkReplay is a late viewer's reading of a whole job of 500 deltas.
func BenchmarkReplay(b *testing.B) {
	benchBoth(b, func(b *testing.B, log *eventlog.Log) {
		ref := eventlogtest.Job()
		all := eventlogtest.Whole(b, log, ref, 500)
		b.ReportAllocs()
		for b.Loop() {
			got, err := eventlogtest.Collect(log.Follow(b.Context(), ref, 0))
			if err != nil || len(got) != len(all) {
				b.Fatal(len(got), err)
			}
		}
	})
}
