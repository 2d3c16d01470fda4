package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/deployments/internal/postgres"
)

// cluster is the product as separate programs, an api and a worker with their default settings, over servers of its own:
// a PostgreSQL that is as durable as it comes, a redis-server that keeps nothing on disk, a nats-server, and the simulated
// model as upstream.
type cluster struct {
	product
	dir      string
	env      []string // of every program
	secrets  string   // folder with the programs' NATS users
	socket   string   // of Redis
	redis    *redis.Client
	database *postgres.Server

	natsURL string

	sim, apiProcess, workerProcess, redisProcess, natsProcess *process
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

// openCluster starts everything.
func openCluster(ctx context.Context, s *site) (_ *cluster, err error) {
	c := &cluster{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	s.note("build and start an api, a worker and their servers")
	if err := s.build(ctx, clusterPrograms...); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(s.dir, "c"); err != nil {
		return nil, fmt.Errorf("make a folder for the cluster: %w", err)
	}
	for _, begin := range []func(context.Context, *site) error{
		c.startPostgres, c.startRedis, c.startNATS, c.startModel, c.migrate, c.startWorker, c.startAPI,
	} {
		if err := begin(ctx, s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// clusterPrograms are those that a cluster runs, besides sluice.
var clusterPrograms = []string{
	"sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate", "sluice/deployments/bench/ceiling",
	"github.com/nats-io/nats-server/v2",
}

// ask runs a program to its end and returns what it printed.
func (c *cluster) ask(ctx context.Context, s *site, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.program(program), args...)
	cmd.Env = append(environment(), c.env...)
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
	c.database, err = postgres.New(ctx, s.Postgres, "fsync=on", "full_page_writes=on")
	if err != nil {
		return err
	}
	c.stops = append(c.stops, func() { _ = c.database.Close() }) // its folder is a temporary one
	c.env = append(c.env, "SLUICE_DATABASE_URL="+c.database.URL(), "SLUICE_PRIVATE_ADDR=127.0.0.1:0")
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
	if _, err := c.redisProcess.find(ctx, "ready to accept connections"); err != nil {
		return err
	}
	c.redis = redis.NewClient(&redis.Options{Network: "unix", Addr: c.socket})
	c.stops = append(c.stops, func() { _ = c.redis.Close() }) // fails only if closed already
	c.env = append(c.env, "SLUICE_REDIS_URL="+c.redisURL())
	return nil
}

func (c *cluster) redisURL() string { return "unix://" + c.socket }

func (c *cluster) startNATS(ctx context.Context, s *site) (err error) {
	listen, websocket := freeAddr(), freeAddr()
	c.secrets = filepath.Join(c.dir, "keys")
	if _, err := c.ask(ctx, s, "sluice", "nats", "init", c.secrets, "--listen", listen, "--websocket", websocket, "--store-dir", filepath.Join(c.dir, "jetstream")); err != nil {
		return err
	}
	if c.natsProcess, err = c.start(s, "nats-server", nil, "-c", filepath.Join(c.secrets, "nats.conf")); err != nil {
		return err
	}
	c.natsURL = "nats://" + listen
	c.env = append(c.env, "SLUICE_NATS_URL="+c.natsURL)
	_, err = c.natsProcess.find(ctx, "Server is ready")
	return err
}

// freeAddr is a loopback address that nobody listens at. The port lies below those that the system gives to clients.
func freeAddr() string {
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		listener, err := net.Listen("tcp", addr) //nolint:noctx // it returns at once
		if err == nil && listener.Close() == nil {
			return addr
		}
	}
}

func (c *cluster) startModel(ctx context.Context, s *site) (err error) {
	if c.sim, err = c.startSim(ctx, s); err == nil {
		c.env = append(c.env, "OPENAI_BASE_URL="+c.model.url)
	}
	return err
}

// migrate makes the schema.
func (c *cluster) migrate(ctx context.Context, s *site) error {
	_, err := c.ask(ctx, s, "migrate", "up")
	return err
}

// as is the environment of a program that connects to NATS as the role.
func (c *cluster) as(role string, more ...string) []string {
	return slices.Concat(c.env, []string{
		"SLUICE_NATS_CREDS=" + filepath.Join(c.secrets, role+".creds"), "SLUICE_NATS_SIGNING_KEYS=" + filepath.Join(c.secrets, "signing.json"),
	}, more)
}

func (c *cluster) startWorker(ctx context.Context, s *site) (err error) {
	if c.workerProcess, err = c.start(s, "worker", c.as("worker")); err != nil {
		return err
	}
	_, err = c.workerProcess.find(ctx, "worker ready")
	return err
}

// startAPI starts it, waits until it can accept jobs, and makes its clients.
func (c *cluster) startAPI(ctx context.Context, s *site) (err error) {
	c.apiProcess, err = c.start(s, "api", c.as("api", "SLUICE_HTTP_ADDR=127.0.0.1:0", "SLUICE_CREDENTIAL_TTL=24h", "SLUICE_FILES_DIR="+filepath.Join(c.dir, "files")))
	if err != nil {
		return err
	}
	at, err := c.apiProcess.find(ctx, `msg=listening addr=(\S+)`)
	if err != nil {
		return err
	}
	url := "http://" + at[1]
	key, err := c.ask(ctx, s, "sluice", "keys", "create", "--tenant", tenant, "--scope", "submit,read,admin")
	if err != nil {
		return err
	}
	if err := c.ready(ctx, url+"/readyz"); err != nil {
		return err
	}
	return c.connect(ctx, url, c.natsURL, key)
}

// ready waits until the api says that it can accept jobs.
func (c *cluster) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("the api is not ready after %s:\n%s", startLimit, &c.apiProcess.out))
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("ask whether the api is ready: %w", err)
		}
		if resp, err := c.model.http.Do(req); err == nil {
			_ = resp.Body.Close() // the status says it all
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
