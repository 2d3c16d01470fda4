package page_test

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// A reload in mid-answer goes on where it was: what was there is there at once, and nothing is lost or said twice.
func TestSurvive_I3_Reload(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	g := gated(t)
	p, api, id := opens(t, i, "http://"+i.http, g.model)
	p.grows()
	p.says("hello")
	for _, so := range []int{15, 40, 60} {
		g.allow(so)
		p.hears(so)
		p.do(chromedp.Reload())
		p.hears(so)
	}
	g.open()
	p.shows(api, id)
	p.neverShrank()
	require.Equal(t, 1, see[int](p, count(answers)))
}

// Both tabs see each other's messages and answers while they come.
func TestSurvive_I3_TwoTabs(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	g := gated(t)
	p, api, id := opens(t, i, "http://"+i.http, g.model)
	q := p.another()
	q.visit("", "#/c/"+id)
	q.until(`document.querySelector(` + quote(composer) + `) !== null`)
	q.grows()
	p.says("from the first")
	q.until(count(asked) + ` === 1`)
	for _, so := range []int{30, 60} {
		g.allow(so)
		p.hears(so)
		q.hears(so)
	}
	g.open()
	p.shows(api, id)
	q.shows(api, id)
	q.neverShrank()
	g.allow(15)
	q.says("from the second")
	p.until(count(asked) + ` === 2`)
	p.hears(15)
	p.click(labelled("Stop the answer"))
	p.ends(completion.Cancelled)
	q.ends(completion.Cancelled)
	q.shows(api, id)
}

// behind is an all-in-one that the browser reaches over wires that can be cut.
func behind(t *testing.T) (i *installation, web, ws *wire) {
	t.Helper()
	i = newInstallation(t.TempDir())
	web, ws = newWire(t, i.http), newWire(t, i.ws)
	i.env = append(i.env, "SLUICE_PUBLIC_WEBSOCKET_URL=ws://"+ws.addr, "SLUICE_WEBSOCKET_ORIGINS=http://"+web.addr)
	return start(t, i), web, ws
}

// Connections break and nothing answers for a while; then all goes on.
func TestSurvive_I3_NetworkLoss(t *testing.T) {
	t.Parallel()
	i, web, ws := behind(t)
	g := gated(t)
	g.allow(15)
	p, api, id := opens(t, i, "http://"+web.addr, g.model)
	p.grows()
	p.says("hello")
	p.hears(15)
	p.tolerate()
	web.lose()
	ws.lose()
	p.until(`document.querySelector('[data-testid="reconnecting"]') !== null`)
	p.writes("said without a network")
	p.enter(chromedp.ModifierNone)
	p.until(`document.querySelector('[data-testid="outgoing"]') !== null`)
	g.allow(60)
	web.mend()
	ws.mend()
	p.until(count(asked) + ` === 2`)
	g.open()
	p.until(`document.querySelector('[data-testid="reconnecting"]') === null`)
	p.until(count(answers) + ` === 2`)
	p.shows(api, id)
	said, _, err := api.Messages(t.Context(), id, client.MessageQuery{})
	require.NoError(t, err)
	require.Len(t, said, 4, "what was sent without a network was sent once")
	p.until(`document.querySelector(` + quote(answers+" .markdown") + `).textContent.replace(/\s/g, "") === ` + quote(bare(said[1].Text())))
}

// The lid is closed in mid-answer: the page is frozen, its connections are dead without anybody having told it.
func TestSurvive_I3_Sleep(t *testing.T) {
	t.Parallel()
	i, web, ws := behind(t)
	g := gated(t)
	g.allow(15)
	p, api, id := opens(t, i, "http://"+web.addr, g.model)
	p.grows()
	p.says("hello")
	p.hears(15)
	p.tolerate()
	p.freeze(true)
	web.hush()
	ws.hush()
	g.open()
	stored(t, api, id) // it goes on without the page
	web.cut()
	ws.cut()
	web.mend()
	ws.mend()
	p.freeze(false)
	p.shows(api, id)
	p.neverShrank()
}

func (p *tab) freeze(on bool) {
	p.t.Helper()
	state := cdppage.SetWebLifecycleStateStateActive
	if on {
		state = cdppage.SetWebLifecycleStateStateFrozen
	}
	_, err := chromedp.Call(p.ctx, cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: state})
	require.NoError(p.t, err)
	_, err = chromedp.Call(p.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: on, DownloadThroughput: -1, UploadThroughput: -1})
	require.NoError(p.t, err)
}

// A wire that falls silent without breaking is noticed.
func TestSurvive_I3_SilentWire(t *testing.T) {
	t.Parallel()
	i, web, ws := behind(t)
	g := gated(t)
	g.allow(15)
	p, api, id := opens(t, i, "http://"+web.addr, g.model)
	p.tolerate()
	p.says("hello")
	p.hears(15)
	ws.hush()
	g.open()
	stored(t, api, id)
	p.shows(api, id)
}

// The server is killed in mid-answer and comes back: the job goes on with another attempt, and the page with it.
func TestSurvive_I1_ServerKilled(t *testing.T) {
	t.Parallel()
	i := newInstallation(t.TempDir())
	start(t, i)
	g := gated(t)
	g.allow(15)
	p, api, id := opens(t, i, "http://"+i.http, g.model)
	p.tolerate()
	p.says("hello")
	p.hears(15)
	i.kill()
	p.until(`document.querySelector('[data-testid="reconnecting"]') !== null`)
	p.hears(15) // what was said stays while nobody answers
	g.open()
	require.NoError(t, i.up())
	m := p.shows(api, id)
	require.Equal(t, completion.Completed, m.State)
	p.says("again")
	p.until(count(answers) + ` === 2`)
	p.shows(api, id)
}

// Where no WebSocket gets through, events come over HTTP.
func TestSurvive_I3_NoWebSocket(t *testing.T) {
	t.Parallel()
	i, web, ws := behind(t)
	ws.lose()
	key := i.tenant(t, "submit,read")
	api := i.client(t, key)
	g := gated(t)
	g.allow(15)
	n, err := api.CreateConversation(t.Context(), client.ConversationCreation{Parameters: completion.Parameters{Model: g.model}})
	require.NoError(t, err)
	p := newTab(t, "http://"+web.addr)
	p.tolerate()
	p.visit(key, "#/c/"+n.ID)
	p.grows()
	p.says("hello")
	p.hears(15)
	p.do(chromedp.Reload())
	p.hears(15)
	g.open()
	p.shows(api, n.ID)
	p.neverShrank()
	_, err = api.ChangeConversation(t.Context(), n.ID, client.ConversationChange{Name: &p.url})
	require.NoError(t, err)
	p.until(`document.querySelector("h1").textContent === ` + quote(p.url)) // a change note, too
}
