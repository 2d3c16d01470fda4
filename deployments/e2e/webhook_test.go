package e2e_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// receiver takes webhooks, and hangs while it is told to.
type receiver struct {
	url string

	mu     sync.Mutex
	hang   chan struct{} // nil: it answers
	events map[string]gjson.Result
	header map[string]http.Header
	tries  int
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{events: map[string]gjson.Result{}, header: map[string]http.Header{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // what is missing fails the signature
	r.mu.Lock()
	r.tries++
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-req.Context().Done():
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	event := gjson.ParseBytes(body)
	key := event.Get("type").Str + " " + event.Get("data.id").Str
	r.events[key], r.header[key] = event, req.Header
	w.WriteHeader(http.StatusNoContent)
}

// got waits for an event and checks its signature.
func (r *receiver) got(t *testing.T, typ, id, secret string) {
	t.Helper()
	var event gjson.Result
	var header http.Header
	until(t, typ+" of "+id, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		event, header = r.events[typ+" "+id], r.header[typ+" "+id]
		return header != nil
	})
	w, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, w.VerifyIgnoringTimestamp([]byte(event.Raw), header))
}

// The API is killed while it sends, and before a job ends that the worker then finishes, and Redis loses all of its data:
// both jobs' events are delivered after a restart.
func TestWebhooks_I1_APIKilled(t *testing.T) {
	t.Parallel()
	c := startServers(t, "SLUICE_WEBHOOK_PRIVATE=allow", "SLUICE_WEBHOOK_TIMEOUT=1s")
	c.migrate(t, "up")
	addr := process.FreeAddr()
	api := c.startAPI(t, addr)
	api.ready(t)
	c.startWorker(t)
	r := startReceiver(t)
	hook, err := api.CreateWebhook(t.Context(), client.WebhookCreation{URL: r.url, Events: []string{"job.*"}})
	require.NoError(t, err)

	over := make(chan struct{})
	defer close(over)
	r.mu.Lock()
	r.hang = over
	r.mu.Unlock()
	first := api.submit(t, "")
	until(t, "the receiver to be called", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tries > 0
	})
	second := api.submit(t, "first=1s")
	api.kill()
	r.mu.Lock()
	r.hang = nil
	r.mu.Unlock()
	db, err := store.OpenPostgres(c.database)
	require.NoError(t, err)
	defer db.Close()
	until(t, "the end of the second job", func() bool {
		job, err := store.New(db, store.Options{}).Get(t.Context(), completion.Ref{Tenant: "local", Job: second.ID})
		require.NoError(t, err)
		return job.State == completion.Completed
	})
	require.NoError(t, c.redis.Client(t).FlushAll(context.Background()).Err())

	api = c.startAPI(t, addr)
	r.got(t, "job.completed", second.ID, hook.Secret)
	r.got(t, "job.completed", first.ID, hook.Secret)
	until(t, "both to be stored as delivered", func() bool {
		list, _, err := api.Deliveries(t.Context(), hook.ID, client.DeliveryQuery{State: completion.DeliveryDelivered})
		require.NoError(t, err)
		return len(list) == 2
	})
}

// webhooks uses every command on a server that sends to public addresses only.
func (i *installation) webhooks(t *testing.T) {
	t.Parallel()
	refused := i.sluice("webhooks", "create", "https://127.0.0.1/").run(t)
	require.Equal(t, 1, refused.code(t))
	require.Contains(t, refused.err.String(), "not a public one")
	made := i.sluice("webhooks", "create", "https://localhost:1/x", "--event", "job.failed,response.*", "--description", "ops").run(t)
	require.Zero(t, made.code(t), "%s", made)
	secret := strings.TrimSpace(made.out.String())
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, secret)
	id := regexp.MustCompile(`whk_[0-9a-f]{32}`).FindString(made.err.String())
	list := i.sluice("webhooks", "list").succeed(t)
	require.Regexp(t, id+` +enabled +https://localhost:1/x +job\.failed,response\.\* .* ops\n`, list)
	require.NotContains(t, list, secret)
	test := regexp.MustCompile(`dlv_[0-9a-f]{32}`).FindString(i.sluice("webhooks", "test", id).succeed(t))
	until(t, "an attempt to be made", func() bool {
		return regexp.MustCompile(test + `.*not a public one`).MatchString(i.sluice("webhooks", "deliveries", id).succeed(t))
	})
	require.Regexp(t, test+` +pending +webhook\.test +[1-9] `, i.sluice("webhooks", "deliveries", id, "--state", "pending").succeed(t))
	require.Contains(t, i.sluice("webhooks", "resend", id, test).succeed(t), test+" is sent again")
	require.Empty(t, i.sluice("webhooks", "resend", id, "--failed").succeed(t), "none has failed")
	require.NotEqual(t, secret, strings.TrimSpace(i.sluice("webhooks", "rotate", id).succeed(t)))
	require.Contains(t, i.sluice("webhooks", "disable", id).succeed(t), "disabled")
	require.Contains(t, i.sluice("webhooks", "enable", id).succeed(t), "enabled")
	require.Contains(t, i.sluice("webhooks", "delete", id).succeed(t), "deleted")
	gone := i.sluice("webhooks", "delete", id).run(t)
	require.Equal(t, 1, gone.code(t))
	require.Contains(t, gone.err.String(), "not_found")
	require.Equal(t, 2, i.sluice("webhooks", "resend", id).run(t).code(t))
}
