// Package quota is the face that tells a tenant what is left of its completions, under /v1/quota. It counts nothing itself:
// the store does, when it accepts a completion.
package quota

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

// Store knows what is used.
type Store interface {
	Used(ctx context.Context, tenant string, q completion.Quota, at time.Time) (map[completion.Account]int, error)
}

// Limits know what there is.
type Limits interface {
	Of(tenant string) completion.Limits
}

// Use is how much is used of a limit.
type Use struct {
	Used  int `json:"used" minimum:"0" doc:"Above limit if that was lowered."`
	Limit int `json:"limit" minimum:"1"`
}

// DayUse is how much is used of a day's limit.
type DayUse struct {
	Use
	ResetsAt time.Time `json:"resets_at" doc:"When the day ends, in UTC."`
}

// Quota is what a tenant may still have.
type Quota struct {
	Object    string  `json:"object" enum:"quota"`
	Total     *Use    `json:"completions,omitempty" doc:"Of the tenant, ever. Absent: there is no limit, and nothing is counted."`
	Day       *DayUse `json:"completions_per_day,omitempty" doc:"Of the tenant, on this day. Absent: there is no limit, and nothing is counted."`
	OwnersDay *DayUse `json:"owner_completions_per_day,omitempty" doc:"Of the owner that was asked for, on this day. Absent: none was, or there is no limit."`
}

type input struct {
	Owner string `query:"owner" maxLength:"128" doc:"An owner of conversations, whose part of the day is told too."`
}

type output struct{ Body Quota }

// Register adds the route to api.
func Register(api huma.API, s Store, l Limits, log *slog.Logger) {
	huma.Register(api, huma.Operation{
		OperationID: "get-quota", Method: http.MethodGet, Path: "/v1/quota", Tags: []string{"Quota"}, Errors: []int{400, 401, 403, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Read what is left", Description: "How many completions the tenant may have, and how many of them were accepted: turns, jobs, chat " +
			"completions and the like, and each line of a batch.",
	}, func(ctx context.Context, in *input) (*output, error) {
		tenant, now := access.Of(ctx).Tenant, time.Now()
		used, err := s.Used(ctx, tenant, l.Of(tenant).Quota(in.Owner), now)
		if err != nil {
			return nil, problem.Answer(ctx, log, err)
		}
		return &output{Body: view(used, now)}, nil
	})
}

func view(used map[completion.Account]int, now time.Time) Quota {
	q := Quota{Object: "quota"}
	for a, n := range used {
		use := Use{Used: n, Limit: a.Limit}
		switch day := (&DayUse{Use: use, ResetsAt: completion.NextDay(now)}); {
		case a.Day == 0:
			q.Total = &use
		case a.Owner == "":
			q.Day = day
		default:
			q.OwnersDay = day
		}
	}
	return q
}
