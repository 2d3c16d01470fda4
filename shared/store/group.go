package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Group is a Store that adds, claims and finishes jobs for many callers at once: what is asked for while a statement is under way goes with
// the next one, in one transaction. A caller that is alone goes as it would with the Store. It is safe for concurrent use,
// and holds six connections at most, two for each kind, so that other users of the Store find some.
type Group struct {
	*Store

	adds     crowd[*completion.Job]
	claims   crowd[claimArgs]
	finishes crowd[finishArgs]
}

type claimArgs struct {
	worker string
	at     time.Time
}

type finishArgs struct {
	attempt int
	outcome completion.Outcome
}

// Group returns a Group of its own. Callers help each other only within one.
func (s *Store) Group() *Group {
	g := &Group{Store: s}
	g.adds.single = func(ctx context.Context, c *call[*completion.Job]) { c.job, _, c.err = s.Add(ctx, c.args) }
	g.claims.single = func(ctx context.Context, c *call[claimArgs]) {
		c.job, c.err = s.Claim(ctx, c.ref, c.args.worker, c.args.at)
	}
	g.finishes.single = func(ctx context.Context, c *call[finishArgs]) {
		c.job, c.err = s.Finish(ctx, c.ref, c.args.attempt, c.args.outcome)
	}
	g.adds.pause, g.claims.pause, g.finishes.pause = addPause, workPause, workPause
	g.adds.together, g.claims.together, g.finishes.together = g.add, g.claim, g.finish
	return g
}

// maxShared is how large a request may be, in bytes, that is added together with others, so that the statement stays small.
const maxShared = 16 << 10

// Add is Store.Add. A job with a Quota, one that tries another again, and one with a large request is added alone; any other
// one is added even if ctx ends meanwhile, so that who asked for it knows, and can see to its end.
func (g *Group) Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	if job.RetryOf != "" || len(job.Request) > maxShared || len(job.Quota.Accounts(job.CreatedAt)) > 0 {
		return g.Store.Add(ctx, job)
	}
	ctx, cancel := g.limit(context.WithoutCancel(ctx))
	defer cancel()
	own := *job // the caller's may change once its time is over
	added, err := g.adds.do(ctx, job.Ref(), &own)
	return *added, err == nil && added.ID == text(job.ID), wrap(err, "add job %s with others", job.ID)
}

// add leaves jobs out whose key the tenant has used before.
func (g *Group) add(ctx context.Context, list []*call[*completion.Job]) ([]jobRow, error) {
	ctx, cancel := g.limit(ctx)
	defer cancel()
	rows := make([]jobRow, len(list))
	for i, c := range list {
		row, err := newRow(c.args)
		if err != nil {
			return nil, err
		}
		rows[i] = *row
	}
	var made []string
	err := keyed(g.db.NewInsert().Model(&rows)).Returning("id").Scan(ctx, &made)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(r jobRow) bool { return !slices.Contains(made, r.ID) }), nil
}

// Claim is Store.Claim. If ctx ends while it waits for others, the job may be claimed or not.
func (g *Group) Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error) {
	job, err := g.claims.do(ctx, ref, claimArgs{worker, at})
	return *job, wrap(err, "claim job %s with others", ref.Job)
}

// Finish is Store.Finish, but the job may come without its Request. If ctx ends while it waits for others, the outcome may
// be stored or not.
func (g *Group) Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error) {
	if err := ends(ref, o); err != nil {
		return completion.Job{}, err
	}
	job, err := g.finishes.do(ctx, ref, finishArgs{attempt, o})
	return *job, wrap(err, "finish job %s with others", ref.Job)
}

// claimRow is one claim of a statement that makes many.
type claimRow struct {
	ID     string    `bun:"id"`
	Tenant string    `bun:"tenant"`
	Worker string    `bun:"worker"`
	At     time.Time `bun:"at"`
	Since  time.Time `bun:"since"` // workers seen after it are alive
}

func (g *Group) claim(ctx context.Context, list []*call[claimArgs]) ([]jobRow, error) {
	values := make([]claimRow, len(list))
	for i, c := range list {
		values[i] = claimRow{
			ID: text(c.ref.Job), Tenant: text(c.ref.Tenant), Worker: text(c.args.worker),
			At: stamp(c.args.at), Since: stamp(c.args.at.Add(-g.opts.WorkerTTL)),
		}
	}
	alive := g.db.NewSelect().TableExpr("worker AS w").ColumnExpr("1").Where("w.id = job.worker").Where("w.seen_at > v.since")
	return updateMany(ctx, g.Store, values, nil, completion.Sources(completion.Running), func(q *bun.UpdateQuery) *bun.UpdateQuery {
		return q.Set("state = ?", completion.Running).Set("attempt = job.attempt + 1").Set("worker = v.worker").
			Set("started_at = COALESCE(job.started_at, v.at)").Set("updated_at = v.at").
			Set("retry_at = NULL").Set("first_token_at = NULL").
			Where("(job.state = ? OR job.worker = v.worker OR NOT EXISTS (?))", completion.Queued, alive).Where("NOT job.held").
			Where("(job.state <> ? OR job.deadline IS NULL OR job.deadline > v.at)", completion.Queued)
	})
}

// finishRow is one outcome of a statement that stores many.
type finishRow struct {
	ID           string    `bun:"id"`
	Tenant       string    `bun:"tenant"`
	Attempt      int       `bun:"attempt"`
	State        string    `bun:"state"`
	Upstream     string    `bun:"upstream,nullzero"`
	Result       []byte    `bun:"result,nullzero"`
	Usage        []byte    `bun:"usage,nullzero"`
	FinishReason string    `bun:"finish_reason,nullzero"`
	Error        []byte    `bun:"error,nullzero"`
	FirstTokenAt time.Time `bun:"first_token_at,nullzero"`
	Unsaid       bool      `bun:"unsaid"`
	At           time.Time `bun:"at"`
}

func (g *Group) finish(ctx context.Context, list []*call[finishArgs]) ([]jobRow, error) {
	values, results := make([]finishRow, len(list)), make(map[string][]byte, len(list))
	for i, c := range list {
		o := &c.args.outcome
		failure, err := encode(o.Error, o.Error == nil)
		if err != nil {
			return nil, err
		}
		values[i] = finishRow{
			ID: text(c.ref.Job), Tenant: text(c.ref.Tenant), Attempt: c.args.attempt, State: text(o.State), Upstream: text(o.Upstream),
			Result: o.Result, Usage: o.Usage, FinishReason: text(o.FinishReason), Error: failure,
			FirstTokenAt: stamp(o.FirstTokenAt), Unsaid: o.Unsaid, At: stamp(o.At),
		}
		results[values[i].ID] = o.Result
	}
	running := []completion.State{completion.Running}
	rows, err := updateMany(ctx, g.Store, values, heavy, running, func(q *bun.UpdateQuery) *bun.UpdateQuery {
		for _, column := range []string{"state", "upstream", "result", "usage", "finish_reason", "error", "first_token_at", "unsaid"} {
			q = q.Set("? = v.?", bun.Ident(column), bun.Ident(column))
		}
		return q.Set("updated_at = v.at").Set("finished_at = v.at").Where("job.attempt = v.attempt")
	})
	for i := range rows {
		rows[i].Result = results[rows[i].ID] // as it was just written
	}
	return rows, err
}

// gather is the pause after a statement that many shared, for each of them, in which more come together: a statement costs as
// much as several rows do. Where few come, they hardly wait. A client waits for its job to be added, so that pause is shorter at most.
const (
	gather    = time.Millisecond
	addPause  = 4 * time.Millisecond
	workPause = 8 * time.Millisecond
)

// maxTogether is the most that one statement does; more would only make each of them wait longer.
const maxTogether = 128

// call is one that waits for others.
type call[A any] struct {
	gone  <-chan struct{} // closed once nobody waits for it any more
	ref   completion.Ref
	args  A
	done  chan struct{} // closed once there is an answer
	job   completion.Job
	err   error
	alone bool // the answer is that the caller must go alone
}

// crowd gathers calls of one kind while one statement is under way. The first call goes alone; whoever came meanwhile goes
// together then, in a goroutine that ends when nobody is left, and so on.
type crowd[A any] struct {
	single   func(ctx context.Context, c *call[A])
	together func(ctx context.Context, list []*call[A]) ([]jobRow, error) // the rows it has changed
	pause    time.Duration                                                // the longest after a statement, see gather

	lone sync.Mutex // those who must go alone do so one after the other, so that a crowd holds two connections at most

	mu      sync.Mutex
	busy    bool
	waiting []*call[A]
}

// do returns the job by its address, for it is large, and the callers' stacks are many.
func (c *crowd[A]) do(ctx context.Context, ref completion.Ref, args A) (*completion.Job, error) {
	w := &call[A]{gone: ctx.Done(), ref: ref, args: args, done: make(chan struct{})}
	if c.first(w) {
		defer c.goOn()
		c.single(ctx, w)
		return &w.job, w.err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return &completion.Job{}, ctx.Err()
	}
	if w.alone {
		c.lone.Lock()
		defer c.lone.Unlock()
		c.single(ctx, w)
	}
	return &w.job, w.err
}

// first lets a call wait, unless nothing is under way that it could wait for.
func (c *crowd[A]) first(w *call[A]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		c.waiting = append(c.waiting, w)
		return false
	}
	c.busy = true
	return true
}

func (c *crowd[A]) goOn() {
	list := c.next()
	if list == nil {
		return
	}
	go func() {
		for ; list != nil; list = c.next() {
			c.run(list)
			time.Sleep(min(time.Duration(len(list))*gather, c.pause)) // in which more calls come together
		}
	}()
}

// next takes those that go together now, in the order of their ids, which is that in which all statements shall lock rows.
// Calls for one job go one after the other. nil: nobody waits, and nothing is under way from now on.
func (c *crowd[A]) next() []*call[A] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list, later []*call[A]
	taken := make(map[string]bool, min(len(c.waiting), maxTogether))
	for _, w := range c.waiting {
		select {
		case <-w.gone:
			continue
		default:
		}
		if taken[w.ref.Job] || len(list) == maxTogether {
			later = append(later, w)
			continue
		}
		taken[w.ref.Job] = true
		list = append(list, w)
	}
	c.waiting, c.busy = later, len(list) > 0
	slices.SortFunc(list, func(a, b *call[A]) int { return cmp.Compare(a.ref.Job, b.ref.Job) })
	return list
}

// run answers each of the list. Those that a statement for all did not change go alone, to find out why, and so does
// everybody if it failed: for one that is wrong, or that another statement was in the way of.
func (c *crowd[A]) run(list []*call[A]) {
	var rows []jobRow
	var err error
	if len(list) > 1 {
		rows, err = c.together(context.Background(), list)
	}
	var down *completion.Error
	err = away(err)
	errors.As(err, &down)
	changed := make(map[string]*jobRow, len(rows))
	for i := range rows {
		changed[rows[i].ID] = &rows[i]
	}
	for _, w := range list {
		row := changed[text(w.ref.Job)]
		switch {
		case down != nil:
			w.err = err
		case err != nil || row == nil:
			w.alone = true
		default:
			w.job, w.err = row.job()
		}
		close(w.done)
	}
}
