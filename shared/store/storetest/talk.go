package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

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

var errRepeated = errors.New("repeated")

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
	stored, created, err := k.Add(ctx, &job)
	if err == nil && !created {
		err = errRepeated
	}
	return stored, err
}

func held(j *completion.Job) { j.Held = true }

func live(t *testing.T, s *store.Store, c completion.Conversation) []completion.Job {
	t.Helper()
	list, err := s.Live(t.Context(), c.Ref())
	require.NoError(t, err)
	ids := []string{}
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	all, err := s.LiveOf(t.Context(), c.Tenant, []string{c.ID, "conv_none"})
	require.NoError(t, err)
	require.ElementsMatch(t, ids, all[c.ID], "the same for several at once")
	return list
}

// talkTurn: one transaction has the question, the answer to come and its job.
func talkTurn(t *testing.T, s *store.Store) {
	before := start(t, s)
	at := now().Add(time.Second)
	var job completion.Job
	c, err := s.Converse(t.Context(), before.Ref(), at, func(ctx context.Context, k *store.Talk) (err error) {
		require.Equal(t, before, k.Conversation)
		if job, err = turn(ctx, k, "hello"); err != nil {
			return err
		}
		list, err := k.Path(ctx, k.Head, 10)
		require.Len(t, list, 2, "it sees what it did")
		jobs, liveErr := k.Live(ctx)
		require.Equal(t, []string{job.ID}, ids(jobs))
		leaf, leafErr := k.Leaf(ctx, "")
		require.Equal(t, job.ID, leaf)
		return errors.Join(err, liveErr, leafErr)
	})
	require.NoError(t, err)
	want := before
	want.Head, want.Seq, want.Version, want.UpdatedAt, want.ActiveAt = job.ID, 2, before.Version+1, at, at
	require.Equal(t, want, c)
	require.Equal(t, want, read(t, s, c))
	list := path(t, s, c, c.Head)
	question := completion.Message{
		ID: list[0].ID, Conversation: c.ID, Tenant: c.Tenant, Seq: 1, Role: completion.RoleUser, State: completion.Completed,
		Content: json.RawMessage(`"hello"`), CreatedAt: at,
	}
	reply := completion.Message{
		ID: job.ID, Conversation: c.ID, Tenant: c.Tenant, Parent: question.ID, Seq: 2, Role: completion.RoleAssistant, State: completion.Queued,
		Model: "m", CreatedAt: at,
	}
	require.Equal(t, []completion.Message{question, reply}, list)
	require.Equal(t, c.ID, get(t, s, job).Conversation)
	require.Equal(t, []string{job.ID}, ids(live(t, s, c)))
	require.Nil(t, live(t, s, c)[0].Request)
}

// talkFields: what the function writes is stored, and nothing else.
func talkFields(t *testing.T, s *store.Store) {
	c := start(t, s)
	heat := 1.5
	changed := converse(t, s, c, func(_ context.Context, k *store.Talk) error {
		k.Name, k.Owner, k.System, k.Naming, k.Head = "n'\x00", "o?", "s\x00", "job_n", "msg_h"
		k.Parameters, k.Metadata = completion.Parameters{Temperature: &heat}, map[string]string{"a": "b"}
		k.BodyHash, k.Version = "h", 99
		return nil
	})
	want := c
	want.Name, want.Owner, want.System, want.Naming, want.Head = "n'\uFFFD", "o?", "s\x00", "job_n", "msg_h"
	want.Parameters, want.Metadata = completion.Parameters{Temperature: &heat}, map[string]string{"a": "b"}
	want.Version, want.UpdatedAt = c.Version+1, changed.UpdatedAt
	require.Equal(t, want, changed)
	require.Equal(t, want, read(t, s, c))

	same := converse(t, s, c, func(_ context.Context, k *store.Talk) error {
		k.Name, k.Metadata = "n'\uFFFD", map[string]string{"a": "b"}
		return k.Cancel(t.Context())
	})
	require.Equal(t, want, same, "nothing has changed")
	cleared := converse(t, s, c, func(_ context.Context, k *store.Talk) error {
		k.Name, k.Owner, k.System, k.Naming, k.Head, k.Parameters, k.Metadata = "", "", "", "", "", completion.Parameters{}, nil
		return nil
	})
	want = c
	want.Version, want.UpdatedAt = c.Version+2, cleared.UpdatedAt
	require.Equal(t, want, read(t, s, c))
	converse(t, s, c, func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	_, err := s.Conversation(t.Context(), c.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)
}

// talkUndone: an error leaves nothing behind, and comes back as it is.
func talkUndone(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	want := read(t, s, c)
	refusal := completion.NewError(completion.CodeTurn, "no")
	var job completion.Job
	_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) (err error) {
		require.NoError(t, k.Cancel(ctx, first.ID))
		if job, err = turn(ctx, k, "more"); err != nil {
			return err
		}
		require.NoError(t, k.Rate(ctx, job.ID, 1, ""))
		_, err = k.Drop(ctx, first.ID)
		require.NoError(t, err)
		k.Name, k.DeletedAt = "x", now()
		return refusal
	})
	require.Same(t, refusal, err)
	require.Equal(t, want, read(t, s, c))
	_, err = s.Get(t.Context(), job.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)
	require.Equal(t, first, get(t, s, first))
	require.Len(t, path(t, s, c, c.Head), 2)
	after, err := s.Siblings(t.Context(), c.Ref(), []string{first.ID})
	require.NoError(t, err)
	require.Empty(t, after)
}

// talkSameKey: a repeat of a turn changes nothing at all.
func talkSameKey(t *testing.T, s *store.Store) {
	keyed := func(hash string) func(*completion.Job) {
		return func(j *completion.Job) { j.IdempotencyKey, j.BodyHash = "key", hash }
	}
	c, first := answered(t, s, keyed("h"))
	want := read(t, s, c)
	for hash, refusal := range map[string]error{"h": errRepeated, "h2": completion.ErrConflict} {
		var got completion.Job
		_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) (err error) {
			got, err = turn(ctx, k, "hello", keyed(hash))
			return err
		})
		require.ErrorIs(t, err, refusal)
		if hash == "h" {
			require.Equal(t, first, got)
		}
		require.Equal(t, want, read(t, s, c))
	}
	leaf, err := s.Leaf(t.Context(), c.Ref(), "")
	require.NoError(t, err)
	require.Equal(t, first.ID, leaf)
	for name, change := range map[string]func(*completion.Job){
		"another tenant's":       func(j *completion.Job) { j.Tenant = "other" },
		"another conversation's": func(j *completion.Job) { j.Conversation = "conv_0" },
	} {
		_, err = s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
			_, err := turn(ctx, k, "hello", change)
			return err
		})
		require.ErrorContains(t, err, "it is not one of conversation", name)
	}
}

// talkOrder: however many talk at once, their messages are in one order.
func talkOrder(t *testing.T, s *store.Store) {
	c := start(t, s)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
				_, err := turn(ctx, k, "hello", held)
				return err
			})
			if err != nil {
				t.Errorf("converse: %v", err)
			}
		})
	}
	wg.Wait()
	got := read(t, s, c)
	require.Equal(t, 64, got.Seq)
	require.Equal(t, c.Version+32, got.Version)
	list := path(t, s, c, got.Head)
	require.Len(t, list, 64)
	for i, m := range list {
		require.Equal(t, i+1, m.Seq)
		require.Equal(t, []completion.Role{completion.RoleUser, completion.RoleAssistant}[i%2], m.Role)
	}
	turns := live(t, s, c)
	require.Len(t, turns, 32)
	for i, job := range turns {
		require.Equal(t, list[2*i+1].ID, job.ID, "in the order of their messages")
	}
}

func talkNamed(t *testing.T, s *store.Store) {
	job := add(t, s)
	c := start(t, s, func(c *completion.Conversation) { c.Naming = job.ID })
	lost := start(t, s, func(c *completion.Conversation) { c.Naming = "job_z" })
	gone := start(t, s, func(c *completion.Conversation) { c.Naming = "job_y" })
	converse(t, s, gone, func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	list, err := s.Named(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []store.Named{{Conversation: lost, Job: completion.Job{ID: "job_z", Tenant: "acme", State: completion.Failed}}}, list)
	done := finish(t, s, job, says("A name"))
	list, err = s.Named(t.Context(), 1)
	require.NoError(t, err)
	want := store.Named{Conversation: c, Job: completion.Job{ID: job.ID, Tenant: "acme", State: completion.Completed, Result: done.Result}}
	require.Equal(t, []store.Named{want}, list)
	for _, c := range []completion.Conversation{c, lost} {
		converse(t, s, c, func(_ context.Context, k *store.Talk) error { k.Naming = ""; return nil })
	}
	list, err = s.Named(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, list)
}
