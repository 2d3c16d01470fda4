package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files anew")

func ms(values ...float64) []time.Duration {
	var d []time.Duration
	for _, v := range values {
		d = append(d, time.Duration(v*float64(time.Millisecond)))
	}
	return d
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for name, c := range map[string]struct {
		samples []time.Duration
		p       float64
		want    time.Duration
	}{
		"none":             {nil, 0.5, 0},
		"one":              {ms(3), 0.99, 3 * time.Millisecond},
		"lower of two":     {ms(4, 2), 0.5, 2 * time.Millisecond},
		"middle of three":  {ms(9, 1, 5), 0.5, 5 * time.Millisecond},
		"p99 of a hundred": {hundred, 0.99, 99},
		"p50 of a hundred": {hundred, 0.50, 50},
		"smallest":         {hundred, 0, 1},
		"largest":          {hundred, 1, 100},
	} {
		require.Equal(t, c.want, percentile(c.samples, c.p), name)
	}
	require.Equal(t, time.Duration(100), hundred[0], "the samples are left as they were")
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Zero(t, median(nil))
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 2.5, median([]float64{9, 1, 2, 3}), 0)
}

func TestCompare_AddedIsTheMedianOfDifferences(t *testing.T) {
	t.Parallel()
	side, base := series{ms(10), ms(4), ms(5)}, series{ms(9), ms(1), ms(1)}
	r := compare("x", side, base, 0.5, 3.5)
	require.InDelta(t, 5, r.Value, 0)
	require.InDelta(t, 1, *r.Baseline, 0)
	require.InDelta(t, 3, *r.Added, 0)
	require.Equal(t, met, r.Verdict)
	require.Equal(t, []float64{10, 4, 5}, r.Rounds)
	require.Equal(t, []float64{9, 1, 1}, r.Base)
	require.Equal(t, met, compare("x", side, base, 0.5, 3).Verdict, "the aim itself is met")
	require.Equal(t, missed, compare("x", side, base, 0.5, 2.9).Verdict)
	require.Empty(t, compare("x", side, base, 0.5, 0).Verdict)
	require.Equal(t, missed, plain("x", "per s", 20.1).below(20).Verdict)
	require.Equal(t, met, plain("x", "per s", 19.9).below(20).Verdict)
}

func TestRatio_IsTheMedianOfQuotients(t *testing.T) {
	t.Parallel()
	r := ratio("x", "per s", []float64{10, 4, 9}, []float64{5, 8, 9})
	require.InDelta(t, 9, r.Value, 0)
	require.InDelta(t, 8, *r.Baseline, 0)
	require.InDelta(t, 1, *r.Ratio, 0)
	require.Nil(t, ratio("x", "MB", []float64{1, 2}, []float64{0, 2}).Ratio, "there is no such quotient")
	require.Nil(t, r.Added)
	require.Empty(t, r.Verdict)
	require.Equal(t, met, r.atLeast(1).Verdict)
	require.Equal(t, missed, r.atLeast(1.1).Verdict)
	require.Equal(t, met, r.below(1.1).Verdict)
	require.Equal(t, missed, r.below(0.9).Verdict)
	require.Equal(t, met, plain("x", "MB", 3, 1, 2).below(2.1).Verdict)
	require.Empty(t, plain("x", "MB", 3).Rounds, "a single figure needs no list")
}

func TestUsage_OfThisProcess(t *testing.T) {
	t.Parallel()
	u, err := usageOf(os.Getpid())
	if runtime.GOOS != "linux" {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	require.Positive(t, u.memory)
	require.GreaterOrEqual(t, u.peak, u.memory)
	_, err = usageOf(-1)
	require.Error(t, err)
}

func TestInput_LinesAreAsLongAsAsked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	size, err := input{model: briefModel, lines: 12, bytes: 1000}.write(path)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, data, int(size))
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	require.Len(t, lines, 12)
	for _, line := range lines {
		require.True(t, json.Valid(line), "%s", line)
		require.InDelta(t, 1000, len(line), 10)
	}
}

func example() *Report {
	return &Report{
		At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: Machine{
			OS: "linux", Arch: "amd64", System: "Debian 12, Linux 6.1", Model: "A CPU", CPUs: 2, Memory: 8.25, Go: "go1.26",
			Servers: []string{"postgres (PostgreSQL) 15.1", "Redis server v=7.0"},
		},
		Settings: Settings{Rounds: 2, Requests: 3, Rate: 50, Idle: time.Second, Lines: 4, Batches: 2, Upload: 1},
		Rows: []Row{
			compare("… over é", series{ms(10), ms(4)}, series{ms(9), ms(1)}, 0.5, 5),
			compare("no aim", series{ms(1), ms(2)}, series{ms(3), ms(4)}, 0.99, 0),
			plain("idle", "per s", 17.986).below(15),
			ratio("share", "per s", []float64{40, 60}, []float64{100, 100}).atLeast(0.5),
			ratio("growth", "ms", []float64{13, 14}, []float64{10, 10}).below(1.2),
			plain("peak", "MB", 50).below(150),
			absent("absent", "needs redis-server in PATH"),
		},
		Stages: []Stage{{"insert", 1.5, 12.25}},
		Costs: []Cost{cost("a job", []map[string]time.Duration{
			{"api": 40 * time.Millisecond, alone: time.Second}, {"api": 20 * time.Millisecond, alone: time.Second},
		}, []float64{10, 10})},
	}
}

func TestReport_Golden(t *testing.T) {
	t.Parallel()
	var text, data bytes.Buffer
	require.NoError(t, example().writeTable(&text))
	require.NoError(t, example().writeJSON(&data))
	page := filepath.Join(t.TempDir(), "results.md")
	require.NoError(t, example().writeResults(page))
	kept, err := os.ReadFile(page)
	require.NoError(t, err)
	for name, got := range map[string][]byte{"report.md": text.Bytes(), "report.json": data.Bytes(), "results.md": kept} {
		file := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(file, got, 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s; go test -update writes it anew", name)
	}
}

func TestExecuted_SumsAllButInfo(t *testing.T) {
	t.Parallel()
	require.Equal(t, 12, executed("# Commandstats\r\ncmdstat_info:calls=100,usec=1\r\ncmdstat_evalsha:calls=7,usec=9\r\ncmdstat_client|setname:calls=5,usec=2\r\n"))
	require.Zero(t, executed(""))
}

func TestCost_IsOfOne(t *testing.T) {
	t.Parallel()
	c := cost("a job", []map[string]time.Duration{{"api": ms(1)[0]}, {"api": ms(9)[0]}, {"api": ms(2)[0]}}, []float64{1, 3, 1})
	require.Equal(t, map[string]float64{"api": 2000}, c.CPU)
	require.Equal(t, []float64{1000, 3000, 2000}, c.of("api"))
	require.Equal(t, []float64{1, 3, 2}, total([]map[string]time.Duration{{"api": ms(1)[0], "model": ms(5)[0]}, {"api": ms(3)[0]}, {"api": ms(1)[0], "Redis": ms(1)[0]}}, 1))
}

func TestMeter_CountsWhatIsMissing(t *testing.T) {
	t.Parallel()
	m := &meter{jobs: map[string]int64{}}
	say := func(subject, event string) { m.take(&nats.Msg{Subject: subject, Data: []byte(event)}) }
	sent := time.Now().Add(-time.Second).UnixNano()
	say("a", `{"type":"started","seq":1}`)
	say("a", fmt.Sprintf(`{"type":"delta","seq":2,"chunks":[{"choices":[{"delta":{"content":""}}]},{"choices":[{"delta":{"content":"%d "}}]}]}`, sent))
	say("a", `{"type":"completed","seq":3}`)
	require.NoError(t, m.whole())
	ages, n := m.measured()
	require.Equal(t, 1, n)
	require.GreaterOrEqual(t, ages[0], time.Second)
	m.reset()
	say("b", `{"type":"delta","seq":2,"chunks":[{"choices":[{"delta":{"content":"text"}}]}]}`)
	ages, n = m.measured()
	require.Equal(t, 1, n)
	require.Empty(t, ages)
	say("b", `{"type":"failed","seq":3}`)
	require.EqualError(t, m.whole(), "1 of 2 jobs completed, 1 events lost")
}

func TestCrowd_EndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var seen [100]atomic.Bool
	require.NoError(t, crowd(t.Context(), len(seen), 7, func(_ context.Context, i int) error {
		seen[i].Store(true)
		return nil
	}))
	for i := range seen {
		require.True(t, seen[i].Load())
	}
	require.ErrorIs(t, crowd(t.Context(), 1000, 2, func(context.Context, int) error { return broken }), broken)
}

func TestSide_RoundsAlternate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var order strings.Builder
		count := func(name string) side {
			return side{name: name, pace: pace{1, 10}, sample: func(context.Context) (time.Duration, error) {
				order.WriteString(name)
				return time.Millisecond, nil
			}}
		}
		s := &site{Settings: Settings{Rounds: 3}, progress: &bytes.Buffer{}}
		all, err := alternate(t.Context(), s, []side{count("a"), count("b"), count("c")})
		require.NoError(t, err)
		require.Equal(t, "abc"+"abc"+"bca"+"cab", order.String(), "a warm-up, then each round in another order")
		require.Equal(t, series{ms(1), ms(1), ms(1)}, all["b"])
	})
}

func TestSide_RoundKeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := side{name: "slow", sample: func(ctx context.Context) (time.Duration, error) {
			return time.Minute, rest(ctx, sampleLimit/2)
		}}
		samples, err := d.round(t.Context(), pace{1000, 100})
		require.NoError(t, err)
		require.Len(t, samples, 1000)
		took := time.Since(began) - sampleLimit/2
		require.InDelta(t, 10, took.Seconds(), 3, "samples do not wait for each other")
	})
}

func TestSide_RoundEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		fails := side{name: "x", sample: func(context.Context) (time.Duration, error) { return 0, broken }}
		_, err := fails.round(t.Context(), pace{1000, 100})
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "x: ")
		hangs := side{name: "x", sample: func(ctx context.Context) (time.Duration, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}}
		_, err = hangs.round(t.Context(), pace{1, 100})
		require.ErrorContains(t, err, "no answer within 30s")
		stopped, stop := context.WithCancel(t.Context())
		stop()
		_, err = hangs.round(stopped, pace{3, 100})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRun_BadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"--rounds=0", "want at least 1"},
		{"--rate=0 --idle=0s", "rate 0: want more than 0\nidle 0s"},
		{"--only=nothing", "first-delta"},
		{"--lines=0", "want at least 1"},
		{"--upload=210", "upload 210: want 1 to 209"},
		{"--streams=10001", "want at most 10000"},
		{"--viewers=0 --stored=-1", "viewers 0: want at least 1\nstored -1: want at least 1"},
		{"--nothing", "unknown flag"},
	} {
		err := run(t.Context(), strings.Fields(c.args), &bytes.Buffer{}, &bytes.Buffer{})
		require.ErrorContains(t, err, c.want, c.args)
	}
}

// TestRun_MeasuresEverything runs the whole program with a few requests; what it measures is not looked at.
func TestRun_MeasuresEverything(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs the program redis-server in PATH")
	require.NotEmpty(t, os.Getenv("SLUICE_TEST_POSTGRES"), "run the tests through make test")
	file := filepath.Join(t.TempDir(), "report.json")
	var out, progress bytes.Buffer
	results := filepath.Join(t.TempDir(), "results.md")
	args := []string{
		"--rounds=1", "--requests=3", "--idle=100ms", "--settle=10ms", "--window=200ms", "--jobs=40", "--paced=10", "--streams=20", "--viewers=3",
		"--missed=50", "--slots=2", "--stored=1500", "--lines=100", "--batches=1", "--upload=1", "--json=" + file, "--results=" + results,
	}
	require.NoError(t, run(t.Context(), args, &out, &progress), progress.String())
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var r Report
	require.NoError(t, json.Unmarshal(data, &r))
	require.Len(t, r.Rows, 72)
	page, err := os.ReadFile(results)
	require.NoError(t, err)
	for _, row := range r.Rows {
		require.Empty(t, row.Note, row.Name)
		if !glimpsed(row.Name) {
			require.Positive(t, row.Value, row.Name)
		}
		require.Contains(t, out.String(), row.Name)
		require.Contains(t, string(page), row.Name)
		if row.Baseline != nil {
			require.LessOrEqual(t, len(row.Rounds), 1, row.Name)
		}
	}
	require.Len(t, r.Stages, 12)
	require.Len(t, r.Costs, 13)
	require.Len(t, r.Machine.Servers, 3)
	require.Contains(t, progress.String(), "round 1 of 1: nats")
}

// glimpsed reports whether so short a look may well see nothing in a row: no command, no memory, no tick of CPU time, no delta of a slow job.
func glimpsed(row string) bool {
	return row == idleRow || strings.Contains(row, "memory") || strings.Contains(row, "CPU time") || strings.Contains(row, "viewers")
}

// TestRun_StopsWhenTold is what Ctrl-C does in the middle.
func TestRun_StopsWhenTold(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	progress := &trigger{word: "round 1", act: stop}
	var out bytes.Buffer
	require.ErrorIs(t, run(ctx, []string{"--requests=2", "--only=first-delta"}, &out, progress), context.Canceled)
	require.Empty(t, out.String())
}

// trigger acts when a word is written.
type trigger struct {
	word string
	act  func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.word)) {
		w.act()
	}
	return len(p), nil
}
