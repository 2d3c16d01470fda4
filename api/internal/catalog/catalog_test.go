package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listOf(upstream, models string) completion.ModelList {
	return completion.ModelList{Upstream: upstream, Models: json.RawMessage(models), SeenAt: time.Now()}
}

func setup(t *testing.T, lists ...completion.ModelList) *store.Store {
	t.Helper()
	s := store.New(testkit.SQLite(t), store.Options{})
	for _, l := range lists {
		require.NoError(t, s.SetModels(t.Context(), l))
	}
	return s
}

func requireUnknown(t *testing.T, err error) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, completion.CodeModel, e.Code)
	require.Equal(t, "model", e.Param)
	require.False(t, e.Retryable)
}

func TestCatalog_Check(t *testing.T) {
	t.Parallel()
	c := New(setup(t, listOf("a", `[{"id":"sim"},{"id":"llama3:latest"}]`), listOf("b", `[{"id":"openai/gpt-4o"},{"id":"models/gemini"}]`)), false)
	for _, name := range []string{"sim", "llama3", "llama3:latest", "openai/gpt-4o", "openai/gpt-4o:online", "gemini", "sim?tokens=3&x=:", "sim:a:b"} {
		require.NoError(t, c.Check(t.Context(), name), name)
	}
	for _, name := range []string{"", "si", "simx", "gpt-4o", "openai/", "sim/x", "Sim", ":", "ft:sim", "\xff", strings.Repeat("x", 10_000)} {
		err := c.Check(t.Context(), name)
		requireUnknown(t, err)
		require.Less(t, len(err.Error()), 400)
	}
	require.ErrorContains(t, c.Check(t.Context(), "m"), "The model 'm' does not exist or you do not have access to it.")
}

func TestCatalog_Check_LetsThrough(t *testing.T) {
	t.Parallel()
	empty := setup(t, listOf("a", `[]`))
	for name, c := range map[string]*Catalog{
		"nothing known":           New(setup(t), false),
		"one does not say":        New(setup(t, listOf("a", `[{"id":"sim"}]`), listOf("b", "")), false),
		"told to":                 New(empty, true),
		"the store is away":       New(&counter{err: errors.New("away")}, false),
		"its list counts no more": New(setup(t, completion.ModelList{Upstream: "a", Models: []byte(`[]`), SeenAt: time.Now().Add(-2 * completion.ModelListAge)}), false),
	} {
		require.NoError(t, c.Check(t.Context(), "m"), name)
	}
	requireUnknown(t, New(empty, false).Check(t.Context(), "m"))
}

// counter is a store of one list that counts how often it is asked, and for lists that are known already.
type counter struct {
	mu    sync.Mutex
	list  completion.ModelList
	err   error
	asked int
	spare int
}

func (s *counter) Models(_ context.Context, _ time.Time, known ...string) ([]completion.ModelList, error) {
	time.Sleep(10 * time.Millisecond) // a slow database, on the fake clock: who asks meanwhile waits for the same answer
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	l := s.list
	if l.Upstream == "" {
		return nil, s.err
	}
	for _, k := range known {
		if k == l.Digest {
			s.spare++
			l.Models = nil
		}
	}
	return []completion.ModelList{l}, s.err
}

func (s *counter) set(models string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = completion.ModelList{Upstream: "u", Models: []byte(models), Digest: models}
}

func (s *counter) counts() (asked, spare int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.spare
}

func TestCatalog_AsksTheStoreRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &counter{}
		s.set(`[{"id":"a"}]`)
		c := New(s, false)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := c.Check(t.Context(), "a"); err != nil {
					t.Errorf("check: %v", err)
				}
			})
		}
		all.Wait()
		asked, _ := s.counts()
		require.Equal(t, 1, asked, "they waited together")
		time.Sleep(fresh) // the fake clock passes the time for which an answer is believed
		require.NoError(t, c.Check(t.Context(), "a"))
		asked, spare := s.counts()
		require.Equal(t, 2, asked)
		require.Equal(t, 1, spare, "what is the same is not read again")
		for range 100 {
			requireUnknown(t, c.Check(t.Context(), "b"))
		}
		asked, _ = s.counts()
		require.Equal(t, 2, asked, "however many ask for what there is not")
	})
}

func TestCatalog_FindsWhatWasAdded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &counter{}
		s.set(`[{"id":"a"}]`)
		c := New(s, false)
		requireUnknown(t, c.Check(t.Context(), "b"))
		s.set(`[{"id":"b"}]`)
		requireUnknown(t, c.Check(t.Context(), "b"))
		time.Sleep(pause) // the fake clock passes the time in which the store is not asked again
		require.NoError(t, c.Check(t.Context(), "b"))
		requireUnknown(t, c.Check(t.Context(), "a"))
		out, err := c.get(t.Context(), "b")
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"b"}`, string(out.Body.raw))
	})
}

func TestCatalog_First(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &counter{}
		c := New(s, true)
		_, err := c.First(t.Context())
		require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code, "nobody has said anything")
		time.AfterFunc(time.Second, func() { s.set(`[{"id":"b"},{"id":"a"}]`) })
		first, err := c.First(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", first, "it was worth waiting for")
	})
}

func TestCatalog_First_NotListed(t *testing.T) {
	t.Parallel()
	first, err := New(setup(t, listOf("a", "")), true).First(t.Context())
	require.NoError(t, err)
	require.Empty(t, first)
}
