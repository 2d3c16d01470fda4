package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/batches"
	"sluice/api/internal/blob"
	"sluice/api/internal/catalog"
	"sluice/api/internal/conversations"
	"sluice/api/internal/files"
	"sluice/api/internal/follow"
	"sluice/api/internal/intake"
	"sluice/api/internal/jobs"
	"sluice/api/internal/keys"
	"sluice/api/internal/openai"
	"sluice/api/internal/page"
	"sluice/api/internal/problem"
	"sluice/api/internal/quota"
	"sluice/api/internal/responses"
	"sluice/api/internal/site"
	"sluice/api/internal/system"
	"sluice/api/internal/talk"
	"sluice/api/internal/viewer"
	"sluice/api/internal/webhooks"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/telemetry"
)

// routes builds the whole HTTP surface. Event streams end when stopping does.
func routes(stopping context.Context, c Config, back *backend.Backend, blobs blob.Store, inner core, log *slog.Logger) (http.Handler, error) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Sluice", telemetry.Version)
	config.Info.Description = "Queues LLM completions, streams them while they are generated, and keeps the answers."
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	api := humago.New(mux, config)
	open := ""
	if !c.NeedsKeys() {
		open = c.Tenant
	}
	guard := access.New(back.Store, open, log)
	api.UseMiddleware(guard.Middleware)
	access.Describe(api.OpenAPI())
	if err := c.faces(stopping, api, guard, back, blobs, inner, log); err != nil {
		return nil, err
	}
	registerHealth(api, back.Ready, log)
	problem.Describe(api.OpenAPI())
	mux.Handle("GET /docs", page.Reference(api.OpenAPI()))
	pages, err := site.Routes(site.Options{Open: !c.NeedsKeys(), WebSockets: c.webSockets()})
	if err != nil {
		return nil, err
	}
	for pattern, handler := range pages {
		mux.Handle(pattern, handler)
	}
	return traced(c.web(envelope(mux, api.OpenAPI())), back.Tracer), nil
}

// faces registers what clients use, all over one intake.
func (c Config) faces(stopping context.Context, api huma.API, guard *access.Guard, back *backend.Backend, blobs blob.Store, inner core, log *slog.Logger) error {
	in, models := inner.intake, inner.models
	door, err := c.door()
	if err != nil {
		return err
	}
	follower := follow.New(follow.Parts{
		Log: back.Log, Bell: back.Bell, Limits: back.Limit, Guard: guard, Logger: log, Heartbeat: c.Heartbeat, Write: c.ClientLimit, Stopping: stopping,
	})
	jobs.Register(api, jobs.Parts{Intake: in, Store: back.Store, Models: models, Limits: back.Limit, Follow: follower, Door: door, Logger: log})
	keys.Register(api, back.Store, log)
	quota.Register(api, back.Store, back.Limit, log)
	webhooks.Register(api, back.Store, c.Webhooks.AllowPrivate(), log)
	files.Register(api, files.Parts{Store: back.Store, Blobs: blobs, Limits: back.Limit, Logger: log, Client: c.ClientLimit})
	batches.Register(api, batches.Parts{
		Intake: in, Store: back.Store, Blobs: blobs, Bell: back.Bell, Limits: back.Limit, Follow: follower, Door: door, Logger: log, Write: c.ClientLimit,
	})
	conversations.Register(api, conversations.Parts{Host: inner.host, Intake: in, Store: back.Store, Follow: follower, Door: door, Logger: log})
	catalog.Register(api, models, log)
	system.Register(api, system.Parts{Intake: in, Store: back.Store, Queue: back.Queue, Limits: back.Limit, Version: telemetry.Version, Logger: log})
	desk := attend.New(attend.Parts{
		Store: back.Store, Log: back.Log, Intake: in, Models: models, Limits: back.Limit, Guard: guard, Logger: log,
		Heartbeat: c.Heartbeat, Write: c.ClientLimit, Grace: c.StopLimit * 3 / 4, Stopping: stopping,
	})
	openai.Register(api, openai.Parts{Desk: desk, Store: back.Store, Log: back.Log, Logger: log})
	responses.Register(api, responses.Parts{Intake: in, Desk: desk, Store: back.Store, Log: back.Log, Models: models, Logger: log})
	return nil
}

// core is what the faces share with those who look after batches and conversations.
type core struct {
	intake *intake.Intake
	models *catalog.Catalog
	host   *talk.Host
}

// core tells accepted of each job that is taken in.
func (c Config) core(back *backend.Backend, accepted func(lane completion.Lane, e completion.Endpoint, n int), log *slog.Logger) (core, error) {
	preset, err := c.preset()
	in := intake.New(intake.Parts{
		Store: grouped{back.Store, back.Store.Group()}, Queue: back.Queue, Log: back.Log, Bell: back.Bell, Limits: back.Limit, Logger: log, Accepted: accepted,
		Timeout: map[completion.Lane]time.Duration{completion.LaneInteractive: c.InteractiveTimeout, completion.LaneBatch: c.BatchTimeout},
	})
	models := catalog.New(back.Store, c.UnknownModels == PassUnknown)
	host := talk.New(talk.Parts{Store: back.Store, Intake: in, Bell: back.Bell, Models: models, Logger: log, Preset: preset})
	return core{in, models, host}, err
}

// door is closed without signing keys.
func (c Config) door() (viewer.Door, error) {
	if c.SigningKeys == "" {
		return viewer.Door{}, nil
	}
	signing, err := credential.LoadSigning(c.SigningKeys)
	if err != nil {
		return viewer.Door{}, fmt.Errorf("SLUICE_NATS_SIGNING_KEYS: %w", err)
	}
	mint, err := credential.NewMinter(signing)
	if err != nil {
		return viewer.Door{}, err
	}
	return viewer.New(mint, viewer.Stream{NATSURL: c.PublicNATSURL, WebSocketURL: c.PublicWebSocketURL}, c.CredentialTTL), nil
}

// webSockets are the addresses that clients are told.
func (c Config) webSockets() []string {
	if c.SigningKeys == "" || c.PublicWebSocketURL == "" {
		return nil
	}
	return []string{c.PublicWebSocketURL}
}
