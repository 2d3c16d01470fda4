package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

type health struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

// readyLimit bounds one readiness check.
const readyLimit = 2 * time.Second

// registerHealth adds the routes for load balancers: healthz answers for the process alone, readyz for the process and
// the servers it needs, naming the first that is away.
func registerHealth(api huma.API, check func(context.Context) error, log *slog.Logger) {
	ok := &health{}
	ok.Body.Status = "ok"
	tags := []string{"Health"}
	huma.Register(api, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz", Tags: tags,
		Summary: "Is the process alive?", Description: "Always answers while the process runs.",
	}, func(context.Context, *struct{}) (*health, error) { return ok, nil })
	huma.Register(api, huma.Operation{
		OperationID: "ready", Method: http.MethodGet, Path: "/readyz", Tags: tags, Errors: []int{http.StatusServiceUnavailable},
		Summary: "Can jobs be accepted?", Description: "Asks the database, Redis and NATS; a 503 names the one that is away.",
	}, func(ctx context.Context, _ *struct{}) (*health, error) {
		ctx, cancel := context.WithTimeout(ctx, readyLimit)
		defer cancel()
		if err := check(ctx); err != nil {
			log.Warn("not ready", "request_id", completion.RequestID(ctx), "error", err)
			return nil, problem.Of(err)
		}
		return ok, nil
	})
}
