package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// Whoever waits for a conversation that is busy takes no connection from others.
func TestConverse_CrowdLeavesConnections(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	s := store.New(db, store.Options{})
	at := time.Now()
	c := completion.Conversation{ID: completion.NewConversationID(), Tenant: "acme", CreatedAt: at, UpdatedAt: at, ActiveAt: at}
	_, _, err := s.AddConversation(t.Context(), &c, nil)
	require.NoError(t, err)
	inside, open := make(chan struct{}), make(chan struct{})
	var wg, come sync.WaitGroup
	talk := func(f func()) {
		_, err := s.Converse(t.Context(), c.Ref(), at, func(context.Context, *store.Talk) error { f(); return nil })
		if err != nil {
			t.Errorf("converse: %v", err)
		}
	}
	wg.Go(func() { talk(func() { close(inside); <-open }) })
	<-inside
	for range 64 {
		come.Add(1)
		wg.Go(func() { come.Done(); talk(func() {}) })
	}
	come.Wait()
	for range 64 {
		_, err = s.Conversation(t.Context(), c.Ref())
		require.NoError(t, err)
		require.LessOrEqual(t, db.Stats().InUse, 1)
	}
	close(open)
	wg.Wait()
}

// A turn as it is made: the conversation is locked and read, and then what is under way and what was said; a question, an
// answer and a job are added.
func BenchmarkStore_Converse(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *bun.DB{"PostgreSQL": testkit.Postgres, "SQLite": testkit.SQLite} {
		b.Run(name, func(b *testing.B) {
			s := store.New(open(b), store.Options{})
			at := time.Now()
			c := completion.Conversation{ID: completion.NewConversationID(), Tenant: "acme", CreatedAt: at, UpdatedAt: at, ActiveAt: at}
			_, _, err := s.AddConversation(b.Context(), &c, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.Converse(b.Context(), c.Ref(), at, benchTurn)
				require.NoError(b, err)
			}
		})
	}
}

func benchTurn(ctx context.Context, t *store.Talk) error {
	live, err := t.Live(ctx)
	if err != nil {
		return err
	}
	for i := range live {
		if err := t.Cancel(ctx, live[i].ID); err != nil {
			return err
		}
	}
	if _, err := t.Path(ctx, t.Head, 20); err != nil {
		return err
	}
	at := time.Now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: t.Tenant, Lane: completion.LaneInteractive, State: completion.Queued, Model: "m",
		Request: []byte(`{}`), Conversation: t.ID, CreatedAt: at, UpdatedAt: at,
	}
	question := completion.Message{ID: completion.NewMessageID(), Parent: t.Head, Role: completion.RoleUser, State: completion.Completed, Content: []byte(`"hello"`)}
	reply := completion.Message{ID: job.ID, Parent: question.ID, Role: completion.RoleAssistant, State: completion.Queued}
	if err := t.Say(ctx, &question, &reply); err != nil {
		return err
	}
	t.Head = reply.ID
	_, _, err = t.Add(ctx, &job)
	return err
}
