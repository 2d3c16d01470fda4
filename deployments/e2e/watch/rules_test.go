package watch_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dashboard is what the tests read of a Grafana dashboard.
type dashboard struct {
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"` // row, stat or timeseries
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []target `json:"targets"`

	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

type target struct {
	Expr   string `json:"expr"`
	Legend string `json:"legendFormat"`
}

// in is the query as Grafana asks it of a Prometheus that has a sample each second.
func (q target) in(interval string) string {
	return strings.ReplaceAll(q.Expr, "$__rate_interval", interval)
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployments, "grafana", "dashboards", "sluice.json"))
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.Panels)
	return d
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{deployments}, path...)...))
	require.NoError(t, err)
	return string(text)
}

func check(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), promtool, args...)
	cmd.Dir = filepath.Join(deployments, "prometheus")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestAlerts_Fire(t *testing.T) {
	t.Parallel()
	check(t, "check", "config", "prometheus.yml")
	check(t, "check", "rules", "alerts.yml")
	check(t, "test", "rules", "alerts_test.yml")
	tests := read(t, "prometheus", "alerts_test.yml")
	for _, name := range alerts(t) {
		require.Regexp(t, `alertname: `+name+`\n\s+exp_alerts:\n`, tests, "%s fires in a test", name)
	}
}

func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "prometheus", "alerts.yml"), -1) {
		names = append(names, m[1])
	}
	require.NotEmpty(t, names)
	return names
}

func TestAlerts_HaveRunbooks(t *testing.T) {
	t.Parallel()
	rules, page := read(t, "prometheus", "alerts.yml"), read(t, "docs", "operations.md")
	var written []string
	for _, m := range regexp.MustCompile(`(?m)^### (Sluice\w+)$`).FindAllStringSubmatch(page, -1) {
		written = append(written, m[1])
	}
	require.ElementsMatch(t, alerts(t), written)
	for _, name := range written {
		require.Contains(t, rules, "runbook_url: deployments/docs/operations.md#"+strings.ToLower(name)+"\n")
	}
}

var ours = regexp.MustCompile(`sluice_[a-z_]+`)

// TestQueries_NameMetrics holds what alerts and the dashboard ask for against the reference of metrics.
func TestQueries_NameMetrics(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs", "metrics.md")
	asked := read(t, "prometheus", "alerts.yml")
	for _, p := range readDashboard(t).Panels {
		for _, q := range p.Targets {
			asked += q.Expr + "\n"
		}
	}
	for _, name := range ours.FindAllString(asked, -1) {
		name = strings.TrimSuffix(name, "_bucket")
		require.Contains(t, reference, "`"+name+"`")
	}
}

func TestDashboard_IsWellFormed(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	seen := map[int]bool{}
	taken := map[[2]int]string{}
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	for _, p := range d.Panels {
		require.False(t, seen[p.ID], "panels have ids of their own")
		seen[p.ID] = true
		require.NotEmpty(t, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies over another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
				require.Less(t, x, 24)
			}
		}
		for i, q := range p.Targets {
			rules += fmt.Sprintf("      - record: panel:%d:%d\n        expr: %q\n", p.ID, i, q.in("1m"))
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(file, []byte(rules), 0o600))
	check(t, "check", "rules", file)
}
