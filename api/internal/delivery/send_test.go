package delivery

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sender is a Dispatcher that only sends.
func sender(t *testing.T, c Config) *Dispatcher {
	t.Helper()
	d := &Dispatcher{cfg: c, http: newClient(c.AllowPrivate()), log: slog.New(slog.DiscardHandler)}
	t.Cleanup(d.http.CloseIdleConnections)
	return d
}

func private() Config { return Config{Private: "allow", Timeout: 10 * time.Second, Slots: 4} }

// receiver serves one kind of answer.
func receiver(t *testing.T, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s
}

// addressed returns a webhook and a delivery to it, about to be sent.
func addressed(t *testing.T, url string) (completion.Webhook, completion.Delivery) {
	t.Helper()
	hook := completion.NewWebhook("acme", url, []string{"*"}, time.Now())
	n := completion.NewNotice("acme", "job.completed", []byte(`{"id":"job_1"}`), time.Now())
	sent, err := completion.NewDelivery(&n, hook.ID, time.Now())
	require.NoError(t, err)
	sent.Attempts, sent.Tries = 1, 1
	return hook, sent
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	elsewhere := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	for name, c := range map[string]struct {
		serve  http.HandlerFunc
		status int
		state  completion.DeliveryState
		fault  string        // part of the text
		wait   time.Duration // at least
	}{
		"200":            {serve: status(200), status: 200, state: completion.DeliveryDelivered},
		"204":            {serve: status(204), status: 204, state: completion.DeliveryDelivered},
		"huge answer":    {serve: endless, status: 200, state: completion.DeliveryDelivered},
		"301":            {serve: status(301, "Location", elsewhere.URL), status: 301, state: completion.DeliveryPending, fault: "redirects are not followed"},
		"307":            {serve: status(307, "Location", elsewhere.URL), status: 307, state: completion.DeliveryPending, fault: "redirects are not followed"},
		"400":            {serve: status(400), status: 400, state: completion.DeliveryPending, fault: "answered 400"},
		"404":            {serve: status(404), status: 404, state: completion.DeliveryPending, fault: "answered 404"},
		"410":            {serve: status(410), status: 410, state: completion.DeliveryFailed, fault: "disabled"},
		"429 and wait":   {serve: status(429, "Retry-After", "3600"), status: 429, state: completion.DeliveryPending, fault: "answered 429", wait: time.Hour},
		"500":            {serve: status(500), status: 500, state: completion.DeliveryPending, fault: "answered 500"},
		"503 and date":   {serve: status(503, "Retry-After", time.Now().Add(2*time.Hour).UTC().Format(http.TimeFormat)), status: 503, state: completion.DeliveryPending, fault: "answered 503", wait: time.Hour},
		"Retry-After x":  {serve: status(500, "Retry-After", "soon"), status: 500, state: completion.DeliveryPending, fault: "answered 500"},
		"hangs up":       {serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, state: completion.DeliveryPending, fault: "connection to the receiver failed"},
		"endless header": {serve: status(200, "X", strings.Repeat("x", answerHeader+1)), state: completion.DeliveryPending, fault: "connection to the receiver failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook, sent := addressed(t, receiver(t, c.serve).URL)
			a := sender(t, private()).send(t.Context(), &hook, &sent)
			require.Equal(t, c.status, a.status, a.err)
			now := time.Now()
			after := a.apply(sent, now)
			require.Equal(t, c.state, after.State)
			require.Equal(t, c.status, after.LastStatus)
			require.Contains(t, after.LastError, c.fault)
			require.Equal(t, c.fault == "", after.LastError == "", after.LastError)
			if c.state == completion.DeliveryPending {
				require.True(t, after.EndedAt.IsZero())
				require.GreaterOrEqual(t, after.NextAt.Sub(now), max(c.wait, backoffBase*4/5))
			} else {
				require.Equal(t, now, after.EndedAt)
				require.True(t, after.NextAt.IsZero())
			}
		})
	}
}

// endless answers until the client has read enough.
func endless(w http.ResponseWriter, _ *http.Request) {
	for piece := []byte(strings.Repeat("x", 1<<10)); ; {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// What is sent is what the specification says, and a receiver can check it with any of the secrets that sign now.
func TestSend_Signed(t *testing.T) {
	t.Parallel()
	type request struct {
		header http.Header
		body   []byte
	}
	got := make(chan request, 1)
	s := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing fails the test below
		got <- request{r.Header, body}
	})
	hook, sent := addressed(t, s.URL)
	hook.OldSecret, hook.OldUntil = completion.NewWebhookSecret(), time.Now().Add(time.Hour)
	require.Equal(t, 200, sender(t, private()).send(t.Context(), &hook, &sent).status)
	r := <-got
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Equal(t, "Sluice", r.header.Get("User-Agent"))
	require.Equal(t, sent.Notice, r.header.Get("webhook-id"))
	require.Equal(t, sent.Body, r.body)
	for secret, good := range map[string]bool{hook.Secret: true, hook.OldSecret: true, completion.NewWebhookSecret(): false} {
		checker, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		require.Equal(t, good, checker.Verify(r.body, r.header) == nil)
		require.Error(t, checker.Verify(append(r.body, ' '), r.header))
	}
}

func TestSend_TooSlow(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	defer close(over)
	s := receiver(t, func(http.ResponseWriter, *http.Request) { <-over })
	c := private()
	c.Timeout = 50 * time.Millisecond
	hook, sent := addressed(t, s.URL)
	a := sender(t, c).send(t.Context(), &hook, &sent)
	require.ErrorIs(t, a.err, errSlow)
	require.Contains(t, a.fault(), "in time")
}

// A process that stops cuts the attempt short, and another follows at once.
func TestSend_Stopping(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	over := make(chan struct{})
	defer close(over)
	s := receiver(t, func(http.ResponseWriter, *http.Request) { cancel(errStopping); <-over })
	hook, sent := addressed(t, s.URL)
	a := sender(t, private()).send(ctx, &hook, &sent)
	require.ErrorIs(t, a.err, errStopping)
	now := time.Now()
	after := a.apply(sent, now)
	require.Equal(t, completion.DeliveryPending, after.State)
	require.Equal(t, now, after.NextAt)
}

// Addresses are looked at when they are dialled, whatever name leads there.
func TestSend_PrivateIsRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "192.168.0.1", "224.0.0.1", "[fe80::1]", "[fd00:ec2::254]", "[::]", "[64:ff9b::7f00:1]"} {
		hook, sent := addressed(t, "https://"+host+":"+port)
		a := sender(t, Config{Private: "refuse", Timeout: 10 * time.Second}).send(t.Context(), &hook, &sent)
		require.Error(t, a.err, host)
		require.Contains(t, a.fault(), "not a public one", "%s: %v", host, a.err)
	}
	hook, sent := addressed(t, "http://example.org")
	a := sender(t, Config{Private: "refuse", Timeout: 10 * time.Second}).send(t.Context(), &hook, &sent)
	require.Contains(t, a.fault(), "must begin with https://", "a webhook from when it was allowed")
}

func TestSend_Unreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := l.Addr().String()
	require.NoError(t, l.Close())
	untrusted := httptest.NewUnstartedServer(status(200))
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for url, fault := range map[string]string{
		"http://" + nobody: "refused the connection", "https://no.such.name.invalid": "could not be looked up", untrusted.URL: "certificate was not accepted",
	} {
		hook, sent := addressed(t, url)
		a := sender(t, private()).send(t.Context(), &hook, &sent)
		require.Contains(t, a.fault(), fault, a.err)
		require.Zero(t, a.status)
	}
	hook, sent := addressed(t, "http://"+nobody)
	hook.Secret = "whsec_*"
	require.Error(t, sender(t, private()).send(t.Context(), &hook, &sent).err, "it cannot be signed")
}
