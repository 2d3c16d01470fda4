//go:build linux

package compose_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// grace is what a container is given beyond the limit that its program has set for itself.
const grace = 10 * time.Second

// TestCompose_Services holds each service against what an installation needs of it.
func TestCompose_Services(t *testing.T) {
	t.Parallel()
	p := load(t, "POSTGRES_PASSWORD=p", "GRAFANA_PASSWORD=g", "OPENAI_API_KEY=k")
	adopted := map[string]bool{}
	for _, s := range p.Services {
		for name, d := range s.DependsOn {
			adopted[name] = adopted[name] || d.Condition == types.ServiceConditionCompletedSuccessfully
		}
	}
	for name, s := range p.Services {
		require.NotEmpty(t, s.Restart, name)
		require.False(t, s.ReadOnly && len(s.Secrets)+len(s.Configs) > 0, "%s: the engine could not write what is no file", name)
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s: only this machine, by default", name)
		}
		for key, value := range s.Environment {
			require.NotNil(t, value, "%s: %s comes from nowhere", name, key)
			for _, secret := range []string{"p", "g", "k"} {
				require.NotEqual(t, secret, *value, "%s: %s is a secret", name, key)
			}
		}
		if oneShot := s.Restart == "on-failure:5"; oneShot {
			require.True(t, adopted[name], "%s: somebody waits for its end", name)
			continue
		}
		if !slices.Contains([]string{"sluice", "worker-interactive", "worker-batch"}, name) {
			require.NotNil(t, s.HealthCheck, name)
		}
		for _, key := range []string{"SLUICE_DRAIN_LIMIT", "SLUICE_STOP_LIMIT"} {
			if value := s.Environment[key]; value != nil {
				own, err := time.ParseDuration(*value)
				require.NoError(t, err)
				require.GreaterOrEqual(t, time.Duration(*s.StopGracePeriod), own+grace, "%s: stop_grace_period and %s", name, key)
			}
		}
	}
	require.Equal(t, 2, *p.Services["api"].Deploy.Replicas)
	require.Equal(t, "0", *p.Services["worker-interactive"].Environment["SLUICE_BATCH_SLOTS"])
	require.Equal(t, "0", *p.Services["worker-batch"].Environment["SLUICE_INTERACTIVE_SLOTS"])
}

// TestCompose_Proxy lets the proxy check its own configuration; the other servers do when they start.
func TestCompose_Proxy(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(find(t, "haproxy"), "-c", "-f", "../../haproxy/haproxy.cfg").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestCompose_Runs starts everything, runs jobs of both lanes through the one address, kills one api, and goes on.
func TestCompose_Runs(t *testing.T) {
	t.Parallel()
	sim := modelsim.New(modelsim.Config{FirstToken: time.Millisecond, TokensPerSecond: 200})
	upstream := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); upstream.Close() })
	e := newEngine(t, "POSTGRES_PASSWORD=secret", "GRAFANA_PASSWORD=secret", "OPENAI_API_KEY=sk-upstream", "OPENAI_BASE_URL="+upstream.URL+"/v1",
		"SLUICE_PUBLIC_NATS_URL=nats://nats:4222", "SLUICE_PUBLIC_WEBSOCKET_URL=ws://nats:8081")
	for name, service := range e.project.Services {
		if len(service.Profiles) == 0 && !slices.Contains(unstarted, name) {
			e.up(t, name)
		}
	}
	e.healthy(t, "proxy")
	key := strings.TrimSpace(e.tool(t, "", "keys", "create", "--tenant", "acme", "--scope", "submit,read"))
	require.Contains(t, e.tool(t, key, "doctor"), "evicts nothing")

	api, err := client.New(fmt.Sprintf("http://%s:8080", e.hosts["proxy"][0]), web)
	require.NoError(t, err)
	api = api.WithKey(key)
	for _, lane := range completion.Lanes {
		job := e.complete(t, api, lane)
		require.Contains(t, job.Stream.NATSURL, e.hosts["nats"][0].String())
	}
	e.lose(t, "api", 0)
	for range 10 { // enough for those that would have gone to the other
		for _, lane := range completion.Lanes {
			e.complete(t, api, lane)
		}
	}
	for _, name := range []string{"api", "worker-interactive", "worker-batch", "proxy"} {
		e.containers[name][len(e.containers[name])-1].stop(t, e.project.Services[name])
	}
}

// tool runs the service for commands with an API key, which must succeed, and returns what it said.
func (e *engine) tool(t *testing.T, key string, args ...string) string {
	t.Helper()
	service := e.project.Services["sluice"]
	place := e.place(t, service, 0)
	cmd := command(t, append(slices.Clone(service.Entrypoint), args...), append(place.env(service), "SLUICE_API_KEY="+key))
	var said process.Output
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s%s", strings.Join(args, " "), out, said.String())
	return string(out)
}

// lose kills container i of a service, which the engine then names no more.
func (e *engine) lose(t *testing.T, service string, i int) {
	t.Helper()
	e.containers[service][i].Kill()
	e.names.forget(service, e.hosts[service][i])
}

// complete submits a job and sees it complete.
func (e *engine) complete(t *testing.T, api *client.Client, lane completion.Lane) client.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	submission := client.Submission{Lane: lane, Request: []byte(`{"model":"sim?tokens=5","messages":[{"role":"user","content":"hello"}]}`)}
	job, err := api.Submit(ctx, submission)
	require.NoError(t, err)
	until(t, func() error {
		if job, err = api.Get(ctx, job.ID); err != nil {
			return err
		}
		if !job.State.Final() {
			return fmt.Errorf("job %s is %s", job.ID, job.State)
		}
		return nil
	})
	require.Equal(t, completion.Completed, job.State)
	require.Equal(t, modelsim.AnswerOf(5, "hello"), gjson.GetBytes(job.Result, "choices.0.message.content").Str)
	return job
}
