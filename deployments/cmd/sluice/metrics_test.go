package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/api"
	"sluice/shared/backend"
	"sluice/shared/telemetry"
	"sluice/worker"
)

// golden writes the file anew if that is asked for, and requires it to be so.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run make generate")
}

const metricsHead = `# Metrics

Each program serves Prometheus' text format at ` + "`/metrics`" + ` on its private port (` + "`SLUICE_PRIVATE_ADDR`" + `; by default 127.0.0.1:9464 for
api, 127.0.0.1:9465 for worker, and none for sluice up, where all of them are on one port). The same port has ` + "`/livez`" + ` and ` + "`/readyz`" + ` for
probes, ` + "`/buildinfo`" + `, and Go's profiles at ` + "`/debug/pprof/`" + `. It asks for no key: let only those reach it who run the installation.

Names and labels stay as they are. Labels never hold a tenant, a job or what a client has made up; an upstream is called by its name
in the settings, a route as in the API reference. Gauges of the whole installation are the same in every api process: take the largest, not the sum. They
are read at the scrape, for a second at most; while Redis or the database is away, what it knows is left out and
` + "`sluice_up`" + ` is 0. Times between two machines are as good as their clocks. The collectors of Prometheus' Go client for the runtime (` + "`go_…`" + `)
and the process (` + "`process_…`" + `) are there too.
`

// The page of all metrics is made from the instruments, and their names, types and labels stay as they are.
func TestReference_Metrics(t *testing.T) {
	t.Parallel()
	page, names := metricsHead, ""
	seen := map[string]bool{}
	for _, part := range []struct {
		name    string
		metrics []telemetry.Metric
	}{
		{"every program", slices.Concat(backend.Metrics(), telemetry.Metrics())},
		{"api", api.Metrics()},
		{"worker", worker.Metrics()},
	} {
		page += "\n## " + part.name + "\n\n" + telemetry.Reference(part.metrics)
		for _, m := range part.metrics {
			require.False(t, seen[m.Name], "%s is there twice", m.Name)
			seen[m.Name] = true
			require.NotEmpty(t, m.Help)
			for _, no := range []string{"tenant", "job", "job_id", "model"} {
				require.NotContains(t, m.Labels, no, m.Name)
			}
			names += part.name + " " + m.Kind + " " + m.Name + "{" + strings.Join(m.Labels, ",") + "}\n"
		}
	}
	golden(t, filepath.Join("..", "..", "docs", "metrics.md"), page)
	golden(t, filepath.Join("testdata", "metrics.golden"), names)
}
