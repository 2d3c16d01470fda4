// Package access decides who a request comes from and what it may do (I8): it checks API keys against the store, and
// remembers them for some seconds, so that a request costs no read of the database and a revocation takes effect soon.
//
// Every operation says in its OpenAPI description which scope it needs (Needs); one that does not is open to all.
package access

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/telemetry"
)

const (
	// fresh is how long a key's answer is believed: a revocation takes effect within it.
	fresh = 5 * time.Second
	// remembered is how many answers are kept; the stale ones go when there are more.
	remembered = 10_000
	// atOnce is how many keys are looked up at once, so that guesses cannot take all connections to the database.
	atOnce = 4
	// longest is more than a key has, in bytes.
	longest = 256
)

// Keys is where keys are kept.
type Keys interface {
	UseKey(ctx context.Context, hash string, at time.Time) (completion.Key, error)
}

// Caller is who a request comes from.
type Caller struct {
	Tenant string
	hash   string // of the key; empty where none is needed
	scopes []completion.Scope
}

// Allows reports whether the caller may do what has that scope.
func (c Caller) Allows(s completion.Scope) bool { return slices.Contains(c.scopes, s) }

// Guard checks keys. It is safe for concurrent use.
type Guard struct {
	keys    Keys
	open    string // the tenant of everybody; empty: keys are needed
	log     *slog.Logger
	slots   chan struct{}      // holds one element for each look-up that runs
	lookups singleflight.Group // by hash: who asks for a key that is being looked up gets the same answer

	mu    sync.Mutex
	known map[string]answer // by hash
}

// answer is what the store said about a key.
type answer struct {
	key completion.Key
	err error // nil or completion.ErrNotFound
	at  time.Time
}

// New returns a Guard that asks keys. With a tenant in open, no key is needed and everybody is that tenant.
func New(keys Keys, open string, log *slog.Logger) *Guard {
	return &Guard{keys: keys, open: open, log: log, slots: make(chan struct{}, atOnce), known: map[string]answer{}}
}

var (
	errNone    = errors.New("no key was given")
	errUnknown = errors.New("no such key")
	errEnded   = errors.New("the key has expired or was revoked")
)

// Check returns who the Authorization header's key belongs to, if it has the scope. Its errors are *completion.Error.
func (g *Guard) Check(ctx context.Context, header string, scope completion.Scope) (Caller, error) {
	if g.open != "" {
		return Caller{Tenant: g.open, scopes: completion.Scopes}, nil
	}
	kind, secret, _ := strings.Cut(header, " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(kind, "Bearer") || secret == "" {
		return Caller{}, completion.NewError(completion.CodeNoKey, "An API key is needed: Authorization: Bearer "+completion.SecretPrefix+"…").Because(errNone)
	}
	if len(secret) > longest {
		return Caller{}, completion.NewError(completion.CodeNoKey, "").Because(errUnknown)
	}
	return g.check(ctx, completion.HashSecret(secret), scope)
}

func (g *Guard) check(ctx context.Context, hash string, scope completion.Scope) (Caller, error) {
	key, err := g.find(ctx, hash)
	switch {
	case errors.Is(err, completion.ErrNotFound):
		return Caller{}, completion.NewError(completion.CodeNoKey, "").Because(errUnknown)
	case err != nil:
		return Caller{}, err
	case !key.Usable(time.Now()):
		return Caller{}, completion.NewError(completion.CodeNoKey, "").Because(errEnded)
	case scope != "" && !key.Allows(scope):
		return Caller{}, completion.NewError(completion.CodeScope, "This needs an API key with the scope "+string(scope)+".")
	}
	return Caller{Tenant: key.Tenant, hash: hash, scopes: key.Scopes}, nil
}

// Still reports, as an error, that the caller's key does not open anything any more. A store that cannot be asked is no
// reason to end what runs.
func (g *Guard) Still(ctx context.Context, c Caller) error {
	if c.hash == "" {
		return nil
	}
	_, err := g.check(ctx, c.hash, "")
	if completion.AsError(err).Code == completion.CodeNoKey {
		return err
	}
	return nil
}

// Fresh is how often Still is worth asking.
const Fresh = fresh

// find asks the store for a key, at most once in fresh, however many requests ask. That the store could not be asked is
// not remembered.
func (g *Guard) find(ctx context.Context, hash string) (completion.Key, error) {
	if known, ok := g.recall(hash); ok {
		return known.key, known.err
	}
	key, err, _ := g.lookups.Do(hash, func() (any, error) { return g.ask(context.WithoutCancel(ctx), hash) })
	return key.(completion.Key), err
}

func (g *Guard) recall(hash string) (answer, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.known[hash]
	return a, ok && time.Since(a.at) < fresh
}

func (g *Guard) ask(ctx context.Context, hash string) (completion.Key, error) {
	g.slots <- struct{}{}
	defer func() { <-g.slots }()
	if known, ok := g.recall(hash); ok { // the look-up before has just ended
		return known.key, known.err
	}
	now := time.Now()
	key, err := g.keys.UseKey(ctx, hash, now)
	if err == nil || errors.Is(err, completion.ErrNotFound) {
		g.remember(hash, answer{key, err, now})
	}
	return key, err
}

func (g *Guard) remember(hash string, a answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= remembered {
		maps.DeleteFunc(g.known, func(_ string, old answer) bool { return time.Since(old.at) >= fresh })
	}
	if len(g.known) >= remembered {
		clear(g.known)
	}
	g.known[hash] = a
}

// scheme is the name of the key in the OpenAPI description.
const scheme = "key"

// Needs describes an operation that needs a key with the scope.
func Needs(scope completion.Scope) []map[string][]string {
	return []map[string][]string{{scheme: {string(scope)}}}
}

// Describe adds the key to an OpenAPI description.
func Describe(api *huma.OpenAPI) {
	if api.Components.SecuritySchemes == nil {
		api.Components.SecuritySchemes = map[string]*huma.SecurityScheme{}
	}
	api.Components.SecuritySchemes[scheme] = &huma.SecurityScheme{
		Type: "http", Scheme: "bearer", Description: "An API key: " + completion.SecretPrefix + "…, with the scopes " + completion.ScopeNames + ".",
	}
}

type contextKey struct{}

// Of returns who the request comes from whose context it is.
func Of(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller) // the zero Caller owns nothing
	return c
}

// Middleware lets a request pass that has what its operation needs, before its body is read.
func (g *Guard) Middleware(ctx huma.Context, next func(huma.Context)) {
	for _, need := range ctx.Operation().Security {
		scopes := need[scheme]
		for _, scope := range scopes {
			caller, err := g.Check(ctx.Context(), ctx.Header("Authorization"), completion.Scope(scope))
			if err != nil {
				g.refuse(ctx, err)
				return
			}
			trace.SpanFromContext(ctx.Context()).SetAttributes(telemetry.Tenant.String(caller.Tenant))
			ctx = huma.WithValue(ctx, contextKey{}, caller)
		}
	}
	next(ctx)
}

func (g *Guard) refuse(ctx huma.Context, err error) {
	_, w := humago.Unwrap(ctx)
	e := completion.AsError(err)
	switch {
	case e.Code == completion.CodeNoKey:
		w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
		g.log.Debug("key refused", "request_id", completion.RequestID(ctx.Context()), "error", e.Cause)
	case e.Code.Kind().Status >= http.StatusInternalServerError:
		g.log.Error("key not checked", "request_id", completion.RequestID(ctx.Context()), "error", err)
	}
	problem.Write(w, err)
}
