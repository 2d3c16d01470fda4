package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/migrations"
	"sluice/shared/backend"
	"sluice/shared/embedded"
	"sluice/shared/queue"
	"sluice/worker"
)

const (
	idleRow = "Redis commands of an idle worker, both lanes"
	// aimIdle is how many commands per second Redis may execute for an idle worker.
	aimIdle = 20
)

// idle counts what a real redis-server executes for a worker that has nothing to do, commands inside scripts included.
// The worker runs in this process, over SQLite and the embedded NATS, which Redis does not notice.
func idle(ctx context.Context, s *site, r *Report) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		r.Rows = append(r.Rows, absent(idleRow, "needs redis-server in PATH"))
		return nil
	}
	socket := filepath.Join(s.dir, "redis")
	server, err := start(program, nil, "--port", "0", "--unixsocket", socket, "--dir", s.dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	defer server.Stop()
	if _, err := server.Find(ctx, "ready to accept connections"); err != nil {
		return err
	}
	var rate float64
	s.note("watch an idle worker for %s", s.Idle)
	err = besideWorker(ctx, s, "unix://"+socket, func() (err error) {
		rate, err = s.commands(ctx, socket)
		return err
	})
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, plain(idleRow, "per s", rate).below(aimIdle))
	return nil
}

// commands is how many commands per second the server at socket executes, without those that ask.
func (s *site) commands(ctx context.Context, socket string) (float64, error) {
	rc := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, DisableIdentity: true, PoolSize: 1})
	defer rc.Close()
	count := func() (n int, err error) {
		info, err := rc.Info(ctx, "commandstats").Result()
		return executed(info), err
	}
	if err := rest(ctx, s.Settle); err != nil {
		return 0, err
	}
	began := time.Now()
	before, err := count()
	if err != nil {
		return 0, fmt.Errorf("count commands: %w", err)
	}
	if err := rest(ctx, s.Idle); err != nil {
		return 0, err
	}
	after, err := count()
	if err != nil {
		return 0, fmt.Errorf("count commands: %w", err)
	}
	return float64(after-before) / time.Since(began).Seconds(), nil
}

var stat = regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+)`)

// executed sums the calls of all commands in Redis' commandstats, save for INFO.
func executed(info string) (n int) {
	for _, m := range stat.FindAllStringSubmatch(info, -1) {
		if m[1] == "info" {
			continue
		}
		calls, _ := strconv.Atoi(m[2]) // digits only
		n += calls
	}
	return n
}

// besideWorker runs f while a worker with the default slots runs over the Redis at url.
func besideWorker(ctx context.Context, s *site, url string, f func() error) error {
	log := slog.New(slog.DiscardHandler)
	back, free, err := idleBackend(ctx, filepath.Join(s.dir, "idle"), url, log)
	if err != nil {
		return err
	}
	defer free()
	w, err := worker.New(worker.Config{
		InteractiveSlots: 64, BatchSlots: 64, InteractiveAttempts: 4, BatchAttempts: 8, RetryBase: time.Second, RetryMax: time.Minute,
		GenerationLimit: time.Minute, PublishLimit: time.Minute, DrainLimit: time.Second, UpstreamURL: nowhere,
	}, back, log)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(running) }()
	err = f()
	stop()
	return errors.Join(err, <-ended)
}

// nowhere is an upstream that is never asked.
const nowhere = "http://127.0.0.1:9/v1"

func idleBackend(ctx context.Context, dir, url string, log *slog.Logger) (_ *backend.Backend, free func(), err error) {
	db, err := embedded.OpenSQLite(dir + ".db")
	if err != nil {
		return nil, nil, err
	}
	if _, err := migrations.Up(ctx, db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir, Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	nc, err := server.Connect()
	if err != nil {
		server.Close()
		return nil, nil, errors.Join(err, db.Close())
	}
	back, err := backend.New(backend.Servers{
		Database: db, NATS: nc, Redis: func(slots int) (redis.UniversalClient, error) { return queue.Open(url, slots) },
	}, backend.Settings{}, log)
	if err != nil {
		server.Close()
		return nil, nil, err
	}
	if err := back.Log.Setup(ctx); err != nil {
		server.Close()
		return nil, nil, errors.Join(err, back.Close())
	}
	return back, func() {
		_ = back.Close() // nothing in it is needed any more
		server.Close()
	}, nil
}

// rest waits for d or returns the cause that ended ctx.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
