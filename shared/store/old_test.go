package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/migrations"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

const month = 720 * time.Hour

// explainer has the database say how it would do each select.
type explainer struct {
	t     *testing.T
	db    *bun.DB
	plans []string
}

func (e *explainer) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (e *explainer) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	if !strings.HasPrefix(event.Query, "SELECT ") {
		return
	}
	var lines []string
	require.NoError(e.t, e.db.NewRaw("EXPLAIN "+event.Query).Scan(ctx, &lines))
	e.plans = append(e.plans, strings.Join(lines, "\n"))
}

// many are rows of every table, of a year, some of them old enough.
const many = `
INSERT INTO conversation (id, tenant, created_at, updated_at, active_at, deleted_at)
	SELECT 'conv_' || n, 'acme', now(), now(), now(), CASE WHEN n % 500 = 0 THEN now() - n * interval '1 hour' END FROM generate_series(1, 10000) AS n;
INSERT INTO message (id, tenant, conversation, seq, role, state, created_at, deleted_at)
	SELECT 'job_' || n, 'acme', 'conv_' || n / 2, n % 2, 'assistant', CASE WHEN n % 1000 = 0 THEN 'running' ELSE 'completed' END, now(),
		CASE WHEN n % 100 = 1 THEN now() - n * interval '30 minutes' END FROM generate_series(1, 20000) AS n;
INSERT INTO job (id, tenant, lane, state, model, request, created_at, updated_at, finished_at, stored, batch, idempotency_key)
	SELECT 'job_' || n, 'acme', 'batch', 'completed', 'm', '{}', t, t, t, n % 10 = 0, CASE WHEN n > 20000 THEN 'batch_1' END, CASE WHEN n % 7 = 0 THEN 'k' || n END
	FROM generate_series(1, 40000) AS n CROSS JOIN LATERAL (SELECT now() - n * interval '20 minutes' AS t) AS at;
INSERT INTO file (id, tenant, name, purpose, ready, created_at, expires_at)
	SELECT 'file-' || n, 'acme', '', 'user_data', true, now() - n * interval '1 hour', CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, 9000) AS n;
INSERT INTO batch (id, tenant, state, endpoint, model, input, output, faults, completion_window, created_at, updated_at, deadline, ended_at)
	SELECT 'batch_' || n, 'acme', 'completed', '', '', '', '', '', '', t, t, t, t
	FROM generate_series(1, 9000) AS n CROSS JOIN LATERAL (SELECT now() - n * interval '1 hour' AS t) AS at;
INSERT INTO webhook (id, tenant, url, secret, events, description, enabled, created_at, updated_at) VALUES ('w', 'acme', '', '', '', '', false, now(), now());
INSERT INTO delivery (id, tenant, webhook, notice, type, body, state, created_at, expires_at, ended_at)
	SELECT 'd' || n, 'acme', 'w', 'n' || n, '', '', 'delivered', t, t, t
	FROM generate_series(1, 9000) AS n CROSS JOIN LATERAL (SELECT now() - n * interval '1 hour' AS t) AS at;
ANALYZE`

// No kind is looked for by going through a whole table.
func TestStore_Old_Indexes(t *testing.T) {
	t.Parallel()
	address := testkit.PostgresSchema(t)
	db, plain := open(t, address), open(t, address)
	_, err := migrations.Up(t.Context(), plain)
	require.NoError(t, err)
	_, err = plain.ExecContext(t.Context(), many)
	require.NoError(t, err)
	explain := &explainer{t: t, db: plain}
	db = db.WithQueryHook(explain)
	s := store.New(db, store.Options{})
	for kind, indexes := range map[store.Kind][]string{
		store.KindJobs:          {"job_finished", "message_open", "conversation_naming"},
		store.KindStored:        {"job_finished"},
		store.KindBatches:       {"batch_ended"},
		store.KindMessages:      {"message_deleted", "conversation_deleted", "job_pkey"},
		store.KindConversations: {"conversation_deleted", "message_"},
		store.KindFiles:         {"file_lasting"},
		store.KindDeliveries:    {"delivery_ended"},
	} {
		explain.plans = nil
		_, err := s.Old(t.Context(), kind, time.Now().Add(-month), time.Now(), 100)
		require.NoError(t, err)
		require.Len(t, explain.plans, 1, kind)
		for _, index := range indexes {
			require.Contains(t, explain.plans[0], index, kind)
		}
		require.NotContains(t, explain.plans[0], "Sort", kind)
		require.NotContains(t, explain.plans[0], "Seq Scan", kind)
	}
	_, err = plain.ExecContext(t.Context(), "INSERT INTO pruned_batch (id, tenant) VALUES (?, 'acme')", "batch_"+strings.Repeat("a", 32))
	require.NoError(t, err)
	explain.plans = nil
	_, err = s.Old(t.Context(), store.KindLines, time.Now(), time.Now(), 100)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(explain.plans), "job_pkey", "lines are found by their ids")
}
