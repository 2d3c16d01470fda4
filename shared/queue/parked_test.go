package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/queue"
)

// faulty fails some acknowledgements, as a server does that fails over.
type faulty struct {
	redis.UniversalClient
	left atomic.Int64
}

func (f *faulty) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if strings.HasSuffix(keys[0], ":active") && f.left.Add(-1) >= 0 {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(errors.New("connection lost"))
		return cmd
	}
	return f.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// A plain asynq server on a parked client takes what it is woken for, and acknowledges it whatever happens to the first tries.
func TestParked(t *testing.T) {
	t.Parallel()
	rc := openEmbedded(t)
	broken := &faulty{UniversalClient: rc}
	broken.left.Store(2)
	parked := queue.NewParked(broken, time.Hour, slog.New(slog.DiscardHandler))
	taken := make(chan string, 16)
	asynqServer := asynq.NewServerFromRedisClient(parked, parked.Configure(asynq.Config{Concurrency: 2, Queues: map[string]int{"plain": 1}}))
	require.NoError(t, asynqServer.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		taken <- string(t.Payload())
		return nil
	})))
	client := asynq.NewClientFromRedisClient(parked)
	for _, name := range []string{"one", "two", "three"} {
		_, err := client.EnqueueContext(t.Context(), asynq.NewTask("x", []byte(name)), asynq.Queue("plain"))
		require.NoError(t, err)
		parked.Wake()
		require.Equal(t, name, <-taken)
	}
	require.Eventually(t, func() bool {
		n, err := rc.LLen(t.Context(), "asynq:{plain}:active").Result()
		return err == nil && n == 0
	}, time.Minute, 10*time.Millisecond, "all are acknowledged")
	parked.Stop() // or the shutdown would wait for an hour
	asynqServer.Shutdown()
	require.Empty(t, taken, "each came once")
}
