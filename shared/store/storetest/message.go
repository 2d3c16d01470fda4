package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// answered adds a conversation with one turn.
func answered(t *testing.T, s *store.Store, change ...func(*completion.Job)) (completion.Conversation, completion.Job) {
	t.Helper()
	var job completion.Job
	c := converse(t, s, start(t, s), func(ctx context.Context, k *store.Talk) (err error) {
		job, err = turn(ctx, k, "hello", change...)
		return err
	})
	return c, job
}

// finish ends a job that says something.
func finish(t *testing.T, s *store.Store, job completion.Job, o completion.Outcome) completion.Job {
	t.Helper()
	job = claim(t, s, job, "w1")
	if o.At.IsZero() {
		o.At = now()
	}
	job, err := s.Finish(t.Context(), job.Ref(), job.Attempt, o)
	require.NoError(t, err)
	return job
}

// says is the outcome of an attempt that says something.
func says(text string) completion.Outcome {
	result := fmt.Appendf(nil, `{"choices":[{"message":{"content":%s}}]}`, quoted(text))
	return completion.Outcome{State: completion.Completed, Result: result, Usage: []byte(`{ "u":1 }`), FinishReason: "stop"}
}

func message(t *testing.T, s *store.Store, c completion.Conversation, id string) completion.Message {
	t.Helper()
	m, err := s.Message(t.Context(), c.Ref(), id)
	require.NoError(t, err)
	return m
}

func unsettled(t *testing.T, s *store.Store) []completion.Message {
	t.Helper()
	list, err := s.Unsettled(t.Context(), 100)
	require.NoError(t, err)
	return list
}

// messageOverlay: an answer is as its job is, wherever it is read.
func messageOverlay(t *testing.T, s *store.Store) {
	c, job := answered(t, s)
	same := func(state completion.State) completion.Message {
		m := message(t, s, c, job.ID)
		require.Equal(t, state, m.State)
		list := path(t, s, c, c.Head)
		require.Equal(t, m, list[1])
		after, err := s.Siblings(t.Context(), c.Ref(), []string{m.Parent})
		require.NoError(t, err)
		light := completion.Message{ID: m.ID, Tenant: m.Tenant, Conversation: m.Conversation, Parent: m.Parent, Seq: m.Seq, Role: m.Role, State: state}
		require.Equal(t, map[string][]completion.Message{m.Parent: {light}}, after)
		converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
			inside, err := k.Message(ctx, job.ID)
			require.Equal(t, m, inside)
			return err
		})
		return m
	}
	m := same(completion.Queued)
	require.Equal(t, "m", m.Model)
	claim(t, s, job, "w1")
	same(completion.Running)
	partial := completion.Outcome{State: completion.Queued, Result: says("half").Result, Usage: []byte(`{}`), Error: completion.NewError(completion.CodeCut, ""), At: now()}
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: partial}))
	m = same(completion.Queued)
	require.Nil(t, m.Error, "another attempt follows, and says it anew")
	require.Nil(t, m.Content)
	require.Nil(t, m.Usage)
	require.Empty(t, unsettled(t, s))
	o := says("a\u00e9\x00")
	o.Result = []byte(`{"choices":[{"message":{"content":"a\u00e9\u0000\ud83d"}},{"message":{"content":"b"}}]}`)
	done := finish(t, s, job, o)
	m = same(completion.Completed)
	require.Equal(t, `"a\u00e9\u0000\ud83d"`, string(m.Content), "byte for byte")
	require.Equal(t, `{ "u":1 }`, string(m.Usage))
	require.Equal(t, "stop", m.FinishReason)
	require.Equal(t, done.FinishedAt, m.FinishedAt)
	require.Equal(t, []completion.Message{m}, unsettled(t, s))
}

// messagePartial: what an answer has that did not complete.
func messagePartial(t *testing.T, s *store.Store) {
	for state, code := range map[completion.State]completion.Code{completion.Failed: completion.CodeCut, completion.Cancelled: completion.CodeCancelled} {
		c, job := answered(t, s)
		o := says("half")
		o.State, o.Error = state, completion.NewError(code, "")
		finish(t, s, job, o)
		m := message(t, s, c, job.ID)
		require.Equal(t, state, m.State)
		require.Equal(t, `"half"`, string(m.Content))
		require.Equal(t, o.Error, m.Error)
	}
	c, job := answered(t, s)
	finish(t, s, job, completion.Outcome{State: completion.Completed, Result: []byte(`{"choices":[{"message":{"content":null,"refusal":"no"}}]}`)})
	require.Equal(t, `"no"`, string(message(t, s, c, job.ID).Content))
}

func messageSettle(t *testing.T, s *store.Store) {
	c, job := answered(t, s)
	_, err := s.Settle(t.Context(), message(t, s, c, job.ID), now())
	require.ErrorContains(t, err, "it is queued")
	finish(t, s, job, says("Ärger"))
	list := unsettled(t, s)
	require.Len(t, list, 1)
	names, _ := listing(t, s, store.ConversationQuery{Search: "ärger"})
	require.Empty(t, names, "not yet")
	at := now()
	version, err := s.Settle(t.Context(), list[0], at)
	require.NoError(t, err)
	require.Equal(t, c.Version+1, version)
	want := c
	want.Version, want.UpdatedAt, want.ActiveAt = version, at, at
	require.Equal(t, want, read(t, s, c))
	require.Equal(t, list[0], message(t, s, c, job.ID))
	require.Empty(t, unsettled(t, s))
	names, _ = listing(t, s, store.ConversationQuery{Search: "ärger"})
	require.Len(t, names, 1)

	again := list[0]
	again.State, again.Content = completion.Failed, quoted("other")
	_, err = s.Settle(t.Context(), again, now())
	require.ErrorIs(t, err, completion.ErrFinal)
	require.Equal(t, list[0], message(t, s, c, job.ID))
	require.Equal(t, want, read(t, s, c), "nothing changed")
	again.Conversation = start(t, s).ID
	_, err = s.Settle(t.Context(), again, now())
	require.ErrorIs(t, err, completion.ErrFinal)
}

// messageLost: an answer whose job is gone has failed, and can be settled so.
func messageLost(t *testing.T, s *store.Store) {
	c, job := answered(t, s, func(j *completion.Job) { j.Stored = true })
	finish(t, s, job, says("a"))
	require.NoError(t, s.Unstore(t.Context(), job.Ref()))
	m := message(t, s, c, job.ID)
	require.Equal(t, completion.Failed, m.State)
	require.Equal(t, completion.CodeInternal, m.Error.Code)
	require.Equal(t, []completion.Message{m}, unsettled(t, s))
	_, err := s.Settle(t.Context(), m, now())
	require.NoError(t, err)
	require.Equal(t, m, message(t, s, c, job.ID))

	c, job = answered(t, s, func(j *completion.Job) { j.Stored = true })
	finish(t, s, job, says("a"))
	settled := message(t, s, c, job.ID)
	_, err = s.Settle(t.Context(), settled, now())
	require.NoError(t, err)
	require.NoError(t, s.Unstore(t.Context(), job.Ref()))
	require.Equal(t, settled, message(t, s, c, job.ID), "a settled one does not need its job")
}

// tree says messages whose parents are named, "" for none.
func tree(t *testing.T, s *store.Store, c completion.Conversation, parents [][2]string) (completion.Conversation, map[string]string) {
	t.Helper()
	ids := map[string]string{"": ""}
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
		for _, m := range parents {
			ids[m[0]] = completion.NewMessageID()
			said := &completion.Message{ID: ids[m[0]], Parent: ids[m[1]], Role: completion.RoleUser, State: completion.Completed, Content: quoted(m[0])}
			if err := k.Say(ctx, said); err != nil {
				return err
			}
			k.Head = said.ID
		}
		return nil
	})
	return c, ids
}

// grown is a conversation with branches: a-b-d, a-b-e, a-c-f and g.
func grown(t *testing.T, s *store.Store) (completion.Conversation, map[string]string) {
	t.Helper()
	return tree(t, s, start(t, s), [][2]string{{"a", ""}, {"b", "a"}, {"c", "a"}, {"d", "b"}, {"f", "c"}, {"g", ""}, {"e", "b"}})
}

func texts(list []completion.Message) (joined string) {
	for _, m := range list {
		joined += m.Text()
	}
	return joined
}

func messagePath(t *testing.T, s *store.Store) {
	c, ids := grown(t, s)
	for from, want := range map[string]string{"": "", "a": "a", "d": "abd", "e": "abe", "f": "acf", "g": "g"} {
		require.Equal(t, want, texts(path(t, s, c, ids[from])), from)
	}
	for limit, want := range map[int]string{1: "f", 2: "cf", 3: "acf", 4: "acf", 0: "acf", -1: "acf"} {
		list, err := s.Path(t.Context(), c.Ref(), ids["f"], limit)
		require.NoError(t, err)
		require.Equal(t, want, texts(list), limit)
	}
	other, _ := grown(t, s)
	for _, id := range []string{other.Head, "msg_0", "x' OR 1=1 --\x00\xff?0"} {
		_, err := s.Path(t.Context(), c.Ref(), id, 1)
		require.ErrorIs(t, err, completion.ErrNotFound, id)
		_, err = s.Message(t.Context(), c.Ref(), id)
		require.ErrorIs(t, err, completion.ErrNotFound, id)
		_, err = s.Leaf(t.Context(), c.Ref(), id)
		require.ErrorIs(t, err, completion.ErrNotFound, id)
	}
}

func messageBranches(t *testing.T, s *store.Store) {
	c, ids := grown(t, s)
	for below, want := range map[string]string{"": "g", "a": "f", "b": "e", "c": "f", "d": "d", "g": "g"} {
		leaf, err := s.Leaf(t.Context(), c.Ref(), ids[below])
		require.NoError(t, err)
		require.Equal(t, ids[want], leaf, below)
	}
	empty := start(t, s)
	leaf, err := s.Leaf(t.Context(), empty.Ref(), "")
	require.NoError(t, err)
	require.Empty(t, leaf, "nothing was said")
	after, err := s.Siblings(t.Context(), c.Ref(), []string{"", ids["b"], ids["d"], "msg_0\x00"})
	require.NoError(t, err)
	require.Len(t, after, 2)
	require.Equal(t, []string{ids["a"], ids["g"]}, messageIDs(after[""]))
	require.Equal(t, []string{ids["d"], ids["e"]}, messageIDs(after[ids["b"]]))
	after, err = s.Siblings(t.Context(), c.Ref(), nil)
	require.NoError(t, err)
	require.Empty(t, after)
}

// messageDrop: what was deleted, and all that followed it, never comes back.
func messageDrop(t *testing.T, s *store.Store) {
	c, ids := grown(t, s)
	drop := func(id string) error {
		_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
			live, err := k.Drop(ctx, id)
			require.Empty(t, live)
			return err
		})
		return err
	}
	require.NoError(t, drop(ids["b"]))
	require.Equal(t, ids["a"], read(t, s, c).Head, "the head was below")
	for _, name := range []string{"b", "d", "e"} {
		_, err := s.Message(t.Context(), c.Ref(), ids[name])
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Path(t.Context(), c.Ref(), ids[name], 0)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Leaf(t.Context(), c.Ref(), ids[name])
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		require.ErrorIs(t, drop(ids[name]), completion.ErrNotFound, name)
		found, _ := listing(t, s, store.ConversationQuery{Search: name})
		require.Empty(t, found, name)
	}
	after, err := s.Siblings(t.Context(), c.Ref(), []string{ids["a"], ids["b"]})
	require.NoError(t, err)
	require.Equal(t, []string{ids["c"]}, messageIDs(after[ids["a"]]))
	require.Empty(t, after[ids["b"]])
	leaf, err := s.Leaf(t.Context(), c.Ref(), ids["a"])
	require.NoError(t, err)
	require.Equal(t, ids["f"], leaf)

	// Whatever might follow it all the same is not led back to it.
	c, more := tree(t, s, c, [][2]string{{"x", ""}})
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
		late := &completion.Message{ID: completion.NewMessageID(), Parent: ids["d"], Role: completion.RoleUser, State: completion.Completed, Content: quoted("y")}
		k.Head = late.ID
		return k.Say(ctx, late)
	})
	require.Equal(t, "y", texts(path(t, s, c, c.Head)))
	require.NoError(t, drop(more["x"]))
	require.Equal(t, c.Head, read(t, s, c).Head, "another branch's head stays")
	require.NoError(t, drop(ids["a"]))
	require.Empty(t, unsettled(t, s))
	leaf, err = s.Leaf(t.Context(), c.Ref(), "")
	require.NoError(t, err)
	require.Equal(t, ids["g"], leaf)
}

// messageDropLive: answers that are under way are cancelled, and what they say later stays away.
func messageDropLive(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	claim(t, s, first, "w1")
	var held completion.Job
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) (err error) {
		held, err = turn(ctx, k, "more", func(j *completion.Job) { j.Held = true })
		return err
	})
	top := path(t, s, c, c.Head)[0]
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
		live, err := k.Drop(ctx, top.ID)
		require.ElementsMatch(t, []string{first.ID, held.ID}, live)
		return err
	})
	require.Empty(t, c.Head)
	require.True(t, get(t, s, first).CancelRequested)
	require.Equal(t, completion.Cancelled, get(t, s, held).State)
	o := says("secret")
	o.State = completion.Cancelled
	_, err := s.Finish(t.Context(), first.Ref(), 1, o)
	require.NoError(t, err)
	require.Empty(t, unsettled(t, s))
	m := completion.Message{ID: first.ID, Tenant: c.Tenant, Conversation: c.ID, State: completion.Completed, Content: quoted("secret")}
	_, err = s.Settle(t.Context(), m, now())
	require.ErrorIs(t, err, completion.ErrFinal)
	names, _ := listing(t, s, store.ConversationQuery{Search: "secret"})
	require.Empty(t, names)
	after, err := s.Siblings(t.Context(), c.Ref(), []string{"", top.ID})
	require.NoError(t, err)
	require.Empty(t, after)
}

func messageRate(t *testing.T, s *store.Store) {
	c, job := answered(t, s)
	rate := func(id string, rating int, comment string) error {
		_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error { return k.Rate(ctx, id, rating, comment) })
		return err
	}
	require.NoError(t, rate(job.ID, -1, "c'\x00"))
	m := message(t, s, c, job.ID)
	require.Equal(t, -1, m.Rating)
	require.Equal(t, "c'\uFFFD", m.Comment)
	require.Equal(t, completion.Queued, m.State)
	finish(t, s, job, says("a"))
	_, err := s.Settle(t.Context(), message(t, s, c, job.ID), now())
	require.NoError(t, err)
	require.Equal(t, -1, message(t, s, c, job.ID).Rating, "it is not lost when the answer is settled")
	require.NoError(t, rate(job.ID, 0, ""))
	m = message(t, s, c, job.ID)
	require.Zero(t, m.Rating)
	require.Empty(t, m.Comment)
	before := read(t, s, c)
	for _, id := range []string{m.Parent, "job_0", "x'\x00"} {
		require.ErrorIs(t, rate(id, 1, ""), completion.ErrNotFound)
	}
	require.Equal(t, before, read(t, s, c))
}
