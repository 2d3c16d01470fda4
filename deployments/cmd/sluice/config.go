package main

import (
	"fmt"

	"sluice/api"
	"sluice/shared/config"
	"sluice/worker"
)

type configCmd struct{}

// Run is kong's.
func (c *configCmd) Run(t *terminal) error {
	text, err := reference()
	if err != nil {
		return err
	}
	fmt.Fprint(t.out, text)
	return nil
}

// reference describes the settings of every program, in Markdown.
func reference() (string, error) {
	text := `# Settings

Flags win over the environment, the environment over the YAML file that --config names (keys are the flags with
underscores), the file over the defaults. Durations are written like 500ms, 30s or 2h. Unknown settings are errors.
Secrets (keys, and the addresses of servers, which may hold a password) are never taken from a command line with what is
secret in them; a file may hold one, which the environment names: SLUICE_DATABASE_URL_FILE, OPENAI_API_KEY_FILE and so on.
This page is printed by sluice config.
`
	for _, program := range []struct {
		name, about string
		settings    any
	}{
		{"sluice up", "Everything in one process.", &upCmd{}},
		{"api", "The HTTP API alone.", &api.Program{}},
		{"worker", "A worker alone.", &worker.Program{}},
	} {
		parser, err := config.New(program.name, program.about, program.settings)
		if err != nil {
			return "", err
		}
		text += "\n## " + program.name + "\n\n" + program.about + "\n\n" + config.Reference(parser.Model)
	}
	return text, nil
}
