package talk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// maxHeld is how many turns of one conversation may wait.
const maxHeld = 100

// Turn is one that was accepted.
type Turn struct {
	Job      completion.Job
	Messages []completion.Message // what was said, unless it was there before, and the answer to come
	Created  bool                 // otherwise the request repeats one
}

// Say takes in something new that is said in the conversation, to be answered. Its errors are *completion.Error or of the
// store: turn_running if the policy does not let it in, queue_limit_exceeded if too many wait.
func (h *Host) Say(ctx context.Context, ref completion.Ref, body intake.Body, asked request.Turn) (Turn, error) {
	return h.take(ctx, &turn{ref: ref, act: say, asked: asked}, body)
}

// Edit is Say for another version of what a user has said: it follows what that one follows, and nothing of what comes after.
func (h *Host) Edit(ctx context.Context, ref completion.Ref, message string, body intake.Body, asked request.Turn) (Turn, error) {
	return h.take(ctx, &turn{ref: ref, act: edit, edited: message, asked: asked}, body)
}

// Regenerate has what was said last answered once more, or at all. nothing_to_answer: nothing was said.
func (h *Host) Regenerate(ctx context.Context, ref completion.Ref, body intake.Body, asked request.Turn) (Turn, error) {
	return h.take(ctx, &turn{ref: ref, act: again, asked: asked}, body)
}

// turn is one that is being accepted.
type turn struct {
	host       *Host
	ref        completion.Ref
	act        act
	edited     string // the message of which there is to be another version
	asked      request.Turn
	parameters completion.Parameters

	repeated  completion.Job // the job that was there already
	messages  []completion.Message
	cancelled []string
}

// errRepeated undoes a turn whose idempotency key was used by another one meanwhile.
var errRepeated = errors.New("the turn was accepted before")

func (h *Host) take(ctx context.Context, n *turn, body intake.Body) (Turn, error) {
	n.host = h
	c, err := h.p.Store.Conversation(ctx, n.ref)
	if err != nil {
		return Turn{}, err
	}
	if n.parameters, err = h.parameters(ctx, &c, n.asked.Parameters); err != nil {
		return Turn{}, err
	}
	job := h.p.Intake.NewJob(ctx, n.ref.Tenant, body)
	job.Conversation, job.Model, job.Metadata, job.Deadline = n.ref.Job, n.parameters.Model, n.asked.Metadata, n.asked.Deadline
	if err := h.check(ctx, &job); err != nil {
		return Turn{}, err
	}
	out := Turn{}
	if out.Job, out.Created, err = h.p.Intake.AcceptBy(ctx, &job, n.add); err != nil {
		return Turn{}, err
	}
	if !out.Created {
		out.Messages, err = n.said(ctx, out.Job.ID)
		return out, err
	}
	out.Messages = n.messages
	h.passOn(ctx, n.ref, n.cancelled)
	if out.Job.Held && len(n.cancelled) == 0 {
		h.p.Bell.Turn(n.ref) // what it waits for may have ended while it was written
	}
	return out, nil
}

// add stores the turn, with its job.
func (n *turn) add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	if stored, err = n.host.p.Store.Same(ctx, job); !errors.Is(err, completion.ErrNotFound) {
		return stored, false, err
	}
	_, err = n.host.change(ctx, n.ref, func(ctx context.Context, t *store.Talk) error { return n.converse(ctx, t, job) })
	switch {
	case err == nil:
		return *job, true, nil
	case errors.Is(err, errRepeated):
		return n.repeated, false, nil
	}
	// The one that it repeats may be what it was refused for.
	if same, again := n.host.p.Store.Same(ctx, job); !errors.Is(again, completion.ErrNotFound) {
		return same, false, again
	}
	return completion.Job{}, false, err
}

// converse does it all, with the conversation locked (C4).
func (n *turn) converse(ctx context.Context, t *store.Talk, job *completion.Job) error {
	live, err := t.Live(ctx)
	if err != nil {
		return err
	}
	policy := n.act.policy(n.asked.Policy)
	if n.cancelled, err = cancels(policy, live); err != nil {
		return err
	}
	if len(live)-len(n.cancelled) > maxHeld {
		return completion.NewError(completion.CodeQueueFull, fmt.Sprintf("%d turns of this conversation wait; no more may.", maxHeld))
	}
	question, fresh, err := n.question(ctx, t, policy, live)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		if err := t.Cancel(ctx, n.cancelled...); err != nil {
			return err
		}
		if live, err = t.Live(ctx); err != nil { // those that run go on until they have heard of it
			return err
		}
	}
	if job.Held = len(live) > 0; job.Held {
		job.Request = encode(n.parameters) // what it is asked is known when it begins
	} else if job.Request, err = ask(ctx, t, n.parameters, &question); err != nil {
		return err
	}
	return n.write(ctx, t, job, &question, fresh)
}

// write adds what is new: the question, if it is, the answer and its job.
func (n *turn) write(ctx context.Context, t *store.Talk, job *completion.Job, question *completion.Message, fresh bool) error {
	answer := &completion.Message{ID: job.ID, Parent: question.ID, Role: completion.RoleAssistant, State: completion.Queued, Model: job.Model}
	said := []*completion.Message{question, answer}
	if !fresh {
		said = said[1:]
	}
	if err := t.Say(ctx, said...); err != nil {
		return err
	}
	stored, created, err := t.Add(ctx, job)
	if err != nil {
		return err
	}
	if !created {
		n.repeated = stored
		return errRepeated
	}
	*job, t.Head, n.messages = stored, answer.ID, nil
	for _, m := range said {
		n.messages = append(n.messages, *m)
	}
	return nil
}

// question is what is to be answered, and whether it is new.
func (n *turn) question(ctx context.Context, t *store.Talk, policy completion.Policy, live []completion.Job) (q completion.Message, fresh bool, err error) {
	if n.act == again {
		q, err = latest(ctx, t)
		return q, false, err
	}
	now := time.Now()
	q = completion.Message{
		ID: completion.NewMessageID(), Parent: t.Head, Role: completion.RoleUser, State: completion.Completed,
		Content: n.asked.Content, FinishedAt: now,
	}
	switch {
	case n.act == edit:
		old, err := t.Message(ctx, n.edited)
		if err == nil && old.Role != completion.RoleUser {
			err = completion.Invalid("", "Only what a user has said can be edited; an answer can be regenerated.")
		}
		q.Parent = old.Parent
		return q, true, err
	case policy == completion.PolicyRollback:
		q.Parent, err = before(ctx, t, live)
	}
	return q, true, err
}

// latest is the question that the path ends with, answered or not.
func latest(ctx context.Context, t *store.Talk) (completion.Message, error) {
	path, err := t.Path(ctx, t.Head, 2)
	for i := len(path) - 1; i >= 0 && err == nil; i-- {
		if path[i].Role == completion.RoleUser {
			return path[i], nil
		}
	}
	if err == nil {
		err = completion.NewError(completion.CodeNoQuestion, "")
	}
	return completion.Message{}, err
}

// before is where the path was before the first of the live turns that are on it: what its question follows.
func before(ctx context.Context, t *store.Talk, live []completion.Job) (string, error) {
	under, first := map[string]bool{}, 0
	for i := range live {
		m, err := t.Message(ctx, live[i].ID)
		switch {
		case errors.Is(err, completion.ErrNotFound): // it was deleted, and is about to end
		case err != nil:
			return "", err
		default:
			if under[m.ID] = true; first == 0 {
				first = m.Seq // what a message follows has a lower one
			}
		}
	}
	parent, question := t.Head, ""
	for from := t.Head; from != "" && len(under) > 0; {
		page, err := t.Path(ctx, from, pathPage)
		if err != nil {
			return "", fmt.Errorf("look for turns on the path: %w", err)
		}
		for i := len(page) - 1; i >= 0; i-- {
			m := &page[i]
			if from = m.Parent; m.ID == question {
				parent = m.Parent
			}
			if under[m.ID] {
				question = m.Parent
			}
			if m.Seq < first {
				return parent, nil
			}
		}
	}
	return parent, nil
}

// said reads the messages of a turn that is there.
func (n *turn) said(ctx context.Context, id string) ([]completion.Message, error) {
	answer, err := n.host.p.Store.Message(ctx, n.ref, id)
	if err != nil || n.act == again {
		return []completion.Message{answer}, err
	}
	question, err := n.host.p.Store.Message(ctx, n.ref, answer.Parent)
	return []completion.Message{question, answer}, err
}

// ask renders the prompt that has a question answered.
func ask(ctx context.Context, t *store.Talk, p completion.Parameters, question *completion.Message) ([]byte, error) {
	one := prompt{parameters: p, system: t.System, above: question.Parent, last: []saying{{question.Role, question.Content}}}
	return one.render(ctx, t.Path)
}
