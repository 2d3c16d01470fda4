package listing

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is an upstream and a store that say what they were asked.
type book struct {
	mu      sync.Mutex
	down    error // of the upstream
	away    error // of the store
	asked   int
	written []completion.ModelList
}

func (b *book) Name() string { return "u" }
func (b *book) Native() bool { return true }

func (b *book) Models(context.Context) (json.RawMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return json.RawMessage(`[{"id":"a"}]`), b.down
}

func (b *book) SetModels(_ context.Context, l completion.ModelList) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away == nil {
		b.written = append(b.written, l)
	}
	return b.away
}

// state is how often the upstream was asked, and what is written.
func (b *book) state() (asked int, written []completion.ModelList) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked, slices.Clone(b.written)
}

func run(t *testing.T, b *book, work func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(b, b, 5*time.Minute, slog.New(slog.DiscardHandler)).Run(ctx) }()
	work()
	cancel()
	require.NoError(t, <-done)
}

func TestLister_AsksAtOnceAndEveryInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		start := time.Now()
		run(t, b, func() {
			synctest.Wait()
			_, written := b.state()
			require.Equal(t, []completion.ModelList{{Upstream: "u", Models: json.RawMessage(`[{"id":"a"}]`), Native: true, SeenAt: start}}, written)
			time.Sleep(time.Hour) // the fake clock passes a dozen intervals
			synctest.Wait()
		})
		asked, _ := b.state()
		require.GreaterOrEqual(t, asked, 12)
		require.LessOrEqual(t, asked, 15)
	})
}

func TestLister_BacksOff(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*book, error){
		"upstream": func(b *book, err error) { b.down = err },
		"store":    func(b *book, err error) { b.away = err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &book{}
				fail(b, errors.New("away"))
				run(t, b, func() {
					time.Sleep(10 * time.Second) // the fake clock passes the pauses of the first tries
					synctest.Wait()
					asked, _ := b.state()
					require.GreaterOrEqual(t, asked, 4, "soon at first")
					require.LessOrEqual(t, asked, 6)
					time.Sleep(time.Hour) // the fake clock passes a dozen intervals
					synctest.Wait()
					asked, written := b.state()
					require.Less(t, asked, 6+5+30, "then no more often than it has to")
					require.Empty(t, written)
					b.mu.Lock()
					fail(b, nil)
					b.mu.Unlock()
					time.Sleep(5 * time.Minute) // the fake clock passes an interval
					synctest.Wait()
					_, written = b.state()
					require.NotEmpty(t, written)
				})
			})
		})
	}
}

func TestLister_WaitsAsLongAsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &book{down: &completion.Error{Code: completion.CodeRateLimited, RetryAfter: completion.Wait(time.Minute)}}
		run(t, b, func() {
			time.Sleep(59 * time.Second) // the fake clock stays just under what the upstream asked for
			synctest.Wait()
			asked, _ := b.state()
			require.Equal(t, 1, asked)
			time.Sleep(2 * time.Second) // and goes just over it
			synctest.Wait()
			asked, _ = b.state()
			require.Equal(t, 2, asked)
		})
	})
}
