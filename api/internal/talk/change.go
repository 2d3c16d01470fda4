package talk

import (
	"context"
	"errors"
	"time"

	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Create makes a conversation, in which something may have been said already. One that says nothing of its system message gets
// its tenant's, or the server's.
func (h *Host) Create(ctx context.Context, tenant string, body intake.Body, asked request.Conversation) (c completion.Conversation, created bool, err error) {
	now := time.Now()
	c = completion.Conversation{
		ID: completion.NewConversationID(), Tenant: tenant, Metadata: asked.Metadata, IdempotencyKey: body.Key, BodyHash: body.Hash(),
		CreatedAt: now, UpdatedAt: now, ActiveAt: now,
	}
	if asked.System == nil {
		preset, err := h.p.Store.Preset(ctx, tenant)
		if err != nil {
			return c, false, err
		}
		system := preset.Over(h.p.Preset).System
		asked.System = &system
	}
	apply(&asked.Change, &c)
	said := make([]completion.Message, 0, len(asked.Said))
	for _, s := range asked.Said {
		said = append(said, completion.Message{
			ID: completion.NewMessageID(), Role: s.Role, State: completion.Completed, Content: s.Content, CreatedAt: now, FinishedAt: now,
		})
	}
	return h.p.Store.AddConversation(ctx, &c, said)
}

// Change changes a conversation. system_message_fixed: something was said, and the system message stays.
func (h *Host) Change(ctx context.Context, ref completion.Ref, asked request.Change) (completion.Conversation, error) {
	return h.change(ctx, ref, func(ctx context.Context, t *store.Talk) error {
		if asked.System != nil && *asked.System != t.System && t.Seq > 0 {
			fixed := completion.NewError(completion.CodeSystemFixed, "")
			fixed.Param = "system"
			return fixed
		}
		apply(&asked, &t.Conversation)
		if asked.Branch == nil {
			return nil
		}
		leaf, err := "", completion.ErrNotFound
		if *asked.Branch != "" {
			leaf, err = t.Leaf(ctx, *asked.Branch)
		}
		if errors.Is(err, completion.ErrNotFound) {
			return completion.Invalid("branch", "The conversation has no message by that id.")
		}
		t.Head = leaf
		return err
	})
}

// apply writes into c what is to be different.
func apply(asked *request.Change, c *completion.Conversation) {
	for _, text := range []struct{ from, to *string }{{asked.Name, &c.Name}, {asked.System, &c.System}, {asked.Owner, &c.Owner}} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if asked.Parameters != nil {
		c.Parameters = *asked.Parameters
	}
	if asked.Metadata != nil {
		c.Metadata = asked.Metadata
	}
}

// Delete deletes a conversation: it is found no more, and its turns are cancelled.
func (h *Host) Delete(ctx context.Context, ref completion.Ref) error {
	var ends []string
	_, err := h.change(ctx, ref, func(ctx context.Context, t *store.Talk) error {
		live, err := t.Live(ctx)
		if err != nil {
			return err
		}
		ends, t.DeletedAt = nil, time.Now()
		for i := range live {
			ends = append(ends, live[i].ID)
		}
		return t.Cancel(ctx, ends...)
	})
	if err == nil {
		h.passOn(ctx, ref, ends)
	}
	return err
}

// Drop deletes a message and all that follows it, on all branches (C5). Turns among them are cancelled.
func (h *Host) Drop(ctx context.Context, ref completion.Ref, message string) error {
	var ends []string
	_, err := h.change(ctx, ref, func(ctx context.Context, t *store.Talk) (err error) {
		ends, err = t.Drop(ctx, message)
		return err
	})
	if err == nil {
		h.passOn(ctx, ref, ends)
	}
	return err
}

// Rate stores what somebody thinks of an answer.
func (h *Host) Rate(ctx context.Context, ref completion.Ref, message string, r request.Rating) error {
	_, err := h.change(ctx, ref, func(ctx context.Context, t *store.Talk) error {
		m, err := t.Message(ctx, message)
		if err == nil && m.Role != completion.RoleAssistant {
			err = completion.Invalid("", "Only answers can be rated.")
		}
		if err != nil {
			return err
		}
		return t.Rate(ctx, message, r.Value, r.Comment)
	})
	return err
}

// maxClone is how many messages a copy may have.
const maxClone = 10_000

// Clone copies a conversation: its path up to a message or, if none is named, as far as it has ended. What is copied belongs
// to the copy, and knows nothing of the jobs. turn_running: the message, or one before it, has not ended.
func (h *Host) Clone(ctx context.Context, ref completion.Ref, body intake.Body, asked request.Clone) (c completion.Conversation, created bool, err error) {
	old, err := h.p.Store.Conversation(ctx, ref)
	if err != nil {
		return c, false, err
	}
	upto := old.Head
	if asked.Message != nil {
		upto = *asked.Message
	}
	path, err := h.p.Store.Path(ctx, ref, upto, maxClone+1)
	switch {
	case errors.Is(err, completion.ErrNotFound) && asked.Message != nil:
		err = completion.Invalid("message", "The conversation has no message by that id.")
	case len(path) > maxClone:
		err = completion.Invalid("message", "A copy may have at most %d messages.", maxClone)
	}
	if err != nil {
		return c, false, err
	}
	for i := range path {
		if !path[i].Live() {
			continue
		}
		if asked.Message != nil {
			return c, false, completion.NewError(completion.CodeTurn, "")
		}
		path = path[:i]
		break
	}
	now := time.Now()
	c = completion.Conversation{
		ID: completion.NewConversationID(), Tenant: old.Tenant, Owner: old.Owner, Name: old.Name, System: old.System, Parameters: old.Parameters,
		Metadata: old.Metadata, IdempotencyKey: body.Key, BodyHash: body.Hash(), CreatedAt: now, UpdatedAt: now, ActiveAt: now,
	}
	if asked.Name != nil {
		c.Name = *asked.Name
	}
	for i := range path {
		path[i].ID, path[i].Rating, path[i].Comment = completion.NewMessageID(), 0, ""
	}
	return h.p.Store.AddConversation(ctx, &c, path)
}
