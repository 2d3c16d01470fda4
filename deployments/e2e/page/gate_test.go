package page_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The sign-in asks for a key before anything else, says so when it is wrong, and goes on to where its user wanted to be.
func TestPage_AsksForAKey(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	key := i.tenant(t, "submit,read")
	p := newTab(t, "http://"+i.http)
	p.visit("", "#/batches")
	p.until(`document.activeElement?.name === "key"`)
	p.inspect("sign-in")

	p.tolerate() // the refusal is a failed request
	p.types("sk-sluice-wrong")
	p.enter(chromedp.ModifierNone)
	p.until(`document.querySelector("[role=alert]").textContent !== ""`)
	p.visit("sk-sluice-ключ", "#/batches")
	p.until(`document.querySelector("[role=alert]")?.textContent.includes("not taken") && document.activeElement.name === "key"`)
	p.types(key)
	p.enter(chromedp.ModifierNone)
	p.until(`document.querySelector("nav.views a[aria-current=page]")?.textContent === "Batches"`)
	require.Equal(t, "#/batches", see[string](p, "location.hash"))

	p.click(`button[aria-label="Sign out"]`)
	p.until(`document.querySelector("input[name=key]") !== null`)
	require.False(t, see[bool](p, fmt.Sprintf(`JSON.stringify({...localStorage, ...sessionStorage}).includes(%q)`, key)), "nothing is left of it")
}

// A key in the address is taken, and does not stay there.
func TestPage_TakesAKeyFromItsAddress(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p := newTab(t, "http://"+i.http)
	p.do(chromedp.Navigate(p.url + "/#key=" + i.tenant(t, "submit,read")))
	p.until(`document.querySelector("nav.views") !== null`)
	require.NotContains(t, see[string](p, "location.href"), "key=")
	require.Equal(t, 0, see[int](p, `performance.getEntriesByType("navigation").filter(({name}) => name.includes("sk-sluice") && !name.includes("#")).length`))
}

func TestPage_AsksForNoKeyWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	i := start(t, newInstallation(t.TempDir(), "SLUICE_AUTH=off"))
	p := newTab(t, "http://"+i.http)
	p.visit("", "#/")
	p.until(`document.querySelector("nav.views") !== null`)
}

// maxPage is what loading the page may cost, compressed and with all it needs.
const maxPage = 150_000 // bytes

func TestPage_IsSmallAndComesFromOneHost(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p := newTab(t, "http://"+i.http)
	_, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	_, err = chromedp.Call(p.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	require.NoError(t, err)
	var bytes, files int
	require.NoError(t, chromedp.Listen(p.ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventLoadingFinished: // the body as it travelled, with its headers
			bytes += int(e.EncodedDataLength)
			files++
		case *network.EventResponseReceived:
			if e.Response.URL[:len(p.url)] != p.url {
				t.Errorf("%s is from elsewhere", e.Response.URL)
			}
		}
	}))
	p.do(chromedp.Navigate(p.url + "/#key=" + i.tenant(t, "submit,read")))
	p.until(`document.querySelector("nav.views") !== null`)
	_, err = chromedp.Call(p.ctx, network.Disable, cdp.Empty{}) // all events that there are have been heard
	require.NoError(t, err)
	require.Less(t, bytes, maxPage)
	t.Logf("the page is %d bytes in %d answers; milliseconds until it could be used: %.0f", bytes, files, see[float64](p, `performance.getEntriesByType("navigation")[0].domInteractive`))
}

func TestPage_ItsFilesAreKept(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	resp, err := http.Get("http://" + i.http + "/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"), "a new page is found at once")
	p := newTab(t, "http://"+i.http)
	p.visit("", "#/")
	for _, script := range see[[]string](p, `[...document.querySelectorAll("script[src]")].map(({src}) => src)`) {
		resp, err := http.Get(script)
		require.NoError(t, err)
		resp.Body.Close()
		require.Contains(t, resp.Header.Get("Cache-Control"), "immutable")
	}
}
