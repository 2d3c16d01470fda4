package page_test

import (
	"strings"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// inspect looks, in both themes, for what shuts people out: no finding may be serious or critical.
func (p *tab) inspect(what string) {
	p.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.colours(scheme)
		require.Empty(p.t, p.findings(), "%s, %s", what, scheme)
	}
}

// findings are what axe says. It runs in a world of its own, where the page's policy does not hold and it cannot be in the way.
func (p *tab) findings() string {
	p.t.Helper()
	tree, err := chromedp.Call(p.ctx, cdppage.GetFrameTree, cdp.Empty{})
	require.NoError(p.t, err)
	world, err := chromedp.Call(p.ctx, cdppage.CreateIsolatedWorld, cdppage.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID, WorldName: "axe"})
	require.NoError(p.t, err)
	await := true
	result, err := chromedp.Call(p.ctx, runtime.Evaluate, runtime.EvaluateParams{
		Expression: axe + `;axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => JSON.stringify(violations
			.filter(({impact}) => impact === "serious" || impact === "critical")
			.map(({id, impact, help, nodes}) => [impact, id, help, ...nodes.slice(0, 3).map(({html, failureSummary}) => html + " " + failureSummary)]), null, 1))`,
		ContextID: world.ExecutionContextID, AwaitPromise: &await, ReturnByValue: &await,
	})
	require.NoError(p.t, err)
	require.Nil(p.t, result.ExceptionDetails)
	return strings.TrimPrefix(string(result.Result.Value), `"[]"`)
}
