package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// messageRow is a message in the table, with what its job knows of it if it is an answer that has not been settled.
type messageRow struct {
	bun.BaseModel `bun:"table:message,alias:message"`

	ID           string    `bun:"id,pk"`
	Tenant       string    `bun:"tenant"`
	Conversation string    `bun:"conversation"`
	Parent       string    `bun:"parent"`
	Seq          int       `bun:"seq"`
	Role         string    `bun:"role"`
	State        string    `bun:"state"`
	Content      []byte    `bun:"content,nullzero"`
	Words        string    `bun:"words"`
	Model        string    `bun:"model,nullzero"`
	Usage        []byte    `bun:"usage,nullzero"`
	FinishReason string    `bun:"finish_reason,nullzero"`
	Error        []byte    `bun:"error,nullzero"`
	Rating       int       `bun:"rating"`
	Comment      string    `bun:"comment,nullzero"`
	CreatedAt    time.Time `bun:"created_at"`
	FinishedAt   time.Time `bun:"finished_at,nullzero"`
	DeletedAt    time.Time `bun:"deleted_at,nullzero"`

	JobState        string    `bun:"job_state,scanonly"`
	JobModel        string    `bun:"job_model,scanonly"`
	JobResult       []byte    `bun:"job_result,scanonly"`
	JobUsage        []byte    `bun:"job_usage,scanonly"`
	JobFinishReason string    `bun:"job_finish_reason,scanonly"`
	JobError        []byte    `bun:"job_error,scanonly"`
	JobFinishedAt   time.Time `bun:"job_finished_at,scanonly"`
}

// newMessageRow fails for a content that is neither a JSON string nor an array, which nobody could read.
func newMessageRow(m *completion.Message) (*messageRow, error) {
	failure, err := encode(m.Error, m.Error == nil)
	if err != nil {
		return nil, err
	}
	if content := strings.TrimLeft(string(m.Content), " \t\r\n"); content != "" && (!json.Valid(m.Content) || content[0] != '"' && content[0] != '[') {
		return nil, fmt.Errorf("content of message %s is neither a string nor an array", m.ID)
	}
	return &messageRow{
		ID: text(m.ID), Tenant: text(m.Tenant), Conversation: text(m.Conversation), Parent: text(m.Parent), Seq: m.Seq,
		Role: text(m.Role), State: text(m.State), Content: m.Content, Words: words(m.Text()), Model: text(m.Model), Usage: m.Usage,
		FinishReason: text(m.FinishReason), Error: failure, Rating: m.Rating, Comment: text(m.Comment),
		CreatedAt: stamp(m.CreatedAt), FinishedAt: stamp(m.FinishedAt),
	}, nil
}

func (r *messageRow) message() (completion.Message, error) {
	m := completion.Message{
		ID: r.ID, Tenant: r.Tenant, Conversation: r.Conversation, Parent: r.Parent, Seq: r.Seq,
		Role: completion.Role(r.Role), State: completion.State(r.State), Content: r.Content, Model: r.Model, Usage: r.Usage,
		FinishReason: r.FinishReason, Rating: r.Rating, Comment: r.Comment,
		CreatedAt: stamp(r.CreatedAt), FinishedAt: stamp(r.FinishedAt),
	}
	if err := decode(r.Error, &m.Error); err != nil {
		return completion.Message{}, fmt.Errorf("decode error of message %s: %w", r.ID, err)
	}
	if m.Live() {
		if err := r.overlay(&m); err != nil {
			return completion.Message{}, err
		}
	}
	return m, nil
}

// overlay writes over an answer what its job knows. Until that has ended this is no more than where it stands, and which
// model was asked: what an attempt has said so far is in the log, and the next attempt takes it back. An answer whose job is
// gone has failed: nobody can find out any more what became of it.
func (r *messageRow) overlay(m *completion.Message) error {
	if r.JobState == "" {
		m.State, m.Error, m.FinishedAt = completion.Failed, completion.NewError(completion.CodeInternal, "The answer was lost."), m.CreatedAt
		return nil
	}
	m.State, m.Model = completion.State(r.JobState), r.JobModel
	if m.Live() {
		return nil
	}
	m.Content, m.Usage, m.FinishReason, m.FinishedAt = answer.Said(r.JobResult), r.JobUsage, r.JobFinishReason, stamp(r.JobFinishedAt)
	if err := decode(r.JobError, &m.Error); err != nil {
		return fmt.Errorf("decode error of job %s: %w", r.ID, err)
	}
	return nil
}

func messages(rows []messageRow) ([]completion.Message, error) {
	list := make([]completion.Message, 0, len(rows))
	for i := range rows {
		m, err := rows[i].message()
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// words is a text as searches compare it. Upper case first: it has one form for letters that have two small ones.
func words(s string) string { return strings.ToLower(strings.ToUpper(text(s))) }

// withJob joins to messages the jobs of those that have not been settled.
const withJob = "LEFT JOIN job ON job.id = CASE WHEN message.state IN (?) THEN message.id END"

// overlaid begins a select of whole messages.
func overlaid(db bun.IDB, rows *[]messageRow) *bun.SelectQuery {
	ended := "CASE WHEN job.state NOT IN (?) THEN job.? END AS ?"
	query := db.NewSelect().Model(rows).ExcludeColumn("words").
		ColumnExpr("job.state AS job_state").ColumnExpr("job.model AS job_model").Join(withJob, bun.List(unended))
	for _, column := range []string{"result", "usage", "finish_reason", "error", "finished_at"} {
		query = query.ColumnExpr(ended, bun.List(unended), bun.Ident(column), bun.Ident("job_"+column))
	}
	return query
}

// thread reads the messages of one conversation, from the database or within a transaction.
type thread struct {
	db  bun.IDB
	ref completion.Ref
}

// there says in a condition that the messages belong to a conversation which the tenant has.
func (h thread) there() *bun.SelectQuery {
	return h.db.NewSelect().TableExpr("conversation AS c").ColumnExpr("1").Where("c.id = ?", text(h.ref.Job)).
		Where("c.tenant = ?", text(h.ref.Tenant)).Where("c.deleted_at IS NULL")
}

// Message is Store.Message.
func (h thread) Message(ctx context.Context, id string) (completion.Message, error) {
	var rows []messageRow
	err := overlaid(h.db, &rows).Where("message.id = ?", text(id)).Where("message.conversation = ?", text(h.ref.Job)).
		Where("message.deleted_at IS NULL").Where("EXISTS (?)", h.there()).Scan(ctx)
	if err == nil && len(rows) == 0 {
		err = completion.ErrNotFound
	}
	if err != nil {
		return completion.Message{}, wrap(err, "read message %s", id)
	}
	return rows[0].message()
}

// Path is Store.Path.
func (h thread) Path(ctx context.Context, from string, limit int) ([]completion.Message, error) {
	if from == "" {
		return nil, nil
	}
	far := ""
	if limit > 0 {
		far = "AND chain.depth < ?"
	}
	// CROSS JOIN tells SQLite to begin with the chain, whatever it believes to know of the tables.
	chain := h.db.NewRaw("SELECT m.id, m.parent, 1 AS depth FROM message AS m "+
		"WHERE m.id = ? AND m.conversation = ? AND m.deleted_at IS NULL AND EXISTS (?) "+
		"UNION ALL SELECT m.id, m.parent, chain.depth + 1 FROM chain CROSS JOIN message AS m "+
		"WHERE m.id = chain.parent AND m.conversation = ? AND m.deleted_at IS NULL "+far, text(from), text(h.ref.Job), h.there(), text(h.ref.Job), limit)
	var rows []messageRow
	err := overlaid(h.db, &rows).WithRecursive("chain", chain).ModelTableExpr("chain CROSS JOIN message").
		Where("message.id = chain.id").OrderExpr("message.seq").Scan(ctx) // whatever follows another message came after it
	if err == nil && len(rows) == 0 {
		err = completion.ErrNotFound
	}
	if err != nil {
		return nil, wrap(err, "read the path to message %s", from)
	}
	path, err := messages(rows)
	return path, wrap(err, "read the path to message %s", from)
}

// Siblings is Store.Siblings.
func (h thread) Siblings(ctx context.Context, parents []string) (map[string][]completion.Message, error) {
	if len(parents) == 0 {
		return map[string][]completion.Message{}, nil
	}
	clean := make([]string, len(parents))
	for i := range parents {
		clean[i] = text(parents[i])
	}
	var rows []messageRow
	err := h.db.NewSelect().Model(&rows).Column("id", "tenant", "conversation", "parent", "seq", "role", "state").
		ColumnExpr("job.state AS job_state").Join(withJob, bun.List(unended)).
		Where("message.conversation = ?", text(h.ref.Job)).Where("message.parent IN (?)", bun.List(clean)).
		Where("message.deleted_at IS NULL").Where("EXISTS (?)", h.there()).OrderExpr("message.seq").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read what follows messages of conversation %s", h.ref.Job)
	}
	after := make(map[string][]completion.Message, len(parents))
	for i := range rows {
		m, err := rows[i].message()
		if err != nil {
			return nil, err
		}
		m.Error, m.FinishedAt = nil, time.Time{}
		after[m.Parent] = append(after[m.Parent], m)
	}
	return after, nil
}

// Leaf is Store.Leaf.
func (h thread) Leaf(ctx context.Context, below string) (string, error) {
	// With a plus, which keeps the databases from going through the whole conversation by seq, only for the order.
	chain := h.db.NewRaw("SELECT m.id, 1 AS depth FROM message AS m WHERE m.id = ? AND m.conversation = ? AND m.deleted_at IS NULL AND EXISTS (?) "+
		"UNION ALL SELECT '' AS id, 0 AS depth WHERE ? = '' AND EXISTS (?) "+
		"UNION ALL SELECT (SELECT m.id FROM message AS m WHERE m.conversation = ? AND m.parent = chain.id AND m.deleted_at IS NULL "+
		"ORDER BY +m.seq DESC LIMIT 1), chain.depth + 1 FROM chain WHERE chain.id IS NOT NULL",
		text(below), text(h.ref.Job), h.there(), text(below), h.there(), text(h.ref.Job))
	leaf := ""
	err := h.db.NewSelect().WithRecursive("chain", chain).TableExpr("chain").Column("id").Where("id IS NOT NULL").
		OrderExpr("depth DESC").Limit(1).Scan(ctx, &leaf)
	if err != nil {
		return "", wrap(missing(err), "find the end of what follows message %s", below)
	}
	return leaf, nil
}

// Live is Store.Live.
func (h thread) Live(ctx context.Context) ([]completion.Job, error) {
	var rows []jobRow
	// Two selects, each as one of the partial indexes has it.
	turns := func() *bun.SelectQuery {
		return h.db.NewSelect().TableExpr("job AS j").ColumnExpr("j.id").Where("j.conversation = ?", text(h.ref.Job))
	}
	running := turns().Where("NOT j.held").Where("j.state IN (?)", bun.List(unended))
	waiting := turns().Where("j.held").Where("j.state = ?", completion.Queued)
	err := h.db.NewSelect().Model(&rows).ExcludeColumn(heavy...).Join("JOIN message ON message.id = job.id").
		Where("job.id IN (?)", running.UnionAll(waiting)).Where("job.tenant = ?", text(h.ref.Tenant)).
		OrderExpr("message.seq").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read turns of conversation %s", h.ref.Job)
	}
	list, err := jobs(rows)
	return list, wrap(err, "read turns of conversation %s", h.ref.Job)
}
