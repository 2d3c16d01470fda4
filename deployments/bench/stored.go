package main

import (
	"context"
	"fmt"
	"time"

	"sluice/shared/store"
)

const (
	// aimFlat is how much more a job may cost, or take, with very many jobs stored than with a few.
	aimFlat = 1.2
	// fewStored is how many are a few.
	fewStored = 1000
	// stockStep is how many rows are inserted by one statement.
	stockStep = 100_000
)

// stored measures whether a job costs more, or takes longer, when very many are stored already.
func stored(ctx context.Context, s *site, r *Report) error {
	name := fmt.Sprintf("submit to first delta with %d jobs stored, beside %d, p50", s.Stored, fewStored)
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	var took [2]series
	var spent [2][]map[string]time.Duration
	var sides []func(context.Context) error
	for i, n := range []int{fewStored, s.Stored} {
		s.note("store %d jobs", n)
		address, err := c.stocked(ctx, s, n)
		if err != nil {
			return err
		}
		sides = append(sides, func(ctx context.Context) error {
			samples, used, err := s.over(ctx, address)
			took[i], spent[i] = append(took[i], samples), append(spent[i], used)
			return err
		})
	}
	if err := s.turns(ctx, s.Rounds, sides...); err != nil {
		return err
	}
	row := func(name string, p float64) Row {
		return ratio(name, "ms", took[1].percentiles(p), took[0].percentiles(p))
	}
	n := repeat(float64(s.Requests), len(spent[0]))
	r.Rows = append(r.Rows,
		row(name, 0.50).below(aimFlat), row("… p99", 0.99),
		ratio("… CPU time of a job", "ms", total(spent[1], s.Requests), total(spent[0], s.Requests)).below(aimFlat))
	r.Costs = append(r.Costs,
		cost(fmt.Sprintf("a job at %g per s, %d stored", s.Rate, fewStored), spent[0], n),
		cost(fmt.Sprintf("a job at %g per s, %d stored", s.Rate, s.Stored), spent[1], n))
	return nil
}

// over takes the samples of a round in an installation over a database that is there.
func (s *site) over(ctx context.Context, database string) (samples []time.Duration, used map[string]time.Duration, err error) {
	c, err := s.install(ctx, setup{database: database})
	if err != nil {
		return nil, nil, err
	}
	defer c.leave()
	watched, err := watch(&c.product)
	if err != nil {
		return nil, nil, err
	}
	side := side{name: "stored", sample: watched.sample}
	if _, err := side.round(ctx, pace{min(warmUp, s.Requests), s.Rate}); err != nil {
		return nil, nil, err
	}
	if err := rest(ctx, s.Settle); err != nil {
		return nil, nil, err
	}
	used, err = c.spent(func() error {
		samples, err = side.round(ctx, pace{s.Requests, s.Rate})
		return err
	})
	return samples, used, err
}

// stock inserts jobs that have ended, with ids and times as if one had come every 50 ms, and 1 kB of request and result each.
const stock = `INSERT INTO job (id, tenant, lane, state, model, upstream, request, result, usage, finish_reason, attempt, created_at, updated_at, started_at, first_token_at, finished_at)
SELECT 'job_' || substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0'),
       '` + tenant + `', 'interactive', 'completed', 'sim-instant', 'default',
       convert_to('{"model":"sim-instant","messages":[{"role":"user","content":"' || repeat(md5(n::text) || ' ', 12) || '"}]}', 'UTF8'),
       convert_to('{"id":"chatcmpl-sim","object":"chat.completion","created":1,"model":"sim-instant","choices":[{"index":0,"message":{"role":"assistant","content":"' || repeat(md5((-n)::text) || ' ', 12) || '"},"finish_reason":"stop"}]}', 'UTF8'),
       convert_to('{"prompt_tokens":48,"completion_tokens":48,"total_tokens":96}', 'UTF8'), 'stop', 1, at, at, at, at, at
FROM (SELECT n, now() - n * interval '50 ms' AS at,
             lpad(to_hex((extract(epoch FROM now() - n * interval '50 ms') * 1000)::bigint), 12, '0') AS ms
      FROM generate_series(?::bigint, ?::bigint) AS n) AS past`

// stocked makes a database that has n jobs.
func (c *cluster) stocked(ctx context.Context, s *site, n int) (address string, err error) {
	if address, err = c.newDatabase(ctx, s); err != nil {
		return "", err
	}
	db, err := store.OpenPostgres(address)
	if err != nil {
		return "", err
	}
	defer db.Close()
	for from := 1; from <= n; from += stockStep {
		if _, err := db.ExecContext(ctx, stock, from, min(from+stockStep-1, n)); err != nil {
			return "", fmt.Errorf("store jobs: %w", err)
		}
	}
	for _, statement := range []string{"VACUUM ANALYZE job", "CHECKPOINT"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return "", fmt.Errorf("store jobs: %s: %w", statement, err)
		}
	}
	return address, nil
}
