package store

import (
	"context"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// LiveOf reads the ids of the jobs that have not ended of some of the tenant's conversations, by conversation, in the order of
// their messages.
func (s *Store) LiveOf(ctx context.Context, tenant string, conversations []string) (map[string][]string, error) {
	live := make(map[string][]string, len(conversations))
	if len(conversations) == 0 {
		return live, nil
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	ids := make([]string, 0, len(conversations))
	for _, id := range conversations {
		ids = append(ids, text(id))
	}
	// Two selects, each as one of the partial indexes has it.
	turns := func() *bun.SelectQuery {
		return s.db.NewSelect().TableExpr("job AS j").ColumnExpr("j.id").Where("j.conversation IN (?)", bun.List(ids))
	}
	running := turns().Where("NOT j.held").Where("j.state IN (?)", bun.List(unended))
	waiting := turns().Where("j.held").Where("j.state = ?", completion.Queued)
	var rows []jobRow
	err := s.db.NewSelect().Model(&rows).Column("job.id", "job.conversation").Join("JOIN message ON message.id = job.id").
		Where("job.id IN (?)", running.UnionAll(waiting)).Where("job.tenant = ?", text(tenant)).OrderExpr("message.seq").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read turns of conversations")
	}
	for i := range rows {
		live[rows[i].Conversation] = append(live[rows[i].Conversation], rows[i].ID)
	}
	return live, nil
}
