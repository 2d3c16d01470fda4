package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/modelsim"
)

// complains runs p, which must fail and say so in one line that matches.
func (p program) complains(t *testing.T, pattern string) {
	t.Helper()
	s := p.run(t)
	require.NotZero(t, s.code(t), "%s", s)
	var lines []string
	for line := range strings.Lines(s.err.String()) {
		if strings.HasPrefix(line, "sluice: ") || strings.HasPrefix(line, "make: ") && !strings.HasPrefix(line, "make: ***") {
			lines = append(lines, line)
		}
	}
	require.Len(t, lines, 1, "%s", s)
	require.Regexp(t, pattern, lines[0])
}

// asNobody is p without root's rights, if the tests have them.
func asNobody(t *testing.T, p program) program {
	t.Helper()
	if os.Geteuid() != 0 {
		return p
	}
	require.NoError(t, os.Chmod(bin, 0o755))
	p.args = append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", filepath.Join(bin, p.name)}, p.args...)
	path, err := exec.LookPath("setpriv")
	require.NoError(t, err)
	p.name = path
	return p
}

// TestStumble_DataFolder starts with data folders that cannot be used, and with one whose path has a space.
func TestStumble_DataFolder(t *testing.T) {
	t.Parallel()
	up := func(dir string) program {
		i := newInstallation(t)
		return program{name: "sluice", args: []string{"up"}, env: append(i.env, "SLUICE_DATA_DIR="+dir)}
	}
	locked, err := os.MkdirTemp("", "sluice-stumble-") // t.TempDir would be in folders that nobody may enter
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(locked)) })
	require.NoError(t, os.Chmod(locked, 0o555))
	asNobody(t, up(filepath.Join(locked, "data"))).complains(t, `data folder \S+ cannot be written: let this user write there, or set SLUICE_DATA_DIR`)

	taken := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(taken, nil, 0o600))
	up(taken).complains(t, `data folder \S+ is not a folder: remove what is there, or set SLUICE_DATA_DIR`)

	damaged := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(damaged, "sluice.db"), []byte(strings.Repeat("no database ", 1000)), 0o600))
	up(damaged).complains(t, `sluice.db is damaged, or no database: put a backup in its place, or set SLUICE_DATA_DIR`)
	doctor := program{name: "sluice", args: []string{"doctor"}, env: up(damaged).env}.run(t)
	require.Equal(t, 1, doctor.code(t))
	require.Regexp(t, `FAIL +data folder +\S+sluice.db is damaged`, doctor.out.String())

	up("~/sluice").complains(t, `SLUICE_DATA_DIR is ~/sluice, where ~ means nothing: write the whole path`)

	i := newInstallation(t)
	i.dir = filepath.Join(t.TempDir(), "it's a folder")
	i.env = append(i.env, "SLUICE_DATA_DIR="+i.dir)
	greeting := i.up(t).out.String()
	for line := range strings.Lines(greeting) {
		if strings.HasPrefix(line, "  SLUICE_DATA_DIR=") {
			require.Equal(t, modelsim.Answer("hello")+"\n", shell(strings.TrimSpace(line)).succeed(t), "the command of the greeting does run")
		}
	}
	require.Contains(t, greeting, "  SLUICE_DATA_DIR='")
}

// TestStumble_API asks what is not there, is something else, or does not know the key.
func TestStumble_API(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<html>nothing here</html>")
	}))
	t.Cleanup(page.Close)
	i := newInstallation(t)
	i.up(t)
	for name, row := range map[string]struct{ url, key, want, doctor string }{
		"away": {"http://" + process.FreeAddr(), "", `nothing answers at http://\S+ \(connection refused\); start it with sluice up, or set SLUICE_API_URL`, `FAIL +API +nothing answers at`},
		"page": {page.URL, "", `what answers there is no Sluice API \(HTTP 404\); set SLUICE_API_URL`, `FAIL +API +what answers there is no Sluice API`},
		"nats": {
			strings.Replace(strings.TrimPrefix(i.env[1], "SLUICE_NATS_ADDR="), "127", "http://127", 1), "",
			`what is at http://\S+ does not answer as a Sluice API does; check SLUICE_API_URL`, `FAIL +API +what is at`,
		},
		"host":      {"http://sluice.invalid", "", `(the host of http://sluice.invalid is not found; check SLUICE_API_URL|does not answer in time)`, `FAIL +API +`},
		"no key":    {i.url, "", `An API key is needed.*; set SLUICE_API_KEY, or SLUICE_DATA_DIR`, `FAIL +API key +An API key is needed`},
		"wrong key": {i.url, "sk-sluice-wrong", `There is no such API key.*; set SLUICE_API_KEY, or SLUICE_DATA_DIR`, `FAIL +API key +There is no such API key`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"SLUICE_API_URL=" + row.url, "SLUICE_API_KEY=" + row.key, "SLUICE_DATA_DIR=" + t.TempDir()}
			program{name: "sluice", args: []string{"ask", prompt}, env: env}.complains(t, row.want)
			program{name: "sluice", args: []string{"top"}, env: env}.complains(t, row.want)
			doctor := program{name: "sluice", args: []string{"doctor"}, env: env}.run(t)
			require.Equal(t, 1, doctor.code(t))
			require.Regexp(t, row.doctor, doctor.out.String())
		})
	}
}

// TestStumble_Upstream starts with an upstream that is not there, is something else, or refuses the key.
func TestStumble_Upstream(t *testing.T) {
	t.Parallel()
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that goes is no matter
		switch {
		case strings.HasPrefix(r.URL.Path, "/html/"):
			fmt.Fprint(w, "<!doctype html><p>Welcome")
		case strings.HasPrefix(r.URL.Path, "/key/"):
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "404 page not found")
		}
	}))
	t.Cleanup(odd.Close)
	for name, row := range map[string]struct{ url, start, ask string }{
		"away": {
			"http://" + process.FreeAddr() + "/v1", `nothing listens at \S+: start the upstream, or set OPENAI_BASE_URL to where it is`,
			`upstream_unreachable: .* Start the upstream, or set the server's OPENAI_BASE_URL to where it is`,
		},
		"html": {
			odd.URL + "/html/v1", `\S+ is not the address of an OpenAI API \(HTTP 200\): set OPENAI_BASE_URL to one, which mostly ends in /v1`,
			`upstream_invalid: .* Set the server's OPENAI_BASE_URL to the address of an OpenAI API, which mostly ends in /v1`,
		},
		"path": {
			odd.URL + "/v2", `\S+ is not the address of an OpenAI API \(HTTP 404\): set OPENAI_BASE_URL to one`,
			`upstream_rejected: .* Set the server's OPENAI_BASE_URL to the address of an OpenAI API`,
		},
		"key": {
			odd.URL + "/key/v1", `\S+ refuses the key \(HTTP 401\): set OPENAI_API_KEY to one that it takes`,
			`upstream_rejected: .* Set the server's OPENAI_API_KEY to one that the upstream takes`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"OPENAI_BASE_URL=" + row.url, "OPENAI_API_KEY=sk-wrong"}
			i := newInstallation(t, append(env, "SLUICE_INTERACTIVE_ATTEMPTS=2")...)
			i.up(t).await(t, "(?m)^sluice: warning: "+row.start+".*\n")
			i.sluice("ask", "--model", "gpt-4o", prompt).complains(t, row.ask+`.*\(sluice doctor checks it\)`)
			doctor := i.sluice("doctor")
			doctor.env = append(doctor.env, env...)
			p := doctor.run(t)
			require.Equal(t, 1, p.code(t))
			require.Regexp(t, `FAIL +upstream +`+row.start, p.out.String())
		})
	}
}

// TestStumble_Make runs targets with an old Go and without one, and without modules and a network to fetch them from.
func TestStumble_Make(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	for _, name := range []string{"sh", "sed", "sort", "awk", "make"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(tools, name)))
	}
	old := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(old, "go"), []byte(`#!/bin/sh
[ "$*" = "env GOVERSION" ] && echo go1.20 && exit
echo "go: errors parsing go.work: invalid go version '1.26.0': must match format 1.23" >&2
exit 1
`), 0o700))
	target := func(name string, env ...string) program {
		return program{name: filepath.Join(tools, "make"), args: []string{"BIN=" + filepath.Join(tools, "bin"), name}, dir: root, env: env}
	}
	for _, name := range []string{"run", "build", "test"} {
		target(name, "PATH="+old+":"+tools, "GOTOOLCHAIN=local").complains(t, `^make: this needs Go 1\.\d+\.\d+ or newer in PATH, and there is go1\.20: install it`)
		target(name, "PATH="+tools).complains(t, `^make: this needs Go 1\.\d+\.\d+ or newer in PATH, and there is no Go: install it`)
	}
	target("run", "GOPROXY=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+t.TempDir()).
		complains(t, `^make: Go modules are missing and cannot be fetched: connect to the network once, or set GOPROXY`)
}

// TestStumble_NoRoot runs the tests' own preparation where nothing is installed and nothing can be.
func TestStumble_NoRoot(t *testing.T) {
	t.Parallel()
	require.NoError(t, process.Build(bin, "sluice/deployments/cmd/testenv"))
	empty, err := os.MkdirTemp("", "sluice-stumble-") // t.TempDir would be in folders that nobody may enter
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(empty)) })
	require.NoError(t, os.Chmod(empty, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(empty, "apt-get"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	p := asNobody(t, program{name: "testenv", env: []string{"PATH=" + empty}}).run(t)
	require.Equal(t, 1, p.code(t))
	require.Regexp(t, `^testenv: the tests need the Debian packages redis-server, .*build-essential.*: install them as root \(apt-get install -y redis-server .*\)\n$`, p.err.String())
}
