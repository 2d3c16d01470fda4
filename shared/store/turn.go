package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// thread is a conversation's messages, as the database has them now.
func (s *Store) thread(conversation completion.Ref) thread {
	return thread{db: s.db, ref: conversation}
}

// Message reads a message of a conversation. completion.ErrNotFound: there is none, it is of another conversation or of
// another tenant's (I8), or it or the conversation was deleted. An answer that has not been settled is as its job is; one
// whose job is gone has failed.
func (s *Store) Message(ctx context.Context, conversation completion.Ref, id string) (completion.Message, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.thread(conversation).Message(ctx, id)
}

// Path reads the latest messages, at most so many and all if limit is not positive, of the path that ends with the message
// from: the oldest first, from itself last. It is empty if from is, and begins below whatever was deleted.
// completion.ErrNotFound and answers that have not been settled: as Message.
func (s *Store) Path(ctx context.Context, conversation completion.Ref, from string, limit int) ([]completion.Message, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.thread(conversation).Path(ctx, from, limit)
}

// Siblings reads the messages that follow each of the parents, "" for first messages, in the order in which they came, with
// no more than ID, Tenant, Conversation, Parent, Seq, Role and State. None follow what is not there.
func (s *Store) Siblings(ctx context.Context, conversation completion.Ref, parents []string) (map[string][]completion.Message, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.thread(conversation).Siblings(ctx, parents)
}

// Leaf finds where the newest branch at or below a message ends, taking of several messages that follow one the latest.
// Below "" are all messages; it is "" if there are none. completion.ErrNotFound: as Message, or of "" as Conversation.
func (s *Store) Leaf(ctx context.Context, conversation completion.Ref, below string) (string, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.thread(conversation).Leaf(ctx, below)
}

// Live reads the conversation's jobs that have not ended, without their requests and results, in the order of their messages.
func (s *Store) Live(ctx context.Context, conversation completion.Ref) ([]completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.thread(conversation).Live(ctx)
}

// Waiting returns up to limit conversations, of all tenants, in which a turn is held although no other is under way: those
// that have waited longest first.
func (s *Store) Waiting(ctx context.Context, limit int) ([]completion.Ref, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	live := s.db.NewSelect().TableExpr("job AS live").ColumnExpr("1").Where("live.conversation = job.conversation").
		Where("NOT live.held").Where("live.state IN (?)", bun.List(unended))
	err := s.db.NewSelect().Model(&rows).Column("tenant", "conversation").Where("held").Where("state = ?", completion.Queued).
		Where("NOT EXISTS (?)", live).Group("tenant", "conversation").OrderExpr("min(job.id)").Limit(int64(limit)).Scan(ctx)
	refs := make([]completion.Ref, 0, len(rows))
	for i := range rows {
		refs = append(refs, completion.Ref{Tenant: rows[i].Tenant, Job: rows[i].Conversation})
	}
	return refs, wrap(err, "look for turns that may begin")
}

// Unsettled returns up to limit answers, of all tenants, that have ended without their messages being settled.
func (s *Store) Unsettled(ctx context.Context, limit int) ([]completion.Message, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []messageRow
	err := overlaid(s.db, &rows).Where("message.state IN (?)", bun.List(unended)).
		Where("(job.id IS NULL OR job.state NOT IN (?))", bun.List(unended)).OrderExpr("message.id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "look for answers to settle")
	}
	list, err := messages(rows)
	return list, wrap(err, "look for answers to settle")
}

// Settle stores in an answer's message what has become of it, as it came from Unsettled or another read, and returns the
// conversation's version with it. completion.ErrFinal: it was settled before, or deleted. completion.ErrNotFound: there is no
// such conversation. Nothing was written in either case.
func (s *Store) Settle(ctx context.Context, m completion.Message, at time.Time) (version int64, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if !m.State.Final() {
		return 0, fmt.Errorf("settle message %s: it is %s", m.ID, m.State)
	}
	row, err := newMessageRow(&m)
	if err != nil {
		return 0, wrap(err, "settle message %s", m.ID)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// The conversation first, as Converse does, or the two could wait for each other.
		err := tx.NewUpdate().Model((*conversationRow)(nil)).Set("version = version + 1").Set("updated_at = ?", stamp(at)).
			Set("active_at = CASE WHEN active_at < ? THEN ? ELSE active_at END", stamp(at), stamp(at)).
			Where("id = ?", row.Conversation).Where("tenant = ?", row.Tenant).Returning("version").Scan(ctx, &version)
		if err != nil {
			return missing(err)
		}
		err = affected(tx.NewUpdate().Model(row).
			Column("state", "content", "words", "model", "usage", "finish_reason", "error", "finished_at").WherePK().
			Where("conversation = ?", row.Conversation).Where("state IN (?)", bun.List(unended)).Where("deleted_at IS NULL").Exec(ctx))
		if errors.Is(err, sql.ErrNoRows) {
			return completion.ErrFinal
		}
		return err
	})
	if err != nil {
		return 0, wrap(err, "settle message %s", m.ID)
	}
	return version, nil
}

// Named is a conversation and the job that was to find its name, with its result and without its request. A job that is gone
// has failed.
type Named struct {
	Conversation completion.Conversation
	Job          completion.Job
}

// namedRow is a conversation and what is needed of its naming job.
type namedRow struct {
	conversationRow `bun:",extend"`

	JobState  string `bun:"job_state,scanonly"`
	JobResult []byte `bun:"job_result,scanonly"`
}

// Named returns up to limit conversations, of all tenants, whose naming job has ended. To take the name is the caller's, with
// Converse: it clears Naming, and sets Name where there is none.
func (s *Store) Named(ctx context.Context, limit int) ([]Named, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []namedRow
	err := s.db.NewSelect().Model(&rows).ColumnExpr("conversation.*").
		ColumnExpr("job.state AS job_state").ColumnExpr("job.result AS job_result").
		Join("LEFT JOIN job ON job.id = conversation.naming AND job.tenant = conversation.tenant").
		Where("conversation.naming IS NOT NULL").Where("conversation.deleted_at IS NULL").
		Where("(job.id IS NULL OR job.state NOT IN (?))", bun.List(unended)).OrderExpr("conversation.naming").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "look for names")
	}
	list := make([]Named, 0, len(rows))
	for i := range rows {
		c, err := rows[i].conversation()
		if err != nil {
			return nil, wrap(err, "look for names")
		}
		job := completion.Job{ID: c.Naming, Tenant: c.Tenant, State: completion.Failed, Result: json.RawMessage(rows[i].JobResult)}
		if rows[i].JobState != "" {
			job.State = completion.State(rows[i].JobState)
		}
		list = append(list, Named{Conversation: c, Job: job})
	}
	return list, nil
}
