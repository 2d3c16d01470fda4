package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"sluice/deployments/internal/postgres"
	"sluice/deployments/internal/process"
	"sluice/shared/store"
)

// cluster is the product as separate programs over servers of its own: a PostgreSQL that is as durable as it comes, a
// redis-server that keeps nothing on disk, a nats-server, and the simulated model as upstream. The servers run as long as
// the benchmark; install starts an api and workers on them, over an empty database.
type cluster struct {
	product
	dir       string
	servers   int      // how many of stops belong to the servers
	env       []string // of every program, save for the database
	address   string   // of the database of the installation
	databases int      // made so far
	secrets   string   // folder with the programs' NATS users
	socket    string   // of Redis
	redis     *redis.Client
	database  *postgres.Server

	natsURL, websocketURL string

	sim, apiProcess, redisProcess, natsProcess *child

	workers []*child
}

// lacking reports whether a cluster cannot be measured here, and says so in the row.
func (s *site) lacking(r *Report, row string) bool {
	why := s.lacks()
	if why != "" {
		r.Rows = append(r.Rows, absent(row, why))
	}
	return why != ""
}

// lacks says why a cluster cannot be measured here; empty: it can.
func (s *site) lacks() string {
	if s.Postgres == "" {
		return "needs a PostgreSQL server; run by make bench"
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "needs redis-server in PATH"
	}
	if _, err := usageOf(os.Getpid()); err != nil {
		return "needs Linux"
	}
	return ""
}

// cluster returns the one that all benches share, and starts its servers when it is first asked for.
func (s *site) cluster(ctx context.Context) (_ *cluster, err error) {
	if s.shared != nil {
		return s.shared, nil
	}
	c := &cluster{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	s.note("start PostgreSQL, Redis, NATS and the simulated model")
	if c.dir, err = os.MkdirTemp(s.dir, "c"); err != nil {
		return nil, fmt.Errorf("make a folder for the cluster: %w", err)
	}
	for _, begin := range []func(context.Context, *site) error{c.startPostgres, c.startRedis, c.startNATS, c.startModel} {
		if err := begin(ctx, s); err != nil {
			return nil, err
		}
	}
	c.servers, s.shared = len(c.stops), c
	return c, nil
}

// setup is how an installation is made. The zero value is an api and a worker with their default settings.
type setup struct {
	database string   // that is there already; empty: a new one
	workers  []string // environment of the workers
	none     bool     // no worker
}

// install starts the product on the servers; the caller leaves it before another is installed.
func (s *site) install(ctx context.Context, with setup) (c *cluster, err error) {
	if c, err = s.cluster(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.leave()
		}
	}()
	if c.address = with.database; c.address == "" {
		if c.address, err = c.newDatabase(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := c.redis.FlushAll(ctx).Err(); err != nil {
		return nil, fmt.Errorf("empty Redis: %w", err)
	}
	if !with.none {
		if _, err := c.startWorker(ctx, s, with.workers...); err != nil {
			return nil, err
		}
	}
	return c, c.startAPI(ctx, s)
}

// leave ends the installation; the servers go on.
func (c *cluster) leave() {
	for _, stop := range slices.Backward(c.stops[c.servers:]) {
		stop()
	}
	c.stops, c.workers, c.apiProcess = c.stops[:c.servers], nil, nil
}

// newDatabase makes an empty database with the schema and returns its address.
func (c *cluster) newDatabase(ctx context.Context, s *site) (string, error) {
	c.databases++
	name := "bench" + strconv.Itoa(c.databases)
	db, err := store.OpenPostgres(c.database.URL())
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	address := strings.Replace(c.database.URL(), "/postgres?", "/"+name+"?", 1)
	_, err = c.ask(ctx, s, address, "migrate", "up")
	return address, err
}

// ask runs a program over a database to its end and returns what it printed.
func (c *cluster) ask(ctx context.Context, s *site, database, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.program(program), args...)
	cmd.Env = process.Environment(append(c.env[:len(c.env):len(c.env)], "SLUICE_DATABASE_URL="+database)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("run %s: %w", program, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// startPostgres starts it with what makes commits durable switched on, which internal/postgres leaves off.
func (c *cluster) startPostgres(ctx context.Context, s *site) (err error) {
	c.database, err = postgres.New(ctx, s.Postgres, "fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB")
	if err != nil {
		return err
	}
	c.stops = append(c.stops, func() { _ = c.database.Close() }) // its folder is a temporary one
	return nil
}

func (c *cluster) startRedis(ctx context.Context, s *site) (err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("find Redis: %w", err)
	}
	c.socket = filepath.Join(c.dir, "redis")
	if c.redisProcess, err = c.start(s, program, nil, "--port", "0", "--unixsocket", c.socket, "--dir", c.dir, "--save", "", "--appendonly", "no"); err != nil {
		return err
	}
	if _, err := c.redisProcess.Find(ctx, "ready to accept connections"); err != nil {
		return err
	}
	c.redis = redis.NewClient(&redis.Options{Network: "unix", Addr: c.socket})
	c.stops = append(c.stops, func() { _ = c.redis.Close() }) // fails only if closed already
	c.env = append(c.env, "SLUICE_REDIS_URL="+c.redisURL())
	return nil
}

func (c *cluster) redisURL() string { return "unix://" + c.socket }

func (c *cluster) startNATS(ctx context.Context, s *site) (err error) {
	listen, websocket := process.FreeAddr(), process.FreeAddr()
	c.secrets = filepath.Join(c.dir, "keys")
	if _, err := c.ask(ctx, s, "", "sluice", "nats", "init", c.secrets, "--listen", listen, "--websocket", websocket, "--store-dir", filepath.Join(c.dir, "jetstream")); err != nil {
		return err
	}
	if c.natsProcess, err = c.start(s, "nats-server", nil, "-c", filepath.Join(c.secrets, "nats.conf")); err != nil {
		return err
	}
	c.natsURL, c.websocketURL = "nats://"+listen, "ws://"+websocket
	c.env = append(c.env, "SLUICE_NATS_URL="+c.natsURL)
	_, err = c.natsProcess.Find(ctx, "Server is ready")
	return err
}

func (c *cluster) startModel(ctx context.Context, s *site) (err error) {
	if c.sim, err = c.startSim(ctx, s); err == nil {
		c.env = append(c.env, "OPENAI_BASE_URL="+c.model.url)
	}
	return err
}

// as is the environment of a program that connects to NATS as the role.
func (c *cluster) as(role string, more ...string) []string {
	return slices.Concat(c.env, []string{
		"SLUICE_DATABASE_URL=" + c.address, "SLUICE_PRIVATE_ADDR=" + process.FreeAddr(),
		"SLUICE_NATS_CREDS=" + filepath.Join(c.secrets, role+".creds"), "SLUICE_NATS_SIGNING_KEYS=" + filepath.Join(c.secrets, "signing.json"),
	}, more)
}

// startWorker starts one more worker, with these settings.
func (c *cluster) startWorker(ctx context.Context, s *site, env ...string) (*child, error) {
	w, err := c.start(s, "worker", c.as("worker", env...))
	if err != nil {
		return nil, err
	}
	c.workers = append(c.workers, w)
	_, err = w.Find(ctx, "worker ready")
	return w, err
}

// startAPI starts it and makes its clients.
func (c *cluster) startAPI(ctx context.Context, s *site) (err error) {
	if c.apiProcess, err = c.bareAPI(ctx, s); err != nil {
		return err
	}
	key, err := c.ask(ctx, s, c.address, "sluice", "keys", "create", "--tenant", tenant, "--scope", "submit,read,admin")
	if err != nil {
		return err
	}
	return c.connect(ctx, c.apiProcess.url, c.natsURL, key)
}

// bareAPI starts an api and waits until it can accept jobs.
func (c *cluster) bareAPI(ctx context.Context, s *site) (*child, error) {
	p, err := c.start(s, "api", c.as("api", "SLUICE_HTTP_ADDR=127.0.0.1:0", "SLUICE_CREDENTIAL_TTL=24h", "SLUICE_FILES_DIR="+filepath.Join(c.dir, "files")))
	if err != nil {
		return nil, err
	}
	at, err := p.Find(ctx, `msg=listening addr=(\S+)`)
	if err != nil {
		return nil, err
	}
	p.url = "http://" + at[1]
	return p, c.ready(ctx, p)
}

// ready waits until an api says that it can accept jobs.
func (c *cluster) ready(ctx context.Context, p *child) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask whether the api is ready: %w", err)
	}
	return p.Await(ctx, func() bool {
		resp, err := c.model.http.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close() // the status says it all
		return resp.StatusCode == http.StatusOK
	})
}
