package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// patience ends what hangs. Nothing is measured by it.
const patience = time.Minute

// office is a store, a Redis and a receiver, and the dispatchers between them.
type office struct {
	store *store.Store
	redis *embedded.Redis
	url   string // of the receiver

	mu     sync.Mutex
	seen   map[string]int // deliveries by webhook-id
	answer http.HandlerFunc
}

func newOffice(t *testing.T) *office {
	t.Helper()
	server, err := embedded.StartRedis()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	o := &office{store: store.New(testkit.SQLite(t), store.Options{}), redis: server, seen: map[string]int{}, answer: status(http.StatusOK)}
	o.url = receiver(t, o.receive).URL
	return o
}

func (o *office) receive(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.seen[r.Header.Get("webhook-id")]++
	answer := o.answer
	o.mu.Unlock()
	answer(w, r)
}

func (o *office) set(answer http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

func (o *office) received(notice string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[notice]
}

// open starts a dispatcher, which runs until stop or the end of the test.
func (o *office) open(t *testing.T) (d *Dispatcher, stop func()) {
	t.Helper()
	rc := o.redis.Client(8)
	d = New(o.store, rc, private(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, rc.Close())
	})
	t.Cleanup(stop)
	return d, stop
}

func (o *office) hook(t *testing.T, tenant string) completion.Webhook {
	t.Helper()
	hook := completion.NewWebhook(tenant, o.url, []string{"*"}, time.Now())
	require.NoError(t, o.store.AddWebhook(t.Context(), hook))
	return hook
}

// end ends a job, which tells the tenant's webhooks.
func (o *office) end(t *testing.T, tenant string) {
	t.Helper()
	now := time.Now()
	job := &completion.Job{ID: completion.NewJobID(), Tenant: tenant, Lane: completion.LaneInteractive, State: completion.Queued, Model: "m", Request: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now}
	_, _, err := o.store.Add(t.Context(), job)
	require.NoError(t, err)
	_, _, err = o.store.Cancel(t.Context(), job.Ref(), now)
	require.NoError(t, err)
}

func (o *office) deliveries(t *testing.T, hook completion.Webhook) []completion.Delivery {
	t.Helper()
	page, _, err := o.store.Deliveries(t.Context(), hook.Tenant, hook.ID, store.DeliveryQuery{Limit: 100})
	require.NoError(t, err)
	return page
}

// ended waits until n deliveries are in that state, and returns all.
func (o *office) ended(t *testing.T, hook completion.Webhook, n int, state completion.DeliveryState) (all []completion.Delivery) {
	t.Helper()
	require.Eventually(t, func() bool {
		all = o.deliveries(t, hook)
		in := 0
		for _, d := range all {
			if d.State == state {
				in++
			}
		}
		return in == n
	}, patience, 10*time.Millisecond)
	return all
}

// Two processes at once: what has happened is delivered, to each webhook once.
func TestDispatcher_TwoAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook, other := o.hook(t, "acme"), o.hook(t, "acme")
	theirs := o.hook(t, "other")
	o.open(t)
	o.open(t)
	const jobs = 20
	for range jobs {
		o.end(t, "acme")
	}
	for _, d := range o.ended(t, hook, jobs, completion.DeliveryDelivered) {
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, http.StatusOK, d.LastStatus)
	}
	for _, d := range o.ended(t, other, jobs, completion.DeliveryDelivered) {
		require.Equal(t, 2, o.received(d.Notice), "one for each of two webhooks")
	}
	require.Empty(t, o.deliveries(t, theirs))
}

// What Redis has lost, or a process that died took along, is sent once its hold has lapsed.
func TestDispatcher_I1_QueueIsLost(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	o.end(t, "acme")
	_, err := o.store.FanOut(t.Context(), time.Now(), 10)
	require.NoError(t, err)
	held, err := o.store.HandOut(t.Context(), time.Now(), time.Now().Add(100*time.Millisecond), share) // by a process that died
	require.NoError(t, err)
	require.Len(t, held, 1)
	started, err := o.store.StartDelivery(t.Context(), "acme", held[0].ID, 0, time.Now(), time.Now().Add(200*time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, 1, started.Attempts)
	o.open(t)
	d := o.ended(t, hook, 1, completion.DeliveryDelivered)[0]
	require.Equal(t, 2, d.Attempts)
}

// A task that comes twice is sent once.
func TestDispatcher_TaskTwice(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	o.end(t, "acme")
	_, err := o.store.FanOut(t.Context(), time.Now(), 10)
	require.NoError(t, err)
	rc := o.redis.Client(1)
	defer rc.Close()
	d := New(o.store, rc, private(), slog.New(slog.DiscardHandler))
	defer d.http.CloseIdleConnections()
	due := o.deliveries(t, hook)[0]
	n := note{Tenant: "acme", Webhook: hook.ID, Delivery: due.ID}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := d.attempt(context.Background(), n); err != nil {
				t.Errorf("attempt: %v", err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, o.received(due.Notice))
	require.NoError(t, d.attempt(t.Context(), note{Tenant: "acme", Webhook: "whk_0", Delivery: due.ID}), "a webhook that was deleted")
	require.NoError(t, d.attempt(t.Context(), note{Tenant: "other", Webhook: hook.ID, Delivery: due.ID}), "another tenant's")
	require.Equal(t, 1, o.received(due.Notice))
}

// A receiver that is gone gets nothing any more, until somebody enables its webhook again.
func TestDispatcher_Gone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	o.set(status(http.StatusGone))
	o.open(t)
	o.end(t, "acme")
	o.ended(t, hook, 1, completion.DeliveryFailed)
	off, err := o.store.Webhook(t.Context(), "acme", hook.ID)
	require.NoError(t, err)
	require.False(t, off.Enabled)
	require.Contains(t, off.Disabled, "410")
}

// A retry comes when it is due; here somebody asks for it earlier.
func TestDispatcher_Again(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	o.set(status(http.StatusInternalServerError))
	o.open(t)
	o.end(t, "acme")
	var d completion.Delivery
	require.Eventually(t, func() bool {
		for _, d = range o.deliveries(t, hook) {
			return d.LastStatus == http.StatusInternalServerError
		}
		return false
	}, patience, 10*time.Millisecond)
	require.Equal(t, completion.DeliveryPending, d.State)
	require.True(t, d.NextAt.After(d.LastAt))
	o.set(status(http.StatusOK))
	_, err := o.store.Resend(t.Context(), "acme", hook.ID, d.ID, time.Now())
	require.NoError(t, err)
	d = o.ended(t, hook, 1, completion.DeliveryDelivered)[0]
	require.GreaterOrEqual(t, d.Attempts, 2)
}

// A stop waits for what is being sent, and then cuts it short; the next process sends it again.
func TestDispatcher_Stop(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	reached, over := make(chan struct{}), make(chan struct{})
	o.set(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	defer close(over)
	_, stop := o.open(t)
	o.end(t, "acme")
	<-reached
	o.set(status(http.StatusOK))
	stop()
	require.Contains(t, o.deliveries(t, hook)[0].LastError, "cut short")
	o.open(t)
	require.Equal(t, 2, o.ended(t, hook, 1, completion.DeliveryDelivered)[0].Attempts)
}

// While Redis is away nothing is lost, and what was handed out meanwhile comes again.
func TestDispatcher_I1_RedisAway(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	hook := o.hook(t, "acme")
	gone, err := embedded.StartRedis()
	require.NoError(t, err)
	dead := gone.Client(4)
	gone.Close()
	defer dead.Close()
	d := New(o.store, dead, private(), slog.New(slog.DiscardHandler))
	o.end(t, "acme")
	require.Error(t, d.round(t.Context()))
	list := o.deliveries(t, hook)
	require.Len(t, list, 1)
	require.Equal(t, completion.DeliveryPending, list[0].State)
	again, err := o.store.HandOut(t.Context(), time.Now().Add(hold+time.Second), time.Now(), share)
	require.NoError(t, err)
	require.Len(t, again, 1)
}
