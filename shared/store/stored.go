package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// StoredQuery narrows and pages the answers that clients have asked to store.
type StoredQuery struct {
	Endpoint completion.Endpoint
	Model    string            // "" for all
	Metadata map[string]string // pairs that the job has, among others
	Limit    int               // default 20, at most 100
	After    string            // the id of the job after which the page begins
	Newest   bool              // newest first instead of oldest first
}

// ListStored returns one page of the tenant's stored and completed jobs, with their results, and whether more follow.
func (s *Store) ListStored(ctx context.Context, tenant string, q StoredQuery) (page []completion.Job, more bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	query := s.db.NewSelect().Model(&rows).Where("tenant = ?", text(tenant)).Where("endpoint = ?", text(q.Endpoint)).
		Where("stored").Where("batch IS NULL").Where("state = ?", completion.Completed)
	query, err = s.labelled(query, q.Metadata)
	if err != nil {
		return nil, false, wrap(err, "list stored jobs")
	}
	if q.Model != "" {
		query = query.Where("model = ?", text(q.Model))
	}
	if more, err = scanPage(ctx, query, &rows, span{most(q.Limit, defaultPage, maxPage), q.After, q.Newest}); err != nil {
		return nil, false, wrap(err, "list stored jobs")
	}
	page, err = jobs(rows)
	return page, more, wrap(err, "list stored jobs")
}

// labelled narrows a query to jobs that have the pairs. Metadata is kept as encode renders it, one object of strings, in
// which a pair stands after a brace or a comma and before one.
func (s *Store) labelled(query *bun.SelectQuery, pairs map[string]string) (*bun.SelectQuery, error) {
	find := "position(? in metadata) > 0"
	if s.db.Dialect().Name().String() != "pg" {
		find = "instr(metadata, ?) > 0"
	}
	for k, v := range pairs {
		pair, err := encode(map[string]string{k: v}, false)
		if err != nil {
			return nil, err
		}
		inner := pair[1 : len(pair)-1]
		query = query.WhereGroup(" AND ", func(g *bun.SelectQuery) *bun.SelectQuery {
			for _, open := range []byte("{,") {
				for _, end := range []byte("},") {
					g = g.WhereOr(find, append(append([]byte{open}, inner...), end))
				}
			}
			return g
		})
	}
	return query, nil
}

// SetMetadata replaces the metadata of a stored job and returns it. completion.ErrNotFound: there is none, or it is another
// tenant's (I8).
func (s *Store) SetMetadata(ctx context.Context, ref completion.Ref, metadata map[string]string) (completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	encoded, err := encode(metadata, len(metadata) == 0)
	if err != nil {
		return completion.Job{}, wrap(err, "set metadata of job %s", ref.Job)
	}
	row := jobRow{}
	err = s.db.NewUpdate().Model((*jobRow)(nil)).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).Where("stored").
		Set("metadata = ?", nullBytes(encoded)).Set("updated_at = ?", stamp(time.Now())).Returning("*").Scan(ctx, &row)
	if err != nil {
		return completion.Job{}, wrap(missing(err), "set metadata of job %s", ref.Job)
	}
	return row.job()
}

// Unstore deletes a stored job. One that has not ended goes on, but is stored no more. completion.ErrNotFound: there is
// none, or it is another tenant's (I8).
func (s *Store) Unstore(ctx context.Context, ref completion.Ref) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var final []completion.State
	for _, state := range completion.States {
		if state.Final() {
			final = append(final, state)
		}
	}
	err := affected(s.db.NewDelete().Model((*jobRow)(nil)).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).
		Where("stored").Where("state IN (?)", bun.List(final)).Exec(ctx))
	if errors.Is(err, sql.ErrNoRows) {
		err = affected(s.db.NewUpdate().Model((*jobRow)(nil)).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).
			Where("stored").Set("stored = ?", false).Set("updated_at = ?", stamp(time.Now())).Exec(ctx))
	}
	if err != nil {
		return wrap(missing(err), "delete stored job %s", ref.Job)
	}
	return nil
}
