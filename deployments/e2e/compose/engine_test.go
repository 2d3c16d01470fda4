//go:build linux

package compose_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/postgres"
)

const (
	composeFile = "../../compose.yml"
	envFile     = "../../.env.example"
	// database is the service that does not run from its own command line, because its image makes a database first.
	database = "postgres"
)

// unstarted are the services that only watch the others.
var unstarted = []string{"prometheus", "grafana"}

// load reads and checks compose.yml, with the settings of .env.example and further ones.
func load(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{composeFile}, cli.WithEnv(env), cli.WithEnvFiles(envFile), cli.WithDotEnv,
		cli.WithConsistency(true), cli.WithNormalization(true), cli.WithResolvedPaths(true), cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(context.Background())
	require.NoError(t, err)
	return project
}

// engine runs the services of a project as processes.
type engine struct {
	project    *types.Project
	dir        string                  // of volumes, configs and secrets
	hosts      map[string][]netip.Addr // of each service, one for each container
	names      *names
	containers map[string][]*container
	postgres   *postgres.Server
}

func newEngine(t *testing.T, env ...string) *engine {
	t.Helper()
	e := &engine{project: load(t, env...), dir: t.TempDir(), hosts: map[string][]netip.Addr{}, containers: map[string][]*container{}}
	a, b, last := byte(1+rand.IntN(254)), byte(rand.IntN(256)), byte(1) // a network of its own, so that all ports are free
	for _, name := range slices.Sorted(maps.Keys(e.project.Services)) {
		service := e.project.Services[name]
		for range service.GetScale() {
			last++
			e.hosts[name] = append(e.hosts[name], netip.AddrFrom4([4]byte{127, a, b, last}))
		}
	}
	e.names = serveNames(t, maps.Clone(e.hosts))
	e.store(t)
	return e
}

// store writes what the containers find in files.
func (e *engine) store(t *testing.T) {
	t.Helper()
	for name, secret := range e.project.Secrets {
		e.write(t, "secrets/"+name, e.project.Environment[secret.Environment])
	}
	for name, volume := range e.project.Volumes {
		require.Empty(t, volume.Driver)
		require.NoError(t, os.MkdirAll(filepath.Join(e.dir, "volumes", name), 0o700))
	}
}

func (e *engine) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(e.dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// up starts a service once what it depends on is as it wants it.
func (e *engine) up(t *testing.T, name string) {
	t.Helper()
	if _, is := e.containers[name]; is {
		return
	}
	service := e.project.Services[name]
	for _, dependency := range slices.Sorted(maps.Keys(service.DependsOn)) {
		e.up(t, dependency)
		switch condition := service.DependsOn[dependency].Condition; condition {
		case types.ServiceConditionHealthy:
			e.healthy(t, dependency)
		case types.ServiceConditionCompletedSuccessfully:
			for _, c := range e.containers[dependency] {
				c.succeed(t)
			}
		default:
			t.Fatalf("%s depends on %s: %s is no condition that can be waited for", name, dependency, condition)
		}
	}
	e.containers[name] = []*container{}
	if name == database {
		e.upDatabase(t, service)
		return
	}
	for i := range service.GetScale() {
		e.containers[name] = append(e.containers[name], e.run(t, service, i))
	}
}

// run starts container i of a service.
func (e *engine) run(t *testing.T, service types.ServiceConfig, i int) *container {
	t.Helper()
	place := e.place(t, service, i)
	args := append(slices.Clone(service.Entrypoint), service.Command...)
	for n, a := range args {
		args[n] = place.in(a)
		if text, err := os.ReadFile(args[n]); err == nil && args[n] != a { // made by another container, about this one
			args[n] = e.write(t, place.file(service, filepath.Base(a)), e.bind(place.own(string(text)), place.host))
		}
	}
	return startContainer(t, fmt.Sprintf("%s-%d", service.Name, i), args, place.env(service))
}

// upDatabase starts PostgreSQL with the settings of the command, and makes the database that the image makes.
func (e *engine) upDatabase(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	settings := []string{"listen_addresses=127.0.0.1," + e.hosts[database][0].String()}
	for i, word := range service.Command {
		if word == "-c" {
			settings = append(settings, service.Command[i+1])
		}
	}
	require.Len(t, service.Command, 2*len(settings)-1, "the program's name and settings only")
	server, err := postgres.New(t.Context(), postgresProgram(t), settings...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	e.postgres = server
	db, err := sql.Open("pgx", server.URL())
	require.NoError(t, err)
	defer db.Close()
	require.Equal(t, "sluice", *service.Environment["POSTGRES_USER"], "the superuser is called so")
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+*service.Environment["POSTGRES_DB"])
	require.NoError(t, err)
}

// healthy waits until each container of a service passes its healthcheck.
func (e *engine) healthy(t *testing.T, name string) {
	t.Helper()
	service := e.project.Services[name]
	require.NotNil(t, service.HealthCheck, "%s has no healthcheck", name)
	require.Equal(t, "CMD", service.HealthCheck.Test[0], "an image may have no shell")
	for i := range service.GetScale() {
		until(t, func() error {
			if name != database && e.containers[name][i].Ended() {
				require.Fail(t, "ended before it was healthy", "%s: %s", name, e.containers[name][i].Out.String())
			}
			return e.check(t, service, i)
		})
	}
}

// check runs the healthcheck of container i. Within a container 127.0.0.1 is its own.
func (e *engine) check(t *testing.T, service types.ServiceConfig, i int) error {
	t.Helper()
	place := e.place(t, service, i)
	args := slices.Clone(service.HealthCheck.Test[1:])
	for n := range args {
		args[n] = strings.ReplaceAll(args[n], "127.0.0.1", place.host)
	}
	if args[0] == "wget" { // what the images have, the system may not
		return get(args[len(args)-1])
	}
	env := place.env(service)
	if service.Name == database {
		env = append(env, "PGPORT="+e.databasePort())
	}
	out, err := command(t, args, env).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// web is a client that keeps no connections: the servers behind them are killed.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

func get(url string) error {
	resp, err := web.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// place is where a container runs: what stands in its settings about files, addresses and names, told in those of this
// machine.
type place struct {
	host  string
	paths []string // pairs: in the container, here; the longest first
	hosts func(string) string
}

// address is a service's name with a port, within a URL.
var address = regexp.MustCompile(`(//|@)([a-z-]+):(\d+)`)

func (e *engine) place(t *testing.T, service types.ServiceConfig, i int) place {
	t.Helper()
	p := place{host: e.hosts[service.Name][i].String(), hosts: e.resolve}
	mounts := map[string]string{}
	for _, s := range service.Secrets {
		mounts["/run/secrets/"+s.Source] = filepath.Join(e.dir, "secrets", s.Source)
	}
	for _, v := range service.Volumes {
		if v.Type == types.VolumeTypeVolume {
			mounts[v.Target] = filepath.Join(e.dir, "volumes", v.Source)
		}
	}
	p.use(mounts)
	for _, c := range service.Configs {
		mounts[c.Target] = e.write(t, p.file(service, c.Source), p.in(e.project.Configs[c.Source].Content))
	}
	for _, v := range service.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		mounts[v.Target] = v.Source
	}
	p.use(mounts)
	return p
}

func (p *place) file(service types.ServiceConfig, name string) string {
	return filepath.Join("files", service.Name, p.host, name)
}

func (p *place) use(mounts map[string]string) {
	p.paths = nil
	for _, target := range slices.SortedFunc(maps.Keys(mounts), func(a, b string) int { return len(b) - len(a) }) {
		p.paths = append(p.paths, target, mounts[target])
	}
}

// resolve puts addresses in place of names, as the engine's name server does.
func (e *engine) resolve(text string) string {
	return address.ReplaceAllStringFunc(text, func(s string) string {
		part := address.FindStringSubmatch(s)
		hosts := e.hosts[part[2]]
		if len(hosts) == 0 {
			return s
		}
		port := part[3]
		if part[2] == database {
			port = e.databasePort()
		}
		return part[1] + hosts[0].String() + ":" + port
	})
}

// databasePort is the one that PostgreSQL has chosen, since its address may not be free.
func (e *engine) databasePort() string {
	u, err := url.Parse(e.postgres.URL())
	if err != nil {
		return ""
	}
	return u.Port()
}

// bind lets a server listen at the container's own address instead of all, and ask our name server instead of the engine's.
func (e *engine) bind(config, host string) string {
	return strings.NewReplacer("bind * -::*", "bind "+host, "bind *:", "bind "+host+":", "127.0.0.11:53", e.names.addr()).Replace(config)
}

// in tells text in the terms of this machine.
func (p *place) in(text string) string { return strings.NewReplacer(p.paths...).Replace(p.hosts(text)) }

// own is in for what says where the container listens.
func (p *place) own(text string) string { return strings.ReplaceAll(p.in(text), "0.0.0.0", p.host) }

func (p *place) env(service types.ServiceConfig) []string {
	var env []string
	for name, value := range service.Environment {
		if value != nil {
			env = append(env, name+"="+p.own(*value))
		}
	}
	return env
}
