package store_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// One row that PostgreSQL refuses costs the others nothing.
func TestGroup_BadRow(t *testing.T) {
	t.Parallel()
	s := store.New(testkit.Postgres(t), store.Options{})
	g := s.Group()
	jobs := make([]completion.Job, 30)
	errs := make([]error, len(jobs))
	for i := range jobs {
		at := time.Now()
		jobs[i] = completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m",
			Request: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at,
		}
		_, _, err := s.Add(t.Context(), &jobs[i])
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i := range jobs {
		wg.Go(func() {
			var job completion.Job
			if job, errs[i] = g.Claim(t.Context(), jobs[i].Ref(), "w", time.Now()); errs[i] != nil {
				return
			}
			o := completion.Outcome{State: completion.Completed, At: time.Now()}
			if i%10 == 5 {
				o.At = time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC) // is more than a timestamptz holds
			}
			_, errs[i] = g.Finish(t.Context(), jobs[i].Ref(), job.Attempt, o)
		})
	}
	wg.Wait()
	for i := range jobs {
		job, err := s.Get(t.Context(), jobs[i].Ref())
		require.NoError(t, err)
		if i%10 == 5 {
			require.Error(t, errs[i])
			require.Equal(t, completion.Running, job.State)
		} else {
			require.NoError(t, errs[i])
			require.Equal(t, completion.Completed, job.State)
		}
	}
}

func TestGroup_DatabaseAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	db, err := store.OpenPostgres("postgres://u@" + l.Addr().String() + "/x?sslmode=disable")
	require.NoError(t, err)
	defer db.Close()
	g := store.New(db, store.Options{Limit: 50 * time.Millisecond}).Group()
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = g.Claim(t.Context(), completion.Ref{Tenant: "t", Job: completion.NewJobID()}, "w", time.Now())
		})
	}
	wg.Wait()
	for _, err := range errs {
		requireAway(t, err)
	}
}

// writes counts the statements that add or change jobs, and those that fail.
type writes struct{ all, failed atomic.Int32 }

func (u *writes) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (u *writes) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if strings.Contains(e.Query, `UPDATE "job"`) || strings.Contains(e.Query, `INSERT INTO "job"`) {
		u.all.Add(1)
		if e.Err != nil {
			u.failed.Add(1)
		}
	}
}

func TestGroup_FewStatements(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *bun.DB{"PostgreSQL": testkit.Postgres, "SQLite": testkit.SQLite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := &writes{}
			s := store.New(open(t).WithQueryHook(seen), store.Options{})
			g, n := s.Group(), 200
			refs := make([]completion.Ref, n)
			var adds sync.WaitGroup
			for i := range refs {
				adds.Go(func() {
					at := time.Now()
					job := completion.Job{
						ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m",
						Request: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at,
					}
					if _, _, err := g.Add(t.Context(), &job); err != nil {
						t.Errorf("add: %v", err)
					}
					refs[i] = job.Ref()
				})
			}
			adds.Wait()
			require.Less(t, seen.all.Load(), int32(n/2))
			var wg sync.WaitGroup
			for _, ref := range refs {
				wg.Go(func() {
					job, err := g.Claim(t.Context(), ref, "w", time.Now())
					if err == nil {
						_, err = g.Finish(t.Context(), ref, job.Attempt, completion.Outcome{State: completion.Completed, At: time.Now()})
					}
					if err != nil {
						t.Errorf("claim and finish: %v", err)
					}
				})
			}
			wg.Wait()
			require.Zero(t, seen.failed.Load())
			require.Less(t, seen.all.Load(), int32(n))
		})
	}
}
