package talk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/api/internal/catalog"
	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/sweeper"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a host whose every step a test decides: nothing else runs.
type bed struct {
	*Host
	t      *testing.T
	back   *backend.Backend
	keeper *Keeper
}

func newBed(t *testing.T, back *backend.Backend) *bed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	in := intake.New(intake.Parts{
		Store: back.Store, Queue: back.Queue, Log: back.Log, Bell: back.Bell, Limits: back.Limit, Logger: log,
		Timeout: map[completion.Lane]time.Duration{completion.LaneInteractive: time.Hour, completion.LaneBatch: time.Hour},
	})
	h := New(Parts{Store: back.Store, Intake: in, Bell: back.Bell, Models: catalog.New(back.Store, true), Logger: log})
	return &bed{Host: h, t: t, back: back, keeper: &Keeper{Host: h, Ends: back.Store, Ears: back.Bell, Log: back.Log, Names: true}}
}

// converse makes a conversation.
func (b *bed) converse(name string) completion.Ref {
	b.t.Helper()
	model := completion.Parameters{Model: "m"}
	c, _, err := b.Create(b.t.Context(), "acme", intake.Body{}, request.Conversation{Change: request.Change{Name: &name, Parameters: &model}})
	require.NoError(b.t, err)
	return c.Ref()
}

// say takes in a turn and returns its job.
func (b *bed) say(ref completion.Ref, text string) completion.Job {
	b.t.Helper()
	turn, err := b.Say(b.t.Context(), ref, intake.Body{}, request.Turn{Content: quote(text)})
	require.NoError(b.t, err)
	return turn.Job
}

// end runs a job and ends it, as a worker would.
func (b *bed) end(job completion.Job, state completion.State, text string) {
	b.t.Helper()
	require.NoError(b.t, b.back.Store.Beat(b.t.Context(), "w", nil, time.Now()))
	claimed, err := b.back.Store.Claim(b.t.Context(), job.Ref(), "w", time.Now())
	require.NoError(b.t, err)
	_, err = b.back.Store.Finish(b.t.Context(), job.Ref(), claimed.Attempt, completion.Outcome{
		State: state, At: time.Now(), Result: json.RawMessage(fmt.Sprintf(`{"choices":[{"message":{"content":%q}}]}`, text)),
	})
	require.NoError(b.t, err)
}

func (b *bed) job(id string) completion.Job {
	b.t.Helper()
	job, err := b.back.Store.Get(b.t.Context(), completion.Ref{Tenant: "acme", Job: id})
	require.NoError(b.t, err)
	return job
}

// queued is how many turns the queue has: in these tests nothing is ever taken out.
func (b *bed) queued() int64 {
	b.t.Helper()
	depth, err := b.back.Queue.Depth(b.t.Context(), completion.LaneInteractive)
	require.NoError(b.t, err)
	return depth.Pending
}

func embedded(t *testing.T) *bed {
	t.Helper()
	back, _ := testkit.Backend(t)
	return newBed(t, back)
}

// Whoever stores a turn, or lets one begin, may be killed before the queue has it: the sweeper brings it (I1).
func TestHost_I1_C7_KilledBeforeEnqueue(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	ref := b.converse("N")
	job := b.p.Intake.NewJob(t.Context(), ref.Tenant, intake.Body{})
	job.Conversation, job.Model = ref.Job, "m"
	n := &turn{host: b.Host, ref: ref, asked: request.Turn{Content: quote("1")}, parameters: completion.Parameters{Model: "m", ContextMessages: 9, ContextTokens: 99}}
	one, created, err := n.add(t.Context(), &job) // and no more
	require.NoError(t, err)
	require.True(t, created)
	require.Zero(t, b.queued())
	two := b.say(ref, "2")
	require.True(t, two.Held)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		short := sweeper.Config{Tick: time.Millisecond, Interval: time.Millisecond, Grace: time.Millisecond}
		require.NoError(t, sweeper.New(b.back.Store, b.back.Queue, b.back.Log, short, slog.New(slog.DiscardHandler)).Run(ctx))
	})
	require.Eventually(t, func() bool { return b.queued() == 1 }, 10*time.Second, time.Millisecond)
	require.EqualValues(t, 1, b.queued(), "what is held is left alone")
	b.end(one, completion.Completed, "a1")
	_, err = b.change(t.Context(), ref, func(ctx context.Context, talk *store.Talk) error {
		_, err := begin(ctx, talk, two.ID, n.parameters)
		return err
	}) // and no more
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.queued() == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	sweeping.Wait()
}

// A Keeper that dies between two steps leaves what the next one goes on with.
func TestKeeper_C7_KilledBetweenSettleAndRelease(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	ref := b.converse("N")
	one, two := b.say(ref, "1"), b.say(ref, "2")
	b.end(one, completion.Completed, "a1")
	open, err := b.back.Store.Unsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.NoError(t, b.keeper.settle(t.Context(), &open[0])) // and no more
	require.NoError(t, b.keeper.settle(t.Context(), &open[0]), "who comes second does nothing")
	require.True(t, b.job(two.ID).Held)
	b.keeper.look(t.Context())
	two = b.job(two.ID)
	require.False(t, two.Held)
	require.EqualValues(t, 2, b.queued())
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"1"},{"role":"assistant","content":"a1"},{"role":"user","content":"2"}]}`, string(two.Request))
}

// A cancel that was stored and told to nobody, and a deadline, end a held turn for those who follow it too.
func TestKeeper_I3_I9_HeldTurnEnds(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	ref := b.converse("N")
	b.say(ref, "1")
	two := b.say(ref, "2")
	late, err := b.Say(t.Context(), ref, intake.Body{}, request.Turn{Content: quote("3"), Deadline: time.Now().Add(time.Millisecond)})
	require.NoError(t, err)
	_, err = b.back.Store.Converse(t.Context(), ref, time.Now(), func(ctx context.Context, talk *store.Talk) error { return talk.Cancel(ctx, two.ID) })
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ended, err := b.back.Store.Expire(t.Context(), time.Now(), 10)
		require.NoError(t, err)
		return len(ended) == 1
	}, 10*time.Second, time.Millisecond)
	b.keeper.look(t.Context())
	for id, want := range map[string]completion.EventType{two.ID: completion.EventCancelled, late.Job.ID: completion.EventExpired} {
		var last completion.EventType
		for r, err := range b.back.Log.Follow(t.Context(), completion.Ref{Tenant: "acme", Job: id}, 0) {
			require.NoError(t, err)
			last = r.Type
		}
		require.Equal(t, want, last)
		m, err := b.back.Store.Message(t.Context(), ref, id)
		require.NoError(t, err)
		require.True(t, m.State.Final())
		require.NotNil(t, m.Error)
	}
	open, err := b.back.Store.Unsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, open)
}

// A name is found once, by one job, whatever that comes to.
func TestKeeper_Names(t *testing.T) {
	t.Parallel()
	b := embedded(t)
	ref := b.converse("")
	b.end(b.say(ref, "What is it?"), completion.Completed, "a1")
	b.keeper.look(t.Context())
	b.keeper.look(t.Context())
	c, err := b.back.Store.Conversation(t.Context(), ref)
	require.NoError(t, err)
	naming := b.job(c.Naming)
	require.Equal(t, completion.LaneBatch, naming.Lane)
	require.JSONEq(t, `["What is it?","a1","`+askName+`"]`, string(encode(texts(naming.Request))))
	b.end(b.say(ref, "And that?"), completion.Completed, "a2")
	b.keeper.look(t.Context())
	c, err = b.back.Store.Conversation(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, naming.ID, c.Naming, "one at a time")
	b.end(naming, completion.Failed, "never mind")
	b.keeper.look(t.Context())
	c, err = b.back.Store.Conversation(t.Context(), ref)
	require.NoError(t, err)
	require.Empty(t, c.Naming)
	require.Empty(t, c.Name)
	b.end(b.say(ref, "And now?"), completion.Completed, "a3")
	b.keeper.look(t.Context())
	c, err = b.back.Store.Conversation(t.Context(), ref)
	require.NoError(t, err)
	b.end(b.job(c.Naming), completion.Completed, "Good name.")
	b.keeper.look(t.Context())
	c, err = b.back.Store.Conversation(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, "Good name", c.Name)
	require.Empty(t, c.Naming)

	b.keeper.Names = false
	other := b.converse("")
	b.end(b.say(other, "1"), completion.Completed, "a1")
	b.keeper.look(t.Context())
	c, err = b.back.Store.Conversation(t.Context(), other)
	require.NoError(t, err)
	require.Empty(t, c.Naming)
}

// Several Keepers at once do everything once.
func TestKeeper_C3_C7_Several(t *testing.T) {
	t.Parallel()
	back, _ := testkit.RealBackend(t)
	b := newBed(t, back)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var keepers sync.WaitGroup
	for range 3 {
		keepers.Go(func() { require.NoError(t, b.keeper.Run(ctx)) })
	}
	held := map[completion.Ref]completion.Job{}
	for range 20 {
		ref := b.converse("")
		first := b.say(ref, "1")
		held[ref] = b.say(ref, "2")
		b.end(first, completion.Completed, "a1")
		b.back.Bell.Turn(ref)
	}
	require.Eventually(t, func() bool {
		waiting, err := b.back.Store.Waiting(t.Context(), 100)
		require.NoError(t, err)
		open, err := b.back.Store.Unsettled(t.Context(), 100)
		require.NoError(t, err)
		return len(waiting)+len(open) == 0
	}, 20*time.Second, 5*time.Millisecond)
	cancel()
	keepers.Wait()
	names, _, err := b.back.Store.List(t.Context(), "acme", store.Query{Lane: completion.LaneBatch, Limit: 100})
	require.NoError(t, err)
	require.Len(t, names, len(held), "one name is asked for each")
	require.EqualValues(t, 2*len(held), b.queued())
	for ref, job := range held {
		require.False(t, b.job(job.ID).Held)
		c, err := b.back.Store.Conversation(t.Context(), ref)
		require.NoError(t, err)
		require.EqualValues(t, 6, c.Version, "made, twice said, named, settled, released")
	}
}
