package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"sluice/shared/completion"
)

// conversationRow is a conversation in the table. Words is its name, as searches compare it.
type conversationRow struct {
	bun.BaseModel `bun:"table:conversation,alias:conversation"`

	ID             string    `bun:"id,pk"`
	Tenant         string    `bun:"tenant"`
	Owner          string    `bun:"owner"`
	Name           string    `bun:"name"`
	Words          string    `bun:"words"`
	System         []byte    `bun:"system_message,nullzero"`
	Parameters     []byte    `bun:"parameters,nullzero"`
	Metadata       []byte    `bun:"metadata,nullzero"`
	Head           string    `bun:"head"`
	Seq            int       `bun:"seq"`
	Version        int64     `bun:"version"`
	Naming         string    `bun:"naming,nullzero"`
	IdempotencyKey string    `bun:"idempotency_key,nullzero"`
	BodyHash       string    `bun:"body_hash,nullzero"`
	CreatedAt      time.Time `bun:"created_at"`
	UpdatedAt      time.Time `bun:"updated_at"`
	ActiveAt       time.Time `bun:"active_at"`
	DeletedAt      time.Time `bun:"deleted_at,nullzero"`
}

func newConversationRow(c *completion.Conversation) (*conversationRow, error) {
	system, err := encode(c.System, c.System == "")
	if err != nil {
		return nil, err
	}
	parameters, err := encode(c.Parameters, reflect.ValueOf(c.Parameters).IsZero())
	if err != nil {
		return nil, err
	}
	metadata, err := encode(c.Metadata, len(c.Metadata) == 0)
	if err != nil {
		return nil, err
	}
	return &conversationRow{
		ID: text(c.ID), Tenant: text(c.Tenant), Owner: text(c.Owner), Name: text(c.Name), Words: words(c.Name), System: system,
		Parameters: parameters, Metadata: metadata, Head: text(c.Head), Seq: c.Seq, Version: c.Version, Naming: text(c.Naming),
		IdempotencyKey: text(c.IdempotencyKey), BodyHash: text(c.BodyHash),
		CreatedAt: stamp(c.CreatedAt), UpdatedAt: stamp(c.UpdatedAt), ActiveAt: stamp(c.ActiveAt), DeletedAt: stamp(c.DeletedAt),
	}, nil
}

func (r *conversationRow) conversation() (completion.Conversation, error) {
	c := completion.Conversation{
		ID: r.ID, Tenant: r.Tenant, Owner: r.Owner, Name: r.Name, Head: r.Head, Seq: r.Seq, Version: r.Version, Naming: r.Naming,
		IdempotencyKey: r.IdempotencyKey, BodyHash: r.BodyHash,
		CreatedAt: stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt), ActiveAt: stamp(r.ActiveAt), DeletedAt: stamp(r.DeletedAt),
	}
	err := errors.Join(decode(r.System, &c.System), decode(r.Parameters, &c.Parameters), decode(r.Metadata, &c.Metadata))
	return c, wrap(err, "decode conversation %s", r.ID)
}

// AddConversation stores a new conversation, in which a chain of messages may have been said already: each follows the one
// before it, the last is the head, and all have ended. Their ids are the caller's; Seq and Parent are not, nor are the
// conversation's Seq, Head and Version, which begins with 1. With an idempotency key that the tenant has used before it returns that conversation, which may have been deleted, and false, or
// completion.ErrConflict if its body was another one (I7).
func (s *Store) AddConversation(ctx context.Context, c *completion.Conversation, said []completion.Message) (stored completion.Conversation, created bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	fresh := *c
	fresh.Seq, fresh.Version, fresh.Head = 0, 1, ""
	rows, err := chained(&fresh, said)
	if err != nil {
		return completion.Conversation{}, false, wrap(err, "add conversation %s", c.ID)
	}
	row, err := newConversationRow(&fresh)
	if err != nil {
		return completion.Conversation{}, false, wrap(err, "add conversation %s", c.ID)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		insert := tx.NewInsert().Model(row)
		if row.IdempotencyKey != "" {
			insert = insert.On("CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING")
		}
		result, err := insert.Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		created = true
		for some := range slices.Chunk(rows, insertChunk) {
			if _, err := tx.NewInsert().Model(&some).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return completion.Conversation{}, false, wrap(err, "add conversation %s", c.ID)
	case created:
		stored, err = row.conversation()
	default:
		stored, err = s.sameConversation(ctx, row)
	}
	return stored, created, wrap(err, "add conversation %s", c.ID)
}

// insertChunk is how many messages one statement inserts: texts stand in it at twice their length.
const insertChunk = 200

// chained returns rows of what was said in a conversation, and moves its Seq and Head on to the last.
func chained(c *completion.Conversation, said []completion.Message) ([]messageRow, error) {
	rows := make([]messageRow, 0, len(said))
	for _, m := range said {
		if !m.State.Final() {
			return nil, fmt.Errorf("message %s is %q, which is not final", m.ID, m.State)
		}
		c.Seq++
		m.Tenant, m.Conversation, m.Parent, m.Seq = c.Tenant, c.ID, c.Head, c.Seq
		c.Head = m.ID
		row, err := newMessageRow(&m)
		if err != nil {
			return nil, err
		}
		rows = append(rows, *row)
	}
	return rows, nil
}

// sameConversation reads the one that has used the idempotency key of another.
func (s *Store) sameConversation(ctx context.Context, other *conversationRow) (completion.Conversation, error) {
	row := conversationRow{}
	err := s.db.NewSelect().Model(&row).Where("tenant = ?", other.Tenant).Where("idempotency_key = ?", other.IdempotencyKey).Scan(ctx)
	if err != nil {
		return completion.Conversation{}, missing(err)
	}
	if row.BodyHash != other.BodyHash {
		return completion.Conversation{}, fmt.Errorf("key %q of conversation %s: %w", row.IdempotencyKey, row.ID, completion.ErrConflict)
	}
	return row.conversation()
}

// conversationOf selects a conversation that clients see.
func conversationOf(db bun.IDB, row *conversationRow, ref completion.Ref) *bun.SelectQuery {
	return db.NewSelect().Model(row).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).Where("deleted_at IS NULL")
}

// Conversation reads one. completion.ErrNotFound: there is none, it is another tenant's (I8), or it was deleted.
func (s *Store) Conversation(ctx context.Context, ref completion.Ref) (completion.Conversation, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := conversationRow{}
	if err := conversationOf(s.db, &row, ref).Scan(ctx); err != nil {
		return completion.Conversation{}, wrap(missing(err), "read conversation %s", ref.Job)
	}
	return row.conversation()
}

// ConversationQuery narrows and pages a list of conversations. The zero value is the 20 that were active last.
type ConversationQuery struct {
	Owner  *string // nil: all
	Search string  // text that the name or a message has, in letters of either case; "" for all
	Limit  int     // default 20, at most 100
	After  string  // the id of the conversation after which the page begins
}

// Found is a conversation of a list.
type Found struct {
	completion.Conversation
	Match completion.Message // the latest message that has what was searched for; zero: only the name has it, or nothing was
}

// ListConversations returns one page of the tenant's conversations, those that were active last first, and whether more
// follow. A search looks through names and through messages that have ended, on all branches. A conversation that becomes
// active meanwhile moves to the front and shifts no others; a page after one that has moved itself begins there, so that
// some come again and none is left out. After an id that the tenant does not have nothing follows.
func (s *Store) ListConversations(ctx context.Context, tenant string, q ConversationQuery) (page []Found, more bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	limit := most(q.Limit, defaultPage, maxPage)
	var rows []foundRow
	err = s.search(&rows, tenant, q).OrderExpr("active_at DESC, id DESC").Limit(int64(limit) + 1).Scan(ctx)
	if err != nil {
		return nil, false, wrap(err, "list conversations")
	}
	if more = len(rows) > limit; more {
		rows = rows[:limit]
	}
	page, err = s.found(ctx, rows)
	return page, more, wrap(err, "list conversations")
}

// foundRow is a conversation and the message that a search has found in it.
type foundRow struct {
	conversationRow `bun:",extend"`

	Hit string `bun:"hit,scanonly"`
}

func (s *Store) search(rows *[]foundRow, tenant string, q ConversationQuery) *bun.SelectQuery {
	list := s.db.NewSelect().TableExpr("conversation AS c").ColumnExpr("c.*").
		Where("c.tenant = ?", text(tenant)).Where("c.deleted_at IS NULL")
	if q.Owner != nil {
		list = list.Where("c.owner = ?", text(*q.Owner))
	}
	if q.After != "" {
		list = list.Where("(c.active_at, c.id) < (SELECT a.active_at, a.id FROM conversation AS a WHERE a.id = ? AND a.tenant = ?)",
			text(q.After), text(tenant))
	}
	query := s.db.NewSelect().Model(rows)
	if q.Search == "" {
		return query.ModelTableExpr("(?) AS conversation", list)
	}
	find := "position(? in ?.words) > 0"
	if s.db.Dialect().Name() == dialect.SQLite {
		find = "instr(?1.words, ?0) > 0"
	}
	sought := words(q.Search)
	hit := s.db.NewSelect().TableExpr("message AS m").ColumnExpr("m.id").Where("m.conversation = c.id").
		Where("m.deleted_at IS NULL").Where(find, sought, bun.Ident("m")).OrderExpr("m.seq DESC").Limit(1)
	list = list.ColumnExpr("(?) AS hit", hit)
	return query.ModelTableExpr("(?) AS conversation", list).ColumnExpr("conversation.*").
		Where("(conversation.hit IS NOT NULL OR "+find+")", sought, bun.Ident("conversation"))
}

// found adds to conversations the messages that a search has found.
func (s *Store) found(ctx context.Context, rows []foundRow) ([]Found, error) {
	var ids []string
	for i := range rows {
		if rows[i].Hit != "" {
			ids = append(ids, rows[i].Hit)
		}
	}
	matches := make(map[string]completion.Message, len(ids))
	if len(ids) > 0 {
		var hits []messageRow
		err := overlaid(s.db, &hits).Where("message.id IN (?)", bun.List(ids)).Where("message.deleted_at IS NULL").Scan(ctx)
		if err != nil {
			return nil, err
		}
		list, err := messages(hits)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			matches[m.ID] = m
		}
	}
	page := make([]Found, 0, len(rows))
	for i := range rows {
		c, err := rows[i].conversation()
		if err != nil {
			return nil, err
		}
		page = append(page, Found{Conversation: c, Match: matches[rows[i].Hit]})
	}
	return page, nil
}
