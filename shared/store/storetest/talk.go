package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// start adds a conversation.
func start(t *testing.T, s *store.Store, change ...func(*completion.Conversation)) completion.Conversation {
	t.Helper()
	at := now()
	c := completion.Conversation{ID: completion.NewConversationID(), Tenant: "acme", CreatedAt: at, UpdatedAt: at, ActiveAt: at}
	for _, f := range change {
		f(&c)
	}
	stored, created, err := s.AddConversation(t.Context(), &c, nil)
	require.NoError(t, err)
	require.True(t, created)
	return stored
}

func converse(t *testing.T, s *store.Store, c completion.Conversation, f func(ctx context.Context, k *store.Talk) error) completion.Conversation {
	t.Helper()
	stored, err := s.Converse(t.Context(), c.Ref(), now(), f)
	require.NoError(t, err)
	return stored
}

// quoted is a text as the content of a message.
func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

// turn says something and asks for the answer, which follows it and is the head.
func turn(ctx context.Context, k *store.Talk, said string, change ...func(*completion.Job)) (completion.Job, error) {
	at := now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: k.Tenant, Lane: completion.LaneInteractive, State: completion.Queued, Model: "m",
		Request: json.RawMessage(`{"messages":[]}`), Conversation: k.ID, CreatedAt: at, UpdatedAt: at,
	}
	for _, f := range change {
		f(&job)
	}
	user := &completion.Message{ID: completion.NewMessageID(), Parent: k.Head, Role: completion.RoleUser, State: completion.Completed, Content: quoted(said)}
	reply := &completion.Message{ID: job.ID, Parent: user.ID, Role: completion.RoleAssistant, State: completion.Queued}
	if err := k.Say(ctx, user, reply); err != nil {
		return completion.Job{}, err
	}
	k.Head = reply.ID
	job, created, err := k.Add(ctx, &job)
	if err == nil && !created {
		err = errRepeated
	}
	return job, err
}

var errRepeated = errors.New("repeated")

func talkTurn(t *testing.T, s *store.Store) {
	c := start(t, s)
	var job completion.Job
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) (err error) {
		job, err = turn(ctx, k, "hello")
		return err
	})
	require.Equal(t, job.ID, c.Head)
	path, err := s.Path(t.Context(), c.Ref(), c.Head, 10)
	require.NoError(t, err)
	require.Len(t, path, 2)
	require.Equal(t, completion.Queued, path[1].State)
	live, err := s.Live(t.Context(), c.Ref())
	require.NoError(t, err)
	require.Len(t, live, 1)
	leaf, err := s.Leaf(t.Context(), c.Ref(), "")
	require.NoError(t, err)
	require.Equal(t, c.Head, leaf)
	after, err := s.Siblings(t.Context(), c.Ref(), []string{"", path[0].ID})
	require.NoError(t, err)
	require.Len(t, after, 2)
	owner := ""
	page, _, err := s.ListConversations(t.Context(), "acme", store.ConversationQuery{Owner: &owner, Search: "HEL"})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, path[0], page[0].Match)
	page, _, err = s.ListConversations(t.Context(), "acme", store.ConversationQuery{After: c.ID})
	require.NoError(t, err)
	require.Empty(t, page)
	claim(t, s, job, "w")
	_, err = s.Finish(t.Context(), job.Ref(), 1, completion.Outcome{State: completion.Completed, Result: []byte(`{"choices":[{"message":{"content":"hi"}}]}`), At: now()})
	require.NoError(t, err)
	open, err := s.Unsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.Equal(t, `"hi"`, string(open[0].Content))
	_, err = s.Settle(t.Context(), open[0], now())
	require.NoError(t, err)
	_, err = s.Settle(t.Context(), open[0], now())
	require.ErrorIs(t, err, completion.ErrFinal)
	_, err = s.Waiting(t.Context(), 10)
	require.NoError(t, err)
	_, err = s.Named(t.Context(), 10)
	require.NoError(t, err)
	converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
		require.NoError(t, k.Rate(ctx, job.ID, 1, "good"))
		_, err := k.Drop(ctx, path[0].ID)
		return err
	})
}
