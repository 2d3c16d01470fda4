package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
)

// taskTimeout is far above any generation: asynq would deliver the task a second time beside the first.
const taskTimeout = 48 * time.Hour

// Client puts tasks into the queue and looks after it. It is for any number of goroutines. Its errors are
// completion.ErrKnown where the queue has the task already, and otherwise a completion.Error with
// completion.CodeUnavailable, after which the task may be in the queue or not.
type Client struct {
	rc   redis.UniversalClient
	aq   *asynq.Client
	ring func(completion.Lane)

	mu   sync.Mutex
	tide map[completion.Lane]int64 // see Fresh
}

var _ completion.Queue = (*Client)(nil)

// NewClient returns a client on rc, which the caller closes. After a task became due in a lane, ring is called to wake
// the lane's servers; it must not block. Nil: they find it at their next poll.
func NewClient(rc redis.UniversalClient, ring func(completion.Lane)) *Client {
	if ring == nil {
		ring = func(completion.Lane) {}
	}
	return &Client{rc: rc, aq: asynq.NewClientFromRedisClient(rc), ring: ring, tide: map[completion.Lane]int64{}}
}

// Enqueue adds the task, to be delivered not before t.At. completion.ErrKnown: the queue has a task of that job in that
// lane, waiting, delayed or running; nothing was changed. The trace of ctx goes along, for all deliveries of the task.
func (c *Client) Enqueue(ctx context.Context, t completion.Task) error {
	if err := enqueue(ctx, c.aq, t); err != nil {
		return err
	}
	if due(t) {
		c.ring(t.Lane)
	}
	return nil
}

// Ping reports whether Redis answers.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.rc.Ping(ctx).Err(); err != nil {
		return unavailable("ping the queue", err)
	}
	return nil
}

func enqueue(ctx context.Context, aq *asynq.Client, t completion.Task) error {
	if err := check(t); err != nil {
		return fmt.Errorf("enqueue job %s: %w", t.Ref.Job, err)
	}
	data, err := encode(t)
	if err != nil {
		return fmt.Errorf("enqueue job %s: %w", t.Ref.Job, err)
	}
	opts := []asynq.Option{
		asynq.TaskID(taskID(t.Ref)), asynq.Queue(string(t.Lane)),
		asynq.MaxRetry(math.MaxInt32), asynq.Timeout(taskTimeout),
	}
	if !due(t) {
		opts = append(opts, asynq.ProcessAt(ceil(t.At)))
	}
	_, err = aq.EnqueueContext(ctx, asynq.NewTaskWithHeaders(typeName, data, trail(ctx)), opts...)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, asynq.ErrTaskIDConflict), errors.Is(err, asynq.ErrDuplicateTask):
		return fmt.Errorf("enqueue job %s: %w", t.Ref.Job, completion.ErrKnown)
	default:
		return unavailable("enqueue job "+t.Ref.Job, err)
	}
}

// trail is the headers that carry the trace of ctx; nil if there is none. Whoever does not know them ignores them.
func trail(ctx context.Context) map[string]string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return nil
	}
	headers := propagation.MapCarrier{}
	w3c.Inject(ctx, headers)
	return headers
}

// w3c is how a trace goes along with a task: in the headers traceparent and tracestate.
var w3c propagation.TraceContext

func due(t completion.Task) bool { return !t.At.After(time.Now()) }

func unavailable(act string, err error) error {
	return completion.NewError(completion.CodeUnavailable, "").Because(fmt.Errorf("%s: %w", act, err))
}
