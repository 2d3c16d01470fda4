package page_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// attacks are texts with which a model, or who has got at it, would do something in the page.
var attacks = []string{
	`<script>window.attacked = 1</script>`,
	`<img src=x onerror="window.attacked = 1">`,
	`<svg onload="window.attacked = 1"><a xlink:href="javascript:window.attacked=1"><rect width=9 height=9 /></a></svg>`,
	`<iframe srcdoc="<script>parent.attacked = 1</script>"></iframe>`,
	`<a href="javascript:window.attacked=1" onclick="window.attacked=1">click</a>`,
	`<details open ontoggle="window.attacked = 1"><summary>x</summary></details>`,
	`<form action="https://evil.example/"><input name=q autofocus onfocus="window.attacked=1"><button>go</button></form>`,
	`<style>* { background: url("https://evil.example/css") !important; }</style>`,
	`<link rel=stylesheet href="https://evil.example/a.css"><meta http-equiv=refresh content="0;url=https://evil.example/"><base href="https://evil.example/">`,
	`<math><mi//xlink:href="data:x,<script>window.attacked=1</script>">`,
	`<object data="https://evil.example/o"></object><embed src="https://evil.example/e">`,
	`<template><script>window.attacked=1</script></template><noscript><p title="</noscript><img src=x onerror=window.attacked=1>">`,
	`<textarea></textarea><script>window.attacked=1</script>`,
	`<!-- --><!--><img src=x onerror=window.attacked=1>-->`,
	`<![CDATA[<img src=x onerror=window.attacked=1>]]>`,
	`[js](javascript:window.attacked=1) [JS](JaVaScRiPt:window.attacked=1) [tab](java&#9;script:window.attacked=1) [data](data:text/html,<script>parent.attacked=1</script>)`,
	`[vb](vbscript:msgbox) [file](file:///etc/passwd) [blob](blob:null/x) [rel](/v1/keys) [entity](&#106;avascript:window.attacked=1) [q](<javascript:window.attacked=1>)`,
	`![pixel](https://evil.example/pixel.png) ![js](javascript:window.attacked=1) [![nested](https://evil.example/n.png)](javascript:window.attacked=1)`,
	"![ref][r] [ref][r]\n\n[r]: javascript:window.attacked=1 \"title\\\" onmouseover=window.attacked=1\"",
	`[title](https://example.org "x\" onmouseover=\"window.attacked=1")`,
	`<https://example.org/"onmouseover="window.attacked=1> <javascript:window.attacked=1>`,
	"```html onload=window.attacked=1\n<script>window.attacked=1</script>\n```",
	"```\"><img/src=x/onerror=window.attacked=1>\nx\n```",
	"`<img src=x onerror=window.attacked=1>`",
	"# <img src=x onerror=window.attacked=1>",
	"| <img src=x onerror=window.attacked=1> | [x](javascript:window.attacked=1) |\n|---|:-:|\n| <script>window.attacked=1</script> | &lt;img src=x onerror=window.attacked=1&gt; |",
	"- [x] <img src=x onerror=window.attacked=1>\n- [ ] [x](javascript:window.attacked=1)",
	"&lt;script&gt;window.attacked=1&lt;/script&gt; &#60;img src=x onerror=window.attacked=1&#62;",
	"{{constructor.constructor('window.attacked=1')()}} ${window.attacked=1} <%= window.attacked=1 %>",
	"\u202egnp.exe\u202c \u0000 \ufeff",
	strings.Repeat("> ", 60) + "deep", strings.Repeat("*a **b ", 60),
}

// TestAttack_NothingHappens says all of it in every place that shows a text of somebody else's: while it is written, when it
// is stored, in a question, in a name, in a failure.
func TestAttack_NothingHappens(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	all := strings.ReplaceAll(strings.Join(attacks, "\n\n"), "\x00", "")
	p, api, key := sees(t, i, "#/")
	n, err := api.CreateConversation(t.Context(), client.ConversationCreation{
		Name: attacks[1], System: all, Parameters: completion.Parameters{Model: "sim?tps=2000"},
		Messages: []client.Said{{Role: completion.RoleUser, Content: all}, {Role: completion.RoleAssistant, Content: all}},
	})
	require.NoError(t, err)
	hosts := p.listen()
	p.visit(key, "#/c/"+n.ID)
	p.until(count(answers) + ` === 1`)
	p.says("now:\n\n" + all)
	p.until(count(answers) + ` === 2`)
	p.ends(completion.Completed)
	p.click(labelled("How to answer"))
	p.until(`document.querySelector("dialog[open] textarea")?.value.includes("attacked")`)
	see[bool](p, `(document.querySelectorAll(".markdown *").forEach((one) => {
		for (const type of ["mouseover", "focus", "toggle", "load", "error"]) one.dispatchEvent(new Event(type));
		if (!one.href) one.click?.();
	}), true)`)
	require.Empty(t, see[[]string](p, `[...document.querySelectorAll(".markdown *, .bubble *")].flatMap((one) => [
		...["SCRIPT", "STYLE", "IFRAME", "OBJECT", "EMBED", "LINK", "META", "BASE", "FORM", "IMG", "svg", "math", "TEMPLATE", "TEXTAREA"]
			.filter((name) => one.tagName === name && !one.closest(".icon-button")).map((name) => "<" + name + ">"),
		...one.getAttributeNames().filter((name) => name.startsWith("on") || name === "style" || name === "srcdoc").map((name) => one.tagName + " " + name),
		...(one.hasAttribute("href") && !/^(https?|mailto):/.test(one.href) ? [one.href] : []),
	])`))
	require.True(t, see[bool](p, `window.attacked === undefined && document.baseURI === location.href`))
	require.ElementsMatch(t, []string{i.http, i.ws}, hosts())
}

// listen notes which hosts the tab has asked.
func (p *tab) listen() (hosts func() []string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{})
	require.NoError(p.t, err)
	var mu sync.Mutex
	asked := map[string]bool{}
	note := func(address string) {
		_, rest, _ := strings.Cut(address, "://")
		host, _, _ := strings.Cut(rest, "/")
		mu.Lock()
		defer mu.Unlock()
		asked[host] = true
	}
	require.NoError(p.t, chromedp.Listen(p.ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			note(e.Request.URL)
		case *network.EventWebSocketCreated:
			note(e.URL)
		}
	}))
	return func() (all []string) {
		_, err := chromedp.Call(p.ctx, network.Disable, cdp.Empty{}) // all events that there are have been heard
		require.NoError(p.t, err)
		mu.Lock()
		defer mu.Unlock()
		for host := range asked {
			all = append(all, host)
		}
		slices.Sort(all)
		return all
	}
}
