package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// requireSame waits for the tab's final event and checks that the page has got every event of the API's stream, and
// shows the stored text.
func (b *bundle) requireSame(t *testing.T, ctx context.Context, job client.Job) {
	t.Helper()
	until(t, ctx, "window.reader.done")
	var got []json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(see[string](t, ctx, "JSON.stringify(window.events)")), &got))
	n := 0
	for e, err := range b.api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		want, err := e.Encode()
		require.NoError(t, err)
		require.Greater(t, len(got), n, "the page misses %s", want)
		require.EqualValues(t, n+1, e.Seq)
		require.JSONEq(t, string(want), string(got[n]))
		n++
	}
	require.Len(t, got, n, "I3: every event once")

	stored, err := b.api.Get(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, completion.Completed, stored.State)
	text := see[string](t, ctx, `document.getElementById("text").textContent`)
	require.Equal(t, gjson.GetBytes(stored.Result, "choices.0.message.content").String(), text, "I4")
}

func TestReader_I3_Live(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=60&tps=60")
	visit(t, ctx, reader(b.pages, job))
	b.requireSame(t, ctx, job)
}

func TestReader_I3_After(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=60&tps=0&cut=20&times=1&key=after")
	for _, err := range b.api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
	}
	visit(t, ctx, reader(b.pages, job))
	b.requireSame(t, ctx, job)
	require.Equal(t, 1, see[int](t, ctx, `window.events.filter(({type}) => type === "retrying").length`), "the text of the failed attempt was dropped")
}

func TestReader_I3_Reload(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=150&tps=50")
	visit(t, ctx, reader(b.pages, job))
	until(t, ctx, "window.events.length > 20")
	require.NoError(t, chromedp.Do(ctx, chromedp.Reload()))
	b.requireSame(t, ctx, job)
	require.Equal(t, 1, see[int](t, ctx, "window.reader.opened"), "a page that knows nothing of the one before")
}

func TestReader_I3_DroppedConnections(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=150&tps=50")
	visit(t, ctx, reader(b.pages, job))
	for i := range 3 {
		until(t, ctx, fmt.Sprintf("window.reader.opened > %d && window.events.length > %d", i, 10+20*i))
		see[chromedp.Void](t, ctx, "window.reader.drop()")
	}
	b.requireSame(t, ctx, job)
	require.Positive(t, see[int](t, ctx, "window.reader.failed"))
}

func TestReader_I8_MayOnlyRead(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=60&tps=60")
	visit(t, ctx, reader(b.pages, job))
	until(t, ctx, "window.events.length > 0")
	publish := []string{
		"in.0.local." + job.ID, job.Subject, "rp.local." + job.ID + ".x.1", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.PURGE.C0",
		"$JS.API.DIRECT.GET.C0", "$SYS.REQ.SERVER.PING", "wake.interactive", "cancel.local." + job.ID,
	}
	subscribe := []string{">", "in.>", "$JS.>", "replay.>", "_INBOX.>"}
	for _, subject := range publish {
		see[chromedp.Void](t, ctx, fmt.Sprintf("window.reader.publish(%q, '{\"type\":\"cancelled\",\"seq\":1000}')", subject))
	}
	for i, subject := range subscribe {
		see[chromedp.Void](t, ctx, fmt.Sprintf("window.reader.subscribe(%q, %d)", subject, 10+i))
	}
	all := append(publish, subscribe...)
	until(t, ctx, fmt.Sprintf("window.reader.refusals.length >= %d", len(all)))
	refusals := see[[]string](t, ctx, "window.reader.refusals")
	for i, subject := range all {
		require.Contains(t, strings.ToLower(refusals[i]), "permissions violation")
		require.Contains(t, refusals[i], `"`+subject+`"`)
	}
	b.requireSame(t, ctx, job)
}

// Any page may try to open a WebSocket to a server on the visitor's own machine; only the listed origins are let in.
func TestReader_I8_ForeignOrigin(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=5&tps=0")
	visit(t, ctx, reader(servePages(t), job))
	until(t, ctx, "window.reader.failed > 2")
	require.Zero(t, see[int](t, ctx, "window.reader.opened"))
	require.Zero(t, see[int](t, ctx, "window.events.length"))
	visit(t, ctx, reader(b.pages, job))
	b.requireSame(t, ctx, job)
}
