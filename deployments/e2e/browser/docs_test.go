package browser_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// notes are what a tab did that a visitor would find in the developer's tools.
type notes struct {
	mu         sync.Mutex
	complaints []string
	requests   []string
}

func (n *notes) add(event any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		n.complaints = append(n.complaints, "console: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		n.complaints = append(n.complaints, "exception: "+e.ExceptionDetails.Text)
	case *devlog.EventEntryAdded:
		n.complaints = append(n.complaints, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *network.EventRequestWillBeSent:
		n.requests = append(n.requests, e.Request.URL)
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	visit(t, ctx, "about:blank")
	var seen notes
	require.NoError(t, chromedp.Listen(ctx, seen.add))

	for name, size := range map[string][2]int64{"wide": {1280, 900}, "narrow": {390, 844}} {
		require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1])))
		visit(t, ctx, b.server.HTTPURL()+"/docs")
		require.Contains(t, see[string](t, ctx, "document.title"), "Sluice")
		require.Contains(t, see[string](t, ctx, "document.body.innerText"), "POST /v1/jobs")
		require.LessOrEqual(t, see[int64](t, ctx, "document.documentElement.scrollWidth"), size[0], "%s: the page scrolls sideways", name)
		requireDrawn(t, screenshot(t, ctx, name))
	}

	seen.mu.Lock()
	defer seen.mu.Unlock()
	require.Empty(t, seen.complaints)
	require.NotEmpty(t, seen.requests, "the page itself was seen")
	for _, address := range seen.requests {
		require.True(t, strings.HasPrefix(address, b.server.HTTPURL()+"/"), "the page needs no other host, but asked for %s", address)
	}
}

// screenshot draws the tab; go test -artifacts keeps the file.
func screenshot(t *testing.T, ctx context.Context, name string) image.Image {
	t.Helper()
	data, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), "docs-"+name+".png"), data, 0o600))
	img, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return img
}

// requireDrawn checks that something stands on the background, in every quarter of the page from top to bottom.
func requireDrawn(t *testing.T, img image.Image) {
	t.Helper()
	size := img.Bounds()
	background := color.NRGBAModel.Convert(img.At(size.Min.X, size.Min.Y))
	const step = 3 // a look at every ninth pixel is enough
	var drawn, all [4]float64
	for y := size.Min.Y; y < size.Max.Y; y += step {
		quarter := 4 * (y - size.Min.Y) / size.Dy()
		for x := size.Min.X; x < size.Max.X; x += step {
			all[quarter]++
			if color.NRGBAModel.Convert(img.At(x, y)) != background {
				drawn[quarter]++
			}
		}
	}
	for quarter, n := range drawn {
		share := n / all[quarter]
		require.Greater(t, share, 0.005, "quarter %d is blank", quarter+1)
		require.Less(t, share, 0.9, "quarter %d is covered", quarter+1)
	}
}
