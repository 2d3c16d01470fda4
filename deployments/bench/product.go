package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
)

// product is an installation in processes of its own, over the simulated model in another: openProduct's is the
// all-in-one.
type product struct {
	api   *client.Client
	nats  *nats.Conn // a viewer's, without credentials
	model *model     // asked directly
	chat  *model     // the same through the product's OpenAI endpoint
	stops []func()
}

func openProduct(ctx context.Context, s *site) (_ *product, err error) {
	p := &product{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	s.note("start the simulated model and the all-in-one")
	if _, err := p.startSim(ctx, s); err != nil {
		return nil, err
	}
	up, err := p.start(s, "sluice", allInOne(p.model.url, filepath.Join(s.dir, "data")), "up")
	if err != nil {
		return nil, err
	}
	at, err := up.Find(ctx, `API +(\S+)[^\n]*\n *NATS +(\S+)\n(?s:.*)API key +(\S+)(?s:.*)worker ready`)
	if err != nil {
		return nil, err
	}
	if err := p.connect(ctx, at[1], at[2], at[3]); err != nil {
		return nil, err
	}
	return p, nil
}

// allInOne is the environment of one over an upstream, with its data in a folder.
func allInOne(upstream, folder string) []string {
	return []string{
		"OPENAI_BASE_URL=" + upstream, "SLUICE_DATA_DIR=" + folder, "SLUICE_HTTP_ADDR=127.0.0.1:0",
		"SLUICE_NATS_ADDR=127.0.0.1:0", "SLUICE_WEBSOCKET_ADDR=127.0.0.1:0", "SLUICE_CREDENTIAL_TTL=24h",
	}
}

// startSim starts the simulated model.
func (p *product) startSim(ctx context.Context, s *site) (*child, error) {
	sim, err := p.start(s, "sluice", []string{"SLUICE_SIM_ADDR=127.0.0.1:0"}, "sim")
	if err != nil {
		return nil, err
	}
	at, err := sim.Find(ctx, `simulated model at (\S+/v1)`)
	if err != nil {
		return nil, err
	}
	p.model = &model{url: at[1], http: keepAlive()}
	return sim, nil
}

// connect makes the clients of an API at url: one that shows the key, and a viewer of everything over NATS.
func (p *product) connect(ctx context.Context, url, natsURL, key string) error {
	api, err := client.New(url, keepAlive())
	if err != nil {
		return err
	}
	p.api = api.WithKey(key)
	p.chat = &model{url: url + "/v1", key: key, http: keepAlive()}
	all, err := p.api.TenantCredential(ctx)
	if err != nil {
		return err
	}
	who := credential.Bearer(func() (string, error) { return all.Credential, nil })
	if p.nats, err = nats.Connect(natsURL, append(who, nats.Name("bench"))...); err != nil {
		return fmt.Errorf("connect to %s: %w", natsURL, err)
	}
	p.stops = append(p.stops, p.nats.Close)
	return nil
}

// start starts one of the site's programs, or one of the system's by its path; it is stopped with the product.
func (p *product) start(s *site, program string, env []string, args ...string) (*child, error) {
	if !filepath.IsAbs(program) {
		program = s.program(program)
	}
	child, err := start(program, env, args...)
	if err != nil {
		return nil, err
	}
	p.stops = append(p.stops, func() { child.Stop() })
	for _, pair := range env {
		if addr, ok := strings.CutPrefix(pair, "SLUICE_PRIVATE_ADDR="); ok {
			child.private = addr
		}
	}
	return child, nil
}

// close stops everything, in the reverse order of starting.
func (p *product) close() {
	for _, stop := range slices.Backward(p.stops) {
		stop()
	}
	p.stops = nil
}

// submit hands in the job that every sample is about.
func (p *product) submit(ctx context.Context) (client.Job, error) {
	return p.api.Submit(ctx, client.Submission{Request: []byte(request)})
}

// streamed is the time until the first text in the job's server-sent events, which are asked for when the job's id is
// known. It reads to the end.
func (p *product) streamed(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	job, err := p.submit(ctx)
	if err != nil {
		return 0, err
	}
	for e, err := range p.api.Follow(ctx, job.ID, 0) {
		if err != nil {
			return 0, err
		}
		if took == 0 && tells(e) {
			took = time.Since(began)
		}
	}
	return spoken(took)
}

// viewed is the time until the first text at a native subscriber that subscribes to the job's own subject when it has
// the answer, and asks for a replay of what it missed.
func (p *product) viewed(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	job, err := p.submit(ctx)
	if err != nil {
		return 0, err
	}
	for r, err := range eventlog.View(ctx, p.nats, refOf(job), 0) {
		if err != nil {
			return 0, err
		}
		e, err := r.Event()
		if err != nil {
			return 0, err
		}
		if took == 0 && tells(e) {
			took = time.Since(began)
		}
	}
	return spoken(took)
}

// tells reports whether an event brings text.
func tells(e completion.Event) bool {
	return slices.ContainsFunc(e.Chunks, speaks)
}

func spoken(took time.Duration) (time.Duration, error) {
	if took == 0 {
		return 0, errSilent
	}
	return took, nil
}
