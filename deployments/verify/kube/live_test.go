package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScaling_ReadsRealMetrics has the scalers of production look at a running api, as KEDA would: what its page says of each lane
// is found where they look for it, and asks for as many workers as the jobs need.
func TestScaling_ReadsRealMetrics(t *testing.T) {
	t.Parallel()
	lanes := scalers(render(t, "production"))
	s := installation(t)
	api, err := client.New(s.HTTPURL(), nil)
	require.NoError(t, err)
	api = api.WithKey(s.Key())

	wants := func(lane completion.Lane, want float64) {
		t.Helper()
		seen := ""
		require.Eventually(t, func() bool { // the api reads the queue once in a while
			got, err := look(t.Context(), lanes[lane], "http://"+s.PrivateAddr()+"/metrics")
			seen = fmt.Sprint(got, err)
			return err == nil && got == want
		}, time.Minute, 50*time.Millisecond, "lane %s wants %v jobs done; last: %s", lane, want, &seen)
	}
	wants(completion.LaneInteractive, 0)
	wants(completion.LaneBatch, 0)

	submit := func(lane completion.Lane, model string) {
		t.Helper()
		body := json.RawMessage(`{"model":"` + model + `","messages":[{"role":"user","content":"hello"}]}`)
		_, err := api.Submit(t.Context(), client.Submission{Request: body, Lane: lane})
		require.NoError(t, err)
	}
	for range 3 {
		submit(completion.LaneInteractive, "sim?tokens=100000&tps=10") // two run, one waits
	}
	wants(completion.LaneInteractive, 3)
	submit(completion.LaneBatch, "sim") // nobody serves the lane
	wants(completion.LaneBatch, 1)
	require.Equal(t, 1, lanes[completion.LaneBatch].replicas(0, 1), "it begins without workers")
}

// installation is an all-in-one with two interactive slots and none for the batch lane.
func installation(t *testing.T) *standalone.Standalone {
	t.Helper()
	var c standalone.Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse([]string{
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--private-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(),
		"--interactive-slots=2", "--batch-slots=0", "--drain-limit=100ms",
	})
	require.NoError(t, err)
	s, err := standalone.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// look reads the page and evaluates the scaler's formula over it.
func look(ctx context.Context, s scaled, url string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	read := map[string]float64{}
	page, err := families(answer.Body)
	if err != nil {
		return 0, err
	}
	for _, t := range s.Triggers {
		if read[t.Name], err = value(page, t.Metadata.ValueLocation); err != nil {
			return 0, err
		}
	}
	return evaluate(s, read)
}

// families parses a page with KEDA's parser.
func families(page io.Reader) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(page)
}

// value is what KEDA's metrics-api scaler finds at a place: the first metric of that name with that label.
func value(page map[string]*dto.MetricFamily, where string) (float64, error) {
	found := location.FindStringSubmatch(where)
	for _, metric := range page[found[1]].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "lane" && label.GetValue() == found[2] && metric.GetGauge() != nil {
				return metric.GetGauge().GetValue(), nil
			}
		}
	}
	return 0, fmt.Errorf("value %s not found", where)
}
