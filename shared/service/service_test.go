package service_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// part needs a second to stop.
func (d *diary) part(name string) service.Runner {
	return service.Runner{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		d.note("%s stops", name)
		time.Sleep(time.Second) // the fake clock's
		d.note("%s stopped: %v", name, context.Cause(ctx))
		return nil
	}}
}

func fails(name string, after time.Duration, err error) service.Runner {
	return service.Runner{Name: name, Run: func(ctx context.Context) error {
		select {
		case <-time.After(after):
			return err
		case <-ctx.Done():
			return nil
		}
	}}
}

func TestRun_StopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var d diary
		time.AfterFunc(time.Minute, func() { cancel(errors.New("a signal")) })
		start := time.Now()
		require.NoError(t, service.Run(ctx, d.part("a"), d.part("b"), d.part("c")))
		require.Equal(t, time.Minute+3*time.Second, time.Since(start), "one after the other")
		require.Equal(t, []string{
			"c stops", "c stopped: a signal", "b stops", "b stopped: a signal", "a stops", "a stopped: a signal",
		}, d.lines)
	})
}

func TestRun_OneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		broken := errors.New("broken")
		err := service.Run(t.Context(), d.part("a"), fails("b", time.Minute, broken), d.part("c"))
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "b: broken")
		require.Equal(t, []string{"c stops", "c stopped: b: broken", "a stops", "a stopped: b: broken"}, d.lines)
	})
}

func TestRun_ErrorsAreJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := service.Runner{Name: "late", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("cannot close") }}
		err := service.Run(t.Context(), late, fails("b", time.Minute, errors.New("broken")))
		require.EqualError(t, err, "late: cannot close\nb: broken")
	})
}

func TestRun_EndsWhenAllHaveEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, service.Run(t.Context(), fails("a", time.Minute, nil), fails("b", time.Second, nil)))
		require.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, service.Run(t.Context()), "no runners")
	})
}

func TestRun_StopRacesWithStart(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		var d diary
		quick := service.Runner{Name: "quick", Run: func(context.Context) error { return nil }}
		wait := service.Runner{Name: "wait", Run: func(ctx context.Context) error { <-ctx.Done(); d.note("wait"); return nil }}
		if i%2 == 0 {
			go cancel()
		} else {
			cancel()
		}
		require.NoError(t, service.Run(ctx, wait, quick, wait))
		require.Len(t, d.lines, 2, "each was started and waited for")
		cancel()
	}
}
