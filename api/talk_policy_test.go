package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// turn says something and returns the turn.
func (s *server) turn(t *testing.T, conversation, body string) gjson.Result {
	t.Helper()
	return s.ok(t, http.MethodPost, conversation+"/messages", body)
}

// begin has an actor take a turn once it may begin.
func (s *server) begin(t *testing.T, id string) *actor {
	t.Helper()
	a := &actor{t: t, s: s}
	require.Eventually(t, func() bool {
		job, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: id})
		require.NoError(t, err)
		a.job = job
		return !job.Held
	}, 10*time.Second, time.Millisecond)
	a.start()
	return a
}

// reply has an actor answer a turn once it may begin, and returns what it was asked.
func (s *server) reply(t *testing.T, id, text string) (prompt string) {
	t.Helper()
	a := s.begin(t, id)
	a.say(chunk(text), stop)
	a.end(completion.Completed, nil)
	s.back.Bell.Turn(completion.Ref{Tenant: "acme", Job: a.job.Conversation})
	return string(a.job.Request)
}

// path is what is said on the path that goes on, or on the branch of a query.
func (s *server) path(t *testing.T, conversation, query string) string {
	t.Helper()
	return s.ok(t, http.MethodGet, conversation+"/messages"+query, "").Get("data.#.content").Raw
}

func (s *server) state(t *testing.T, id string) string {
	t.Helper()
	return s.ok(t, http.MethodGet, "/v1/jobs/"+id, "").Get("state").Str
}

const prompted = `{"model":"m","messages":[`

func said(role, content string) string { return `{"role":"` + role + `","content":"` + content + `"}` }

// A turn that comes while others are under way waits for them, in the order in which they came, and is asked with what was
// answered by then.
func TestTurn_C3_C6_C7_Queue(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	one, two := s.turn(t, c, `{"content":"1"}`).Get("id").Str, s.turn(t, c, `{"content":"2"}`)
	three := s.turn(t, c, `{"content":"3","policy":"queue"}`).Get("id").Str
	require.True(t, two.Get("held").Bool())
	require.Equal(t, one, two.Get("messages.0.parent").Str)
	require.JSONEq(t, `["`+one+`","`+two.Get("id").Str+`","`+three+`"]`, s.ok(t, http.MethodGet, c, "").Get("live").Raw)
	require.JSONEq(t, s.ok(t, http.MethodGet, c, "").Get("live").Raw, s.ok(t, http.MethodGet, talks, "").Get("data.0.live").Raw)
	_, err := s.back.Store.Claim(t.Context(), completion.Ref{Tenant: "acme", Job: three}, "w", time.Now())
	require.ErrorIs(t, err, completion.ErrHeld)

	require.JSONEq(t, prompted+said("user", "1")+"]}", s.reply(t, one, "a1"))
	require.JSONEq(t, prompted+said("user", "1")+","+said("assistant", "a1")+","+said("user", "2")+"]}", s.reply(t, two.Get("id").Str, "a2"))
	require.JSONEq(t, prompted+said("user", "1")+","+said("assistant", "a1")+","+said("user", "2")+","+said("assistant", "a2")+","+said("user", "3")+"]}", s.reply(t, three, "a3"))
	require.JSONEq(t, `["1","a1","2","a2","3","a3"]`, s.path(t, c, ""))
	require.Empty(t, s.ok(t, http.MethodGet, c, "").Get("live").Array())
}

func TestTurn_C4_Reject(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"parameters":{"model":"m"}}`)
	one := s.ok(t, http.MethodPost, c+"/messages", `{"content":"1","policy":"reject"}`, "Idempotency-Key", "k").Get("id").Str
	before := s.ok(t, http.MethodGet, c, "").Raw
	s.refused(t, http.StatusConflict, "turn_running", http.MethodPost, c+"/messages", `{"content":"2","policy":"reject"}`)
	s.refused(t, http.StatusConflict, "turn_running", http.MethodPost, c+"/regenerate", `{"policy":"reject"}`)
	require.Equal(t, before, s.ok(t, http.MethodGet, c, "").Raw, "nothing has changed")
	require.Equal(t, one, s.ok(t, http.MethodPost, c+"/messages", `{"content":"1","policy":"reject"}`, "Idempotency-Key", "k").Get("id").Str,
		"a repeat is not refused for what it repeats")
}

// A turn that interrupts ends all others; what one of them has said stays, and is told to the model.
func TestTurn_I9_C6_Interrupt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	one, two := s.turn(t, c, `{"content":"1"}`).Get("id").Str, s.turn(t, c, `{"content":"2"}`).Get("id").Str
	a := s.begin(t, one)
	a.say(chunk("par"))
	three := s.turn(t, c, `{"content":"3","policy":"interrupt"}`)
	require.True(t, three.Get("held").Bool(), "the one that runs has not heard of it")
	require.True(t, s.ok(t, http.MethodGet, "/v1/jobs/"+one, "").Get("cancel_requested").Bool())
	require.Equal(t, "cancelled", s.state(t, two))
	require.Equal(t, two, three.Get("messages.0.parent").Str)
	_, events := s.do(t, http.MethodGet, "/v1/jobs/"+two+"/events", "")
	require.Contains(t, events, "event: cancelled\n")
	a.end(completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	require.JSONEq(t, prompted+said("user", "1")+","+said("assistant", "par")+","+said("user", "2")+","+said("user", "3")+"]}", s.reply(t, three.Get("id").Str, "a3"))
	require.JSONEq(t, `["1","par","2",null,"3","a3"]`, s.path(t, c, ""))
	require.Equal(t, "cancelled", s.ok(t, http.MethodGet, c+"/messages/"+one, "").Get("error.code").Str, "a state, and no text")
}

// A turn that rolls back takes those under way off the path, with their questions.
func TestTurn_Rollback(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	zero := s.turn(t, c, `{"content":"0"}`).Get("id").Str
	s.reply(t, zero, "a0")
	one := s.turn(t, c, `{"content":"1"}`).Get("id").Str
	two := s.turn(t, c, `{"content":"2"}`).Get("id").Str
	s.ok(t, http.MethodPost, "/v1/jobs/"+two+"/cancel", "")
	s.turn(t, c, `{"content":"3"}`)
	four := s.turn(t, c, `{"content":"4","policy":"rollback"}`)
	require.False(t, four.Get("held").Bool(), "none of them has begun")
	require.Equal(t, zero, four.Get("messages.0.parent").Str)
	require.JSONEq(t, prompted+said("user", "0")+","+said("assistant", "a0")+","+said("user", "4")+"]}", s.reply(t, four.Get("id").Str, "a4"))
	require.JSONEq(t, `["0","a0","4","a4"]`, s.path(t, c, ""))
	require.JSONEq(t, `["0","a0","1",null,"2",null,"3",null]`, s.path(t, c, "?branch="+one), "what was taken off stays readable")

	s.ok(t, http.MethodPatch, c, `{"branch":"`+one+`"}`)
	five := s.turn(t, c, `{"content":"5"}`)
	s.ok(t, http.MethodPatch, c, `{"branch":"`+four.Get("id").Str+`"}`)
	six := s.turn(t, c, `{"content":"6","policy":"rollback"}`)
	require.Equal(t, four.Get("id").Str, six.Get("messages.0.parent").Str, "what is under way on another branch is not on the path")
	require.Equal(t, "cancelled", s.state(t, five.Get("id").Str))
}

// A held turn can be cancelled like any job, and the next one begins.
func TestTurn_I9_C7_CancelOfAJob(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	one, two := s.turn(t, c, `{"content":"1"}`).Get("id").Str, s.turn(t, c, `{"content":"2"}`).Get("id").Str
	three := s.turn(t, c, `{"content":"3"}`).Get("id").Str
	for _, id := range []string{two, one} {
		require.Equal(t, "cancelled", s.ok(t, http.MethodPost, "/v1/jobs/"+id+"/cancel", "").Get("state").Str)
	}
	require.JSONEq(t, prompted+said("user", "1")+","+said("user", "2")+","+said("user", "3")+"]}", s.reply(t, three, "a3"))
	retry := s.refused(t, http.StatusConflict, "job_not_retryable", http.MethodPost, "/v1/jobs/"+one+"/retry", "")
	require.Contains(t, retry.Get("message").Str, "regenerate")
}

// However many turns wait, there is an end to it.
func TestTurn_I8_SoMany(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"parameters":{"model":"m"}}`)
	for range 101 {
		s.turn(t, c, `{"content":"x"}`)
	}
	s.refused(t, http.StatusTooManyRequests, "queue_limit_exceeded", http.MethodPost, c+"/messages", `{"content":"x"}`)
	s.ok(t, http.MethodPost, c+"/messages", `{"content":"x","policy":"interrupt"}`)
	require.Len(t, s.ok(t, http.MethodGet, c, "").Get("live").Array(), 1)
}
