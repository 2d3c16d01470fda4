package kube

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"sluice/api"
	"sluice/migrations"
	"sluice/shared/backend"
	"sluice/shared/config"
	"sluice/shared/telemetry"
	"sluice/worker"
)

// streams is what sluice nats setup reads.
type streams struct {
	telemetry.Config `embed:""`
	backend.NATS     `embed:""`
	backend.Settings `embed:""`
}

// simulated is what sluice sim reads.
type simulated struct {
	Addr string `env:"SLUICE_SIM_ADDR"`
}

// program is one of ours, as a container runs it.
type program struct {
	command  string
	settings any // a pointer to its struct, filled in
	env      map[string]string
}

// programs are the commands that containers may run, with the structs of their settings.
var programs = map[string]func() any{
	"api":               func() any { return &api.Program{} },
	"worker":            func() any { return &worker.Program{} },
	"migrate up":        func() any { return &migrations.Program{} },
	"migrate wait":      func() any { return &migrations.Program{} },
	"sluice nats setup": func() any { return &streams{} },
	"sluice sim":        func() any { return &simulated{} },
}

// others are variables that Go itself, or a library, reads.
func others(name string) bool {
	return name == "GOMEMLIMIT" || name == "GOMAXPROCS" || strings.HasPrefix(name, "OTEL_")
}

const image = "sluice"

func ours(c container) bool {
	name, _, _ := strings.Cut(path.Base(c.Image), ":")
	return name == image
}

// values resolves flags from an environment that is not this process's own.
type values map[string]string

func (v values) Validate(*kong.Application) error { return nil }

func (v values) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if value, ok := v[name]; ok {
			return value, nil
		}
	}
	return nil, nil
}

// start reads the settings as the program would, and returns what is wrong with them.
func start(c container, env map[string]string) (p program, faults []string) {
	p = program{command: strings.Join(c.Command, " "), env: env}
	settings, ok := programs[p.command]
	if !ok {
		return p, []string{"runs " + p.command + ", which is none of the known programs"}
	}
	p.settings = settings()
	parser, err := config.New(p.command, "", p.settings, kong.Resolvers(values(env)))
	must(err)
	known := map[string]bool{}
	for _, flag := range parser.Model.AllFlags(false) {
		for _, f := range flag {
			for _, name := range f.Envs {
				known[name] = true
			}
		}
	}
	for _, name := range names(env) {
		if !known[name] && !others(name) {
			faults = append(faults, p.command+" has no setting "+name)
		}
	}
	args := []string{}
	if name, command, _ := strings.Cut(p.command, " "); name == "migrate" {
		args = append(args, command)
	}
	if _, err := parser.Parse(args); err != nil {
		faults = append(faults, fmt.Sprintf("%s refuses its settings: %v", p.command, err))
	}
	return p, faults
}

// run returns the pod's main program, if it is one of ours.
func (o *overlay) run(w workload) (program, container, bool) {
	c := w.pod().Containers[0]
	if !ours(c) {
		return program{}, c, false
	}
	env, _ := o.env(w, c)
	p, _ := start(c, env)
	return p, c, p.settings != nil
}

// settingsFit: each program gets settings that it has, and accepts.
func settingsFit(o *overlay) (faults []string) {
	for _, w := range o.workloads() {
		for _, c := range w.containers() {
			env, bad := o.env(w, c)
			if ours(c) {
				_, more := start(c, env)
				bad = append(bad, more...)
			}
			for _, b := range bad {
				faults = append(faults, fmt.Sprintf("%s, container %s: %s", w, c.Name, b))
			}
		}
	}
	return faults
}

// addresses are the servers that a program is told of, by their settings.
func (p program) addresses() map[string][]string {
	out := map[string][]string{}
	for name, value := range p.env {
		if !slices.Contains([]string{"SLUICE_DATABASE_URL", "SLUICE_REDIS_URL", "SLUICE_NATS_URL", "OPENAI_BASE_URL", "SLUICE_S3_ENDPOINT"}, name) {
			continue
		}
		for one := range strings.SplitSeq(value, ",") {
			out[name] = append(out[name], one)
		}
	}
	return out
}

// standard are the ports of addresses that name none.
var standard = map[string]string{"http": "80", "https": "443", "postgres": "5432", "redis": "6379", "rediss": "6379", "nats": "4222", "tls": "4222"}

// hostPort splits an address.
func hostPort(address string) (host string, number int, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", 0, err
	}
	text := u.Port()
	if text == "" {
		text = standard[u.Scheme]
	}
	number, err = strconv.Atoi(text)
	return u.Hostname(), number, err
}

// listening returns the port of a listener's address.
func listening(address string) int {
	_, text, err := net.SplitHostPort(address)
	must(err)
	number, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", text)
	must(err)
	return number
}

// overlays are the folders there are.
func overlays() []string {
	entries, err := os.ReadDir(root + "/overlays")
	must(err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
