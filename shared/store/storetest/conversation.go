package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// start adds a conversation.
func start(t *testing.T, s *store.Store, change ...func(*completion.Conversation)) completion.Conversation {
	t.Helper()
	c := conversation(change...)
	stored, created, err := s.AddConversation(t.Context(), &c, nil)
	require.NoError(t, err)
	require.True(t, created)
	return stored
}

func conversation(change ...func(*completion.Conversation)) completion.Conversation {
	at := now()
	c := completion.Conversation{ID: completion.NewConversationID(), Tenant: "acme", CreatedAt: at, UpdatedAt: at, ActiveAt: at}
	for _, f := range change {
		f(&c)
	}
	return c
}

// said are messages that have been said by turns.
func said(texts ...string) []completion.Message {
	list := make([]completion.Message, len(texts))
	for i, text := range texts {
		role := completion.RoleUser
		if i%2 == 1 {
			role = completion.RoleAssistant
		}
		list[i] = completion.Message{ID: completion.NewMessageID(), Role: role, State: completion.Completed, Content: quoted(text), CreatedAt: now(), FinishedAt: now()}
	}
	return list
}

func read(t *testing.T, s *store.Store, c completion.Conversation) completion.Conversation {
	t.Helper()
	stored, err := s.Conversation(t.Context(), c.Ref())
	require.NoError(t, err)
	return stored
}

func path(t *testing.T, s *store.Store, c completion.Conversation, from string) []completion.Message {
	t.Helper()
	list, err := s.Path(t.Context(), c.Ref(), from, 0)
	require.NoError(t, err)
	return list
}

func messageIDs(list []completion.Message) []string {
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.ID
	}
	return ids
}

func conversationRoundTrip(t *testing.T, s *store.Store) {
	heat, tokens, seed := 0.0, 7, int64(-1)
	want := conversation(func(c *completion.Conversation) {
		c.Owner, c.Name, c.System, c.Naming = "o'\x00\xff", `n'"?\é😀`, "s\x00\n'", "job_n"
		c.Parameters = completion.Parameters{Model: "m", Temperature: &heat, MaxTokens: &tokens, Seed: &seed, Stop: []string{"a'", "\n"}, ContextMessages: 3}
		c.Metadata = map[string]string{"k'": `v"?\é`, "": "empty", "nul": "a\x00b"}
		c.IdempotencyKey, c.BodyHash = "k?'", "h"
		c.Seq, c.Head, c.Version = 9, "x", 9 // which are not the caller's to say
	})
	given := want
	got, created, err := s.AddConversation(t.Context(), &given, nil)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, want, given, "what was given stays as it was")
	want.Owner, want.Seq, want.Head, want.Version = "o'\uFFFD\uFFFD", 0, "", 1
	require.Equal(t, want, got)
	require.Equal(t, want, read(t, s, want))
	plain := start(t, s)
	require.Equal(t, plain, read(t, s, plain))
	require.Zero(t, plain.Parameters)
	require.Nil(t, plain.Metadata)
}

func conversationSaid(t *testing.T, s *store.Store) {
	c := conversation()
	list := said(make([]string, 450)...)
	list[0].Content = []byte("[ {\"type\":\"text\", \"text\":\"\\u0000 é😀 \\ud83d\"} ]")
	list[1].State, list[1].Error, list[1].Content = completion.Failed, completion.NewError(completion.CodeCut, ""), nil
	list[3].Usage, list[3].Model, list[3].FinishReason = []byte(`{ "a":1 }`), "m'\x00", "stop"
	list[3].Rating, list[3].Comment = -1, "c'?"
	c, created, err := s.AddConversation(t.Context(), &c, list)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, list[449].ID, c.Head)
	require.Equal(t, 450, c.Seq)
	require.Equal(t, c, read(t, s, c))
	parent := ""
	for i := range list {
		list[i].Tenant, list[i].Conversation, list[i].Parent, list[i].Seq = c.Tenant, c.ID, parent, i+1
		parent = list[i].ID
	}
	list[3].Model = "m'\uFFFD"
	require.Equal(t, list, path(t, s, c, c.Head), "byte for byte")

	other := conversation()
	open := said("a")
	open[0].State = completion.Queued
	_, _, err = s.AddConversation(t.Context(), &other, open)
	require.ErrorContains(t, err, "not final")
	for _, content := range []string{`7`, `{"a":1}`, `"a`, `null`} {
		broken := said("a")
		broken[0].Content = []byte(content)
		_, _, err = s.AddConversation(t.Context(), &other, broken)
		require.ErrorContains(t, err, "neither a string nor an array", content)
	}
	_, err = s.Conversation(t.Context(), other.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)
}

func conversationSameKey(t *testing.T, s *store.Store) {
	keyed := func(hash string) func(*completion.Conversation) {
		return func(c *completion.Conversation) { c.IdempotencyKey, c.BodyHash = "key", hash }
	}
	first := conversation(keyed("h1"))
	first, _, err := s.AddConversation(t.Context(), &first, said("a"))
	require.NoError(t, err)
	again := conversation(keyed("h1"))
	got, created, err := s.AddConversation(t.Context(), &again, said("b"))
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first, got)
	require.Len(t, path(t, s, first, first.Head), 1)
	again.BodyHash = "h2"
	_, _, err = s.AddConversation(t.Context(), &again, nil)
	require.ErrorIs(t, err, completion.ErrConflict)
	start(t, s, keyed("h2"), func(c *completion.Conversation) { c.Tenant = "other" })

	converse(t, s, first, func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	again.BodyHash = "h1"
	got, created, err = s.AddConversation(t.Context(), &again, nil)
	require.NoError(t, err)
	require.False(t, created, "a key that was used stays used")
	require.False(t, got.DeletedAt.IsZero())
}

func conversationManyAtOnce(t *testing.T, s *store.Store) {
	var made atomic.Int32
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			c := conversation(func(c *completion.Conversation) { c.IdempotencyKey, c.BodyHash = "k", "h" })
			stored, created, err := s.AddConversation(t.Context(), &c, said("a", "b"))
			if err != nil {
				t.Errorf("add: %v", err)
			}
			if created {
				made.Add(1)
			}
			ids[i] = stored.ID
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
	require.Len(t, slices.Compact(ids), 1)
}

// listing is the conversations of one page, by name.
func listing(t *testing.T, s *store.Store, q store.ConversationQuery) (names []string, more bool) {
	t.Helper()
	page, more, err := s.ListConversations(t.Context(), "acme", q)
	require.NoError(t, err)
	names = []string{}
	for _, c := range page {
		names = append(names, c.Name)
	}
	return names, more
}

func named(name string, active time.Time) func(*completion.Conversation) {
	return func(c *completion.Conversation) { c.Name, c.ActiveAt = name, active }
}

func conversationList(t *testing.T, s *store.Store) {
	at := now().Truncate(time.Second)
	all := map[string]completion.Conversation{}
	for i, name := range []string{"e", "d", "c", "b", "a"} {
		all[name] = start(t, s, named(name, at.Add(time.Duration(i)*time.Microsecond*10)), func(c *completion.Conversation) {
			c.Owner = map[bool]string{true: "even", false: ""}[i%2 == 0]
		})
	}
	start(t, s, named("z", at), func(c *completion.Conversation) { c.Tenant = "other" })
	names, more := listing(t, s, store.ConversationQuery{})
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, names)
	require.False(t, more)
	even, none, nobody := "even", "", "nobody'"
	for want, owner := range map[string]*string{"[a c e]": &even, "[b d]": &none, "[]": &nobody} {
		names, _ = listing(t, s, store.ConversationQuery{Owner: owner})
		require.Equal(t, want, fmt.Sprint(names))
	}

	// What becomes active moves to the front, and shifts no page that follows.
	names, more = listing(t, s, store.ConversationQuery{Limit: 2})
	require.Equal(t, []string{"a", "b"}, names)
	require.True(t, more)
	touch := func(name string) {
		converse(t, s, all[name], func(_ context.Context, k *store.Talk) error { k.ActiveAt = now().Add(time.Hour); return nil })
	}
	touch("d")
	touch("a")
	after := store.ConversationQuery{Limit: 2, After: all["b"].ID}
	names, more = listing(t, s, after)
	require.Equal(t, []string{"c", "e"}, names)
	require.False(t, more)
	names, _ = listing(t, s, store.ConversationQuery{Limit: 2})
	require.Equal(t, []string{"a", "d"}, names)
	converse(t, s, all["b"], func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	names, _ = listing(t, s, after)
	require.Equal(t, []string{"c", "e"}, names, "after one that was deleted")
	touch("c")
	names, _ = listing(t, s, store.ConversationQuery{After: all["c"].ID})
	require.Equal(t, []string{"a", "d", "e"}, names, "after one that has moved itself")
	for _, id := range []string{"conv_0", "x' OR 1=1 --\x00\xff?0"} {
		names, _ = listing(t, s, store.ConversationQuery{After: id})
		require.Empty(t, names, id)
	}
}

// conversationSameTime: the id breaks ties, so that no page shows one twice or leaves one out.
func conversationSameTime(t *testing.T, s *store.Store) {
	at := now()
	var want []string
	for range 5 {
		c := start(t, s, func(c *completion.Conversation) { c.ActiveAt, c.Name = at, c.ID })
		want = append(want, c.ID)
	}
	slices.Sort(want)
	slices.Reverse(want)
	var got []string
	for more, after := true, ""; more; after = got[len(got)-1] {
		var names []string
		names, more = listing(t, s, store.ConversationQuery{Limit: 2, After: after})
		got = append(got, names...)
	}
	require.Equal(t, want, got)
}

func conversationSearch(t *testing.T, s *store.Store) {
	at := now()
	add := func(name, owner string, texts ...string) completion.Conversation {
		at = at.Add(-time.Minute)
		c := conversation(named(name, at), func(c *completion.Conversation) { c.Owner = owner })
		c, _, err := s.AddConversation(t.Context(), &c, said(texts...))
		require.NoError(t, err)
		return c
	}
	add("Straßenfest", "", "Grüße aus ZÜRICH", "ΟΔΥΣΣΕΥΣ and Привет")
	add("100% sure_", "ann", `it's "quoted" \ back`, "a\x00b")
	add("plain", "ann", "Zürich one", "nothing", "ZÜRICH two", "nothing")
	mine := add("", "bob", `[]`)
	other := conversation(func(c *completion.Conversation) { c.Tenant, c.Name = "other", "Zürich" })
	_, _, err := s.AddConversation(t.Context(), &other, said("zürich"))
	require.NoError(t, err)
	ann := "ann"
	for search, want := range map[string][]string{
		"züRICH": {"Straßenfest", "plain"}, "STRASSEN": {}, "STRAßEN": {"Straßenfest"}, "ὀδυσσεύς": {}, "οδυσσευς": {"Straßenfest"},
		"ПРИВЕТ": {"Straßenfest"}, "%": {"100% sure_"}, "_": {"100% sure_"}, "e_": {"100% sure_"}, "e%": {}, "'s \"QUOTED\" \\ B": {"100% sure_"},
		"a\x00b": {"100% sure_"}, "' OR 1=1 --": {}, "?": {}, "?0": {}, " ": {"Straßenfest", "100% sure_", "plain"}, "no such words": {},
	} {
		names, _ := listing(t, s, store.ConversationQuery{Search: search})
		require.Equal(t, want, names, search)
	}
	page, more, err := s.ListConversations(t.Context(), "acme", store.ConversationQuery{Search: "zürich", Owner: &ann, Limit: 1})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, page, 1)
	require.Equal(t, "ZÜRICH two", page[0].Match.Text(), "the latest that has it")
	require.Equal(t, read(t, s, page[0].Conversation), page[0].Conversation)
	page, _, err = s.ListConversations(t.Context(), "acme", store.ConversationQuery{Search: "plain"})
	require.NoError(t, err)
	require.Zero(t, page[0].Match, "the name has it, and no message")
	converse(t, s, mine, func(_ context.Context, k *store.Talk) error { k.Name = "Ärger"; return nil })
	names, _ := listing(t, s, store.ConversationQuery{Search: "äRG"})
	require.Equal(t, []string{"Ärger"}, names, "a new name is found")
}

// conversationWalls: to another tenant a conversation is as good as missing, and so is one that was deleted.
func conversationWalls(t *testing.T, s *store.Store) {
	var job completion.Job
	c := start(t, s)
	c = converse(t, s, c, func(ctx context.Context, k *store.Talk) (err error) {
		job, err = turn(ctx, k, "hello")
		return err
	})
	gone := conversation()
	gone, _, err := s.AddConversation(t.Context(), &gone, said("a"))
	require.NoError(t, err)
	gone = converse(t, s, gone, func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	for name, row := range map[string]struct {
		ref     completion.Ref
		message string
	}{
		"another's": {completion.Ref{Tenant: "other", Job: c.ID}, c.Head},
		"missing":   {completion.Ref{Tenant: "acme", Job: "conv_0"}, c.Head},
		"nonsense":  {completion.Ref{Tenant: "acme", Job: "x' OR 1=1 --\x00\xff?0"}, c.Head},
		"nobody's":  {completion.Ref{Job: c.ID}, c.Head},
		"deleted":   {gone.Ref(), gone.Head},
	} {
		_, err := s.Conversation(t.Context(), row.ref)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Message(t.Context(), row.ref, row.message)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Path(t.Context(), row.ref, row.message, 1)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		for _, below := range []string{row.message, ""} {
			_, err = s.Leaf(t.Context(), row.ref, below)
			require.ErrorIs(t, err, completion.ErrNotFound, name)
		}
		after, err := s.Siblings(t.Context(), row.ref, []string{"", row.message})
		require.NoError(t, err, name)
		require.Empty(t, after, name)
		live, err := s.Live(t.Context(), row.ref)
		require.NoError(t, err, name)
		require.Empty(t, live, name)
		_, err = s.Converse(t.Context(), row.ref, now(), func(context.Context, *store.Talk) error { panic("called") })
		require.ErrorIs(t, err, completion.ErrNotFound, name)
	}
	_, err = s.Settle(t.Context(), completion.Message{ID: job.ID, Tenant: "other", Conversation: c.ID, State: completion.Failed}, now())
	require.ErrorIs(t, err, completion.ErrNotFound)
	page, _, err := s.ListConversations(t.Context(), "other", store.ConversationQuery{})
	require.NoError(t, err)
	require.Empty(t, page)
	names, _ := listing(t, s, store.ConversationQuery{})
	require.Len(t, names, 1)
	require.Equal(t, c, read(t, s, c), "nothing changed")
}
