package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"sluice/deployments/standalone"
	"sluice/shared/config"
	"sluice/shared/telemetry"
)

type upCmd struct {
	config.File
	telemetry.Config `embed:""`
	Server           standalone.Config `embed:""`
}

// Validate is kong's.
func (c *upCmd) Validate() error { return c.Server.Validate() }

// Run is kong's.
func (c *upCmd) Run(ctx context.Context, t *terminal) error {
	log, err := c.Logger(t.err)
	if err != nil {
		return err
	}
	traces, err := telemetry.OpenTraces(ctx, "sluice", log)
	if err != nil {
		return err
	}
	defer traces.Close()
	c.Server.Tracer = traces.Tracer()
	s, err := standalone.New(ctx, c.Server, log)
	if err != nil {
		return err
	}
	c.greet(t, s)
	c.warn(ctx, t, s)
	err = s.Run(ctx)
	fmt.Fprintln(t.out, "stopped; what was unfinished goes on at the next start")
	return err
}

// warnLimit is how long the start waits for the upstream to say that it is there.
const warnLimit = 3 * time.Second

// warn says what is wrong with a real upstream. The server starts all the same: jobs wait, and it may come.
func (c *upCmd) warn(ctx context.Context, t *terminal, s *standalone.Standalone) {
	if s.Simulated() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, warnLimit)
	defer cancel()
	if _, err := checkUpstream(ctx, c.Server.Worker.UpstreamURL, c.Server.Worker.UpstreamKey); err != nil && ctx.Err() != context.Canceled {
		fmt.Fprintf(t.err, "sluice: warning: %v\n", err)
	}
}

// greet prints where everything is and what to do next.
func (c *upCmd) greet(t *terminal, s *standalone.Standalone) {
	model := "gpt-4o-mini"
	if s.Simulated() {
		model = "sim"
		fmt.Fprint(t.out, `
  *** SIMULATED MODEL: answers are made up on this machine, no LLM is asked. ***
  *** Set OPENAI_API_KEY, or OPENAI_BASE_URL for any OpenAI-compatible server. ***
`)
	}
	ask := "bin/sluice ask"
	if s.HTTPURL() != defaultAPI {
		ask += " --api " + s.HTTPURL()
	}
	key, header, with, page := "", "", "", s.HTTPURL()+"/"
	if s.Key() != "" {
		file := filepath.Join(c.Server.DataDir, standalone.KeyFile)
		if c.Server.DataDir != defaultData {
			ask = "SLUICE_DATA_DIR=" + quote(c.Server.DataDir) + " " + ask
		}
		key = fmt.Sprintf("  API key    %s   (in %s, tenant %s)\n", s.Key(), file, c.Server.Tenant)
		with = ", with this API key"
		page += "#key=" + s.Key()
		header = fmt.Sprintf("-H \"Authorization: Bearer $(cat %s)\" ", quote(file))
	}
	private := ""
	if s.PrivateAddr() != "" {
		private = "  metrics    http://" + s.PrivateAddr() + "/metrics   (for you alone, never for clients)\n"
	}
	fmt.Fprintf(t.out, `
  page       %[10]s
  API        %[1]s   (reference: %[1]s/docs)
  NATS       %[2]s
  WebSocket  %[3]s
  data       %[4]s
%[11]s%[7]s
Talk to it in a browser, at the page's address; or from another terminal:

  %[5]s --model %[6]s "hello"

  curl -s %[1]s/v1/jobs %[8]s-H 'Content-Type: application/json' \
    -d '{"request":{"model":"%[6]s","messages":[{"role":"user","content":"hello"}]}}'

Or point a program that uses an OpenAI SDK to the base address %[1]s/v1%[9]s.

Ctrl-C stops.

`, s.HTTPURL(), s.NATSURL(), s.WebSocketURL(), c.Server.DataDir, ask, model, key, header, with, page, private)
}
