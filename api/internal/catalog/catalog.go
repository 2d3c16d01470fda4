// Package catalog knows which models there are: it reads what the workers have written down of their upstreams, answers
// GET /v1/models with it, and refuses a request for an unknown model before anything is enqueued.
//
// It refuses only what is certain: while no upstream has said what it serves, or one does not say, or the store cannot be
// asked, every model is let through, and the upstream has the last word.
package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/singleflight"

	"sluice/shared/completion"
)

const (
	// fresh is how long what the store said is believed.
	fresh = 5 * time.Second
	// pause is how soon the store is asked again for a model that is not there.
	pause = time.Second
	// askLimit bounds how long the store is waited for.
	askLimit = 2 * time.Second
	// firstLimit is how long a first list is waited for.
	firstLimit = 3 * time.Second
	// longest is how much of an unknown name an error repeats, in bytes.
	longest = 256
)

// Store is where the lists are.
type Store interface {
	Models(ctx context.Context, now time.Time, known ...string) ([]completion.ModelList, error)
}

// Catalog is safe for concurrent use.
type Catalog struct {
	store Store
	pass  bool
	asks  singleflight.Group

	mu   sync.Mutex
	last *view // nil before the first
}

// New returns a Catalog of what is in s. If pass is set it refuses nothing.
func New(s Store, pass bool) *Catalog { return &Catalog{store: s, pass: pass} }

// Check returns nil if the model is known or may be, and a model_not_found error if it is not.
func (c *Catalog) Check(ctx context.Context, model string) error {
	if c.pass {
		return nil
	}
	for _, age := range []time.Duration{fresh, pause} {
		v, err := c.view(ctx, age)
		if err != nil || v.open || v.serves(model) {
			return nil //nolint:nilerr // a store that cannot be asked refuses nobody
		}
	}
	return unknown(model)
}

// First returns the first of the models that are listed; "" if upstreams list none. Of an installation that has just started
// it waits for a moment until a worker has said what there is. Its error is a service_unavailable *completion.Error.
func (c *Catalog) First(ctx context.Context) (model string, err error) {
	for age, until := fresh, time.Now().Add(firstLimit); ; age = pause {
		v, err := c.view(ctx, age)
		switch {
		case err != nil:
			return "", completion.NewError(completion.CodeUnavailable, "").Because(err)
		case len(v.models) > 0:
			return gjson.GetBytes(v.models[0], "id").String(), nil
		case len(v.lists) > 0:
			return "", nil
		case time.Now().After(until):
			return "", completion.NewError(completion.CodeUnavailable, "No worker has said yet which models there are; name one, or try again.")
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause / 4):
		}
	}
}

func unknown(model string) error {
	if len(model) > longest {
		model = strings.ToValidUTF8(model[:longest], "") + "…"
	}
	e := completion.NewError(completion.CodeModel, fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", model))
	e.Param = "model"
	return e
}

// Native reports whether every upstream that may serve the model is asked for Responses as such. While that is not known it
// is false.
func (c *Catalog) Native(ctx context.Context, model string) bool {
	v, err := c.view(ctx, fresh)
	return err == nil && v.native(model)
}

// view returns what the store said within age, or asks it. Who asks while it is being asked gets the same answer.
func (c *Catalog) view(ctx context.Context, age time.Duration) (*view, error) {
	if v := c.recall(); v != nil && time.Since(v.at) < age {
		return v, nil
	}
	v, err, _ := c.asks.Do("", func() (any, error) { return c.ask(context.WithoutCancel(ctx)) })
	return v.(*view), err
}

func (c *Catalog) recall() *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *Catalog) ask(ctx context.Context) (*view, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	old, now := c.recall(), time.Now()
	var known []string
	if old != nil {
		for _, l := range old.lists {
			known = append(known, l.digest)
		}
	}
	lists, err := c.store.Models(ctx, now, known...)
	if err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	v := newView(lists, old, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = v
	return v, nil
}

// view is what the store said once. It does not change.
type view struct {
	at     time.Time
	open   bool   // some upstream may serve any model
	lists  []list // by upstream
	models []json.RawMessage
	byID   map[string]json.RawMessage
}

// list is one upstream's, read.
type list struct {
	digest string
	models json.RawMessage
	ids    map[string]bool // nil: any model may be served
	native bool
}

func newView(lists []completion.ModelList, old *view, now time.Time) *view {
	v := &view{at: now, open: len(lists) == 0, byID: map[string]json.RawMessage{}}
	for _, l := range lists {
		v.open = v.open || l.Digest == ""
		v.lists = append(v.lists, list{digest: l.Digest, models: l.Models, native: l.Native})
	}
	if old != nil {
		for i, l := range v.lists {
			if at := slices.IndexFunc(old.lists, func(o list) bool { return o.digest == l.digest }); at >= 0 {
				v.lists[i].models, v.lists[i].ids = old.lists[at].models, old.lists[at].ids
			}
		}
		if slices.EqualFunc(v.lists, old.lists, func(a, b list) bool { return a.digest == b.digest }) {
			v.models, v.byID = old.models, old.byID
			return v
		}
	}
	for i := range v.lists {
		l := &v.lists[i]
		if l.ids == nil && l.digest != "" {
			l.ids = map[string]bool{}
		}
		gjson.ParseBytes(l.models).ForEach(func(_, m gjson.Result) bool {
			id := m.Get("id").String()
			l.ids[id] = true
			if v.byID[id] == nil {
				v.byID[id] = json.RawMessage(m.Raw)
				v.models = append(v.models, v.byID[id])
			}
			return true
		})
	}
	slices.SortFunc(v.models, func(a, b json.RawMessage) int {
		return bytes.Compare([]byte(gjson.GetBytes(a, "id").String()), []byte(gjson.GetBytes(b, "id").String()))
	})
	return v
}

// native reports whether every upstream that may serve the model, or any if none lists it, is native.
func (v *view) native(name string) bool {
	all, some, serving := true, true, 0
	for _, l := range v.lists {
		all = all && l.native
		if l.ids == nil || named(name, func(id string) bool { return l.ids[id] }) {
			some = some && l.native
			serving++
		}
	}
	if serving == 0 {
		return all && len(v.lists) > 0
	}
	return some
}

// serves reports whether a listed model goes by that name.
func (v *view) serves(name string) bool {
	return named(name, func(id string) bool { return v.byID[id] != nil })
}

// named reports whether a model that is listed goes by that name. Providers accept more spellings than they list: Ollama lists
// llama3:latest and serves llama3, Gemini lists models/gemini-2.5-pro and serves gemini-2.5-pro, OpenRouter and Hugging Face
// serve NAME:VARIANT, and the simulated model NAME?DIRECTIVES.
func named(name string, listed func(id string) bool) bool {
	for _, spelling := range []string{name, name + ":latest", "models/" + name} {
		if listed(spelling) {
			return true
		}
	}
	for i, c := range []byte(name[:min(len(name), longest)]) {
		if (c == ':' || c == '?') && listed(name[:i]) {
			return true
		}
	}
	return false
}
