package talk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/api/internal/intake"
	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Ends is what a Keeper needs of the store besides.
type Ends interface {
	Unsettled(ctx context.Context, limit int) ([]completion.Message, error)
	Settle(ctx context.Context, m completion.Message, at time.Time) (version int64, err error)
	Named(ctx context.Context, limit int) ([]store.Named, error)
	Waiting(ctx context.Context, limit int) ([]completion.Ref, error)
}

// Ears hear that turns have ended.
type Ears interface {
	OnTurn(f func(conversation completion.Ref)) (stop func(), err error)
}

// Log closes the logs of turns that nobody has worked on.
type Log interface {
	Seal(ctx context.Context, job completion.Job) error
}

// Keeper looks after what follows from the ends of turns: it settles answers, gives conversations their names, and lets held
// turns begin. Any number may run, in any number of processes: of two that do the same, one does it. It does nothing that the
// next one could not do after it was killed.
type Keeper struct {
	Host  *Host
	Ends  Ends
	Ears  Ears
	Log   Log
	Names bool // conversations that have none get names by themselves
}

const (
	lookEvery = time.Second // with a jitter of a quarter
	atOnce    = 100
)

// Run looks whenever a turn has ended, and every second, until ctx ends, and then returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1) // a second ring finds the same
	stop, err := k.Ears.OnTurn(func(completion.Ref) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-look.C:
			look.Reset(lookEvery*7/8 + rand.N(lookEvery/4))
		}
		k.look(ctx)
	}
}

// look does all that is to be done now. What fails is found again.
func (k *Keeper) look(ctx context.Context) {
	each(ctx, k, "answers that have ended", k.Ends.Unsettled, k.settle)
	each(ctx, k, "names that were found", k.Ends.Named, k.named)
	each(ctx, k, "turns that may begin", k.Ends.Waiting, k.release)
}

// each does something to whatever list finds, until it finds no more, or what it found before.
func each[T any](ctx context.Context, k *Keeper, what string, list func(ctx context.Context, limit int) ([]T, error), do func(ctx context.Context, one *T) error) {
	for {
		some, err := list(ctx, atOnce)
		done := 0
		for i := range some {
			if ctx.Err() != nil {
				return
			}
			switch err := do(ctx, &some[i]); {
			case err == nil:
				done++
			case ctx.Err() == nil:
				k.Host.p.Logger.Warn("conversation not looked after yet", "for", what, "error", err)
			}
		}
		if err != nil && ctx.Err() == nil {
			k.Host.p.Logger.Warn("conversations not looked after, the store is away", "for", what, "error", err)
		}
		if len(some) < atOnce || done == 0 {
			return
		}
	}
}

// settle keeps an answer with its message, after a name was asked for: once it is settled, nobody comes back to it.
func (k *Keeper) settle(ctx context.Context, m *completion.Message) error {
	ref := completion.Ref{Tenant: m.Tenant, Job: m.Conversation}
	if m.State == completion.Completed {
		if err := k.christen(ctx, ref, m); err != nil && !errors.Is(err, completion.ErrNotFound) {
			k.Host.p.Logger.Warn("no name asked for", "conversation", m.Conversation, "error", err)
		}
	} else if err := k.seal(ctx, m); err != nil {
		return err
	}
	version, err := k.Ends.Settle(ctx, *m, time.Now())
	switch {
	case errors.Is(err, completion.ErrFinal), errors.Is(err, completion.ErrNotFound):
		return nil // another Keeper was faster, or it was deleted
	case err != nil:
		return fmt.Errorf("settle answer %s: %w", m.ID, err)
	}
	k.Host.p.Bell.Changed(ref, version)
	return nil
}

// seal closes the log of a turn that has ended before it began: no worker does.
func (k *Keeper) seal(ctx context.Context, m *completion.Message) error {
	job, err := k.Host.p.Store.Get(ctx, completion.Ref{Tenant: m.Tenant, Job: m.ID})
	if errors.Is(err, completion.ErrNotFound) {
		return nil
	}
	if err == nil && job.Held {
		err = k.Log.Seal(ctx, job)
	}
	return err
}

// errNamed keeps a conversation from being named twice.
var errNamed = errors.New("the conversation has a name, or is about to")

// christen asks for a name of a conversation that has none, after an answer in it.
func (k *Keeper) christen(ctx context.Context, ref completion.Ref, answer *completion.Message) error {
	if !k.Names {
		return nil
	}
	c, err := k.Host.p.Store.Conversation(ctx, ref)
	if err != nil || c.Name != "" || c.Naming != "" {
		return err
	}
	question, err := k.Host.p.Store.Message(ctx, ref, answer.Parent)
	if err != nil {
		return err
	}
	_, _, err = k.Host.name(ctx, ref, intake.Body{}, false, naming(answer.Model, question.Text(), answer.Text()), func(t *store.Talk, job *completion.Job) error {
		if t.Name != "" || t.Naming != "" {
			return errNamed
		}
		t.Naming = job.ID
		return nil
	})
	if errors.Is(err, errNamed) || err != nil && completion.AsError(err).Code.Quota() {
		return nil // what is left is for answers
	}
	return err
}

// named gives a conversation the name that was found, if it has none yet.
func (k *Keeper) named(ctx context.Context, n *store.Named) error {
	_, err := k.Host.change(ctx, n.Conversation.Ref(), func(_ context.Context, t *store.Talk) error {
		if t.Naming != n.Conversation.Naming {
			return nil
		}
		if t.Naming = ""; t.Name == "" {
			t.Name = cleanName(foundName(&n.Job))
		}
		return nil
	})
	if errors.Is(err, completion.ErrNotFound) {
		return nil
	}
	return err
}

// foundName is what a naming job has answered.
func foundName(job *completion.Job) string {
	if job.State != completion.Completed {
		return ""
	}
	m := completion.Message{Content: answer.Said(job.Result)}
	return m.Text()
}

// errMoved means that there is nothing to release any more.
var errMoved = errors.New("the conversation's turns have moved on")

// release lets the oldest held turn begin, if no other is under way: what it is asked is known by now (C6).
func (k *Keeper) release(ctx context.Context, ref *completion.Ref) error {
	live, err := k.Host.p.Store.Live(ctx, *ref)
	if err != nil || len(live) == 0 || !live[0].Held {
		return err
	}
	held, err := k.Host.p.Store.Get(ctx, live[0].Ref())
	if err != nil {
		return err
	}
	var parameters completion.Parameters
	if err := json.Unmarshal(held.Request, &parameters); err != nil {
		return fmt.Errorf("read parameters of turn %s: %w", held.ID, err)
	}
	var released completion.Job
	_, err = k.Host.change(ctx, *ref, func(ctx context.Context, t *store.Talk) error {
		released, err = begin(ctx, t, held.ID, parameters)
		return err
	})
	switch {
	case errors.Is(err, errMoved), errors.Is(err, completion.ErrFinal), errors.Is(err, completion.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("let turn %s begin: %w", held.ID, err)
	}
	k.Host.p.Intake.Enqueue(ctx, released)
	return nil
}

// begin releases a turn if it is the next one.
func begin(ctx context.Context, t *store.Talk, id string, parameters completion.Parameters) (completion.Job, error) {
	live, err := t.Live(ctx)
	if err != nil {
		return completion.Job{}, err
	}
	for i := range live {
		if !live[i].Held || live[0].ID != id {
			return completion.Job{}, errMoved
		}
	}
	answer, err := t.Message(ctx, id)
	if err != nil {
		return completion.Job{}, err
	}
	question, err := t.Message(ctx, answer.Parent)
	if err != nil {
		return completion.Job{}, err
	}
	request, err := ask(ctx, t, parameters, &question)
	if err != nil {
		return completion.Job{}, err
	}
	return t.Release(ctx, id, request, parameters.Model)
}
