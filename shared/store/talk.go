package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Talk is a conversation that nobody else can change meanwhile. What Converse's function writes into Owner, Name, System,
// Parameters, Metadata, Head, Naming, ActiveAt and DeletedAt is stored with what the methods do; the other fields are read
// only. Its reads are those of the Store, and see what was done so far. It is for one goroutine at a time, and only until the function returns.
type Talk struct {
	completion.Conversation
	thread

	at      time.Time
	changed bool
}

// Converse runs f with the conversation locked, in one transaction, and stores what f has done: all of it or, if f returns
// an error, nothing, and the error comes back as it is. If anything has changed, Version is one higher and UpdatedAt is at.
// It returns the conversation as stored. completion.ErrNotFound: there is none, it is another tenant's (I8), or it was
// deleted; f was not called.
//
// f must be quick, and must not call the Store, whose only connection it may be holding: all it needs is in Talk.
func (s *Store) Converse(ctx context.Context, conversation completion.Ref, at time.Time, f func(ctx context.Context, t *Talk) error) (completion.Conversation, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	leave, err := s.gates.enter(ctx, conversation)
	if err != nil {
		return completion.Conversation{}, wrap(err, "change conversation %s", conversation.Job)
	}
	defer leave()
	var stored completion.Conversation
	var refused error
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		before := conversationRow{}
		if err := s.lock(conversationOf(tx, &before, conversation), "UPDATE").Scan(ctx); err != nil {
			return missing(err)
		}
		c, err := before.conversation()
		if err != nil {
			return err
		}
		t := &Talk{Conversation: c, thread: thread{db: tx, ref: c.Ref()}, at: at}
		if refused = f(ctx, t); refused != nil {
			return refused
		}
		stored, err = t.save(ctx, &before)
		return err
	})
	switch {
	case refused != nil:
		return completion.Conversation{}, refused
	case err != nil:
		return completion.Conversation{}, wrap(err, "change conversation %s", conversation.Job)
	}
	return stored, nil
}

// save stores the conversation if it is not what it was before.
func (t *Talk) save(ctx context.Context, before *conversationRow) (completion.Conversation, error) {
	after, err := newConversationRow(&t.Conversation)
	if err != nil {
		return completion.Conversation{}, err
	}
	kept := *before
	kept.Owner, kept.Name, kept.Words, kept.System, kept.Parameters, kept.Metadata = after.Owner, after.Name, after.Words, after.System, after.Parameters, after.Metadata
	kept.Head, kept.Seq, kept.Naming, kept.ActiveAt, kept.DeletedAt = after.Head, after.Seq, after.Naming, after.ActiveAt, after.DeletedAt
	known, err := before.conversation()
	if err != nil {
		return completion.Conversation{}, err
	}
	now, err := kept.conversation()
	if err != nil || !t.changed && reflect.DeepEqual(known, now) {
		return known, err
	}
	kept.Version, kept.UpdatedAt = before.Version+1, stamp(t.at)
	_, err = t.db.NewUpdate().Model(&kept).
		Column("owner", "name", "words", "system_message", "parameters", "metadata", "head", "seq", "version", "naming", "updated_at", "active_at", "deleted_at").
		WherePK().Exec(ctx)
	if err != nil {
		return completion.Conversation{}, err
	}
	return kept.conversation()
}

// Say adds messages, in this order: they get the next Seq, the conversation's ids, and as CreatedAt and ActiveAt the time of
// the Converse. Parent and Head are the caller's.
func (t *Talk) Say(ctx context.Context, said ...*completion.Message) error {
	if len(said) == 0 {
		return nil
	}
	rows := make([]messageRow, 0, len(said))
	for _, m := range said {
		t.Seq++
		m.Tenant, m.Conversation, m.Seq, m.CreatedAt = t.Tenant, t.ID, t.Seq, stamp(t.at)
		row, err := newMessageRow(m)
		if err != nil {
			return wrap(err, "say something in conversation %s", t.ID)
		}
		rows = append(rows, *row)
	}
	if _, err := t.db.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return wrap(err, "say something in conversation %s", t.ID)
	}
	t.changed = true
	if t.ActiveAt.Before(t.at) {
		t.ActiveAt = t.at
	}
	return nil
}

// Add is Store.Add: the job is there once the Converse has ended well. Whoever finds that it was there before should undo
// the rest with an error. A turn that is not held while another is under way: completion.CodeTurn, and nothing else can be
// done in this Converse. The job counts against its Quota for the conversation's owner; completion.CodeDayQuota and
// completion.CodeAllQuota must undo the Converse.
func (t *Talk) Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	if job.Tenant != t.Tenant || job.Conversation != "" && job.Conversation != t.ID {
		return completion.Job{}, false, fmt.Errorf("add job %s: it is not one of conversation %s", job.ID, t.ID)
	}
	job.Quota.Owner = t.Owner
	stored, created, err = add(ctx, t.db, job)
	t.changed = t.changed || created
	return stored, created, err
}

// turns begins an update of jobs that are turns of the conversation.
func (t *Talk) turns() *bun.UpdateQuery {
	return t.db.NewUpdate().Model((*jobRow)(nil)).Where("tenant = ?", text(t.Tenant)).Where("conversation = ?", text(t.ID))
}

// Release lets a turn begin that was held, with the request that is known by now, and returns it. completion.ErrFinal: it is
// held no more, or has ended. completion.ErrNotFound: the conversation has no such turn. completion.CodeTurn: as Add.
func (t *Talk) Release(ctx context.Context, id string, request json.RawMessage, model string) (completion.Job, error) {
	row := jobRow{}
	err := t.turns().Where("id = ?", text(id)).Where("held").Where("state = ?", completion.Queued).
		Set("held = ?", false).Set("request = ?", []byte(request)).Set("model = ?", text(model)).Set("updated_at = ?", stamp(t.at)).
		Returning("*").Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		known, lookErr := t.db.NewSelect().Model((*jobRow)(nil)).Where("id = ?", text(id)).Where("tenant = ?", text(t.Tenant)).
			Where("conversation = ?", text(t.ID)).Exists(ctx)
		switch {
		case lookErr != nil:
			err = lookErr
		case known:
			err = completion.ErrFinal
		default:
			err = completion.ErrNotFound
		}
	}
	if err != nil {
		return completion.Job{}, wrap(underway(err), "release job %s", id)
	}
	t.changed = true
	return row.job()
}

// Cancel does to turns of the conversation what Store.Cancel does to a job: those that are queued, held or not, have ended,
// and those that run are asked to end. Turns that have ended stay as they are.
func (t *Talk) Cancel(ctx context.Context, ids ...string) error {
	_, err := t.cancel(ctx, ids)
	return err
}

// cancel returns the ids of those that had not ended.
func (t *Talk) cancel(ctx context.Context, ids []string) (live []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	clean := make([]string, len(ids))
	for i := range ids {
		clean[i] = text(ids[i])
	}
	query, err := cancelled(t.turns(), t.at)
	if err == nil {
		err = query.Where("id IN (?)", bun.List(clean)).Where("state IN (?)", bun.List(completion.Sources(completion.Cancelled))).Returning("id").Scan(ctx, &live)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, wrap(err, "cancel turns of conversation %s", t.ID)
	}
	t.changed = t.changed || len(live) > 0
	return live, nil
}

// Drop deletes a message and all that follows it, on all branches: nothing shows them any more, and what they said is erased.
// Answers among them that have not ended are cancelled, and their ids returned. If Head is gone, the message that came before
// all of them becomes the head. completion.ErrNotFound: as Message.
func (t *Talk) Drop(ctx context.Context, id string) (live []string, err error) {
	top := messageRow{}
	err = t.db.NewSelect().Model(&top).Column("id", "parent").Where("id = ?", text(id)).Where("conversation = ?", text(t.ID)).
		Where("deleted_at IS NULL").Scan(ctx)
	if err != nil {
		return nil, wrap(missing(err), "delete message %s", id)
	}
	below := t.db.NewRaw("SELECT ? AS id UNION ALL SELECT m.id FROM below JOIN message AS m ON m.conversation = ? AND m.parent = below.id", top.ID, text(t.ID))
	var gone []string
	err = t.db.NewUpdate().WithRecursive("below", below).Model((*messageRow)(nil)).Set("deleted_at = ?", stamp(t.at)).
		Set("content = NULL").Set("words = ''").Set("comment = NULL").
		Set("state = CASE WHEN state IN (?) THEN ? ELSE state END", bun.List(unended), completion.Cancelled).
		Where("id IN (SELECT id FROM below)").Where("deleted_at IS NULL").Returning("id").Scan(ctx, &gone)
	if err != nil {
		return nil, wrap(err, "delete message %s", id)
	}
	t.changed = true
	for _, g := range gone {
		if g == t.Head {
			t.Head = top.Parent
		}
	}
	return t.cancel(ctx, gone)
}

// Rate stores what somebody thinks of an answer: rating is -1, 1, or 0 for nothing. completion.ErrNotFound: as Message, or
// the message is no answer.
func (t *Talk) Rate(ctx context.Context, id string, rating int, comment string) error {
	err := affected(t.db.NewUpdate().Model((*messageRow)(nil)).Set("rating = ?", rating).Set("comment = ?", nullText(comment)).
		Where("id = ?", text(id)).Where("conversation = ?", text(t.ID)).Where("role = ?", completion.RoleAssistant).
		Where("deleted_at IS NULL").Exec(ctx))
	if err != nil {
		return wrap(missing(err), "rate message %s", id)
	}
	t.changed = true
	return nil
}
