package top

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/client"
	"sluice/shared/completion"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func ratesOf(perMinute int64) client.SystemSpans {
	return client.SystemSpans{Minute: client.SystemRates{
		Accepted: ptr(perMinute + 120), Completed: perMinute, Failed: perMinute / 600, Retried: perMinute / 300, Cancelled: 1,
		PerSecond: float64(perMinute) * 1.5, FirstDelta: client.SystemFirstDelta{Count: 9, P50: ptr(0.347), P95: ptr(12.0)},
	}}
}

// installation has all that a view can show, at some time.
func installation(at time.Time, perMinute int64) Seen {
	interactive, batch := ratesOf(perMinute/4), ratesOf(perMinute)
	return Seen{
		System: client.System{
			Version: "1.2.0", At: at, QueueReady: true, Rates: ratesOf(perMinute),
			Lanes: []client.SystemLane{
				{Lane: completion.LaneInteractive, Slots: 192, Running: 17, Queue: &client.SystemQueue{Retrying: 2}, Rates: interactive},
				{Lane: completion.LaneBatch, Slots: 64, Running: 64, Queue: &client.SystemQueue{Waiting: 48_211 + perMinute, Oldest: ptr(754.0), Unreadable: 1}, Rates: batch},
			},
			Workers: []client.SystemWorker{
				{
					ID: "w-1", Host: "worker-interactive-7d9f8", Version: "1.2.0", StartedAt: at.Add(-76 * time.Hour), SeenAt: at, Alive: true,
					Lanes: []client.SystemWorkerLane{{Lane: completion.LaneInteractive, Slots: 128, Running: 17}},
				},
				{
					ID: "w-2", Host: "worker-batch-5c6b7", Version: "1.2.0", StartedAt: at.Add(-9 * time.Minute), SeenAt: at.Add(-time.Second), Alive: true,
					Lanes: []client.SystemWorkerLane{{
						Lane: completion.LaneBatch, Slots: 64, Running: 64, Throttle: &client.SystemThrottle{Limit: 3, Waiting: 61, Until: at.Add(5 * time.Second)},
					}},
				},
				{
					ID: "w-3", Host: "worker-old\x1b[31m", Version: "1.1.0", SeenAt: at.Add(-time.Second), Alive: true, Draining: true,
					Lanes: []client.SystemWorkerLane{{Lane: completion.LaneInteractive, Slots: 64}},
				},
				{ID: "w-4", SeenAt: at.Add(-50 * time.Minute)},
			},
			Upstreams: []client.SystemUpstream{
				{Name: "azure", State: "degraded", Workers: 2, Running: 64, Calls: 18_000, Errors: map[completion.Code]int64{
					completion.CodeRateLimited: 40, completion.CodeUpstream: 3,
				}},
				{Name: "openai", State: "ok", Workers: 3, Running: 17, Calls: 1_200_345},
			},
		},
		Failures: []client.Failure{
			{
				Tenant: "acme", ID: "job_01", State: completion.Failed, Lane: completion.LaneInteractive, Model: "gpt-4o-mini\nrm", Upstream: "azure", Attempt: 5,
				Error: client.FailureReason{Code: completion.CodeUpstream, UpstreamStatus: 503}, FinishedAt: at.Add(-20 * time.Second),
			},
			{
				Tenant: "a-tenant-with-quite-a-long-name", ID: "job_02", State: completion.Expired, Lane: completion.LaneBatch, Model: "模型-大", Attempt: 1,
				Error: client.FailureReason{Code: completion.CodeExpired}, FinishedAt: at.Add(-26 * time.Hour), Retry: "job_03",
			},
		},
	}
}

// viewed is a model that has looked for four minutes.
func viewed(width, height int) Model {
	m := newModel(Config{Name: "https://sluice.example.com", Every: time.Second, Say: func(err error) string { return err.Error() + "." }})
	m.look = func(bool) tea.Msg { return nil }
	m.width, m.height = width, height
	for i := range 48 {
		at := start.Add(time.Duration(i) * 5 * time.Second)
		m.take(installation(at, int64(600+i*40)), at)
	}
	return m
}

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o700))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run go test -update")
}

func press(m Model, keys ...string) Model {
	for _, key := range keys {
		next, _ := m.press(key)
		m = next.(Model)
	}
	return m
}

func TestScreen_Golden(t *testing.T) {
	t.Parallel()
	lost := func(m Model) Model {
		next, _ := m.lose(lostMsg{errors.New("nothing answers at https://sluice.example.com (connection refused); start it"), m.now.Add(time.Second)})
		m = next.(Model)
		m.now = m.now.Add(12 * time.Second)
		next, _ = m.lose(lostMsg{m.lost, m.now})
		return next.(Model)
	}
	bare := func(m Model) Model {
		m.take(Seen{System: client.System{Version: "1.2.0", At: m.now, Lanes: []client.SystemLane{
			{Lane: completion.LaneInteractive}, {Lane: completion.LaneBatch},
		}}}, m.now.Add(time.Second))
		return m
	}
	for name, m := range map[string]Model{
		"80x24": viewed(80, 24), "120x40": viewed(120, 40), "200x60": viewed(200, 60), "60x14": viewed(60, 14), "40x10": viewed(40, 10), "20x5": viewed(20, 5),
		"lost-80x24": lost(viewed(80, 24)), "bare-80x24": bare(viewed(80, 24)), "help-80x24": press(viewed(80, 24), "?"),
		"sorted-100x24":  press(viewed(100, 24), "tab", "tab", "s", "s", "s", "r", "p"),
		"scrolled-80x14": press(viewed(80, 14), "down", "down"),
	} {
		lines := m.screen(nil)
		golden(t, name, strings.Join(lines, "\n")+"\n")
		require.Len(t, lines, m.height, name)
	}
	golden(t, "colours-80x24", strings.Join(viewed(80, 24).screen(colours), "\n")+"\n")
}

// Whatever the size and the state, nothing is longer or higher than the terminal, and the colours change no letter.
func TestScreen_FitsEverySize(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{nil, {"?"}, {"tab", "s", "r", "end"}, {"shift+tab", "p"}} {
		for width := 1; width < 210; width += 13 {
			for height := 1; height < 64; height += 7 {
				m := press(viewed(width, height), keys...)
				plain, painted := m.screen(nil), m.screen(colours)
				require.LessOrEqual(t, len(plain), height)
				for i, line := range plain {
					require.LessOrEqual(t, ansi.StringWidth(line), width, "%dx%d %v: %q", width, height, keys, line)
					require.NotContains(t, line, "\x1b", "what others named is not obeyed")
					require.Equal(t, strings.TrimRight(line, " "), strings.TrimRight(ansi.Strip(painted[i]), " "))
				}
			}
		}
	}
	require.Empty(t, viewed(0, 0).screen(nil))
}

func TestPrint_Golden(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	require.NoError(t, Print(&b, "https://sluice.example.com", installation(start, 600)))
	golden(t, "once", b.String())
	b.Reset()
	require.NoError(t, PrintJSON(&b, installation(start, 600)))
	golden(t, "once-json", b.String())
}

// source answers, or not.
type source struct {
	err    error
	looks  int
	listed int
}

func (s *source) System(context.Context) (client.System, error) {
	s.looks++
	return installation(time.Now(), 60).System, s.err
}

func (s *source) Failures(context.Context, int) ([]client.Failure, error) {
	s.listed++
	return installation(time.Now(), 60).Failures, s.err
}

// drive runs the commands of m, one after the other, until one of them is to leave or so much time has passed.
func drive(t *testing.T, m Model, limit time.Duration) (Model, bool) {
	t.Helper()
	msgs, end := make(chan tea.Msg, 16), time.After(limit)
	do := func(cmd tea.Cmd) {
		if cmd != nil {
			go func() { msgs <- cmd() }()
		}
	}
	do(func() tea.Msg { return dueMsg{m.turn, time.Now()} })
	for {
		select {
		case <-end:
			synctest.Wait()
			return m, false
		case msg := <-msgs:
			if _, quit := msg.(tea.QuitMsg); quit {
				return m, true
			}
			next, cmd := m.Update(msg)
			m = next.(Model)
			do(cmd)
		}
	}
}

func TestModel_LooksAtItsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		m := newModel(Config{Source: s, Every: time.Second, Say: error.Error})
		m.look = looker(t.Context(), s)
		m, _ = drive(t, m, 10500*time.Millisecond)
		require.Equal(t, 11, s.looks)
		require.Equal(t, 3, s.listed, "failures are read every five seconds")
		require.NotEmpty(t, m.seen.Failures, "and are kept meanwhile")
		require.Len(t, m.history, 11)
		time.Sleep(time.Minute) // the fake clock passes what is left of the last timer
	})
}

func TestModel_ServerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		m := newModel(Config{Source: s, Every: 200 * time.Millisecond, Say: error.Error})
		m.look = looker(t.Context(), s)
		m, _ = drive(t, m, time.Millisecond)
		last := m.seenAt
		s.err, s.looks = io.ErrUnexpectedEOF, 0
		m, _ = drive(t, m, time.Minute)
		require.Equal(t, 8, s.looks, "after ½, 1, 2, 4, 8, 15, 15 … seconds")
		require.ErrorIs(t, m.lost, io.ErrUnexpectedEOF)
		require.Equal(t, last, m.seenAt, "the figures are still the last ones")
		require.NotNil(t, m.seen)
		s.err = nil
		m, _ = drive(t, m, 16*time.Second)
		require.NoError(t, m.lost)
		require.Zero(t, m.tries)
		time.Sleep(time.Minute) // the fake clock passes what is left of the last timer
	})
}

func TestModel_RefusedKeyEndsIt(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		s := &source{err: &client.Error{Status: status}}
		m := newModel(Config{Source: s, Every: time.Second, Say: error.Error})
		m.look = looker(t.Context(), s)
		m, ended := drive(t, m, time.Minute)
		require.True(t, ended)
		require.ErrorIs(t, m.fatal, s.err)
	}
}

func TestModel_Keys(t *testing.T) {
	t.Parallel()
	m := viewed(80, 24)
	require.Equal(t, 1, press(m, "tab").focus)
	require.Equal(t, 2, press(m, "left").focus)
	require.Equal(t, 1, press(m, "2").focus)
	require.Equal(t, sorting{column: 1}, press(m, "s").sort[0])
	require.Equal(t, sorting{reverse: true}, press(m, "r").sort[0])
	require.Zero(t, press(m, strings.Split("sssssssss", "")...).sort[0].column-9)
	require.Zero(t, press(m, strings.Split("ssssssssss", "")...).sort[0].column, "after the last column as the server has it")
	require.Equal(t, 3, press(m, "end", "down").top[0], "it ends at the last row")
	require.Zero(t, press(m, "up").top[0])
	paused := press(m, "p")
	_, cmd := paused.Update(dueMsg{turn: paused.turn})
	require.Nil(t, cmd, "paused, it does not look")
	_, cmd = press(m, "p").press("p")
	require.NotNil(t, cmd, "it goes on at once")
	for _, key := range []string{"q", "ctrl+c"} {
		_, cmd = m.press(key)
		require.IsType(t, tea.QuitMsg{}, cmd())
	}
}

func TestShare_OfAHeight(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		height int
		wants  []int
		focus  int
		want   []int
	}{
		{100, []int{3, 1, 20}, 0, []int{3, 1, 20}},
		{20, []int{3, 1, 20}, 2, []int{3, 1, 10}},
		{16, []int{40, 2, 40}, 0, []int{4, 2, 4}},
		{30, []int{40, 2, 40}, 0, []int{17, 2, 5}},
		{9, []int{40, 2, 40}, 1, []int{1, 1, 1}},
		{8, []int{40, 2, 40}, 1, []int{0, 2, 0}},
		{1, []int{40, 2, 40}, 1, []int{0, 0, 0}},
	} {
		require.Equal(t, row.want, share(row.height, row.wants, row.focus), "%d %v", row.height, row.wants)
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 12_034: "12,034", 999_999: "999,999", 1_234_567: "1.2M", 45_000_000: "45M"} {
		require.Equal(t, want, count(n))
	}
	for d, want := range map[time.Duration]string{
		-1: "0s", 0: "0ms", 350 * time.Millisecond: "350ms", 1250 * time.Millisecond: "1.2s", 59 * time.Second: "59s", 61 * time.Second: "1m01s",
		2*time.Hour + 5*time.Minute: "2h05m", 75 * time.Hour: "3d03h",
	} {
		require.Equal(t, want, span(d), d.String())
	}
	require.Equal(t, "0s", ago(-time.Second))
	require.Equal(t, "9s", ago(9900*time.Millisecond))
	require.Equal(t, "1m", shortest(time.Minute))
	require.Equal(t, "1h30m", shortest(90*time.Minute))
	require.Equal(t, "a?[31mb??", clean("a\x1b[31mb\u202e\n"))
}
