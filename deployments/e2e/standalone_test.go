package e2e_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

const (
	simulated = "SIMULATED MODEL"
	jobID     = `job_[0-9a-f]{32}`
)

// installation is one data folder and the addresses under which it is served.
type installation struct {
	env []string
	url string
	dir string
}

func newInstallation(t *testing.T, env ...string) *installation {
	t.Helper()
	addr, dir := process.FreeAddr(), filepath.Join(t.TempDir(), "data")
	return &installation{url: "http://" + addr, dir: dir, env: append([]string{
		"SLUICE_HTTP_ADDR=" + addr, "SLUICE_NATS_ADDR=" + process.FreeAddr(), "SLUICE_WEBSOCKET_ADDR=" + process.FreeAddr(),
		"SLUICE_DATA_DIR=" + dir, "SLUICE_RETRY_BASE=100ms",
	}, env...)}
}

// up starts sluice up and waits until it has greeted.
func (i *installation) up(t *testing.T, env ...string) *child {
	t.Helper()
	p := program{name: "sluice", args: []string{"up"}, env: append(i.env[:len(i.env):len(i.env)], env...)}.start(t)
	p.await(t, "Ctrl-C stops")
	return p
}

// sluice is a command line against the installation.
func (i *installation) sluice(args ...string) program {
	return program{name: "sluice", args: args, env: []string{"SLUICE_API_URL=" + i.url, "SLUICE_DATA_DIR=" + i.dir}}
}

// api is a client of the installation.
func (i *installation) api(t *testing.T) *apiProcess {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(i.dir, "api-key"))
	require.NoError(t, err)
	return newAPI(t, i.url, strings.TrimSpace(string(key)))
}

// TestSluice runs every command against one running installation.
func TestSluice(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	server := i.up(t)
	greeting := server.out.String()
	require.Contains(t, greeting, simulated)
	require.Contains(t, greeting, i.url+"/docs")
	require.Regexp(t, `page +`+regexp.QuoteMeta(i.url)+`/#key=sk-sluice-`, greeting)
	require.Regexp(t, `nats://127\.0\.0\.1:\d+`, greeting)
	require.Regexp(t, `ws://127\.0\.0\.1:\d+`, greeting)
	t.Run("Ask_PrintsTheAnswer", i.askPrints)
	t.Run("Ask_InterruptCancels_I9", i.askInterrupted)
	t.Run("Ask_SaysWhatIsWrong", i.askFails)
	t.Run("Chat_AnswersEachLine", i.chatPiped)
	t.Run("Chat_InterruptCancels_I9", i.chatInterrupted)
	t.Run("Chat_SaysWhatIsWrong", i.chatFails)
	t.Run("Tail_Get_List_Cancel", i.lookAtJobs)
	t.Run("Models", i.models)
	t.Run("Retry", i.retry)
	t.Run("Keys_Tenants", i.keysAndTenants)
	t.Run("System", i.system)
	t.Run("Webhooks", i.webhooks)
	t.Run("Doctor_FindsWhatIsWrong", i.doctor)
	t.Run("Viewer_MayReadAndNoMore", i.viewerReads)
	t.Run("Reference_IsServed", i.referenceServed)
	t.Run("Usage_IsToldWithStatus_2", i.wrongUsage)
	t.Run("Greeting_CommandsDoRun", func(t *testing.T) {
		t.Parallel()
		lines := regexp.MustCompile(`(?m)^  (SLUICE_DATA_DIR=\S+ bin/sluice ask .*|curl (?:.*\\\n)*.*)$`).FindAllStringSubmatch(greeting, -1)
		require.Len(t, lines, 2, greeting)
		require.Equal(t, modelsim.Answer(prompt)+"\n", shell(lines[0][1]).succeed(t))
		require.Equal(t, "queued", gjson.Get(shell(lines[1][1]).succeed(t), "state").Str)
	})
}

// keysAndTenants manages the data folder of a server that runs.
func (i *installation) keysAndTenants(t *testing.T) {
	t.Parallel()
	made := i.sluice("keys", "create", "--tenant", "acme", "--name", "laptop", "--scope", "read", "--expires", "1h").run(t)
	require.Zero(t, made.code(t), "%s", made)
	secret := strings.TrimSpace(made.out.String())
	require.Regexp(t, `^sk-sluice-[a-z2-7]{52}$`, secret)
	require.Contains(t, made.err.String(), "not shown again")
	list := i.sluice("list")
	list.env = append(list.env, "SLUICE_API_KEY="+secret)
	require.Contains(t, list.succeed(t), "ID")
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	require.Contains(t, i.sluice("list", "--key-file", file).succeed(t), "ID")
	ask := i.sluice("ask", prompt)
	ask.env = append(ask.env, "SLUICE_API_KEY="+secret)
	refused := ask.run(t)
	require.Equal(t, 1, refused.code(t))
	require.Contains(t, refused.err.String(), "insufficient_scope")
	keys := i.sluice("keys", "list").succeed(t)
	require.Regexp(t, `key_[0-9a-f]{32} +acme +laptop +…`+secret[len(secret)-4:]+` +read `, keys)
	require.NotContains(t, keys, secret)
	require.Regexp(t, `acme +0\.5 `, i.sluice("tenants", "set", "acme", "--submits-per-second", "0.5").succeed(t))
	for _, bad := range [][]string{
		{"keys", "create"},
		{"keys", "create", "--tenant", "A B"},
		{"keys", "create", "--tenant", "acme", "--scope", "root"},
		{"keys", "revoke", "x"},
		{"tenants", "set", "A B"},
		{"tenants", "set", "acme", "--queued", "-1"},
	} {
		p := i.sluice(bad...).run(t)
		require.Equal(t, 2, p.code(t), "%s", p)
	}
	elsewhere := program{name: "sluice", args: []string{"keys", "list"}, env: []string{"SLUICE_DATA_DIR=" + t.TempDir()}}.run(t)
	require.Equal(t, 1, elsewhere.code(t))
	require.Contains(t, elsewhere.err.String(), "SLUICE_DATABASE_URL")
}

// system looks at the whole installation, with the local key and with that of a tenant's administrator.
func (i *installation) system(t *testing.T) {
	t.Parallel()
	i.sluice("ask", prompt).succeed(t)
	var seen gjson.Result
	require.Eventually(t, func() bool {
		said := i.api(t).get(t, "/v1/system")
		require.Equal(t, http.StatusOK, said.status, said.body)
		seen = gjson.Parse(said.body)
		return seen.Get("rates.last_15_minutes.completed").Int() > 0 && seen.Get("rates.last_15_minutes.accepted").Int() > 0
	}, time.Minute, 50*time.Millisecond)
	require.True(t, seen.Get("queue_ready").Bool())
	require.EqualValues(t, 1, seen.Get("workers.#").Int())
	require.True(t, seen.Get("workers.0.alive").Bool())
	require.EqualValues(t, 64, seen.Get("lanes.1.slots").Int())
	require.Equal(t, "sim", seen.Get("upstreams.0.name").Str)
	require.Positive(t, seen.Get("rates.last_15_minutes.first_delta.p50_seconds").Num)
	admin := strings.TrimSpace(i.sluice("keys", "create", "--tenant", "local", "--scope", "submit,read,admin").succeed(t))
	require.Equal(t, http.StatusForbidden, newAPI(t, i.url, admin).get(t, "/v1/system").status)
	system := strings.TrimSpace(i.sluice("keys", "create", "--tenant", "local", "--scope", "system").succeed(t))
	require.Equal(t, http.StatusOK, newAPI(t, i.url, system).get(t, "/v1/system/failures").status)
}

// TestUp_Auth starts servers that must not be reached by everybody.
func TestUp_Auth(t *testing.T) {
	t.Parallel()
	open := newInstallation(t, "SLUICE_AUTH=off", "SLUICE_HTTP_ADDR=0.0.0.0:0")
	p := program{name: "sluice", args: []string{"up"}, env: open.env}.run(t)
	require.Equal(t, 2, p.code(t), "%s", p)
	require.Contains(t, p.err.String(), "SLUICE_AUTH")

	local := newInstallation(t, "SLUICE_AUTH=off")
	server := local.up(t)
	require.NotContains(t, server.out.String(), "API key")
	require.Equal(t, http.StatusOK, newAPI(t, local.url, "").get(t, "/v1/jobs").status)
	require.Equal(t, modelsim.Answer(prompt)+"\n", local.sluice("ask", prompt).succeed(t))

	safe := newInstallation(t)
	first := safe.up(t)
	key := first.await(t, `API key +(sk-sluice-\S+)`)[1]
	require.Equal(t, http.StatusUnauthorized, newAPI(t, safe.url, "").get(t, "/v1/jobs").status)
	first.stop(t, syscall.SIGTERM)
	require.NotContains(t, first.err.String(), key, "the log has no keys")
	for _, name := range []string{"api-key", filepath.Join("nats-keys", "signing.json"), filepath.Join("nats-keys", "seeds.json")} {
		info, err := os.Stat(filepath.Join(safe.dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
	require.NoError(t, os.Remove(filepath.Join(safe.dir, "sluice.db")))
	require.Equal(t, key, safe.up(t).await(t, `API key +(sk-sluice-\S+)`)[1], "the key outlives the database")
	require.Equal(t, http.StatusOK, newAPI(t, safe.url, key).get(t, "/v1/jobs").status)
}

func (i *installation) askPrints(t *testing.T) {
	t.Parallel()
	answer := modelsim.Answer(prompt) + "\n"
	p := i.sluice("ask", prompt).run(t)
	require.Zero(t, p.code(t), "%s", p)
	require.Equal(t, answer, p.out.String())
	require.Regexp(t, "^"+jobID+"\n$", p.err.String())

	piped := i.sluice("ask", "--lane", "batch")
	piped.in = prompt + "\n"
	require.Equal(t, answer, piped.succeed(t))
	require.Equal(t, modelsim.Answer("be brief", prompt)+"\n", i.sluice("ask", "--system", "be brief", "hello").succeed(t))
	require.Equal(t, modelsim.Answer("two words")+"\n", i.sluice("ask", "two", "words").succeed(t))

	var events []completion.Event
	for line := range strings.Lines(i.sluice("ask", "--json", prompt).succeed(t)) {
		e, err := completion.Record{Data: []byte(line)}.Event()
		require.NoError(t, err)
		events = append(events, e)
	}
	require.Equal(t, modelsim.Answer(prompt), text(events...))
	require.Equal(t, completion.EventCompleted, events[len(events)-1].Type)
}

func (i *installation) askInterrupted(t *testing.T) {
	t.Parallel()
	p := i.sluice("ask", "--model", "sim?tokens=100000", prompt).start(t)
	id := p.await(t, jobID)[0]
	p.await(t, "This is a simulated")
	p.signal(t, syscall.SIGINT)
	require.Equal(t, 130, p.code(t), "%s", p)
	stored := i.api(t).finished(t, id)
	require.Equal(t, completion.Cancelled, stored.State)
	require.NotEmpty(t, content(stored))
}

func (i *installation) askFails(t *testing.T) {
	t.Parallel()
	p := i.sluice("ask", "--model", "sim?fail=400", prompt).run(t)
	require.Equal(t, 1, p.code(t))
	require.Contains(t, p.err.String(), "upstream_rejected")
	p = i.sluice("ask", "").run(t)
	require.Equal(t, 1, p.code(t))
	p = i.sluice("ask", "--lane", "fast", prompt).run(t)
	require.Equal(t, 1, p.code(t))
	require.Contains(t, p.err.String(), "lane")
	p = i.sluice("ask", "--api", "http://"+process.FreeAddr(), prompt).run(t)
	require.Equal(t, 1, p.code(t))
	require.Contains(t, p.err.String(), "refused")
}

// models are listed once the worker has asked the upstream.
func (i *installation) models(t *testing.T) {
	t.Parallel()
	api := i.api(t)
	require.Eventually(t, func() bool {
		models, err := api.Models(t.Context())
		return err == nil && len(models) > 0
	}, patience, 100*time.Millisecond)
	require.Regexp(t, `^ID +OWNED BY +CREATED\nsim +modelsim +\d{4}-\d\d-\d\d\nsim-instant +modelsim +\d{4}-\d\d-\d\d\n$`, i.sluice("models").succeed(t))
}

func (i *installation) lookAtJobs(t *testing.T) {
	t.Parallel()
	job := i.api(t).submit(t, "tps=0&key=look")
	require.Equal(t, modelsim.Answer(prompt)+"\n", i.sluice("tail", job.ID).succeed(t))
	require.Equal(t, modelsim.Answer(prompt)+"\n", i.sluice("tail", job.ID).succeed(t), "again, from the start")
	require.Contains(t, i.sluice("tail", "--json", "--after", "1", job.ID).succeed(t), `"seq":2`)
	shown := i.sluice("get", job.ID).succeed(t)
	require.Equal(t, "completed", gjson.Get(shown, "state").Str)
	require.Equal(t, modelsim.Answer(prompt), gjson.Get(shown, "result.choices.0.message.content").Str)
	require.Regexp(t, job.ID+` +completed +interactive +sim\?tps=0&key=look +1 `, i.sluice("list", "--state", "completed", "--limit", "200").succeed(t))
	require.Equal(t, job.ID+" is completed\n", i.sluice("cancel", job.ID).succeed(t))
	for _, command := range []string{"get", "tail", "cancel"} {
		p := i.sluice(command, "job_none").run(t)
		require.Equal(t, 1, p.code(t))
		require.Contains(t, p.err.String(), "not_found", command)
	}

	long := i.api(t).submit(t, "tokens=100000")
	tail := i.sluice("tail", long.ID).start(t)
	tail.await(t, "This is a simulated")
	tail.signal(t, syscall.SIGINT)
	require.Equal(t, 130, tail.code(t))
	require.Equal(t, completion.Running, i.api(t).read(t, long.ID).State, "leaving does not touch the job")
	require.Regexp(t, long.ID+" is (being )?cancelled\n", i.sluice("cancel", long.ID).succeed(t))
	require.Equal(t, completion.Cancelled, i.api(t).finished(t, long.ID).State)
}

// retry tries jobs again, by name and by filter, and asks in vain with a time limit.
func (i *installation) retry(t *testing.T) {
	t.Parallel()
	p := i.sluice("ask", "--timeout", "300ms", "--model", "sim?tps=0&stall=9&key=late", prompt).run(t)
	require.Equal(t, 1, p.code(t))
	require.Contains(t, p.err.String(), "expired: deadline_exceeded")
	late := regexp.MustCompile(jobID).FindString(p.err.String())
	require.Equal(t, completion.Expired, i.api(t).read(t, late).State)

	one := i.api(t).submit(t, "fail=400&key=again")
	two := i.api(t).submit(t, "fail=400&key=again")
	for _, job := range []client.Job{one, two} {
		require.Equal(t, completion.Failed, i.api(t).finished(t, job.ID).State)
	}
	require.Regexp(t, one.ID+" is tried again as "+jobID, i.sluice("retry", one.ID).succeed(t))
	all := []string{"retry", "--all", "--model", "sim?fail=400&key=again"}
	dry := i.sluice(append(all, "--dry-run")...).succeed(t)
	require.Contains(t, dry, one.ID+"\n")
	out := i.sluice(all...).succeed(t)
	require.Contains(t, out, one.ID+" was tried again before, as job_")
	require.Regexp(t, two.ID+" is tried again as "+jobID, out)

	again := regexp.MustCompile(two.ID + " is tried again as (" + jobID + ")").FindStringSubmatch(out)[1]
	require.Equal(t, completion.Failed, i.api(t).finished(t, again).State)
	require.Equal(t, two.ID, i.api(t).read(t, again).RetryOf)
	done := i.api(t).submit(t, "tps=0")
	i.api(t).finished(t, done.ID)
	p = i.sluice("retry", done.ID, "job_none", late).run(t)
	require.Equal(t, 1, p.code(t), "%s", p)
	require.Contains(t, p.err.String(), done.ID+": The job is completed")
	require.Contains(t, p.err.String(), "1 tried again, 0 were before, 2 refused")
	require.Equal(t, 2, i.sluice("retry").run(t).code(t), "neither jobs nor --all")
	require.Equal(t, 2, i.sluice("retry", "--all", one.ID).run(t).code(t))
}

func (i *installation) doctor(t *testing.T) {
	t.Parallel()
	out := i.sluice("doctor").succeed(t)
	require.Regexp(t, `ok +API +`+i.url+` is ready`, out)
	require.NotContains(t, out, "FAIL")

	require.Equal(t, "ready\n", i.sluice("ready", i.url+"/readyz").succeed(t))
	require.Equal(t, 1, i.sluice("ready", "http://"+process.FreeAddr()+"/readyz").run(t).code(t))

	ill := i.sluice("doctor")
	ill.env = []string{
		"SLUICE_API_URL=http://" + process.FreeAddr(), "SLUICE_DATABASE_URL=postgres://nobody@" + process.FreeAddr() + "/none",
		"SLUICE_REDIS_URL=redis://" + process.FreeAddr(), "SLUICE_NATS_URL=nats://" + process.FreeAddr(), "OPENAI_BASE_URL=http://" + process.FreeAddr() + "/v1",
	}
	p := ill.run(t)
	require.Equal(t, 1, p.code(t))
	for _, server := range []string{"API", "PostgreSQL", "Redis", "NATS", "upstream"} {
		require.Regexp(t, `FAIL +`+server, p.out.String())
	}
}

// viewerReads connects with the credential that came with the job, as a browser would.
func (i *installation) viewerReads(t *testing.T) {
	t.Parallel()
	job := i.api(t).submit(t, "tps=100&tokens=50")
	for _, url := range []string{job.Stream.NATSURL, job.Stream.WebSocketURL} {
		require.Equal(t, modelsim.AnswerOf(50, prompt), text(native(t, job, url, 0).end(t, 0)...))
		nc := connect(t, url, job.Stream.Credential)
		for _, subject := range []string{">", "in.>", "$JS.>", "replay.>"} {
			sub, err := nc.SubscribeSync(subject)
			require.NoError(t, err)
			_, err = sub.NextMsg(patience)
			require.ErrorIs(t, err, nats.ErrPermissionViolation, subject)
		}
		for _, subject := range []string{job.Subject, "in.0.local." + job.ID, "$JS.API.STREAM.LIST"} {
			quiet := connect(t, url, job.Stream.Credential)
			require.NoError(t, quiet.Publish(subject, nil))
			require.NoError(t, quiet.FlushTimeout(patience))
			require.ErrorIs(t, quiet.LastError(), nats.ErrPermissionViolation, subject)
		}
	}
}

func (i *installation) referenceServed(t *testing.T) {
	t.Parallel()
	a := i.api(t)
	require.Contains(t, a.get(t, "/docs").body, "/v1/jobs")
	require.Contains(t, a.get(t, "/").body, "<title>Sluice</title>")
	require.Equal(t, "3.1.0", gjson.Get(a.get(t, "/openapi.json").body, "openapi").Str)
	for _, path := range []string{"/healthz", "/readyz"} {
		require.JSONEq(t, `{"status":"ok"}`, a.get(t, path).body)
	}
}

func (i *installation) wrongUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"nothing"}, {"ask", "--nothing"}, {"get"}, {"up", "--tenant", "A B"}} {
		p := i.sluice(args...).run(t)
		require.Equal(t, 2, p.code(t), "%s", p)
		require.Contains(t, p.err.String(), "--help")
	}
}

// TestSluice_ExplainsItself runs what needs no server.
func TestSluice_ExplainsItself(t *testing.T) {
	t.Parallel()
	require.Contains(t, program{name: "sluice"}.succeed(t), "Usage: sluice <command>")
	require.Contains(t, program{name: "sluice", args: []string{"--version"}}.succeed(t), "sluice ")
	require.Contains(t, program{name: "sluice", args: []string{"config"}}.succeed(t), "SLUICE_WEBSOCKET_ADDR")
	for _, command := range []string{"up", "ask", "chat", "tail", "get", "list", "cancel", "retry", "batch", "conversations", "keys", "tenants", "prune", "webhooks", "nats", "sim", "config", "doctor", "ready", "top"} {
		require.Contains(t, program{name: "sluice", args: []string{command, "--help"}}.succeed(t), "Usage: sluice "+command)
	}
	for _, name := range []string{"api", "worker", "migrate"} {
		require.Contains(t, program{name: name, args: []string{"--help"}}.succeed(t), "Usage: "+name)
	}
}

// TestUp_I1_GoesOnWhereItEnded ends one installation in every way, with jobs in it.
func TestUp_I1_GoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "SLUICE_INTERACTIVE_SLOTS=2", "SLUICE_INTERACTIVE_ATTEMPTS=1")
	first := i.up(t)
	a := i.api(t)
	short := a.submit(t, "tps=60&tokens=60")
	speaking := a.sse(t, short, 0)
	speaking.spoke(t, 1)
	first.stop(t, syscall.SIGINT)
	require.Contains(t, first.out.String(), "stopped")

	second := i.up(t, "SLUICE_DRAIN_LIMIT=200ms")
	require.Equal(t, completion.Completed, a.read(t, short.ID).State, "it was let finish")
	require.Equal(t, modelsim.AnswerOf(60, prompt), text(speaking.end(t, 0)...))
	var jobs []client.Job
	var viewers []*viewer
	for range 4 {
		job := a.submit(t, mid)
		jobs, viewers = append(jobs, job), append(viewers, a.sse(t, job, 0))
	}
	viewers[0].spoke(t, 1)
	second.stop(t, syscall.SIGTERM)

	third := i.up(t)
	viewers[0].spoke(t, 2)
	third.kill()

	i.up(t)
	for n, job := range jobs {
		whole(t, a, job, viewers[n].end(t, 0))
	}
}

func TestUp_AddressInUse(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"SLUICE_HTTP_ADDR", "SLUICE_NATS_ADDR", "SLUICE_WEBSOCKET_ADDR", "SLUICE_PRIVATE_ADDR"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer taken.Close()
			i := newInstallation(t)
			p := program{name: "sluice", args: []string{"up"}, env: append(i.env, variable+"="+taken.Addr().String())}.run(t)
			require.Equal(t, 1, p.code(t))
			require.Empty(t, p.out.String(), "it does not greet")
			complaint := p.err.String()
			require.Equal(t, 1, strings.Count(complaint, "\n"), "one line: %s", complaint)
			require.Regexp(t, "^sluice: .*"+taken.Addr().String()+".*"+variable+".*address already in use\n$", complaint)
		})
	}
}

func TestUp_DataFolderInUse(t *testing.T) {
	t.Parallel()
	i, other := newInstallation(t), newInstallation(t)
	i.up(t)
	p := program{name: "sluice", args: []string{"up"}, env: append(other.env, i.env[3])}.run(t)
	require.Equal(t, 1, p.code(t))
	require.Regexp(t, `^sluice: data folder .* is in use by another sluice \(set SLUICE_DATA_DIR`, p.err.String())
	require.Equal(t, 1, strings.Count(p.err.String(), "\n"))
	require.Equal(t, modelsim.Answer(prompt)+"\n", i.sluice("ask", prompt).succeed(t), "the first is not disturbed")
}

// TestUp_RealUpstream asks a server that is not the built-in one: sluice sim, as a process of its own.
func TestUp_RealUpstream(t *testing.T) {
	t.Parallel()
	addr := process.FreeAddr()
	sim := program{name: "sluice", args: []string{"sim", "--addr", addr}}.start(t)
	sim.await(t, "simulated model at http://"+addr+"/v1")
	i := newInstallation(t, "OPENAI_BASE_URL=http://"+addr+"/v1")
	server := i.up(t)
	require.NotContains(t, server.out.String(), simulated)
	require.Equal(t, modelsim.Answer(prompt)+"\n", i.sluice("ask", prompt).succeed(t))
	stats := (&apiProcess{url: "http://" + addr}).get(t, "/sim/stats")
	require.EqualValues(t, 1, gjson.Get(stats.body, "requests").Int(), stats.body)

	taken := program{name: "sluice", args: []string{"sim", "--addr", addr}}.run(t)
	require.Equal(t, 1, taken.code(t))
	require.Contains(t, taken.err.String(), "SLUICE_SIM_ADDR")
	sim.stop(t, syscall.SIGINT)
}
