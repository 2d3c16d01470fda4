package clients_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// office stands in for an installation whose credentials end after seconds, or whose log has holes: a real NATS server that
// checks credentials, and a job or batch that says one event after the other.
type office struct {
	account nkeys.KeyPair
	life    time.Duration
	ws      *proxy
	api     *httptest.Server
	refuse  func(n int64) int // HTTP status of the n-th renewal (from 1), if it is not to succeed
	stale   bool              // the first credential has ended
	script  []json.RawMessage // what the job says; default: officeEvents without a hole
	renewed atomic.Int64
	mu      sync.Mutex
	log     []json.RawMessage // what the job has said
}

const (
	officeJob    = "completions.local.job_1"
	officeEvents = 120
	officePace   = 50 * time.Millisecond
)

func startOffice(t *testing.T, o *office) *office {
	t.Helper()
	if o.script == nil {
		o.script = answer()
	}
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	o.account, err = nkeys.CreateAccount()
	require.NoError(t, err)
	o.ws = startProxy(t)
	s, err := server.NewServer(o.options(t, operator))
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	o.ws.aim(strings.TrimPrefix(s.WebsocketURL(), "ws://"))
	o.serveReplays(t, s)
	o.api = httptest.NewServer(http.HandlerFunc(o.answer))
	t.Cleanup(o.api.Close)
	return o
}

func (o *office) options(t *testing.T, operator nkeys.KeyPair) *server.Options {
	t.Helper()
	claims := jwt.NewOperatorClaims(public(t, operator))
	token, err := claims.Encode(operator)
	require.NoError(t, err)
	claims, err = jwt.DecodeOperatorClaims(token)
	require.NoError(t, err)
	account, err := jwt.NewAccountClaims(public(t, o.account)).Encode(operator)
	require.NoError(t, err)
	accounts := &server.MemAccResolver{}
	require.NoError(t, accounts.Store(public(t, o.account), account))
	return &server.Options{
		DontListen: true, NoSigs: true, NoLog: true, TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: accounts,
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: -1, NoTLS: true},
	}
}

func public(t *testing.T, pair nkeys.KeyPair) string {
	t.Helper()
	key, err := pair.PublicKey()
	require.NoError(t, err)
	return key
}

// serveReplays answers questions about the past, and lets the job speak once it has been asked.
func (o *office) serveReplays(t *testing.T, s *server.Server) {
	t.Helper()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	token, err := jwt.NewUserClaims(public(t, user)).Encode(o.account)
	require.NoError(t, err)
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserJWTAndSeed(token, string(seed)))
	require.NoError(t, err)
	asked, stopped := make(chan struct{}), make(chan struct{})
	var once sync.Once
	_, err = nc.Subscribe("replay.local.job_1", func(m *nats.Msg) {
		once.Do(func() { close(asked) })
		_ = m.Respond(o.past(m.Data)) // fails only when the test is over
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	var speaking sync.WaitGroup
	speaking.Go(func() { o.speak(nc, asked, stopped) })
	t.Cleanup(func() { close(stopped); speaking.Wait(); nc.Close() })
}

func (o *office) past(question []byte) []byte {
	var q struct {
		From int64 `json:"from"`
	}
	if json.Unmarshal(question, &q) != nil || q.From < 1 {
		return []byte(`{"error":{"code":"invalid_request","message":"no","retryable":false}}`)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	first := slices.IndexFunc(o.log, func(e json.RawMessage) bool { return gjson.GetBytes(e, "seq").Int() >= q.From })
	if first < 0 {
		first = len(o.log)
	}
	answer, err := json.Marshal(map[string]any{"events": o.log[first:], "more": false, "done": len(o.log) == len(o.script), "cursor": "x"})
	if err != nil {
		panic(err) // it is made of JSON
	}
	return answer
}

func (o *office) speak(nc *nats.Conn, asked, stopped <-chan struct{}) {
	pace := time.NewTicker(officePace)
	defer pace.Stop()
	select {
	case <-asked:
	case <-stopped:
		return
	}
	for _, event := range o.script {
		o.mu.Lock()
		o.log = append(o.log, event)
		o.mu.Unlock()
		_ = nc.Publish(officeJob, event) // fails only when the test is over
		select {
		case <-pace.C:
		case <-stopped:
			return
		}
	}
}

// answer is what a job says of which nothing is lost.
func answer() []json.RawMessage {
	script := make([]json.RawMessage, officeEvents)
	for i := range script {
		script[i] = said("delta", int64(i+1), 1)
	}
	script[0], script[officeEvents-1] = said("started", 1, 1), said("completed", officeEvents, 1)
	return script
}

func said(kind completion.EventType, seq int64, attempt int) json.RawMessage {
	return fmt.Appendf(nil, `{"type":%q,"seq":%d,"attempt":%d,"at":"2026-01-01T00:00:00Z"}`, kind, seq, attempt)
}

// credential mints what lets a viewer read the job, and for that long only.
func (o *office) credential(life time.Duration) map[string]any {
	user, err := nkeys.CreateUser()
	if err != nil {
		panic(err) // only without randomness
	}
	key, _ := user.PublicKey() // it was just made
	c := jwt.NewUserClaims(key)
	c.BearerToken, c.Expires = true, time.Now().Add(life).Unix()
	c.Pub.Allow.Add("replay.local.job_1")
	c.Sub.Allow.Add(officeJob, "rp.local.job_1.>")
	token, err := c.Encode(o.account)
	if err != nil {
		panic(err) // the claims are fixed
	}
	return map[string]any{
		"object": "credential", "subject": officeJob, "websocket_url": "ws://" + o.ws.address(), "credential": token,
		"expires_at": time.Unix(c.Expires, 0).UTC().Format(time.RFC3339),
	}
}

func (o *office) answer(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/credential") {
		if status := o.refuse(o.renewed.Add(1)); status != 0 {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"message":"no","type":"x","param":null,"code":"status_%d"}}`, status)
			return
		}
		_ = json.NewEncoder(w).Encode(o.credential(o.life)) // the client may have left
		return
	}
	life := o.life
	if o.stale {
		life = -time.Hour
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": "job_1", "state": "running", "subject": officeJob, "stream": o.credential(life),
	})
}
