package store_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// statements counts what is said to a database.
type statements struct{ n atomic.Int32 }

func (s *statements) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	s.n.Add(1)
	return ctx
}

func (s *statements) AfterQuery(context.Context, *bun.QueryEvent) {}

// Who has no quota pays nothing for those of others: a job is one statement.
func TestStore_Add_Statements(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quota completion.Quota
		want  int32
	}{
		"None":         {completion.Quota{Owner: "ann"}, 1},
		"OwnerOfNone":  {completion.Quota{OwnerPerDay: 1}, 1},
		"Day":          {completion.Quota{PerDay: 10}, 4}, // with the transaction's begin and end
		"DayAndOwner":  {completion.Quota{PerDay: 10, OwnerPerDay: 10, Owner: "ann"}, 5},
		"AllThree":     {completion.Quota{Total: 10, PerDay: 10, OwnerPerDay: 10, Owner: "ann"}, 6},
		"TotalOnlyOne": {completion.Quota{Total: 10}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count, at := &statements{}, time.Now()
			s := store.New(testkit.SQLite(t).WithQueryHook(count), store.Options{})
			for i := range 2 {
				count.n.Store(0)
				_, created, err := s.Add(t.Context(), &completion.Job{ID: completion.NewJobID(), Tenant: "acme", Request: []byte(`{}`), Quota: c.quota, CreatedAt: at})
				require.NoError(t, err)
				require.True(t, created)
				if i > 0 { // the first of a day also forgets old ones
					require.Equal(t, c.want, count.n.Load())
				}
			}
		})
	}
}
