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
// shows the text that is stored.
func (b *bundle) requireSame(t *testing.T, ctx context.Context, job client.Job) {
	t.Helper()
	until(t, ctx, "window.reader?.done")
	var got []json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(see[string](t, ctx, "JSON.stringify(window.events)")), &got))
	n := 0
	var last completion.Event
	for e, err := range b.api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		want, err := e.Encode()
		require.NoError(t, err)
		require.Greater(t, len(got), n, "the page misses %s", want)
		require.EqualValues(t, n+1, e.Seq)
		require.JSONEq(t, string(want), string(got[n]))
		last = e
		n++
	}
	require.Len(t, got, n, "I3: every event once")

	const content = "choices.0.message.content"
	text := see[string](t, ctx, `document.getElementById("text").textContent`)
	if last.Type != completion.EventCompleted {
		require.Equal(t, gjson.GetBytes(last.Partial, content).String(), text)
		return
	}
	stored, err := b.api.Get(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, completion.Completed, stored.State, "I6")
	require.Equal(t, gjson.GetBytes(stored.Result, content).String(), text, "I4")
}

func TestReader_I3_Live(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	release := b.hold(t)
	job := b.submit(t, "sim?tokens=60&tps=60")
	visit(t, ctx, reader(b.pages, job))
	until(t, ctx, "window.reader?.ready")
	release()
	b.requireSame(t, ctx, job)
	require.Equal(t, completion.EventCompleted, see[completion.EventType](t, ctx, "window.events.at(-1).type"))
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

// The model falls silent in the middle of its answer, so that the reload is in the middle too.
func TestReader_I3_Reload(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=80&tps=1000&stall=40")
	visit(t, ctx, reader(b.pages, job))
	const spoken = `document.getElementById("text").textContent.length > 40`
	until(t, ctx, spoken)
	require.NoError(t, chromedp.Do(ctx, chromedp.Reload()))
	until(t, ctx, spoken)
	require.False(t, see[bool](t, ctx, "window.reader.done"))
	b.cancel(t, job)
	b.requireSame(t, ctx, job)
	require.Equal(t, 1, see[int](t, ctx, "window.reader.opened"), "the page knew nothing of the one before")
}

func TestReader_I3_DroppedConnections(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	release := b.hold(t)
	job := b.submit(t, "sim?tokens=150&tps=50")
	visit(t, ctx, reader(b.pages, job))
	until(t, ctx, "window.reader?.ready")
	see[chromedp.Void](t, ctx, "window.dropAt = [3, 20, 40, 60]")
	release()
	b.requireSame(t, ctx, job)
	require.Positive(t, see[int](t, ctx, "window.reader.failed"), "the connection was dropped")
}

// The model falls silent, so that the job goes on until all has been tried.
func TestReader_I8_MayOnlyRead(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?stall=3")
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
	b.cancel(t, job)
	b.requireSame(t, ctx, job)
}

// Any page may try to open a WebSocket to a server on the visitor's own machine; only the listed origins are let in.
func TestReader_I8_ForeignOrigin(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=5&tps=0")
	visit(t, ctx, reader(servePages(t), job))
	until(t, ctx, "window.reader?.failed > 2")
	require.Zero(t, see[int](t, ctx, "window.reader.opened"))
	require.Zero(t, see[int](t, ctx, "window.events.length"))
	visit(t, ctx, reader(b.pages, job))
	b.requireSame(t, ctx, job)
}
