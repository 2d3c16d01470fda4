package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// program is one that the tests run, and where it comes from.
type program struct {
	name  string
	globs []string // where it may be, besides PATH
	pkg   string   // Debian's and Ubuntu's package
}

// server is PostgreSQL, which Debian keeps out of PATH.
var server = program{"postgres", []string{"/usr/lib/postgresql/*/bin/postgres"}, "postgresql"}

// programs are all that the tests need besides Go and make.
var programs = []program{
	{"redis-server", nil, "redis-server"},
	server,
	{"haproxy", []string{"/usr/sbin/haproxy"}, "haproxy"},
	{"systemd-analyze", nil, "systemd"},
	{"chromium", []string{"/usr/bin/chromium-browser", "/usr/bin/google-chrome"}, "chromium"},
	{"node", nil, "nodejs"},
	{"npm", nil, "npm"},
	{"gcc", nil, "build-essential"}, // the race detector links with it
	{"promtool", nil, "prometheus"},
}

// find returns the path of p, the newest where there are several versions, or "".
func (p program) find() string {
	if path, err := exec.LookPath(p.name); err == nil {
		return path
	}
	for _, glob := range p.globs {
		if found, err := filepath.Glob(glob); err == nil && len(found) > 0 {
			return slices.MaxFunc(found, byVersion)
		}
	}
	return ""
}

var number = regexp.MustCompile(`[0-9]+`)

// byVersion compares two paths that differ in their numbers only, such as …/9/bin and …/15/bin.
func byVersion(a, b string) int {
	return slices.CompareFunc(number.FindAllString(a, -1), number.FindAllString(b, -1), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
}

// provide installs those of list that are missing.
func provide(ctx context.Context, list []program) error {
	var missing []string
	for _, p := range list {
		if p.find() == "" {
			missing = append(missing, p.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("the tests need %s: install them, this system has no apt-get", strings.Join(missing, ", "))
	}
	if _, err := exec.LookPath("sudo"); err != nil && os.Geteuid() != 0 {
		return fmt.Errorf("the tests need the Debian packages %s: install them as root (%s)", strings.Join(missing, ", "), command(missing))
	}
	fmt.Fprintln(os.Stderr, "testenv: installing", strings.Join(missing, ", "))
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
		if err := asRoot(ctx, apt, args); err != nil {
			return fmt.Errorf("the Debian packages %s, which the tests need, cannot be installed: see above, or install them as root (%s): %w",
				strings.Join(missing, ", "), command(missing), err)
		}
	}
	for _, p := range list {
		if p.find() == "" {
			return fmt.Errorf("package %s is installed but %s is not to be found", p.pkg, p.name)
		}
	}
	return nil
}

// command is what installs packages.
func command(packages []string) string { return "apt-get install -y " + strings.Join(packages, " ") }

func asRoot(ctx context.Context, name string, args []string) error {
	if os.Geteuid() != 0 {
		args = append([]string{"-n", "DEBIAN_FRONTEND=noninteractive", name}, args...)
		name = "sudo"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
