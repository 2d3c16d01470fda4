package jobs

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"sluice/api/internal/access"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// listStore has no jobs and keeps what it was asked.
type listStore struct {
	Store
	t     *testing.T
	asked *store.Query
}

func (s *listStore) List(_ context.Context, tenant string, q store.Query) ([]completion.Job, string, error) {
	require.Equal(s.t, "acme", tenant)
	s.asked = &q
	return nil, "", nil
}

// FuzzList asks for a list with any query: it is refused in the envelope, or the store is asked for what it can answer.
func FuzzList(f *testing.F) {
	for _, q := range []string{
		"", "state=queued&lane=batch&model=m&limit=100&order=asc&after=job_1", "state=", "state=x", "lane=%00", "model=%ff", "limit=0", "limit=1e2", "limit=", "limit=1&limit=101", "model",
		"batch=batch_1&order=asc", "batch=", "batch", "batch=job_1", "batch=batch_%2a", "after=*", "after=%20", "after=job_1&after=%3E", "created_after=2026-01-02T03:04:05Z", "created_after=0000-00-00", "created_before=9999-12-31T23:59:59.999999999%2B23:59", "order=DESC", ";", "%", "a=b&=&&",
	} {
		f.Add(q)
	}
	db := &listStore{}
	mux := http.NewServeMux()
	api, log := humago.New(mux, huma.DefaultConfig("fuzz", "0")), slog.New(slog.DiscardHandler)
	api.UseMiddleware(access.New(nil, "acme", log).Middleware)
	Register(api, Parts{Store: db, Logger: log})
	f.Fuzz(func(t *testing.T, query string) {
		db.t, db.asked = t, nil
		r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var body struct {
			Error *struct{ Message, Type, Code string }
			Data  []any
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), "%s", w.Body)
		if w.Code != http.StatusOK {
			require.Equal(t, http.StatusBadRequest, w.Code, "%s", w.Body)
			require.Nil(t, db.asked)
			require.NotEmpty(t, body.Error.Message)
			require.Equal(t, string(completion.CodeInvalidRequest), body.Error.Code)
			return
		}
		require.NotNil(t, body.Data)
		q := db.asked
		require.True(t, q.State == "" || q.State.Valid(), "%q", q.State)
		require.True(t, q.Lane == "" || q.Lane.Valid(), "%q", q.Lane)
		require.True(t, q.Limit >= 1 && q.Limit <= 100, "%d", q.Limit)
		require.True(t, q.After == "" || completion.ValidToken(q.After), "%q", q.After)
		require.True(t, q.Batch == "" || completion.ValidToken(q.Batch) && strings.HasPrefix(q.Batch, completion.BatchPrefix), "%q", q.Batch)
		values, _ := url.ParseQuery(query)
		require.Equal(t, values.Get("order") == "asc", q.Oldest)
		if model := values.Get("model"); model != "" { // "?model" means "true" to huma
			require.Equal(t, model, q.Model)
		}
	})
}
