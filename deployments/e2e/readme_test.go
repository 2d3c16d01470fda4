package e2e_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
)

// root is the checkout.
const root = "../.."

// shellBlocks returns the sh blocks of a page.
func shellBlocks(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1) {
		blocks = append(blocks, strings.TrimSpace(string(m[1])))
	}
	return blocks
}

// shell is a command as a reader types it into a shell in the checkout, where bin holds the programs.
func shell(command string) program {
	return program{name: "/bin/sh", args: []string{"-c", strings.ReplaceAll(command, "bin/", bin+"/")}, dir: root}
}

// makeTarget runs make as a reader does. If the tests are killed, it hands the news on to its children.
func makeTarget(t *testing.T, command string, env ...string) *child {
	t.Helper()
	return program{name: "/bin/sh", args: []string{"-c", "exec env " + command}, dir: root, env: env, death: syscall.SIGTERM}.start(t)
}

// here is a command of a page as it must be typed for the installation.
func (i *installation) here(command string) string {
	return strings.NewReplacer("http://127.0.0.1:8080", i.url, "data/api-key", filepath.Join(i.dir, "api-key")).Replace(command)
}

// TestReadme_CommandsDoRun follows the README, block by block, on other ports.
func TestReadme_CommandsDoRun(t *testing.T) {
	t.Parallel()
	blocks := shellBlocks(t, "README.md")
	require.Len(t, blocks, 5, "a new block needs its lines here")
	i := newInstallation(t)

	require.Equal(t, "make run", blocks[0])
	server := makeTarget(t, blocks[0], i.env...)
	server.await(t, "Ctrl-C stops")
	require.Contains(t, server.out.String(), simulated)

	ask := program{name: "/bin/sh", args: []string{"-c", blocks[1]}, dir: root, env: []string{"SLUICE_API_URL=" + i.url, "SLUICE_DATA_DIR=" + i.dir}}
	require.Equal(t, modelsim.Answer(prompt)+"\n", ask.succeed(t))
	job := shell(i.here(blocks[2])).succeed(t)
	require.Equal(t, "queued", gjson.Get(job, "state").Str, job)
	follow := i.here(`curl -sN -H "Authorization: Bearer $(cat data/api-key)" http://127.0.0.1:8080`) + gjson.Get(job, "events_url").Str
	require.Contains(t, shell(follow).succeed(t), "event: completed")
	server.signal(t, syscall.SIGINT)
	server.code(t)
	require.Contains(t, server.out.String(), "stopped")

	u := startUpstream(t)
	require.Regexp(t, `^OPENAI_BASE_URL=http://127\.0\.0\.1:\d+/v1 make run$`, blocks[3])
	server = makeTarget(t, regexp.MustCompile(`http://127\.0\.0\.1:\d+/v1`).ReplaceAllString(blocks[3], u.url), i.env...)
	server.await(t, "Ctrl-C stops")
	require.NotContains(t, server.out.String(), simulated)
	require.Equal(t, modelsim.Answer(prompt)+"\n", ask.succeed(t))
	require.EqualValues(t, 1, u.Stats().Requests)

	require.Equal(t, "make test", blocks[4])
	tests := makeTarget(t, blocks[4]+" TEST='go test' PACKAGES=./shared/completion")
	require.Zero(t, tests.code(t), "%s", tests)
	require.Regexp(t, `(?m)^ok\s+sluice/shared/completion\s`, tests.out.String())
}

func TestMake_PrintsHelp(t *testing.T) {
	t.Parallel()
	p := makeTarget(t, "make")
	require.Zero(t, p.code(t))
	for _, target := range []string{"run", "test", "build", "lint"} {
		require.Contains(t, p.out.String(), "make "+target)
	}
}

// TestProgramsPage_CommandsDoRun follows docs/programs.md on other addresses.
func TestProgramsPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	blocks := shellBlocks(t, "deployments/docs/programs.md")
	require.Len(t, blocks, 1)
	database, redis, u := testkit.PostgresSchema(t), testkit.StartRedis(t), startUpstream(t)
	addr, nats, keys := process.FreeAddr(), process.FreeAddr(), filepath.Join(t.TempDir(), "keys")
	env := map[string]string{
		"SLUICE_DATABASE_URL": database, "SLUICE_REDIS_URL": redis.URL(), "SLUICE_NATS_URL": "nats://" + nats, "SLUICE_NATS_SIGNING_KEYS": keys + "/signing.json",
		"SLUICE_HTTP_ADDR": addr, "SLUICE_API_URL": "http://" + addr, "OPENAI_BASE_URL": u.url,
		"SLUICE_FILES_DIR": t.TempDir(), "SLUICE_PRIVATE_ADDR": "127.0.0.1:0",
	}
	elsewhere := strings.NewReplacer("init nats", "init "+keys+" --listen "+nats+" --websocket "+process.FreeAddr()+" --store-dir "+t.TempDir(),
		"nats/", keys+"/", "nats-server", "bin/nats-server")
	var given []string
	ready := map[string]string{"nats-server": "Server is ready", "bin/api": "listening", "bin/worker": "worker ready"}
	key := ""
	for line := range strings.Lines(blocks[0]) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
		command = strings.TrimSpace(command)
		if name, example, ok := strings.Cut(strings.TrimPrefix(command, "export "), "="); ok && strings.HasPrefix(command, "export ") {
			require.Contains(t, env, name)
			_, err := url.Parse(example)
			require.NoError(t, err)
			given = append(given, name)
			continue
		}
		if command == "" {
			continue
		}
		words := strings.Fields(command)
		p := shell("exec env " + elsewhere.Replace(command))
		for name, value := range env {
			p.env = append(p.env, name+"="+value)
		}
		started := false
		for _, word := range words {
			if sign, stays := ready[word]; stays {
				p.start(t).await(t, sign)
				delete(ready, word)
				started = true
			}
		}
		if started {
			continue
		}
		if said := p.succeed(t); strings.HasPrefix(command, "bin/sluice keys create") {
			key = strings.TrimSpace(said)
		}
	}
	require.ElementsMatch(t, []string{"SLUICE_DATABASE_URL", "SLUICE_REDIS_URL", "SLUICE_NATS_URL", "SLUICE_NATS_SIGNING_KEYS"}, given)
	require.Empty(t, ready, "all were started")
	ask := program{name: "sluice", args: []string{"ask", prompt}, env: []string{"SLUICE_API_URL=http://" + addr, "SLUICE_API_KEY=" + key}}
	require.Equal(t, modelsim.Answer(prompt)+"\n", ask.succeed(t))
}

// TestAPIPage_CommandsDoRun follows docs/api.md on another port.
func TestAPIPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.up(t)
	blocks := shellBlocks(t, "deployments/docs/api.md")
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		require.Contains(t, block, "http://127.0.0.1:8080")
		command := i.here(block)
		first, again := shell(command).succeed(t), shell(command).succeed(t)
		require.NotEmpty(t, gjson.Get(first, "id").Str, first)
		require.Equal(t, gjson.Get(first, "id").Str, gjson.Get(again, "id").Str, "the same key joins the same job")
	}
}
