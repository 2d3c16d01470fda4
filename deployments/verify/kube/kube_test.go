package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// rules are what has to be true of an overlay; each returns what is not.
var rules = map[string]func(*overlay) []string{
	"names": namesAreOwn, "selectors": selectorsFit, "settings": settingsFit, "schema": schemaIsThere, "security": podsAreRestricted,
	"volumes": volumesAreThere, "files": filesAreShared, "drain": drainsFit, "probes": probesFit, "services": servicesFit, "servers": serversAreThere,
	"budgets": budgetsFit, "policies": policiesFit, "public": publicIsPublic, "proxy": proxyFits, "monitors": monitorsFit, "scaling": scalingFits,
}

func TestOverlays(t *testing.T) {
	t.Parallel()
	for _, name := range overlays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := render(t, name)
			for rule, faults := range rules {
				require.Empty(t, faults(o), rule)
			}
			for _, version := range versions(t) {
				for _, x := range append(o.objects, o.example...) {
					require.NoError(t, version.check(x), "%s, %s", version.name, x)
				}
			}
		})
	}
}

// version is a Kubernetes, and what it takes.
type version struct {
	name     string
	compiler *jsonschema.Compiler
}

func versions(t *testing.T) (all []version) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.Open(file)
		require.NoError(t, err)
		document, err := jsonschema.UnmarshalJSON(text)
		require.NoError(t, err)
		require.NoError(t, text.Close())
		v := version{strings.TrimSuffix(filepath.Base(file), ".json"), jsonschema.NewCompiler()}
		require.NoError(t, v.compiler.AddResource("kubernetes.json", document))
		all = append(all, v)
	}
	return all
}

func (v version) check(o object) error {
	schema, err := v.compiler.Compile("kubernetes.json#/$defs/" + strings.ReplaceAll(o.id(), "/", "~1"))
	if err != nil {
		return err
	}
	return schema.Validate(o.raw)
}

// TestProduction_Secrets: none is part of it.
func TestProduction_Secrets(t *testing.T) {
	t.Parallel()
	o := render(t, "production")
	require.Empty(t, o.of("Secret"))
	require.NotEmpty(t, o.example)
}

// TestScaling is what the production overlay makes of a day.
func TestScaling(t *testing.T) {
	t.Parallel()
	lanes := scalers(render(t, "production"))
	ask := func(t *testing.T, s scaled, n int, depth, running, retrying float64) int {
		t.Helper()
		value, err := evaluate(s, map[string]float64{"depth": depth, "running": running, "retrying": retrying})
		require.NoError(t, err)
		return s.replicas(n, value)
	}
	t.Run("Batch/NothingToDo", func(t *testing.T) {
		t.Parallel()
		require.Zero(t, ask(t, lanes[completion.LaneBatch], 5, 0, 0, 0))
	})
	t.Run("Batch/BeginsWithoutWorkers", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 1, ask(t, lanes[completion.LaneBatch], 0, 1, 0, 0))
	})
	t.Run("Batch/RetriesKeepOneWorker", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 1, ask(t, lanes[completion.LaneBatch], 3, 0, 0, 5000))
	})
	t.Run("Batch/GrowsToTheLimit", func(t *testing.T) {
		t.Parallel()
		s, n := lanes[completion.LaneBatch], 0
		s.MaxReplicaCount = 40 // far beyond where the tolerance could hold it
		for range 30 {
			n = ask(t, s, n, 64, float64(64*n), 0) // full workers, and the 64 lines that the api has waiting at least
		}
		require.Equal(t, 40, n)
	})
	t.Run("Interactive/HasSlotsToSpare", func(t *testing.T) {
		t.Parallel()
		s := lanes[completion.LaneInteractive]
		require.Equal(t, 2, ask(t, s, 2, 0, 0, 0))
		require.Equal(t, 2, ask(t, s, 2, 0, 64, 0))
		require.Equal(t, 4, ask(t, s, 2, 0, 128, 0))
		require.Equal(t, s.MaxReplicaCount, ask(t, s, 4, 10_000, 256, 0))
	})
}
