// Package config reads a program's settings: flags win over the environment, the environment over the file, the file
// over the defaults. One struct with kong tags describes them all; the reference page is made from it.
//
// Secrets (tag secret:"", or secret:"url" for an address with a password) come from the environment, from a file of their
// own that the environment names (SLUICE_DATABASE_URL_FILE), or from the settings file: a command line is in every list of
// processes.
//
// A setting that is unknown, in the file or on the command line, is an error, and all invalid values are reported at
// once by the struct's own Validate.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// New returns the parser of a program's command line. Its target is a pointer to a struct with kong tags.
func New(name, description string, target any, options ...kong.Option) (*kong.Kong, error) {
	options = append([]kong.Option{
		kong.Name(name), kong.Description(description), kong.Configuration(file), kong.Resolvers(kong.ResolverFunc(secret)), kong.WithBeforeApply(keepSecrets),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
	}, options...)
	parser, err := kong.New(target, options...)
	if err != nil {
		return nil, fmt.Errorf("describe settings of %s: %w", name, err)
	}
	return parser, nil
}

// keepSecrets is kong's: it refuses secrets on the command line.
func keepSecrets(ctx *kong.Context) error {
	var err error
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Resolved || !p.Flag.Tag.Has("secret") {
			continue
		}
		if p.Flag.Tag.Get("secret") == "url" && !hasPassword(ctx.FlagValue(p.Flag)) {
			continue
		}
		err = errors.Join(err, fmt.Errorf("--%s: a command line can be read by everybody here; set %s instead", p.Flag.Name, strings.Join(p.Flag.Envs, " or ")))
	}
	return err
}

func hasPassword(value any) bool {
	u, err := url.Parse(fmt.Sprint(value))
	if err != nil {
		return false // whoever connects says what is wrong with it
	}
	_, has := u.User.Password()
	return has
}

// fileSuffix makes the name of the variable that holds a secret that of the variable which names a file with it.
const fileSuffix = "_FILE"

// secret is kong's: a secret's value from the file that the environment names, without the end of its line; nil if it names
// none. To set the secret itself too is an error, because one of them would be passed over.
func secret(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.Tag.Has("secret") {
		return nil, nil
	}
	for _, name := range flag.Envs {
		path := os.Getenv(name + fileSuffix)
		if path == "" {
			continue
		}
		if os.Getenv(name) != "" {
			return nil, fmt.Errorf("both %s and %s are set: want one", name, name+fileSuffix)
		}
		value, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name+fileSuffix, err)
		}
		return strings.TrimSpace(string(value)), nil
	}
	return nil, nil
}

// File is the flag that names a settings file; embed it to have one.
type File struct {
	Config kong.ConfigFlag `env:"SLUICE_CONFIG" placeholder:"FILE" help:"YAML file with settings, by their flag names with underscores: http_addr: 127.0.0.1:8080."`
}

// settings resolves flags from a YAML mapping.
type settings map[string]any

func file(r io.Reader) (kong.Resolver, error) {
	s := settings{}
	all := yaml.NewDecoder(r)
	if err := all.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read settings file: %w", err)
	}
	if err := all.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("read settings file: it must be one YAML document"), err)
	}
	return s, nil
}

// Resolve is kong's: the value of one flag, nil if the file does not have it or the environment, which wins, does.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		_, set := os.LookupEnv(name)
		_, secret := os.LookupEnv(name + fileSuffix)
		if set || secret && flag.Tag.Has("secret") {
			return nil, nil
		}
	}
	return s[key(flag.Name)], nil
}

// Validate is kong's: every key must be a flag of the program.
func (s settings) Validate(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[key(flag.Name)] = true
		}
		return next(nil)
	})
	for name := range s {
		if !known[name] {
			err = errors.Join(err, fmt.Errorf("settings file: unknown key %q", name))
		}
	}
	return err
}

func key(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// Reference describes the settings of app in Markdown: one table row for each flag that can be set by the environment.
func Reference(app *kong.Application) string {
	var b strings.Builder
	b.WriteString("| flag | environment | default | meaning |\n|---|---|---|---|\n")
	for _, group := range app.AllFlags(true) {
		for _, flag := range group {
			if len(flag.Envs) == 0 {
				continue
			}
			standard := "none"
			if flag.HasDefault && flag.Default != "" {
				standard = "`" + flag.Default + "`"
			}
			fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", flag.Name, strings.Join(flag.Envs, "`, `"), standard, flag.Help)
		}
	}
	return b.String()
}
