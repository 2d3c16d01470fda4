package eventlog_test

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
	"sluice/shared/testkit/golden"
)

// cursor is a place in a stream, which is another one each time.
var cursor = regexp.MustCompile(`"cursor":"[0-9]+"`)

// exchange is a question about the past and its answer, as they travel.
type exchange struct {
	Subject  string          `json:"subject"`
	Stored   string          `json:"stored"` // the subject that the writer used
	Question json.RawMessage `json:"question"`
	Answer   json.RawMessage `json:"answer"`
}

// TestGolden_Replay is what a viewer asks, and what an api of another release answers; and where events are stored.
func TestGolden_Replay(t *testing.T) {
	t.Parallel()
	ref, at := completion.Ref{Tenant: "acme", Job: "job_1"}, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	started, final := eventlogtest.Started(1), eventlogtest.Completed(1)
	started.At, final.At = at, at
	_, nc, log := setup(t, eventlog.Options{})
	stop := serve(t, log)
	all, err := nc.SubscribeSync(">")
	require.NoError(t, err)
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), started, final)
	story, err := eventlogtest.Collect(eventlog.View(t.Context(), nc, ref, 0))
	require.NoError(t, err)
	require.Len(t, story, 2)

	var seen exchange
	for seen.Answer == nil {
		m, err := all.NextMsgWithContext(t.Context())
		require.NoError(t, err)
		switch {
		case m.Subject == "replay.acme.job_1":
			seen.Subject, seen.Question = m.Subject, m.Data
		case len(m.Subject) > 3 && m.Subject[:3] == "rp.":
			seen.Answer = cursor.ReplaceAll(m.Data, []byte(`"cursor":"1"`))
		case m.Reply != "" && m.Subject[:3] == "in.":
			seen.Stored = m.Subject
		}
	}
	stop()
	written, err := json.Marshal(seen)
	require.NoError(t, err)
	golden.Check(t, "replay", written, func(t testing.TB, data []byte) {
		var old exchange
		require.NoError(t, json.Unmarshal(data, &old))
		sub, err := nc.Subscribe(old.Subject, func(m *nats.Msg) { _ = m.Respond(old.Answer) })
		require.NoError(t, err)
		got, err := eventlogtest.Collect(eventlog.View(t.Context(), nc, ref, 0))
		require.NoError(t, err)
		eventlogtest.Same(t, story, got)
		require.NoError(t, sub.Unsubscribe())

		defer serve(t, log)()
		answer := inquire(t, nc, old.Subject, old.Question)
		require.JSONEq(t, string(old.Answer), string(cursor.ReplaceAll(answer, []byte(`"cursor":"1"`))))
	})
}

// TestGolden_Refusal is the answer to a question that makes no sense.
func TestGolden_Refusal(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{})
	serve(t, log)
	golden.Check(t, "replay_refused", inquire(t, nc, "replay.acme.job_1", []byte(`{}`)), func(t testing.TB, data []byte) {
		old, ref := testkit.Conn(t, testkit.NATS(t)), completion.Ref{Tenant: "acme", Job: "job_1"}
		_, err := old.Subscribe("replay.*.*", func(m *nats.Msg) { _ = m.Respond(data) })
		require.NoError(t, err)
		_, err = eventlogtest.Collect(eventlog.View(t.Context(), old, ref, 0))
		require.ErrorContains(t, err, string(completion.CodeInvalidRequest))
	})
}

// inquire asks by hand, until somebody serves.
func inquire(t testing.TB, nc *nats.Conn, subject string, question []byte) []byte {
	t.Helper()
	answers, err := nc.SubscribeSync("rp.acme.job_1.*")
	require.NoError(t, err)
	for {
		require.NoError(t, nc.PublishRequest(subject, "rp.acme.job_1.x", question))
		if m, err := answers.NextMsg(100 * time.Millisecond); err == nil && m.Header.Get("Status") == "" {
			return m.Data
		}
	}
}
