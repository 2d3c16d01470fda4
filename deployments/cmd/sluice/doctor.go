package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"

	"sluice/deployments/standalone"
	"sluice/migrations"
	"sluice/shared/backend"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/store"
)

type doctorCmd struct {
	remote
	DatabaseURL string `name:"database-url" env:"SLUICE_DATABASE_URL" secret:"url" help:"PostgreSQL to check; none for the all-in-one."`
	RedisURL    string `name:"redis-url" env:"SLUICE_REDIS_URL" secret:"url" help:"Redis to check; none for the all-in-one."`
	NATSURL     string `name:"nats-url" env:"SLUICE_NATS_URL" help:"NATS to check; none for the all-in-one."`
	NATSCreds   string `name:"nats-creds" env:"SLUICE_NATS_CREDS" placeholder:"FILE" help:"Who connects to it."`
	NATSCA      string `name:"nats-ca" env:"SLUICE_NATS_CA" placeholder:"FILE" help:"Certificates that its certificate may be signed by."`
	UpstreamURL string `name:"upstream-url" env:"OPENAI_BASE_URL" help:"Upstream to check."`
	UpstreamKey string `env:"OPENAI_API_KEY" secret:"" help:"Its key."`
}

// checkLimit bounds each check.
const checkLimit = 5 * time.Second

// check is one thing that may be wrong.
type check struct {
	name string
	skip string // why it is not checked; empty: it is
	run  func(context.Context) (found string, err error)
	hint string // what to do if it fails; empty: the error says so
}

// Run is kong's.
func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	failed := 0
	for _, check := range c.checks(t) {
		if check.skip != "" {
			fmt.Fprintf(t.out, "-     %-12s %s\n", check.name, check.skip)
			continue
		}
		limited, cancel := context.WithTimeout(ctx, checkLimit)
		found, err := check.run(limited)
		cancel()
		if err != nil {
			failed++
			fmt.Fprintf(t.out, "FAIL  %-12s %v\n", check.name, err)
			if check.hint != "" {
				fmt.Fprintf(t.out, "      %-12s %s\n", "", check.hint)
			}
			continue
		}
		fmt.Fprintf(t.out, "ok    %-12s %s\n", check.name, found)
	}
	if failed > 0 {
		return &exitError{1, fmt.Errorf("%d of the checks failed", failed)}
	}
	return nil
}

func (c *doctorCmd) checks(t *terminal) []check {
	folder, key := "", ""
	if c.DatabaseURL != "" {
		folder = "SLUICE_DATABASE_URL is set; only the all-in-one has one"
		if given, err := c.key(t); err == nil && given == "" {
			key = "SLUICE_API_KEY is not set; the programs need none"
		}
	}
	unset := func(value, name string) string {
		if value == "" {
			return name + " is not set; the all-in-one has its own"
		}
		return ""
	}
	checks := []check{
		{"API", "", c.checkAPI, ""},
		{"API key", key, func(ctx context.Context) (string, error) { return c.checkKey(ctx, t) }, ""},
		{"data folder", folder, c.checkData, ""},
		{"PostgreSQL", unset(c.DatabaseURL, "SLUICE_DATABASE_URL"), c.checkDatabase, "Check SLUICE_DATABASE_URL, and run migrate up."},
		{"Redis", unset(c.RedisURL, "SLUICE_REDIS_URL"), c.checkRedis, "Check SLUICE_REDIS_URL, and set maxmemory-policy to noeviction."},
		{"queue", unset(c.RedisURL, "SLUICE_REDIS_URL"), c.checkQueue, "They do not run and do no harm; delete them with: asynq task deleteall --queue LANE --state archived"},
		{"NATS", unset(c.NATSURL, "SLUICE_NATS_URL"), c.checkNATS, "Check SLUICE_NATS_URL and SLUICE_NATS_CREDS, and that the server runs with the nats.conf of sluice nats init."},
		{"upstream", "", c.checkUpstream, ""},
	}
	if c.UpstreamURL == "" && c.UpstreamKey == "" {
		checks[len(checks)-1].skip = "neither OPENAI_API_KEY nor OPENAI_BASE_URL is set; the all-in-one uses the simulated model"
	}
	return checks
}

func (c *doctorCmd) checkAPI(ctx context.Context) (string, error) {
	status, body, err := fetch(ctx, c.API+"/readyz", "")
	switch {
	case err != nil:
		return "", advise(err)
	case !gjson.ValidBytes(body):
		return "", advise(&client.Error{Status: status})
	case status != http.StatusOK:
		return "", fmt.Errorf("%s is not ready: %s", c.API, gist(body))
	}
	return c.API + " is ready", nil
}

func (c *doctorCmd) checkKey(ctx context.Context, t *terminal) (string, error) {
	api, err := c.client(t)
	if err != nil {
		return "", err
	}
	_, _, err = api.List(ctx, client.Query{Limit: 1})
	var refused *client.Error
	var away *url.Error
	if errors.As(err, &away) {
		return "", errors.New("cannot be checked: the API does not answer")
	}
	if errors.As(err, &refused) && refused.Code == string(completion.CodeScope) {
		return "is accepted, and may not read", nil
	}
	if err != nil {
		return "", advise(err)
	}
	return "is accepted", nil
}

func (c *doctorCmd) checkData(ctx context.Context) (string, error) {
	return standalone.CheckData(ctx, c.DataDir)
}

func (c *doctorCmd) checkUpstream(ctx context.Context) (string, error) {
	return checkUpstream(ctx, c.UpstreamURL, c.UpstreamKey)
}

func (c *doctorCmd) checkDatabase(ctx context.Context) (string, error) {
	db, err := store.OpenPostgres(c.DatabaseURL)
	if err != nil {
		return "", err
	}
	defer db.Close()
	list, err := migrations.Status(ctx, db)
	if err != nil {
		return "", err
	}
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			return "", fmt.Errorf("migration %s is not applied", m.Name)
		}
	}
	return fmt.Sprintf("all %d migrations are applied", len(list)), nil
}

func (c *doctorCmd) checkRedis(ctx context.Context) (string, error) {
	rc, err := queue.Open(c.RedisURL, 1)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	if err := rc.Ping(ctx).Err(); err != nil {
		return "", err
	}
	policy, err := rc.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return "answers (its settings cannot be read)", nil // hosted servers refuse CONFIG; that is no fault
	}
	if p := policy["maxmemory-policy"]; p != "noeviction" {
		return "", fmt.Errorf("maxmemory-policy is %s: it may throw tasks away", p)
	}
	return "answers, and evicts nothing", nil
}

// checkQueue shows the tasks that nobody can read.
func (c *doctorCmd) checkQueue(ctx context.Context) (string, error) {
	rc, err := queue.Open(c.RedisURL, 1)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	var errs []error
	for _, lane := range completion.Lanes {
		list, err := queue.NewClient(rc, nil).Poison(ctx, lane)
		if err != nil {
			return "", err
		}
		for _, p := range list {
			errs = append(errs, fmt.Errorf("lane %s: task %s of %s cannot be read: %s", lane, p.ID, p.At.Local().Format(time.DateTime), p.Why))
		}
	}
	return "every task can be read", errors.Join(errs...)
}

func (c *doctorCmd) checkNATS(ctx context.Context) (string, error) {
	options, err := backend.NATS{Creds: c.NATSCreds, CA: c.NATSCA}.Options()
	if err != nil {
		return "", err
	}
	nc, err := nats.Connect(c.NATSURL, append(options, nats.Timeout(checkLimit))...)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", fmt.Errorf("JetStream: %w", err)
	}
	info, err := js.AccountInfo(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", errors.New("JetStream does not answer")
	}
	if err != nil {
		return "", fmt.Errorf("JetStream: %w", err)
	}
	return fmt.Sprintf("%s has JetStream with %d streams", nc.ConnectedServerVersion(), info.Streams), nil
}
