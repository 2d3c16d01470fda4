package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// fileRow is a file in the table.
type fileRow struct {
	bun.BaseModel `bun:"table:file,alias:file"`

	ID        string    `bun:"id,pk"`
	Tenant    string    `bun:"tenant"`
	Name      string    `bun:"name"`
	Purpose   string    `bun:"purpose"`
	Bytes     int64     `bun:"bytes"`
	Batch     string    `bun:"batch,nullzero"`
	Ready     bool      `bun:"ready"`
	CreatedAt time.Time `bun:"created_at"`
	ExpiresAt time.Time `bun:"expires_at,nullzero"`
	DeletedAt time.Time `bun:"deleted_at,nullzero"`
}

func (r *fileRow) file() completion.File {
	return completion.File{
		ID: r.ID, Tenant: r.Tenant, Name: r.Name, Purpose: completion.Purpose(r.Purpose), Bytes: r.Bytes, Batch: r.Batch,
		CreatedAt: stamp(r.CreatedAt), ExpiresAt: stamp(r.ExpiresAt),
	}
}

func files(rows []fileRow) []completion.File {
	list := make([]completion.File, 0, len(rows))
	for i := range rows {
		list = append(list, rows[i].file())
	}
	return list
}

// UploadTime is how long the content of a file may take to come, before DoomedFiles gives the file up.
const UploadTime = 2 * time.Hour

// AddFile stores a file whose content is still to come. Nothing shows it before ReadyFile.
func (s *Store) AddFile(ctx context.Context, f completion.File) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := &fileRow{
		ID: text(f.ID), Tenant: text(f.Tenant), Name: text(f.Name), Purpose: text(f.Purpose), Bytes: f.Bytes, Batch: text(f.Batch),
		CreatedAt: stamp(f.CreatedAt), ExpiresAt: stamp(f.ExpiresAt),
	}
	_, err := s.db.NewInsert().Model(row).Exec(ctx)
	return wrap(err, "add file %s", f.ID)
}

// DescribeFile stores the name, the purpose and the end of a file whose content is still to come: what an upload says of it
// may come after the content. completion.ErrNotFound: as ReadyFile, or it is ready.
func (s *Store) DescribeFile(ctx context.Context, f completion.File) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := fileRow{Name: text(f.Name), Purpose: text(f.Purpose), ExpiresAt: stamp(f.ExpiresAt)}
	err := s.db.NewUpdate().Model(&row).Column("name", "purpose", "expires_at").
		Where("id = ?", text(f.ID)).Where("tenant = ?", text(f.Tenant)).Where("NOT ready").Where("deleted_at IS NULL").
		Returning("id").Scan(ctx)
	if err != nil {
		return wrap(missing(err), "describe file %s", f.ID)
	}
	return nil
}

// ReadyFile says that the whole content of a file is there, so many bytes. completion.ErrNotFound: there is no such file, or
// it was given up meanwhile.
func (s *Store) ReadyFile(ctx context.Context, tenant, id string, bytes int64) (completion.File, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := fileRow{}
	err := s.db.NewUpdate().Model(&row).Set("ready = ?", true).Set("bytes = ?", bytes).
		Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Where("deleted_at IS NULL").Returning("*").Scan(ctx)
	if err != nil {
		return completion.File{}, wrap(missing(err), "store file %s", id)
	}
	return row.file(), nil
}

// DropFile forgets a file whose content is gone. There need be none.
func (s *Store) DropFile(ctx context.Context, tenant, id string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewDelete().Model((*fileRow)(nil)).Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Exec(ctx)
	return wrap(err, "drop file %s", id)
}

// shown narrows a query to files that clients see.
func shown(query *bun.SelectQuery, tenant string, at time.Time) *bun.SelectQuery {
	return query.Where("tenant = ?", text(tenant)).Where("ready").Where("deleted_at IS NULL").
		Where("(expires_at IS NULL OR expires_at > ?)", stamp(at))
}

// File reads a file. completion.ErrNotFound: there is none, it is another tenant's (I8), its content has not come yet, or it
// was deleted or has expired.
func (s *Store) File(ctx context.Context, tenant, id string, at time.Time) (completion.File, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := fileRow{}
	if err := shown(s.db.NewSelect().Model(&row).Where("id = ?", text(id)), tenant, at).Scan(ctx); err != nil {
		return completion.File{}, wrap(missing(err), "read file %s", id)
	}
	return row.file(), nil
}

// FileQuery narrows and pages a list of files. The zero value is the oldest 10,000.
type FileQuery struct {
	Purpose completion.Purpose // "" for all
	Limit   int                // default and at most 10,000
	After   string             // the id of the file after which the page begins
	Newest  bool               // newest first instead of oldest first
}

// maxFiles is the most that a page of files has, as OpenAI has it.
const maxFiles = 10_000

// ListFiles returns one page of the tenant's files, and whether more follow.
func (s *Store) ListFiles(ctx context.Context, tenant string, q FileQuery, at time.Time) (page []completion.File, more bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []fileRow
	query := shown(s.db.NewSelect().Model(&rows), tenant, at)
	if q.Purpose != "" {
		query = query.Where("purpose = ?", text(q.Purpose))
	}
	more, err = scanPage(ctx, query, &rows, span{most(q.Limit, maxFiles, maxFiles), q.After, q.Newest})
	return files(rows), more, wrap(err, "list files")
}

// DeleteFile takes a file from its tenant and returns it; DoomedFiles has it from then on. completion.ErrNotFound: as File.
// completion.CodeFileInUse: a batch that has not ended reads it.
func (s *Store) DeleteFile(ctx context.Context, tenant, id string, at time.Time) (completion.File, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := fileRow{}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// The lock waits for whoever adds a batch that reads the file, so that the next statement sees the batch.
		query := shown(tx.NewSelect().Model(&row).Where("id = ?", text(id)), tenant, at)
		if err := s.lock(query, "UPDATE").Scan(ctx); err != nil {
			return missing(err)
		}
		read, err := reader(tx).Where("b.input = ?", row.ID).Exists(ctx)
		if err != nil {
			return err
		}
		if read {
			return completion.NewError(completion.CodeFileInUse, "")
		}
		_, err = tx.NewUpdate().Model(&row).Set("deleted_at = ?", stamp(at)).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return completion.File{}, wrap(err, "delete file %s", id)
	}
	return row.file(), nil
}

// reader selects live batches, which may read their input.
func reader(db bun.IDB) *bun.SelectQuery {
	return db.NewSelect().TableExpr("batch AS b").ColumnExpr("1").Where("b.state IN (?)", bun.List(completion.LiveBatches))
}

// DoomedFiles returns up to limit files whose content is to go: those that were deleted, have expired, or did not become
// ready within UploadTime, unless a live batch reads them. Nothing brings them back: they count as deleted from now on.
func (s *Store) DoomedFiles(ctx context.Context, at time.Time, limit int) ([]completion.File, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []fileRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		query := tx.NewSelect().Model(&rows).Column("id").Where("NOT EXISTS (?)", reader(tx).Where("b.input = file.id")).
			Where("(deleted_at IS NOT NULL OR expires_at <= ? OR NOT ready AND created_at <= ?)", stamp(at), stamp(at.Add(-UploadTime))).
			Limit(int64(limit))
		if err := s.lock(query, "UPDATE SKIP LOCKED").Scan(ctx); err != nil || len(rows) == 0 {
			return err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		rows = nil
		// Said again now that they are locked, for a batch that came meanwhile.
		_, err := tx.NewUpdate().Model(&rows).Set("deleted_at = COALESCE(deleted_at, ?)", stamp(at)).Where("id IN (?)", bun.List(ids)).
			Where("NOT EXISTS (?)", reader(tx).Where("b.input = file.id")).Returning("*").Exec(ctx)
		return err
	})
	if err != nil {
		return nil, wrap(err, "find files to drop")
	}
	return files(rows), nil
}
