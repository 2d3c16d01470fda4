package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"sluice/shared/store"
)

// aimSubmits is the part of the slower one's speed, of PostgreSQL and Asynq, that accepting a job shall have: it does both.
const aimSubmits = 0.6

// submits measures how many jobs an api accepts per second, each one committed to disk and enqueued, beside PostgreSQL alone
// with a row for each transaction, and Asynq alone. No worker runs meanwhile.
func submits(ctx context.Context, s *site, r *Report) error {
	const name = "jobs accepted by POST /v1/jobs"
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{none: true})
	if err != nil {
		return err
	}
	defer c.leave()
	bench, err := c.openPgbench(ctx, s)
	if err != nil {
		return err
	}
	s.note("accept jobs, beside pgbench and Asynq")
	var accepted, inserted, enqueued []float64
	var spent []map[string]time.Duration
	err = s.turns(ctx, s.Rounds,
		func(ctx context.Context) error {
			var rate float64
			used, err := c.spent(func() error {
				began := time.Now()
				_, err := c.submitAll(ctx, s.Jobs, modelName)
				rate = perSecond(s.Jobs, began)
				return err
			})
			accepted, spent = append(accepted, rate), append(spent, used)
			return err
		},
		func(ctx context.Context) error {
			rate, err := bench.run(ctx, s.Jobs)
			inserted = append(inserted, rate)
			return err
		},
		func(ctx context.Context) error {
			began := time.Now()
			err := c.enqueue(ctx, s.Jobs)()
			enqueued = append(enqueued, perSecond(s.Jobs, began))
			return errors.Join(err, asynq.NewInspectorFromRedisClient(c.redis).DeleteQueue(plainQueue, true))
		})
	if err != nil {
		return err
	}
	slower := make([]float64, len(inserted))
	for i := range slower {
		slower[i] = min(inserted[i], enqueued[i])
	}
	r.Rows = append(r.Rows,
		ratio(name+", beside the slower of the next two", "per s", accepted, slower).atLeast(aimSubmits),
		plain("… PostgreSQL alone, a row for each transaction (pgbench)", "per s", inserted...),
		plain("… Asynq alone, tasks enqueued", "per s", enqueued...))
	r.Costs = append(r.Costs, cost("a job accepted", spent, repeat(float64(s.Jobs), len(spent))))
	return nil
}

func repeat(v float64, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// pgbench is PostgreSQL's own load generator, which inserts a row of a job's size in each transaction.
type pgbench struct{ program, script, address string }

func (c *cluster) openPgbench(ctx context.Context, s *site) (*pgbench, error) {
	server, err := filepath.EvalSymlinks(s.Postgres)
	if err != nil {
		return nil, fmt.Errorf("find pgbench: %w", err)
	}
	b := &pgbench{program: filepath.Join(filepath.Dir(server), "pgbench"), script: filepath.Join(c.dir, "insert.sql"), address: c.address}
	if err := os.WriteFile(b.script, []byte("INSERT INTO bare (id, body) VALUES (gen_random_uuid(), '"+strings.Repeat("body ", 60)+"');\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write pgbench's script: %w", err)
	}
	db, err := store.OpenPostgres(c.address)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE bare (id uuid PRIMARY KEY, body text NOT NULL)"); err != nil {
		return nil, fmt.Errorf("make pgbench's table: %w", err)
	}
	return b, nil
}

var transactions = regexp.MustCompile(`tps = ([0-9.]+)`)

// run inserts about n rows by as many clients as ask the api, and returns how many it inserted per second.
func (b *pgbench) run(ctx context.Context, n int) (float64, error) {
	clients := min(askers, n)
	cmd := exec.CommandContext(ctx, b.program, "--no-vacuum", "--protocol=prepared", "--jobs=2", "--file="+b.script,
		"--client="+strconv.Itoa(clients), "--transactions="+strconv.Itoa(max(n/clients, 1)), b.address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("run pgbench: %w: %s", err, out)
	}
	m := transactions.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("run pgbench: it says %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
