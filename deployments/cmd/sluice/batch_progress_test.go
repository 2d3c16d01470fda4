package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// TestMeter writes down what a person sees of a batch.
func TestMeter(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	var m meter
	at := time.Unix(0, 0)
	b := client.Batch{State: completion.BatchValidating}
	show := func(after time.Duration, ended, failed int) {
		at = at.Add(after)
		b.Counts.Completed, b.Counts.Failed = ended-failed, failed
		b.Usage.Input, b.Usage.Output = int64(ended)*7, int64(ended)*90
		b.Usage.Total = b.Usage.Input + b.Usage.Output
		m.note(b, at)
		got.WriteString(m.text(at) + "\n")
	}
	show(0, 0, 0)
	b.State, b.Counts.Total = completion.BatchInProgress, 50000
	show(time.Second, 0, 0)
	show(500*time.Millisecond, 700, 0)
	show(500*time.Millisecond, 1400, 2)
	for range 8 {
		show(4*time.Second, b.Counts.Ended()+40, b.Counts.Failed)
	}
	at = at.Add(time.Hour)
	got.WriteString(m.text(at) + "\n")
	b.Paused = true
	show(time.Second, 2000, 2)
	b.Paused = false
	show(time.Second, 2000, 2)
	show(10*time.Second, 2003, 2)
	b.State = completion.BatchFinalizing
	show(time.Second, 50000, 1234)
	b.State = completion.BatchCompleted
	show(time.Second, 50000, 1234)

	path := filepath.Join("testdata", "progress.txt")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// TestProgress_Lines: where there is no terminal, a line comes every five seconds at most, and never twice.
func TestProgress_Lines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		now := "a"
		p := (&terminal{err: &out}).progress(func(time.Time) string { return now })
		for i, text := range []string{"a", "b", "c", "c", "d", "e", "f", "g", "h", "i", "j"} {
			p.set(int64(i), 10, func() { now = text })
			time.Sleep(time.Second) // of the fake clock: the pace of events
		}
		p.end()
		require.Equal(t, "a\ne\nj\n", out.String())
	})
}

func TestDigits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -100: "-100", -1000: "-1,000"} {
		require.Equal(t, want, digits(n))
	}
}
