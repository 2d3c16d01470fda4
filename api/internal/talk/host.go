package talk

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"sluice/api/internal/intake"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is where conversations are.
type Store interface {
	AddConversation(ctx context.Context, c *completion.Conversation, said []completion.Message) (stored completion.Conversation, created bool, err error)
	Conversation(ctx context.Context, ref completion.Ref) (completion.Conversation, error)
	Converse(ctx context.Context, ref completion.Ref, at time.Time, f func(ctx context.Context, t *store.Talk) error) (completion.Conversation, error)
	Message(ctx context.Context, ref completion.Ref, id string) (completion.Message, error)
	Path(ctx context.Context, ref completion.Ref, from string, limit int) ([]completion.Message, error)
	Leaf(ctx context.Context, ref completion.Ref, below string) (string, error)
	Live(ctx context.Context, ref completion.Ref) ([]completion.Job, error)
	Preset(ctx context.Context, tenant string) (completion.Preset, error)
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Same(ctx context.Context, job *completion.Job) (completion.Job, error)
}

// Bell tells those who look at a conversation.
type Bell interface {
	Turn(conversation completion.Ref)
	Changed(conversation completion.Ref, version int64)
}

// Models knows which models there are.
type Models interface {
	Check(ctx context.Context, model string) error
	First(ctx context.Context) (model string, err error)
}

// Parts are what a Host is made of. All are required.
type Parts struct {
	Store  Store
	Intake *intake.Intake
	Bell   Bell
	Models Models
	Logger *slog.Logger

	Preset completion.Preset // what holds where neither a conversation nor its tenant says anything
}

// Host does what clients want done to conversations. It is safe for concurrent use.
type Host struct{ p Parts }

// New returns a Host.
func New(p Parts) *Host { return &Host{p: p} }

// Defaults of how much of a path is sent along.
const (
	DefaultContextMessages = 200
	DefaultContextTokens   = 24_000
)

// parameters are those of an answer in the conversation: what is asked for, then what the conversation, its tenant and the
// server say, and all that must be said.
func (h *Host) parameters(ctx context.Context, c *completion.Conversation, asked completion.Parameters) (completion.Parameters, error) {
	preset, err := h.p.Store.Preset(ctx, c.Tenant)
	if err != nil {
		return completion.Parameters{}, err
	}
	p := asked.Over(c.Parameters).Over(preset.Parameters).Over(h.p.Preset.Parameters).
		Over(completion.Parameters{ContextMessages: DefaultContextMessages, ContextTokens: DefaultContextTokens})
	if p.Model != "" {
		return p, nil
	}
	if p.Model, err = h.p.Models.First(ctx); err == nil && p.Model == "" {
		err = completion.Invalid("parameters.model", "Say which model is to answer: the upstream does not tell which ones there are.")
	}
	return p, err
}

// check refuses a job for a model that is not served, unless it repeats one (I7).
func (h *Host) check(ctx context.Context, job *completion.Job) error {
	err := h.p.Models.Check(ctx, job.Model)
	if err != nil && h.p.Intake.Repeats(ctx, job) {
		return nil
	}
	return err
}

// change changes a conversation and tells those who look at it.
func (h *Host) change(ctx context.Context, ref completion.Ref, f func(ctx context.Context, t *store.Talk) error) (completion.Conversation, error) {
	seen := int64(0)
	c, err := h.p.Store.Converse(ctx, ref, time.Now(), func(ctx context.Context, t *store.Talk) error {
		seen = t.Version
		return f(ctx, t)
	})
	if err == nil && c.Version != seen {
		h.p.Bell.Changed(ref, c.Version)
	}
	return c, err
}

// passOn tells everybody of turns that were cancelled, and whoever waits for their end.
func (h *Host) passOn(ctx context.Context, conversation completion.Ref, cancelled []string) {
	if len(cancelled) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx) // it is stored already
	for _, id := range cancelled {
		if _, err := h.p.Intake.Cancel(ctx, completion.Ref{Tenant: conversation.Tenant, Job: id}); err != nil {
			h.p.Logger.Warn("cancel of a turn stored but not passed on", "tenant", conversation.Tenant, "job_id", id, "error", err)
		}
	}
	h.p.Bell.Turn(conversation)
}

// encode is v as JSON, which it is made to be.
func encode(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}
