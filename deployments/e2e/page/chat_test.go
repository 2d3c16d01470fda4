package page_test

import (
	"net"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/chromium"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// A first message begins a conversation, which has a place of its own, and is in the side bar.
func TestChat_BeginsWithAMessage(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, _ := sees(t, i, "#/")
	p.until(`document.querySelector(".welcome") !== null`)
	p.inspect("welcome")
	p.says("hello")
	p.until(`location.hash.startsWith("#/c/conv_")`)
	id := strings.TrimPrefix(see[string](p, "location.hash"), "#/c/")
	m := p.shows(api, id)
	require.Equal(t, modelsim.Answer("hello"), m.Text())
	p.until(`document.querySelector("nav.conversations a[aria-current=page]")?.hash === location.hash`)
	p.inspect("conversation")
	p.presses(".side-tools", "New conversation")
	p.until(`document.querySelector(".welcome") !== null`)
}

// document is Markdown that the simulated model quotes in its answer.
const document = "of all kinds:\n\n# Title\n\n## Second\n\nSome *soft* and **strong** words, `code`, [a link](https://example.org/a?b=c&d) and ~~gone~~.\n\n" +
	"- one\n- two\n  1. inner\n\n> quoted\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```go\nfunc main() { fmt.Println(\"<b>&amp;\") }\n```\n\n    indented\n\n---\n\nThe end."

func TestChat_StreamsMarkdown(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, "sim?tps=100")
	p.captureCopies()
	p.says(document)
	p.ends(completion.Completed)
	m := stored(t, api, id)
	answer := m.Text()
	require.Contains(t, answer, document)
	in := func(selector string) string {
		return `(` + last + `)` + `.querySelector(` + quote(".markdown "+selector) + `)`
	}
	for selector, want := range map[string]string{
		"h2": "Title", "h3": "Second", "em": "soft", "strong": "strong", "p code": "code", "del": "gone", "ul li:first-child": "one", "ol li": "inner", "blockquote": "quoted",
		"th": "a", "td:last-child": "2", "figcaption span": "go", "pre code": `func main() { fmt.Println("<b>&amp;") }`, `a[href="https://example.org/a?b=c&d"]`: "a link",
	} {
		require.Equal(t, want, see[string](p, in(selector)+`?.textContent.trim() ?? ""`), selector)
	}
	require.True(t, see[bool](p, in("hr")+` !== null`))
	require.Contains(t, see[string](p, in("a")+`.rel`), "noopener")
	p.inspect("Markdown")

	see[bool](p, `(`+in(`button[aria-label="Copy code"]`)+`.click(), true)`)
	p.until(`window.copied?.trim() === ` + quote(`func main() { fmt.Println("<b>&amp;") }`))
	see[bool](p, `(`+last+`.querySelector('button[aria-label="Copy answer"]').click(), true)`)
	p.until(`window.copied === ` + quote(answer))
	p.until(last + `.querySelector('button[aria-label="Copied"]') !== null`)
}

// captureCopies keeps what the page copies, which a browser without a window has no place for.
func (p *tab) captureCopies() {
	see[bool](p, `(navigator.clipboard.writeText = async (text) => { window.copied = text; }, true)`)
}

// Browsers keep some of what they can do from pages that come over plain HTTP, unless it is from this machine.
func TestChat_PlainHTTP(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	_, port, err := net.SplitHostPort(i.http)
	require.NoError(t, err)
	p, api, id := opens(t, i, "http://"+net.JoinHostPort(chromium.Elsewhere, port), quick)
	require.False(t, see[bool](p, `window.isSecureContext`))
	p.tolerate() // the WebSocket is for pages of this machine
	p.says("hello")
	p.ends(completion.Completed)
	m := p.shows(api, id)
	see[bool](p, `(document.addEventListener("copy", () => { window.copied = document.activeElement.value; }), true)`)
	p.click(`button[aria-label="Copy answer"]`)
	p.until(`window.copied === ` + quote(m.Text()))
}

func TestChat_I9_Stop(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	g := gated(t)
	p, api, id := opens(t, i, "http://"+i.http, g.model)
	for turn, stop := range []func(){func() { p.click(labelled("Stop the answer")) }, func() { p.press(kb.Escape) }} {
		g.allow(15)
		p.says("hello")
		p.until(count(answers) + ` === ` + number(turn+1))
		p.hears(15)
		stop()
		p.ends(completion.Cancelled)
		m := p.shows(api, id)
		require.Equal(t, completion.Cancelled, m.State)
		require.NotEmpty(t, m.Text(), "what was said stays")
	}
	p.inspect("stopped")
	g.open()
	p.presses(".outcome", "Answer again")
	p.ends(completion.Completed)
	p.shows(api, id)
}

func TestChat_RegeneratesAndGoesBack(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, quick)
	p.says("hello")
	p.ends(completion.Completed)
	first := stored(t, api, id)
	p.click(labelled("Answer again"))
	p.until(last + `?.querySelector(".branches")?.textContent === "2/2"`)
	p.ends(completion.Completed)
	second := p.shows(api, id)
	require.Equal(t, []string{first.ID, second.ID}, second.Siblings)

	p.click(labelled("Earlier branch"))
	p.until(last + `?.querySelector(".branches")?.textContent === "1/2"`)
	n, err := api.Conversation(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, first.ID, n.Head, "the conversation goes on there")
	p.do(chromedp.Reload())
	p.until(last + `?.querySelector(".branches")?.textContent === "1/2"`)
}

func TestChat_Edits(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, quick)
	for _, text := range []string{"one", "two"} {
		p.says(text)
		p.ends(completion.Completed)
	}
	see[bool](p, `(document.querySelector('[aria-label="Edit message"]').click(), true)`)
	p.until(`document.activeElement.ariaLabel === "Edited message"`)
	p.inspect("edit")
	p.types(" more")
	p.enter(chromedp.ModifierNone)
	p.until(count(asked) + ` === 1 && document.querySelector(` + quote(asked+" .bubble") + `).textContent === "one more"`)
	p.until(last + `.textContent.includes("one more")`)
	p.shows(api, id)
	require.Equal(t, "2/2", see[string](p, `document.querySelector('`+asked+` .branches').textContent`))
	p.click(labelled("Earlier branch"))
	p.until(count(asked) + ` === 2`) // with all that came after it
	p.shows(api, id)

	p.writes("")
	p.press(kb.ArrowUp) // the last one
	p.until(`document.activeElement.ariaLabel === "Edited message" && document.activeElement.value === "two"`)
	p.press(kb.Escape)
	p.until(count(labelled("Edited message")) + ` === 0`)
	require.Equal(t, 2, see[int](p, count(asked)))
}

// What is said while an answer comes waits for its end, or ends it.
func TestChat_QueuesAndInterrupts(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	g := gated(t)
	g.allow(15)
	p, api, id := opens(t, i, "http://"+i.http, g.model)
	p.says("one")
	p.hears(15)
	p.says("two")
	p.until(last + `?.dataset.state === "held"`)
	p.inspect("a turn that waits")
	p.writes("three")
	p.enter(chromedp.ModifierCtrl)
	p.until(count(asked) + ` === 3`)
	p.until(`document.querySelector(` + quote(answers) + `).dataset.state === "cancelled"`)
	g.open()
	p.ends(completion.Completed)
	p.shows(api, id)
	said, _, err := api.Messages(t.Context(), id, client.MessageQuery{})
	require.NoError(t, err)
	require.Len(t, said, 6)
	states := []completion.State{said[1].State, said[3].State, said[5].State}
	require.Equal(t, []completion.State{completion.Cancelled, completion.Cancelled, completion.Completed}, states)
}

func TestChat_SaysWhyThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, failing())
	p.says("hello")
	p.ends(completion.Failed)
	p.until(last + `.textContent.includes("upstream_rejected")`)
	p.inspect("failure")
	p.presses(answers, "Try again")
	p.ends(completion.Completed)
	p.shows(api, id)
}

func TestChat_ModelAndParameters(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, _ := sees(t, i, "#/")
	p.click(labelled("How to answer"))
	p.until(`document.querySelector("dialog[open]") !== null`)
	p.inspect("parameters")
	p.fills("System message", "be brief")
	p.fills("Temperature", "0.5")
	p.fills("Stops", "END\nFIN")
	p.presses("dialog", "Save")
	p.until(`[...document.querySelectorAll("select.model option")].some(({value}) => value === "sim-instant")`)
	see[bool](p, `(() => { const s = document.querySelector("select.model"); s.value = "sim-instant"; s.dispatchEvent(new Event("change", {bubbles: true})); return true; })()`)
	p.says("hello")
	p.ends(completion.Completed)
	id := strings.TrimPrefix(see[string](p, "location.hash"), "#/c/")
	n, err := api.Conversation(t.Context(), id)
	require.NoError(t, err)
	half := 0.5
	require.Equal(t, completion.Parameters{Model: "sim-instant", Temperature: &half, Stop: []string{"END", "FIN"}}, n.Parameters)
	require.Equal(t, "be brief", n.System)
	require.Equal(t, "sim-instant", p.shows(api, id).Model)

	p.click(labelled("How to answer"))
	p.until(`document.querySelector("dialog[open] textarea").readOnly`) // it is fixed now
	p.presses("dialog", "Use defaults")
	p.presses("dialog", "Save")
	p.until(`document.querySelector("dialog[open]") === null && document.querySelector("select.model").value === ""`)
	n, err = api.Conversation(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, completion.Parameters{}, n.Parameters)
}

// fills puts a text into the field that has a label.
func (p *tab) fills(label, text string) {
	p.t.Helper()
	field := `[...document.querySelectorAll("label.field")].find((field) => field.firstChild.textContent === ` + quote(label) + `)?.querySelector("input, textarea")`
	p.until(field + ` !== undefined`)
	see[bool](p, `(`+field+`.focus(), `+field+`.select(), true)`)
	p.types(text)
}

func TestChat_Rates(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, quick)
	p.says("hello")
	p.ends(completion.Completed)
	for _, step := range []struct {
		button string
		want   int
	}{{"Good answer", 1}, {"Bad answer", -1}, {"Bad answer", 0}} {
		p.click(labelled(step.button))
		pressed := "false"
		if step.want != 0 {
			pressed = "true"
		}
		p.until(`document.querySelector(` + quote(labelled(step.button)) + `).ariaPressed === ` + quote(pressed))
		require.Equal(t, step.want, stored(t, api, id).Rating)
	}
}
