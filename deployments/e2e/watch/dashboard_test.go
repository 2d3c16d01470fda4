package watch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// watched is for how long an installation is watched for the picture of the docs.
const watched = 4 * time.Minute

// TestDashboard_ShowsData asks every query of the dashboard of a Prometheus that watches an installation under load, until
// each has an answer, and draws what it has got.
func TestDashboard_ShowsData(t *testing.T) {
	t.Parallel()
	i := install(t)
	busy, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	i.load(busy, t, &load)

	d, interval := readDashboard(t), "10s"
	from := time.Now()
	if *update {
		interval = "30s"
		time.Sleep(watched) // the picture shows so long a time
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			limit := time.Now().Add(patience)
			for len(i.query(t, q.in(interval))) == 0 {
				require.True(t, time.Now().Before(limit), "%s has nothing to show for %s", p.Title, q.Expr)
				time.Sleep(200 * time.Millisecond) // Prometheus looks once a second, and does not tell
			}
		}
	}
	picture := i.picture(t, d, from, interval)
	require.Greater(t, len(picture), 10_000)
	if *update {
		require.NoError(t, os.WriteFile(deployments+"/docs/dashboard.png", picture, 0o600))
	}
}

// errand is work of one kind: a model that is asked again and again.
type errand struct {
	model string
	lane  completion.Lane
	pause time.Duration // between two, on average
	late  bool          // it is followed from its start only after it has ended
}

var errands = []errand{
	{model: "sim?tokens=60&tps=40", pause: 350 * time.Millisecond},
	{model: "sim?tokens=20&tps=60&first=600ms", pause: 900 * time.Millisecond, late: true},
	{model: "sim?tokens=40&tps=40&cut=9", pause: 4 * time.Second},
	{model: "sim?fail=503", pause: 7 * time.Second},
	{model: "sim?fail=400", pause: 11 * time.Second},
	{model: "sim?tokens=200&tps=30", lane: completion.LaneBatch, pause: 2 * time.Second},
}

// load keeps the installation busy until ctx ends: jobs that are followed, some of which fail, a chat, a batch, a webhook.
func (i *installation) load(ctx context.Context, t *testing.T, running *sync.WaitGroup) {
	t.Helper()
	_, err := i.api.CreateWebhook(ctx, client.WebhookCreation{URL: receiver(t), Events: []string{"job.*"}})
	require.NoError(t, err)
	var lines strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&lines, `{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"model":"sim?tokens=30&tps=30","messages":[{"role":"user","content":"%d"}]}}`+"\n", n, n)
	}
	file, err := i.api.UploadFile(ctx, client.Upload{Name: "input.jsonl", Purpose: completion.PurposeBatch, Content: strings.NewReader(lines.String())})
	require.NoError(t, err)
	_, err = i.api.CreateBatch(ctx, client.BatchCreation{InputFileID: file.ID, Endpoint: completion.EndpointChat, Window: "1h"})
	require.NoError(t, err)
	for _, e := range errands {
		running.Go(func() {
			for ctx.Err() == nil {
				running.Go(func() { i.run(ctx, e) })
				select {
				case <-time.After(time.Duration(rand.ExpFloat64() * float64(e.pause))): // the pace of the load
				case <-ctx.Done():
				}
			}
		})
	}
}

// run hands in one job and follows it. What goes wrong is what the dashboard shall show.
func (i *installation) run(ctx context.Context, e errand) {
	body, _ := json.Marshal(map[string]any{"model": e.model, "stream": true, "messages": []map[string]string{{"role": "user", "content": "hello"}}}) // strings can be encoded
	job, err := i.api.Submit(ctx, client.Submission{Request: body, Lane: e.lane})
	if err != nil {
		return
	}
	for range i.api.Follow(ctx, job.ID, 0) {
	}
	if e.late {
		for range i.api.Follow(ctx, job.ID, 0) {
		}
	}
}

// line is one series of an answer of Prometheus.
type line struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
	Values [][2]any          `json:"values"`
}

// query asks for the present values.
func (i *installation) query(t *testing.T, expr string) []line {
	t.Helper()
	return i.ask(t, "query", url.Values{"query": {expr}})
}

func (i *installation) ask(t *testing.T, what string, form url.Values) []line {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.monitor+"/api/v1/"+what+"?"+form.Encode(), nil)
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Result []line `json:"result"`
		} `json:"data"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Equal(t, "success", answer.Status, "%s: %s", form.Get("query"), answer.Error)
	var known []line
	for _, l := range answer.Data.Result {
		if l.Value[1] != "NaN" {
			known = append(known, l)
		}
	}
	return known
}

// picture draws the dashboard as a browser shows it.
func (i *installation) picture(t *testing.T, d dashboard, from time.Time, interval string) []byte {
	t.Helper()
	now := time.Now()
	from = from.Add(-5 * time.Second)
	step := max(now.Sub(from)/120, time.Second)
	page := draw(d, func(p panel, q target) []line {
		if p.Type == "stat" {
			return i.query(t, q.in(interval))
		}
		return i.ask(t, "query_range", url.Values{
			"query": {q.in(interval)}, "start": {unix(from)}, "end": {unix(now)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
		})
	}, from, now)
	tab, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	require.NoError(t, chromedp.Do(tab, chromedp.EmulateViewport(width, height(d)), chromedp.Navigate("data:text/html;charset=utf-8,"+url.PathEscape(page))))
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	return png
}

func unix(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
