package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"sluice/deployments/internal/postgres"
	"sluice/migrations"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/queue"
	"sluice/shared/store"
	"sluice/worker"
)

const (
	linesRow = "lines of a batch through a worker, beside Asynq with an empty handler"
	askedRow = "… beside Asynq with a handler that asks the model, and keeps nothing"
	// aimLines is the least share of Asynq's own rate that a worker reaches.
	aimLines = 0.5
	// lineSlots is how many run at once, on either side.
	lineSlots = 128
	// linesLimit ends a round that hangs, and with it the run.
	linesLimit = 2 * time.Minute
)

// lines compares how fast a worker runs the lines of a batch, which wait in PostgreSQL and Redis, with how fast an Asynq
// server as it comes takes as many tasks off the same Redis and does nothing with them. The upstream is the simulated
// model, in a process of its own; the servers' and the model's CPU counts.
func lines(ctx context.Context, s *site, r *Report) error {
	f, why, err := openFactory(ctx, s)
	switch {
	case err != nil:
		return err
	case why != "":
		r.Rows = append(r.Rows, absent(linesRow, why))
		return nil
	}
	defer f.close()
	sides := []func(context.Context) (float64, error){f.lines, f.bare, f.asked}
	rates := make([][]float64, len(sides))
	for n := range s.Rounds {
		for i := range sides {
			which := (i + n) % len(sides)
			limited, stop := context.WithTimeoutCause(ctx, linesLimit, fmt.Errorf("not done within %s", linesLimit))
			rate, err := sides[which](limited)
			stop()
			if err != nil {
				return err
			}
			rates[which] = append(rates[which], rate)
		}
		s.note("round %d of %d: per second %.0f lines, %.0f bare tasks, %.0f that ask the model", n+1, s.Rounds, rates[0][n], rates[1][n], rates[2][n])
	}
	r.Rows = append(r.Rows, share(linesRow, rates[0], rates[1], aimLines)...)
	r.Rows = append(r.Rows, share(askedRow, rates[0], rates[2], 0)...)
	return nil
}

// share are the rows of two rates: side by side, and the part that the one is of the other.
func share(name string, rates, base []float64, atLeast float64) []Row {
	parts := make([]float64, len(rates))
	for i := range rates {
		parts[i] = rates[i] / base[i]
	}
	return []Row{
		{Name: name, Unit: "per s", Value: median(rates), Baseline: new(median(base)), Rounds: rates, Base: base},
		Row{Name: "… as a share of it", Unit: "of it", Value: median(parts), Rounds: parts, AtLeast: atLeast}.judged(),
	}
}

// factory is what a worker needs to run lines: the real servers, and a model in a process of its own.
type factory struct {
	n     int // lines of a round
	redis redis.UniversalClient
	back  *backend.Backend
	model string
	log   *slog.Logger
	stops []func()
}

// openFactory starts the servers; why says which is missing.
func openFactory(ctx context.Context, s *site) (_ *factory, why string, err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "needs redis-server in PATH", nil
	}
	database := findPostgres()
	if database == "" {
		return nil, "needs PostgreSQL", nil
	}
	f := &factory{n: s.Lines, log: slog.New(slog.DiscardHandler)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	s.note("start PostgreSQL, Redis and the simulated model")
	db, err := postgres.New(ctx, database, "synchronous_commit=on")
	if err != nil {
		return nil, "", err
	}
	f.stops = append(f.stops, func() { _ = db.Close() }) // its folder is a temporary one
	socket := filepath.Join(s.dir, "lines")
	server, err := start(program, nil, "--port", "0", "--unixsocket", socket, "--dir", s.dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, "", err
	}
	f.stops = append(f.stops, server.stop)
	if _, err := server.find(ctx, "ready to accept connections"); err != nil {
		return nil, "", err
	}
	sim, err := start(s.sluice, []string{"SLUICE_SIM_ADDR=127.0.0.1:0"}, "sim")
	if err != nil {
		return nil, "", err
	}
	f.stops = append(f.stops, sim.stop)
	at, err := sim.find(ctx, `simulated model at (\S+/v1)`)
	if err != nil {
		return nil, "", err
	}
	f.model = at[1]
	return f, "", f.connect(ctx, filepath.Join(s.dir, "nats"), db.URL(), "unix://"+socket)
}

// findPostgres returns the path of the server's program, which Debian keeps out of PATH, or "".
func findPostgres() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is a valid one
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

func (f *factory) connect(ctx context.Context, dir, database, address string) error {
	db, err := store.OpenPostgres(database)
	if err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir, Log: f.log})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	f.stops = append(f.stops, server.Close)
	nc, err := server.Connect()
	if err != nil {
		return errors.Join(err, db.Close())
	}
	f.back, err = backend.New(backend.Servers{
		Database: db, NATS: nc, Redis: func(slots int) (redis.UniversalClient, error) { return queue.Open(address, slots) },
	}, backend.Settings{}, f.log)
	if err != nil {
		return err
	}
	f.stops = append(f.stops, func() { _ = f.back.Close() }) // nothing in it is needed any more
	if err := f.back.Log.Setup(ctx); err != nil {
		return err
	}
	f.redis, err = queue.Open(address, lineSlots)
	if err == nil {
		f.stops = append(f.stops, func() { _ = f.redis.Close() }) // fails only if closed already
	}
	return err
}

// close stops everything, in the reverse order of starting.
func (f *factory) close() {
	for _, stop := range slices.Backward(f.stops) {
		stop()
	}
}

// bare is how many tasks per second an Asynq server takes whose handler does nothing.
func (f *factory) bare(ctx context.Context) (float64, error) {
	return f.tasks(ctx, func(context.Context) error { return nil })
}

// asked is the same with a handler that streams an answer of the model and forgets it.
func (f *factory) asked(ctx context.Context) (float64, error) {
	m := &model{url: f.model, http: keepAlive()}
	defer m.http.CloseIdleConnections()
	return f.tasks(ctx, func(ctx context.Context) error { return m.stream(ctx, func() {}) })
}

func (f *factory) tasks(ctx context.Context, handle func(context.Context) error) (float64, error) {
	client := asynq.NewClientFromRedisClient(f.redis)
	for i := range f.n {
		if _, err := client.EnqueueContext(ctx, asynq.NewTask("nothing", nil), asynq.Queue("bare")); err != nil {
			return 0, fmt.Errorf("enqueue task %d: %w", i, err)
		}
	}
	var left sync.WaitGroup
	left.Add(f.n)
	server := asynq.NewServerFromRedisClient(f.redis, asynq.Config{Concurrency: lineSlots, Queues: map[string]int{"bare": 1}, LogLevel: asynq.FatalLevel})
	began := time.Now()
	failed := make(chan error, 1)
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		defer left.Done()
		err := handle(ctx)
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
		return nil
	}))
	if err != nil {
		return 0, fmt.Errorf("start the Asynq server: %w", err)
	}
	left.Wait()
	took := time.Since(began)
	server.Shutdown()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(f.n) / took.Seconds(), nil
	}
}

// lines is how many lines per second a worker runs.
func (f *factory) lines(ctx context.Context) (float64, error) {
	batch, err := f.feed(ctx)
	if err != nil {
		return 0, err
	}
	w, err := worker.New(worker.Config{
		BatchSlots: lineSlots, InteractiveAttempts: 4, BatchAttempts: 8, RetryBase: time.Second, RetryMax: time.Minute,
		GenerationLimit: time.Minute, PublishLimit: time.Minute, DrainLimit: time.Second, UpstreamURL: f.model,
	}, f.back, f.log)
	if err != nil {
		return 0, err
	}
	done, left := make(chan struct{}), f.n
	stop, err := f.back.Bell.OnBatch(func(ref completion.Ref, lines []int) {
		if ref == batch && left > 0 {
			if left -= len(lines); left <= 0 {
				close(done)
			}
		}
	})
	if err != nil {
		return 0, err
	}
	defer stop()
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- w.Run(running) }()
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	took := time.Since(began)
	end()
	return float64(f.n) / took.Seconds(), errors.Join(err, <-ended, f.check(ctx, batch))
}

// feed makes the lines of a new batch wait for a worker, as the API does it.
func (f *factory) feed(ctx context.Context) (completion.Ref, error) {
	now := time.Now()
	batch := completion.Batch{ID: completion.NewBatchID(), Tenant: "bench"}
	tasks := make([]completion.Task, f.n)
	for i := range tasks {
		job := completion.Job{
			ID: batch.LineJobID(i + 1), Tenant: batch.Tenant, Lane: completion.LaneBatch, State: completion.Queued, Model: modelName,
			Batch: batch.ID, Line: i + 1, CustomID: fmt.Sprint("line-", i+1), CreatedAt: now, UpdatedAt: now, Deadline: now.Add(time.Hour),
			Request: []byte(request),
		}
		if _, _, err := f.back.Store.Add(ctx, &job); err != nil {
			return completion.Ref{}, err
		}
		tasks[i] = job.Task()
	}
	return batch.Ref(), errors.Join(f.back.Queue.EnqueueAll(ctx, tasks)...)
}

// check reports lines that were not answered.
func (f *factory) check(ctx context.Context, batch completion.Ref) error {
	counts, err := f.back.Store.CountLines(ctx, batch)
	if err == nil && counts[completion.Completed] != f.n {
		err = fmt.Errorf("of %d lines: %v", f.n, counts)
	}
	return err
}
