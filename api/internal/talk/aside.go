package talk

import (
	"context"
	"errors"

	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Aside has something answered as if it were said in the conversation, and keeps neither.
func (h *Host) Aside(ctx context.Context, ref completion.Ref, body intake.Body, asked request.Turn) (job completion.Job, created bool, err error) {
	c, err := h.p.Store.Conversation(ctx, ref)
	if err != nil {
		return job, false, err
	}
	return h.aside(ctx, &c, body, asked.Parameters, saying{completion.RoleUser, asked.Content})
}

// Suggest asks what could be asked next: the answer has a question on each line. nothing_to_answer: nothing was said.
func (h *Host) Suggest(ctx context.Context, ref completion.Ref, body intake.Body, count int) (job completion.Job, created bool, err error) {
	c, err := h.p.Store.Conversation(ctx, ref)
	if err == nil && c.Head == "" {
		err = completion.NewError(completion.CodeNoQuestion, "")
	}
	if err != nil {
		return job, false, err
	}
	return h.aside(ctx, &c, body, completion.Parameters{}, suggesting(count))
}

// aside takes in a job beside the conversation's turns, which it neither waits for nor holds up.
func (h *Host) aside(ctx context.Context, c *completion.Conversation, body intake.Body, asked completion.Parameters, last saying) (job completion.Job, created bool, err error) {
	p, err := h.parameters(ctx, c, asked)
	if err != nil {
		return job, false, err
	}
	one := prompt{parameters: p, system: c.System, above: c.Head, last: []saying{last}}
	job = h.p.Intake.NewJob(ctx, c.Tenant, body)
	job.Lane, job.Model, job.Quota.Owner = completion.LaneBatch, p.Model, c.Owner
	job.Request, err = one.render(ctx, func(ctx context.Context, from string, limit int) ([]completion.Message, error) {
		return h.p.Store.Path(ctx, c.Ref(), from, limit)
	})
	if err == nil {
		err = h.check(ctx, &job)
	}
	if err != nil {
		return job, false, err
	}
	return h.p.Intake.Accept(ctx, &job)
}

// Name asks for a name of the conversation, which gets it once it is there, unless it has one by then. nothing_to_answer:
// nothing was said.
func (h *Host) Name(ctx context.Context, ref completion.Ref, body intake.Body) (job completion.Job, created bool, err error) {
	c, err := h.p.Store.Conversation(ctx, ref)
	if err != nil {
		return job, false, err
	}
	p, err := h.parameters(ctx, &c, completion.Parameters{})
	if err != nil {
		return job, false, err
	}
	path, err := h.p.Store.Path(ctx, ref, c.Head, pathPage)
	if err != nil {
		return job, false, err
	}
	question, answer := "", ""
	for i := range path {
		switch m := &path[i]; {
		case question == "" && m.Role == completion.RoleUser:
			question = m.Text()
		case question != "" && answer == "" && m.Role == completion.RoleAssistant:
			answer = m.Text()
		}
	}
	if question == "" {
		return job, false, completion.NewError(completion.CodeNoQuestion, "")
	}
	return h.name(ctx, ref, body, true, naming(p.Model, question, answer), func(t *store.Talk, job *completion.Job) error {
		if t.Name == "" {
			t.Naming = job.ID
		}
		return nil
	})
}

// name takes in a job that finds a name, unless mark, which may write it down in the conversation, objects. One that nobody
// has asked for counts towards no quota.
func (h *Host) name(ctx context.Context, ref completion.Ref, body intake.Body, asked bool, p *prompt, mark func(t *store.Talk, job *completion.Job) error) (completion.Job, bool, error) {
	job := h.p.Intake.NewJob(ctx, ref.Tenant, body)
	job.Lane, job.Model, job.Request = completion.LaneBatch, p.parameters.Model, p.body(nil)
	if !asked {
		job.Quota = completion.Quota{}
	}
	if err := h.check(ctx, &job); err != nil {
		return job, false, err
	}
	return h.p.Intake.AcceptBy(ctx, &job, func(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
		_, err = h.change(ctx, ref, func(ctx context.Context, t *store.Talk) error {
			if stored, created, err = t.Add(ctx, job); err != nil {
				return err
			}
			if !created {
				return errRepeated
			}
			return mark(t, &stored)
		})
		if errors.Is(err, errRepeated) {
			return stored, false, nil
		}
		return stored, err == nil, err
	})
}
