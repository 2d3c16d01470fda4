package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// Other versions of answers and questions are branches, between which one can change.
func TestConversation_C9_Branches(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	s.refused(t, http.StatusConflict, "nothing_to_answer", http.MethodPost, c+"/regenerate", "")
	first := s.turn(t, c, `{"content":"1"}`)
	question, one := first.Get("messages.0.id").Str, first.Get("id").Str
	s.reply(t, one, "a1")
	again := s.ok(t, http.MethodPost, c+"/regenerate", `{"parameters":{"temperature":1}}`)
	require.Len(t, again.Get("messages").Array(), 1, "nothing new was said")
	require.Equal(t, question, again.Get("messages.0.parent").Str)
	require.JSONEq(t, `["`+one+`","`+again.Get("id").Str+`"]`, again.Get("messages.0.siblings").Raw)
	require.JSONEq(t, `{"model":"m","temperature":1,"messages":[`+said("user", "1")+"]}", s.reply(t, again.Get("id").Str, "a1'"), "the same context")
	two := s.turn(t, c, `{"content":"2"}`).Get("id").Str
	s.reply(t, two, "a2")
	require.JSONEq(t, `["1","a1'","2","a2"]`, s.path(t, c, ""))

	s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodPost, c+"/messages/"+one+"/edit", `{"content":"x"}`)
	edited := s.ok(t, http.MethodPost, c+"/messages/"+question+"/edit", `{"content":"I"}`)
	require.JSONEq(t, prompted+said("user", "I")+"]}", s.reply(t, edited.Get("id").Str, "aI"))
	require.JSONEq(t, `["I","aI"]`, s.path(t, c, ""))
	require.JSONEq(t, `["1","a1'","2","a2"]`, s.path(t, c, "?branch="+question), "the newest below it")
	require.JSONEq(t, `["1","a1"]`, s.path(t, c, "?branch="+one))
	require.JSONEq(t, `["1"]`, s.path(t, c, "?before="+one))
	s.ok(t, http.MethodPatch, c, `{"branch":"`+one+`"}`)
	require.JSONEq(t, `["1","a1"]`, s.path(t, c, ""))
	last := s.turn(t, c, `{"content":"2'"}`).Get("id").Str
	require.JSONEq(t, prompted+said("user", "1")+","+said("assistant", "a1")+","+said("user", "2'")+"]}", s.reply(t, last, "a2'"))
	require.JSONEq(t, `["1","a1","2'","a2'"]`, s.path(t, c, ""))
	page := s.ok(t, http.MethodGet, c+"/messages?limit=3", "")
	require.JSONEq(t, `["a1","2'","a2'"]`, page.Get("data.#.content").Raw)
	require.True(t, page.Get("has_more").Bool())
	page = s.ok(t, http.MethodGet, c+"/messages?before="+page.Get("first_id").Str, "")
	require.JSONEq(t, `["1"]`, page.Get("data.#.content").Raw)
	require.False(t, page.Get("has_more").Bool())
}

// A question whose answer is lost is answered by asking for it again.
func TestConversation_LostAnswer(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"parameters":{"model":"m"},"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"a"},{"role":"user","content":"2"}]}`)
	id := s.ok(t, http.MethodPost, c+"/regenerate", "").Get("id").Str
	require.JSONEq(t, prompted+said("user", "1")+","+said("assistant", "a")+","+said("user", "2")+"]}", s.reply(t, id, "a2"))
	require.JSONEq(t, `["1","a","2","a2"]`, s.path(t, c, ""))
}

// What is deleted while it is being answered does not come back when the answer does.
func TestMessage_C5_DeletedInMidAnswer(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	zero := s.turn(t, c, `{"content":"0"}`).Get("id").Str
	s.reply(t, zero, "a0")
	turn := s.turn(t, c, `{"content":"secret"}`)
	one, question := turn.Get("id").Str, turn.Get("messages.0.id").Str
	a := s.begin(t, one)
	a.say(chunk("sec"))
	held := s.turn(t, c, `{"content":"more secret"}`).Get("id").Str
	deleted := s.ok(t, http.MethodDelete, c+"/messages/"+question, "")
	require.JSONEq(t, `{"id":"`+question+`","object":"message.deleted","deleted":true}`, deleted.Raw)
	next := s.turn(t, c, `{"content":"2"}`)
	require.Equal(t, zero, next.Get("messages.0.parent").Str)
	require.True(t, next.Get("held").Bool(), "what is deleted has not ended yet")
	require.Equal(t, "cancelled", s.state(t, held))
	a.say(chunk("ret"), stop)
	a.end(completion.Completed, nil)
	require.JSONEq(t, prompted+said("user", "0")+","+said("assistant", "a0")+","+said("user", "2")+"]}", s.reply(t, next.Get("id").Str, "a2"))
	s.settled(t, c, next.Get("id").Str)
	for _, id := range []string{one, question, held} {
		s.refused(t, http.StatusNotFound, "not_found", http.MethodGet, c+"/messages/"+id, "")
		s.refused(t, http.StatusNotFound, "not_found", http.MethodDelete, c+"/messages/"+id, "")
		s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodGet, c+"/messages?branch="+id, "")
		s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodPatch, c, `{"branch":"`+id+`"}`)
	}
	require.JSONEq(t, `["0","a0","2","a2"]`, s.path(t, c, ""))
	require.Empty(t, s.ok(t, http.MethodGet, talks+"?q=sec", "").Get("data").Array())
	s.refused(t, http.StatusConflict, "nothing_to_answer", http.MethodPost, s.converse(t, "{}")+"/suggestions", "")
}

func TestConversation_C5_Deleted(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"parameters":{"model":"m"}}`)
	one, two := s.turn(t, c, `{"content":"1"}`).Get("id").Str, s.turn(t, c, `{"content":"2"}`).Get("id").Str
	a := s.begin(t, one)
	require.Equal(t, "conversation.deleted", s.ok(t, http.MethodDelete, c, "").Get("object").Str)
	require.True(t, s.ok(t, http.MethodGet, "/v1/jobs/"+one, "").Get("cancel_requested").Bool())
	require.Equal(t, "cancelled", s.state(t, two))
	a.end(completion.Completed, nil)
	for _, r := range [][3]string{{"GET", "", ""}, {"DELETE", "", ""}, {"PATCH", "", "{}"}, {"GET", "/messages", ""}, {"POST", "/messages", `{"content":"x"}`}, {"POST", "/regenerate", ""}, {"POST", "/clone", ""}, {"GET", "/messages/" + one, ""}} {
		s.refused(t, http.StatusNotFound, "not_found", r[0], c+r[1], r[2])
	}
	require.Empty(t, s.ok(t, http.MethodGet, talks, "").Get("data").Array())
}

func TestConversation_Change(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"owner":"a"}`)
	s.converse(t, `{"owner":"b","name":"Other"}`)
	changed := s.ok(t, http.MethodPatch, c, `{"name":"Née","system":"S","parameters":{"model":"m"},"metadata":{"k":"v"},"owner":"z"}`)
	require.Equal(t, "2", changed.Get("version").Raw)
	require.Equal(t, changed.Raw, s.ok(t, http.MethodPatch, c, `{"name":"Née"}`).Raw, "nothing has changed")
	turn := s.turn(t, c, `{"content":"Straße, very LOUD"}`)
	s.reply(t, turn.Get("id").Str, "an Answer")
	told := s.refused(t, http.StatusConflict, "system_message_fixed", http.MethodPatch, c, `{"system":"T","name":"x"}`)
	require.Equal(t, "system", told.Get("param").Str)
	require.Equal(t, "Née", s.ok(t, http.MethodPatch, c, `{"system":"S"}`).Get("name").Str)
	s.settled(t, c, turn.Get("id").Str)
	for query, want := range map[string]string{
		"?owner=z": `["Née"]`, "?owner=b": `["Other"]`, "?owner=": `[]`, "": `["Née","Other"]`, "?limit=1": `["Née"]`,
		"?q=n%C3%89e": `["Née"]`, "?q=loud": `["Née"]`, "?q=answer&owner=b": `[]`, "?q=AN+answer": `["Née"]`,
	} {
		require.JSONEq(t, want, s.ok(t, http.MethodGet, talks+query, "").Get("data.#.name").Raw, query)
	}
	found := s.ok(t, http.MethodGet, talks+"?q=VERY", "").Get("data.0.match")
	require.Equal(t, turn.Get("messages.0.id").Str, found.Get("message").Str)
	require.Equal(t, "Straße, very LOUD", found.Get("snippet").Str)
	page := s.ok(t, http.MethodGet, talks+"?limit=1", "")
	require.True(t, page.Get("has_more").Bool())
	require.JSONEq(t, `["Other"]`, s.ok(t, http.MethodGet, talks+"?after="+page.Get("last_id").Str, "").Get("data.#.name").Raw)
}

func TestMessage_Rating(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	turn := s.turn(t, c, `{"content":"1"}`)
	id, question := turn.Get("id").Str, turn.Get("messages.0.id").Str
	s.reply(t, id, "a1")
	rated := s.ok(t, http.MethodPut, c+"/messages/"+id+"/rating", `{"rating":-1,"comment":"no"}`)
	require.Equal(t, "-1", rated.Get("rating").Raw)
	require.Equal(t, "no", rated.Get("comment").Str)
	s.settled(t, c, id)
	require.Equal(t, "-1", s.ok(t, http.MethodGet, c+"/messages/"+id, "").Get("rating").Raw, "it stays when the answer is settled")
	rated = s.ok(t, http.MethodPut, c+"/messages/"+id+"/rating", `{"rating":0}`)
	require.Equal(t, "0", rated.Get("rating").Raw)
	require.Equal(t, "a1", rated.Get("content").Str)
	s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodPut, c+"/messages/"+question+"/rating", `{"rating":1}`)
	s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodPut, c+"/messages/"+id+"/rating", `{"rating":2}`)
}

func TestConversation_Clone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","system":"S","owner":"o","parameters":{"model":"m"}}`)
	one := s.turn(t, c, `{"content":"1"}`).Get("id").Str
	s.reply(t, one, "a1")
	two := s.turn(t, c, `{"content":"2"}`).Get("id").Str
	s.refused(t, http.StatusConflict, "turn_running", http.MethodPost, c+"/clone", `{"message":"`+two+`"}`)
	s.refused(t, http.StatusBadRequest, "invalid_request", http.MethodPost, c+"/clone", `{"message":"msg_0"}`)
	resp, body := s.do(t, http.MethodPost, c+"/clone", "", "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, resp.StatusCode, body)
	copied := talks + "/" + s.ok(t, http.MethodPost, c+"/clone", "", "Idempotency-Key", "k").Get("id").Str
	require.Contains(t, body, copied)
	require.JSONEq(t, `["1","a1","2"]`, s.path(t, copied, ""), "as far as it has ended")
	upto := talks + "/" + s.ok(t, http.MethodPost, c+"/clone", `{"message":"`+one+`","name":"M"}`).Get("id").Str
	require.JSONEq(t, `["1","a1"]`, s.path(t, upto, ""))
	require.Equal(t, "M", s.ok(t, http.MethodGet, upto, "").Get("name").Str)
	id := s.turn(t, upto, `{"content":"x"}`).Get("id").Str
	require.JSONEq(t, prompted+said("system", "S")+","+said("user", "1")+","+said("assistant", "a1")+","+said("user", "x")+"]}", s.reply(t, id, "ax"))
	s.reply(t, two, "a2")
	s.ok(t, http.MethodDelete, c, "")
	require.JSONEq(t, `["1","a1","x","ax"]`, s.path(t, upto, ""), "a copy stands alone")
}

// Questions, names and asides are jobs beside the turns.
func TestConversation_I10_Asides(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"system":"S","parameters":{"model":"m","temperature":2}}`)
	s.refused(t, http.StatusConflict, "nothing_to_answer", http.MethodPost, c+"/name", "")
	running := s.turn(t, c, `{"content":"1"}`).Get("id").Str
	version := s.ok(t, http.MethodGet, c, "").Get("version").Raw
	aside := s.ok(t, http.MethodPost, c+"/completions", `{"content":"x","parameters":{"temperature":0}}`)
	require.Equal(t, "batch", aside.Get("lane").Str)
	require.False(t, aside.Get("conversation").Exists())
	stored, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: aside.Get("id").Str})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","temperature":0,"messages":[`+said("system", "S")+","+said("user", "1")+","+said("user", "x")+"]}", string(stored.Request))
	suggest := s.ok(t, http.MethodPost, c+"/suggestions", `{"count":2}`)
	stored, err = s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: suggest.Get("id").Str})
	require.NoError(t, err)
	require.Contains(t, string(stored.Request), "Suggest 2 short questions")
	require.Equal(t, version, s.ok(t, http.MethodGet, c, "").Get("version").Raw, "the conversation knows nothing of them")
	require.Len(t, s.ok(t, http.MethodGet, c+"/messages", "").Get("data").Array(), 2)
	s.reply(t, running, "a1")

	var naming string
	require.Eventually(t, func() bool { // the keeper asks for a name after the first answer
		found, err := s.back.Store.Conversation(t.Context(), completion.Ref{Tenant: "acme", Job: c[len(talks)+1:]})
		require.NoError(t, err)
		naming = found.Naming
		return naming != ""
	}, 10*time.Second, time.Millisecond)
	asked := s.reply(t, naming, "\n\"**A fine name.**\"\nand more")
	require.Contains(t, asked, "Name this conversation")
	require.Contains(t, asked, `"a1"`)
	require.Eventually(t, func() bool { return s.ok(t, http.MethodGet, c, "").Get("name").Str == "A fine name" }, 10*time.Second, time.Millisecond)
	proposed := s.ok(t, http.MethodPost, c+"/name", "").Get("id").Str
	s.reply(t, proposed, "Other")
	s.reply(t, s.turn(t, c, `{"content":"2"}`).Get("id").Str, "a2")
	require.Equal(t, "A fine name", s.ok(t, http.MethodGet, c, "").Get("name").Str, "who has a name keeps it")
}
