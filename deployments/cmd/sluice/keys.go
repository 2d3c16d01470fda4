package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

type keysCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key and print it, this once."`
	List   keyListCmd   `cmd:"" help:"List API keys, without their secrets."`
	Revoke keyRevokeCmd `cmd:"" help:"End an API key, within ten seconds."`
}

type keyCreateCmd struct {
	operator
	Tenant  string             `required:"" help:"Tenant that the key belongs to: 1 to 64 of a-z, 0-9, _ and -. It need not exist."`
	Name    string             `help:"A label."`
	Scope   []completion.Scope `default:"submit,read" help:"What the key permits: submit, read, admin (of the tenant) and system (of the whole installation), separated by commas."`
	Expires time.Duration      `help:"End the key after this long, as 720h; never by default."`
}

// Validate is kong's.
func (c *keyCreateCmd) Validate() error {
	var err error
	if !completion.ValidToken(c.Tenant) {
		err = errors.Join(err, fmt.Errorf("tenant %q: want 1 to 64 of a-z, 0-9, _ and -", c.Tenant))
	}
	for _, s := range c.Scope {
		if !s.Valid() {
			err = errors.Join(err, fmt.Errorf("scope %q: want "+completion.ScopeNames, s))
		}
	}
	if c.Expires < 0 {
		err = errors.Join(err, fmt.Errorf("expires %s: want more than 0", c.Expires))
	}
	return err
}

// Run is kong's. The secret alone goes to standard output.
func (c *keyCreateCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		now := time.Now()
		k, secret := completion.NewKey(c.Tenant, c.Scope, now)
		if k.Name = c.Name; c.Expires > 0 {
			k.ExpiresAt = now.Add(c.Expires)
		}
		if err := s.AddKey(ctx, k); err != nil {
			return err
		}
		fmt.Fprintln(t.out, secret)
		fmt.Fprintf(t.err, "%s of tenant %s may %s, expires %s; it is not shown again\n", k.ID, k.Tenant, scopes(k), day(k.ExpiresAt))
		return nil
	})
}

func scopes(k completion.Key) string {
	var names []string
	for _, s := range k.Scopes {
		names = append(names, string(s))
	}
	return strings.Join(names, ",")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

type keyListCmd struct {
	operator
	Tenant string `help:"Only this tenant's."`
}

// Run is kong's.
func (c *keyListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		keys, err := s.Keys(ctx, c.Tenant)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tTENANT\tNAME\tSECRET\tSCOPES\tCREATED\tLAST USED\tEXPIRES\tREVOKED")
		for _, k := range keys {
			fmt.Fprintf(w, "%s\t%s\t%s\t…%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Name, k.Hint, scopes(k),
				day(k.CreatedAt), day(k.LastUsedAt), day(k.ExpiresAt), day(k.RevokedAt))
		}
		return w.Flush()
	})
}

type keyRevokeCmd struct {
	operator
	Tenant string `required:"" help:"Tenant that the key belongs to."`
	ID     string `arg:"" help:"The key's id, as sluice keys list shows it."`
}

// Run is kong's.
func (c *keyRevokeCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		k, err := s.RevokeKey(ctx, c.Tenant, c.ID, time.Now())
		if errors.Is(err, completion.ErrNotFound) {
			return fmt.Errorf("tenant %s has no key %s", c.Tenant, c.ID)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is revoked\n", k.ID)
		return nil
	})
}
