package store_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/migrate"

	"sluice/migrations"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// source is the folder of a database's migrations.
func source(db *bun.DB) fs.FS {
	if db.Dialect().Name() == dialect.SQLite {
		return os.DirFS("../../migrations/sqlite")
	}
	return os.DirFS("../../migrations/postgres")
}

// release applies the first migrations, as an older release that knew no others.
func release(t *testing.T, db *bun.DB, first []string) {
	t.Helper()
	known, all := fstest.MapFS{}, source(db)
	files, err := fs.Glob(all, "*.sql")
	require.NoError(t, err)
	for _, name := range files {
		if slices.ContainsFunc(first, func(m string) bool { return strings.HasPrefix(name, m+".") }) {
			data, err := fs.ReadFile(all, name)
			require.NoError(t, err)
			known[name] = &fstest.MapFile{Data: data}
		}
	}
	list := migrate.NewMigrations()
	require.NoError(t, list.Discover(known))
	m := migrate.NewMigrator(db, list, migrate.WithMarkAppliedOnSuccess(true))
	require.NoError(t, m.Init(t.Context()))
	_, err = m.Migrate(t.Context())
	require.NoError(t, err)
}

// row is one of a table, as the release wrote it that made the migration.
type row struct {
	table  string
	values map[string]any
}

// rows are what a database has before it is migrated further, by the number of the migration that made room for them.
func rows() map[int][]row {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	job := func(id string, more map[string]any) row {
		values := map[string]any{
			"id": id, "tenant": "acme", "lane": "interactive", "state": "queued", "model": "m", "request": []byte("{\"a\":\"\\u0000\"}"),
			"created_at": at, "updated_at": at,
		}
		maps.Copy(values, more)
		return row{"job", values}
	}
	return map[int][]row{
		1: {
			job("job_1", map[string]any{"metadata": []byte(`{"a":"b"}`), "idempotency_key": "k", "body_hash": "h"}),
			job("job_2", map[string]any{
				"state": "completed", "attempt": 2, "tries": 1, "upstream": "u", "result": []byte(`{"id":"x"}`), "usage": []byte(`{}`),
				"finish_reason": "stop", "started_at": at, "first_token_at": at, "finished_at": at,
			}),
			job("job_3", map[string]any{"state": "failed", "error": []byte(`{"code":"upstream_cut","message":"m","retryable":true}`), "finished_at": at}),
			{"worker", map[string]any{"id": "w", "seen_at": at}},
		},
		2: {job("job_4", map[string]any{"deadline": at, "retry_of": "job_3", "unsaid": true})},
		3: {
			{"api_key", map[string]any{"id": "key_1", "tenant": "acme", "name": "n", "hash": "h", "hint": "x", "scopes": "read submit", "created_at": at}},
			{"tenant", map[string]any{"name": "acme", "limits": []byte(`{"queued":5}`), "updated_at": at}},
			job("job_5", map[string]any{"request_id": "r"}),
		},
		4: {job("job_6", map[string]any{"endpoint": "/v1/responses", "stored": true})},
		5: {
			{"webhook", map[string]any{
				"id": "whk_1", "tenant": "acme", "url": "https://example.org", "secret": "whsec_x", "events": "job.*", "description": "", "enabled": true,
				"created_at": at, "updated_at": at,
			}},
			{"delivery", map[string]any{
				"id": "dlv_1", "tenant": "acme", "webhook": "whk_1", "notice": "evt_1", "type": "job.completed", "body": []byte(`{}`), "state": "pending",
				"created_at": at, "expires_at": at,
			}},
			{"outbox", map[string]any{"id": "evt_2", "tenant": "acme", "type": "job.completed", "data": "{}", "created_at": at}},
		},
		6: {{"model_list", map[string]any{"upstream": "u", "digest": "d", "models": []byte(`[]`), "native": true, "seen_at": at}}},
		7: {
			{"file", map[string]any{"id": "file_1", "tenant": "acme", "name": "in.jsonl", "purpose": "batch", "bytes": 9, "ready": true, "created_at": at}},
			{"batch", map[string]any{
				"id": "batch_1", "tenant": "acme", "state": "in_progress", "endpoint": "/v1/chat/completions", "model": "m", "input": "file_1",
				"output": "", "faults": "", "completion_window": "24h", "counts": []byte(`{"total":3,"completed":1,"failed":0}`), "told": []byte{1}, "told_seq": 4,
				"created_at": at, "updated_at": at, "deadline": at,
			}},
			job("job_7", map[string]any{"lane": "batch", "batch": "batch_1", "line": 1, "custom_id": "a"}),
		},
		8: {
			{"conversation", map[string]any{"id": "conv_1", "tenant": "acme", "name": "n", "created_at": at, "updated_at": at, "active_at": at}},
			{"message", map[string]any{
				"id": "msg_1", "tenant": "acme", "conversation": "conv_1", "seq": 1, "role": "user", "state": "completed", "content": []byte(`"hi"`), "created_at": at,
			}},
			{"preset", map[string]any{"tenant": "acme", "preset": []byte(`{"system":"s"}`), "updated_at": at}},
			job("job_8", map[string]any{"conversation": "conv_1", "held": true}),
		},
		9:  {{"worker", map[string]any{"id": "w9", "seen_at": at, "status": []byte(`{"host":"h"}`)}}},
		10: {{"quota", map[string]any{"tenant": "acme", "day": 0, "owner": "", "used": 3}}},
	}
}

// read is the row as text, in the columns that it was written with.
func (r row) read(t *testing.T, db *bun.DB) []string {
	t.Helper()
	columns := slices.Sorted(maps.Keys(r.values))
	key := slices.IndexFunc([]string{"id", "name", "upstream", "tenant"}, func(name string) bool { return r.values[name] != nil })
	name := []string{"id", "name", "upstream", "tenant"}[key]
	query := db.NewSelect().Table(r.table).Where("? = ?", bun.Ident(name), r.values[name])
	texts := make([]string, len(columns))
	into := make([]any, len(columns))
	for i, c := range columns {
		query, into[i] = query.ColumnExpr("CAST(? AS TEXT)", bun.Ident(c)), &texts[i]
	}
	require.NoError(t, query.Scan(t.Context(), into...), "%s %v", r.table, r.values[name])
	return texts
}

// TestSchema_UpgradesFromEach migrates a database of each release that there could have been, with what those before it
// have written. Nothing of it is lost, and the jobs can be read.
func TestSchema_UpgradesFromEach(t *testing.T) {
	t.Parallel()
	for name, open := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, err := migrations.Status(t.Context(), open(t))
			require.NoError(t, err)
			all, data := names(status, false), rows()
			for k := 1; k <= len(all); k++ {
				db, before := open(t), map[string][]string{}
				var written []row
				for i := range k {
					release(t, db, all[:i+1])
					for _, r := range data[i+1] {
						_, err := db.NewInsert().Model(&r.values).Table(r.table).Exec(t.Context())
						require.NoError(t, err, "%s after %s", r.table, all[i])
						written = append(written, r)
					}
				}
				for i, r := range written {
					before[fmt.Sprint(i)] = r.read(t, db)
				}
				if k < len(all) {
					err := migrations.Check(t.Context(), db)
					require.ErrorIs(t, err, migrations.ErrBehind)
					require.ErrorContains(t, err, all[k])
				}
				applied, err := migrations.Up(t.Context(), db)
				require.NoError(t, err)
				require.Len(t, applied, len(all)-k)
				require.NoError(t, migrations.Check(t.Context(), db))
				s := store.New(db, store.Options{})
				for i, r := range written {
					require.Equal(t, before[fmt.Sprint(i)], r.read(t, db), "%s written before %s", r.table, all[min(k, len(all)-1)])
					if r.table == "job" {
						job, err := s.Get(t.Context(), completion.Ref{Tenant: "acme", Job: r.values["id"].(string)})
						require.NoError(t, err)
						require.Equal(t, r.values["request"], []byte(job.Request))
					}
				}
			}
		})
	}
}

// TestSchema_NewerRelease is a program of today at a database that a newer release has migrated.
func TestSchema_NewerRelease(t *testing.T) {
	t.Parallel()
	for name, open := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			_, err := migrations.Up(t.Context(), db)
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES ('29990101000000', 99, CURRENT_TIMESTAMP)")
			require.NoError(t, err)
			err = migrations.Check(t.Context(), db)
			require.ErrorIs(t, err, migrations.ErrAhead)
			require.ErrorContains(t, err, "29990101000000")
			again, err := migrations.Up(t.Context(), db)
			require.NoError(t, err)
			require.Empty(t, again)
			_, err = migrations.Down(t.Context(), db)
			require.ErrorIs(t, err, migrations.ErrAhead, "what comes later is built on what would be taken back")
			status, err := migrations.Status(t.Context(), db)
			require.NoError(t, err)
			require.True(t, status[len(status)-1].Newer)
			require.NoError(t, store.New(db, store.Options{}).Ping(t.Context()))
		})
	}
}

// TestSchema_NeverMigrated names the command that helps.
func TestSchema_NeverMigrated(t *testing.T) {
	t.Parallel()
	err := migrations.Check(t.Context(), schemas["PostgreSQL"](t))
	require.ErrorIs(t, err, migrations.ErrBehind)
	require.ErrorContains(t, err, "migrate up")
}

// contracts is what takes something away that a release before may use.
var contracts = regexp.MustCompile(`(?i)\bDROP\s+(TABLE|COLUMN|CONSTRAINT|DEFAULT)\b|\bRENAME\b|\bALTER\s+COLUMN\b|\bADD\s+COLUMN\b[^;]*\bNOT\s+NULL\b(?:[^;D]|D[^E])*;`)

// TestSchema_OnlyExpands: programs of the release before run beside today's on today's schema, so a migration adds only. What
// takes away has "contract" in its name, and is for a release after the one that no longer needs it. SQLite has one program.
func TestSchema_OnlyExpands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sql  string
		want bool
	}{
		{"ALTER TABLE job ADD COLUMN a text;", false},
		{"ALTER TABLE job ADD COLUMN IF NOT EXISTS a boolean NOT NULL DEFAULT false;", false},
		{"ALTER TABLE job ADD COLUMN a text NOT NULL;", true},
		{"ALTER TABLE job DROP COLUMN a;", true},
		{"ALTER TABLE job RENAME TO b;", true},
		{"ALTER TABLE job ALTER COLUMN a SET NOT NULL;", true},
		{"DROP INDEX IF EXISTS a;", false},
	} {
		require.Equal(t, c.want, contracts.MatchString(c.sql), c.sql)
	}
	const firstRelease = "20261121000010"
	all := os.DirFS("../../migrations/postgres")
	files, err := fs.Glob(all, "*.up.sql")
	require.NoError(t, err)
	for _, name := range files {
		if name[:len(firstRelease)] <= firstRelease || strings.Contains(name, "_contract") {
			continue
		}
		data, err := fs.ReadFile(all, name)
		require.NoError(t, err)
		require.NotRegexp(t, contracts, string(data), name)
	}
}
