package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

type tenantPresetCmd struct {
	operator
	Tenant     string  `arg:"" help:"The tenant, or * for all."`
	System     *string `help:"System message; empty takes it away."`
	Parameters *string `placeholder:"JSON" help:"Parameters as POST /v1/conversations has them, instead of those that were set; {} takes them away."`
	Clear      bool    `help:"Take the whole preset away."`
}

// Help is kong's.
func (c *tenantPresetCmd) Help() string {
	return "Sets what conversations of the tenant have that say nothing else, and prints what is set. What is not named stays as it is. " +
		"What a tenant's preset leaves out is taken from that of *."
}

// Validate is kong's.
func (c *tenantPresetCmd) Validate() error {
	err := validTenant(c.Tenant)
	if c.Clear && (c.System != nil || c.Parameters != nil) {
		err = errors.Join(err, errors.New("--clear takes all away: name nothing else"))
	}
	p, changeErr := c.change(completion.Preset{})
	return errors.Join(err, changeErr, p.Parameters.Validate("parameters"))
}

// change returns p with what was named.
func (c *tenantPresetCmd) change(p completion.Preset) (completion.Preset, error) {
	if c.Clear {
		return completion.Preset{}, nil
	}
	set(&p.System, c.System)
	if c.Parameters == nil {
		return p, nil
	}
	var err error
	p.Parameters, err = parseParameters(*c.Parameters)
	return p, err
}

func parseParameters(text string) (completion.Parameters, error) {
	var p completion.Parameters
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	if _, more := d.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("more than one JSON object")
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return p, nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return p, fmt.Errorf("parameters.%s: a %s does not fit there", wrong.Field, wrong.Value)
	default:
		return p, fmt.Errorf("parameters: %w", err)
	}
}

// Run is kong's.
func (c *tenantPresetCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		own, err := s.Presets(ctx, c.Tenant)
		if err != nil {
			return err
		}
		p, err := c.change(own[c.Tenant])
		if err != nil {
			return err
		}
		if c.Clear || c.System != nil || c.Parameters != nil {
			if err := s.SetPreset(ctx, c.Tenant, p, time.Now()); err != nil {
				return err
			}
		}
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(p)
	})
}
