package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one request as the API gets it.
type asked struct{ line, key, body string }

// TestConversation_Requests says what each method sends.
func TestConversation_Requests(t *testing.T) {
	t.Parallel()
	const in = "/v1/conversations/conv_1"
	name, hot := "New", 0.5
	for act, c := range map[string]struct {
		do   func(c *Client) error
		want asked
	}{
		"create empty": {
			func(c *Client) error { return second(c.CreateConversation(t.Context(), ConversationCreation{})) },
			asked{"POST /v1/conversations", "", `{}`},
		},
		"create": {
			func(c *Client) error {
				return second(c.CreateConversation(t.Context(), ConversationCreation{
					Name: "N", System: "S", Parameters: completion.Parameters{Model: "sim", Temperature: &hot}, Owner: "o", Metadata: map[string]string{"a": "b"},
					Messages: []Said{{completion.RoleUser, "hi"}, {completion.RoleAssistant, "ho"}}, Key: "k",
				}))
			},
			asked{"POST /v1/conversations", "k", `{"name":"N","system":"S","parameters":{"model":"sim","temperature":0.5},"owner":"o","metadata":{"a":"b"},
				"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}`},
		},
		"get": {func(c *Client) error { return second(c.Conversation(t.Context(), "conv_1")) }, asked{"GET " + in, "", ""}},
		"change": {
			func(c *Client) error {
				return second(c.ChangeConversation(t.Context(), "conv_1", ConversationChange{Name: &name}))
			},
			asked{"PATCH " + in, "", `{"name":"New"}`},
		},
		"branch": {
			func(c *Client) error {
				return second(c.ChangeConversation(t.Context(), "conv_1", ConversationChange{Parameters: &completion.Parameters{}, Branch: "job_1"}))
			},
			asked{"PATCH " + in, "", `{"parameters":{},"branch":"job_1"}`},
		},
		"delete":       {func(c *Client) error { return c.DeleteConversation(t.Context(), "conv_1") }, asked{"DELETE " + in, "", ""}},
		"clone":        {func(c *Client) error { return second(c.CloneConversation(t.Context(), "conv_1", "", "")) }, asked{"POST " + in + "/clone", "", `{}`}},
		"clone a part": {func(c *Client) error { return second(c.CloneConversation(t.Context(), "conv_1", "N", "msg_1")) }, asked{"POST " + in + "/clone", "", `{"name":"N","message":"msg_1"}`}},
		"complete": {
			func(c *Client) error {
				return second(c.Complete(t.Context(), "conv_1", "hi", completion.Parameters{Model: "sim"}))
			},
			asked{"POST " + in + "/completions", "", `{"content":"hi","parameters":{"model":"sim"}}`},
		},
		"suggest":    {func(c *Client) error { return second(c.Suggest(t.Context(), "conv_1", 2)) }, asked{"POST " + in + "/suggestions", "", `{"count":2}`}},
		"name":       {func(c *Client) error { return second(c.NameConversation(t.Context(), "conv_1")) }, asked{"POST " + in + "/name", "", `{}`}},
		"credential": {func(c *Client) error { return second(c.ConversationCredential(t.Context(), "conv_1")) }, asked{"POST " + in + "/credential", "", ""}},
		"turn": {
			func(c *Client) error {
				return second(c.Turn(t.Context(), "conv_1", Say{Content: "hi", Policy: completion.PolicyReject, Timeout: 1.5, Key: "k"}))
			},
			asked{"POST " + in + "/messages", "k", `{"content":"hi","policy":"reject","timeout":1.5}`},
		},
		"edit": {
			func(c *Client) error {
				return second(c.Edit(t.Context(), "conv_1", "msg/1", Say{Content: []map[string]string{{"type": "text", "text": "x"}}, Key: "k"}))
			},
			asked{"POST " + in + "/messages/msg%2F1/edit", "k", `{"content":[{"type":"text","text":"x"}]}`},
		},
		"regenerate": {
			func(c *Client) error {
				return second(c.Regenerate(t.Context(), "conv_1", Say{Parameters: completion.Parameters{Temperature: &hot}, Metadata: map[string]string{"a": "b"}}))
			},
			asked{"POST " + in + "/regenerate", "", `{"parameters":{"temperature":0.5},"metadata":{"a":"b"}}`},
		},
		"message":        {func(c *Client) error { return second(c.Message(t.Context(), "conv_1", "job_1")) }, asked{"GET " + in + "/messages/job_1", "", ""}},
		"delete message": {func(c *Client) error { return c.DeleteMessage(t.Context(), "conv_1", "job_1") }, asked{"DELETE " + in + "/messages/job_1", "", ""}},
		"rate":           {func(c *Client) error { return second(c.Rate(t.Context(), "conv_1", "job_1", -1, "bad")) }, asked{"PUT " + in + "/messages/job_1/rating", "", `{"rating":-1,"comment":"bad"}`}},
		"rate no more":   {func(c *Client) error { return second(c.Rate(t.Context(), "conv_1", "job_1", 0, "")) }, asked{"PUT " + in + "/messages/job_1/rating", "", `{"rating":0}`}},
	} {
		t.Run(act, func(t *testing.T) {
			t.Parallel()
			var got asked
			err := c.do(serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = asked{r.Method + " " + r.URL.EscapedPath(), r.Header.Get("Idempotency-Key"), string(body)}
				fmt.Fprint(w, `{}`)
			}))
			require.NoError(t, err)
			require.Equal(t, []string{c.want.line, c.want.key}, []string{got.line, got.key})
			if c.want.body == "" {
				require.Empty(t, got.body)
				return
			}
			require.JSONEq(t, c.want.body, got.body)
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestConversation_CannotBeSent(t *testing.T) {
	t.Parallel()
	_, err := (&Client{}).Turn(t.Context(), "conv_1", Say{Content: func() {}})
	require.ErrorContains(t, err, "encode POST /v1/conversations/conv_1/messages: ")
}

func TestConversation_Reads(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"conv_1","object":"conversation","name":"N","system":"","parameters":{"model":"sim","stop":[]},"owner":"o","metadata":{"a":"b"},"head":null,
			"version":7,"live":["job_1"],"subject":"completions.local.conv_1","stream":{"nats_url":"nats://127.0.0.1:1"},"events_url":"http://x","created_at":"2026-01-01T00:00:00Z",
			"updated_at":"2026-01-01T00:00:00Z","active_at":"2026-01-01T00:00:00Z"}`)
	})
	got, err := c.Conversation(t.Context(), "conv_1")
	require.NoError(t, err)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, Conversation{
		ID: "conv_1", Name: "N", Parameters: completion.Parameters{Model: "sim", Stop: []string{}}, Owner: "o", Metadata: map[string]string{"a": "b"}, Version: 7, Live: []string{"job_1"},
		Subject: "completions.local.conv_1", Stream: Stream{NATSURL: "nats://127.0.0.1:1"}, EventsURL: "http://x", CreatedAt: at, UpdatedAt: at, ActiveAt: at,
	}, got)
}

func TestConversation_Lists(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") {
			fmt.Fprintf(w, `{"data":[{"id":%q,"parent":null,"seq":3,"role":"user","state":"completed","content":"x","siblings":["msg_1","msg_2"]}],"has_more":true}`, r.URL.RawQuery)
			return
		}
		fmt.Fprintf(w, `{"data":[{"id":%q,"match":{"message":"msg_1","snippet":"a b"}},{"id":"conv_2"}],"has_more":true}`, r.URL.RawQuery)
	})
	all, more, err := c.Conversations(t.Context(), ConversationQuery{Owner: "o/1", Search: "a b", Limit: 2, After: "conv_0"})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []Conversation{{ID: "after=conv_0&limit=2&owner=o%2F1&q=a+b", Match: &Match{"msg_1", "a b"}}, {ID: "conv_2"}}, all)
	all, _, err = c.Conversations(t.Context(), ConversationQuery{})
	require.NoError(t, err)
	require.Empty(t, all[0].ID, "nothing is said of what is not asked for")

	said, more, err := c.Messages(t.Context(), "conv_1", MessageQuery{Branch: "job_1", Limit: 5, Before: "msg_9"})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []Message{{
		ID: "before=msg_9&branch=job_1&limit=5", Seq: 3, Role: completion.RoleUser, State: completion.Completed, Content: json.RawMessage(`"x"`), Siblings: []string{"msg_1", "msg_2"},
	}}, said)
}

func TestTurn_ReadsTheJobAndItsMessages(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"job_1","state":"queued","subject":"completions.local.job_1","conversation":"conv_1","held":true,"messages":[{"id":"msg_1","role":"user"},{"id":"job_1","role":"assistant","content":null}]}`)
	})
	got, err := c.Turn(t.Context(), "conv_1", Say{Content: "hi"})
	require.NoError(t, err)
	require.Equal(t, Turn{
		Job:      Job{ID: "job_1", State: completion.Queued, Subject: "completions.local.job_1", Conversation: "conv_1", Held: true},
		Messages: []Message{{ID: "msg_1", Role: completion.RoleUser}, {ID: "job_1", Role: completion.RoleAssistant, Content: json.RawMessage(`null`)}},
	}, got)
}

func TestMessage_Text(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		``: "", `null`: "", `"a\nb"`: "a\nb", `[]`: "", `{"text":"x"}`: "",
		`[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]`: "a\nb",
	} {
		m := Message{Content: json.RawMessage(content)}
		require.Equal(t, want, m.Text(), content)
	}
}
