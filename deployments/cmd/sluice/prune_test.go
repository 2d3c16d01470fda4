package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/migrations"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/store"
)

// TestPrune says sluice prune to a database with jobs that ended in the last 60 days, one each day, every third stored.
func TestPrune(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := embedded.OpenSQLite(filepath.Join(dir, "sluice.db"))
	require.NoError(t, err)
	_, err = migrations.Up(t.Context(), db)
	require.NoError(t, err)
	s := store.New(db, store.Options{})
	for day := range 60 {
		at := time.Now().Add(-time.Duration(day) * 24 * time.Hour)
		_, _, err := s.Add(t.Context(), &completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", State: completion.Completed, Request: json.RawMessage(`{}`), Stored: day%3 == 0,
			CreatedAt: at, UpdatedAt: at, FinishedAt: at,
		})
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	say := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(context.Background(), slices.Concat([]string{"prune"}, args, []string{"--data-dir", dir}), &terminal{out: &out, err: &out})
		return out.String(), err
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"--dry-run"}, "KIND           WOULD GO\nbatches        0\nconversations  0\ndeliveries     0\njobs           20\nlines          0\nmessages       0\nquota_days     0\nstored         10\nworkers        0\n"},
		{[]string{"--dry-run", "jobs", "--older-than", "240h"}, "KIND        WOULD GO\njobs        34\nquota_days  0\nworkers     0\n"},
		{[]string{"jobs", "--job-retention", "1200h"}, "KIND  PRUNED\njobs  7\n"},
		{[]string{"jobs", "--older-than", "240h"}, "KIND  PRUNED\njobs  27\n"},
		{[]string{"jobs", "--older-than", "0"}, "KIND  PRUNED\njobs  6\n"}, // what ended in the last day stays
		{[]string{"stored", "jobs", "--stored-retention", "0"}, "KIND  PRUNED\n"},
		{nil, "KIND    PRUNED\nstored  10\n"},
		{nil, "KIND  PRUNED\n"},
	} {
		out, err := say(step.args...)
		require.NoError(t, err, step.args)
		require.Equal(t, step.want, out, step.args)
	}
	for said, args := range map[string][]string{
		"--older-than: name the kinds": {"--older-than", "1h"},
		"--older-than -1h0m0s":         {"jobs", "--older-than=-1h"},
		"retention of jobs -1s":        {"--job-retention=-1s"},
		"must be one of":               {"everything"},
	} {
		_, err := say(args...)
		require.ErrorContains(t, err, said, args)
	}
}
