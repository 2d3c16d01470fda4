package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open runs a private port until the test ends.
func open(t *testing.T) *telemetry.Private {
	t.Helper()
	p, err := telemetry.Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
		_, err := http.Get("http://" + p.Addr() + "/livez")
		require.Error(t, err, "the port is given back")
		http.DefaultClient.CloseIdleConnections()
	})
	return p
}

func get(t *testing.T, p *telemetry.Private, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get("http://" + p.Addr() + path)
	require.NoError(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(text)
}

func TestPrivate_Routes(t *testing.T) {
	t.Parallel()
	p := open(t)
	set := &telemetry.Set{}
	set.Counter("things_total", "Things.", "kind").WithLabelValues("a").Add(3)
	p.Register(set)
	status, body := get(t, p, "/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{`sluice_things_total{kind="a"} 3`, `sluice_build_info{go="go1.`, "go_goroutines ", "process_open_fds "} {
		require.Contains(t, body, want)
	}
	status, body = get(t, p, "/buildinfo")
	require.Equal(t, http.StatusOK, status)
	var b telemetry.Build
	require.NoError(t, json.Unmarshal([]byte(body), &b))
	require.Equal(t, telemetry.ThisBuild(), b)
	require.Equal(t, "dev", b.Version)
	require.NotEmpty(t, b.Go)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/livez"} {
		status, _ = get(t, p, path)
		require.Equal(t, http.StatusOK, status, path)
	}
	status, _ = get(t, p, "/v1/jobs")
	require.Equal(t, http.StatusNotFound, status)
}

func TestPrivate_Ready(t *testing.T) {
	t.Parallel()
	p := open(t)
	status, body := get(t, p, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"unavailable","reason":"the program is starting"}`, body)
	p.Ready(func(context.Context) error { return nil })
	status, body = get(t, p, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok"}`, body)
	p.Ready(func(context.Context) error { return errors.New("it drains") })
	status, body = get(t, p, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "it drains")
}

// A profile that is being read does not hold up a stop.
func TestPrivate_StopsInTime(t *testing.T) {
	t.Parallel()
	p, err := telemetry.Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	begun := make(chan struct{})
	p.Ready(func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if r, err := http.Get("http://" + p.Addr() + "/readyz"); err == nil {
			r.Body.Close()
		}
	}()
	<-begun
	stop()
	require.NoError(t, <-done)
	<-asked
	require.NoError(t, p.Close(), "it is closed already")
}

func TestListen_Faults(t *testing.T) {
	t.Parallel()
	p := open(t)
	_, err := telemetry.Listen(p.Addr(), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, p.Addr())
	require.ErrorContains(t, err, "SLUICE_PRIVATE_ADDR")
	none, err := telemetry.Listen("", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	none.Register(&telemetry.Set{})
	require.Empty(t, none.Addr())
	require.NoError(t, none.Run(t.Context()), "there is nothing to do")
	require.NoError(t, none.Close())
}

func TestSet_Reference(t *testing.T) {
	t.Parallel()
	s := &telemetry.Set{}
	s.Histogram("wait_seconds", "Waited.", []float64{1, 2}, "lane").WithLabelValues("batch").Observe(1.5)
	s.Counter("jobs_total", "Jobs.", "lane", "state").WithLabelValues("batch", "failed").Inc()
	s.Gauge("slots", "Slots.").WithLabelValues().Set(4)
	s.ReadGauge("depth", "Depth.", []string{"lane"}, func(emit telemetry.Emit) { emit(7, "batch") })
	s.ReadCounter("replays_total", "Replays.", nil, func(emit telemetry.Emit) { emit(2) })
	require.Equal(t, `| name | type | labels | unit | meaning |
|---|---|---|---|---|
`+"| `sluice_depth` | gauge | `lane` |  | Depth. |\n| `sluice_jobs_total` | counter | `lane`, `state` |  | Jobs. |\n"+
		"| `sluice_replays_total` | counter |  |  | Replays. |\n| `sluice_slots` | gauge |  |  | Slots. |\n| `sluice_wait_seconds` | histogram | `lane` | s | Waited. |\n",
		telemetry.Reference(s.Metrics()))
	faults, err := testutil.CollectAndLint(s)
	require.NoError(t, err)
	require.Empty(t, faults)
	require.NoError(t, testutil.CollectAndCompare(s, strings.NewReader(`
# HELP sluice_depth Depth.
# TYPE sluice_depth gauge
sluice_depth{lane="batch"} 7
# HELP sluice_replays_total Replays.
# TYPE sluice_replays_total counter
sluice_replays_total 2
`), "sluice_depth", "sluice_replays_total"))
}

// Observing one of the delta path's metrics allocates nothing.
func TestSet_ObserveAllocatesNothing(t *testing.T) {
	s := &telemetry.Set{}
	h := s.Histogram("publish_seconds", "Published.", prometheus.DefBuckets).WithLabelValues()
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Observe(0.1) }))
}

// A server that does not answer gives no figures, and holds up no scrape for longer than a second, even if the read ignores
// that its time is over.
func TestReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads, hang := 0, make(chan struct{})
		var fail error
		r := telemetry.NewReading(func(context.Context) (int, error) {
			if reads++; reads == 4 {
				<-hang
			}
			return reads, fail
		})
		got := func() (int, bool) {
			t.Helper()
			begin := time.Now()
			n, known := r.Get()
			require.LessOrEqual(t, time.Since(begin), time.Second)
			return n, known
		}
		for range 3 {
			n, known := got()
			require.True(t, known)
			require.Equal(t, 1, n, "kept for a second")
		}
		time.Sleep(time.Second) // the fake clock passes what is kept
		n, known := got()
		require.True(t, known)
		require.Equal(t, 2, n)
		time.Sleep(time.Second) // the same
		fail = errors.New("away")
		_, known = got()
		require.False(t, known, "no old figures")
		time.Sleep(time.Second) // the same
		fail = nil
		begin := time.Now()
		for range 3 {
			_, known = got()
			require.False(t, known)
		}
		require.Equal(t, time.Second, time.Since(begin), "all together wait once")
		close(hang)
		synctest.Wait()
		n, known = got()
		require.True(t, known)
		require.Equal(t, 4, n)
	})
}

func TestConfig_Logger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.Config{LogLevel: "warn", LogFormat: "json"}.Logger(&out)
	require.NoError(t, err)
	log.Info("no")
	log.Warn("yes", "job_id", "j")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "j", line["job_id"])
	_, err = telemetry.Config{LogLevel: "loud"}.Logger(&out)
	require.ErrorContains(t, err, "loud")
}
