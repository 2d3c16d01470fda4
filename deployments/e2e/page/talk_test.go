package page_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// Selectors of what a person sees in a conversation.
const (
	composer = `textarea[aria-label="Message"]`
	answers  = `[data-testid="answer"]`
	asked    = `[data-testid="user-message"]`
)

// last is the JavaScript for the last answer that is shown.
const last = `[...document.querySelectorAll('[data-testid="answer"]')].at(-1)`

// spoken is the JavaScript for its text. Markdown has its own spaces, so none counts.
const spoken = `(` + last + `?.querySelector(".markdown")?.textContent ?? "").replace(/\s/g, "")`

// sees is a person of a tenant of their own in front of the page.
func sees(t *testing.T, i *installation, place string) (p *tab, api *client.Client, key string) {
	t.Helper()
	key = i.tenant(t, "submit,read,admin,system")
	p = newTab(t, "http://"+i.http)
	p.visit(key, place)
	return p, i.client(t, key), key
}

// opens is a person who looks at a new conversation.
func opens(t *testing.T, i *installation, url, model string) (p *tab, api *client.Client, id string) {
	t.Helper()
	key := i.tenant(t, "submit,read,admin,system")
	api = i.client(t, key)
	n, err := api.CreateConversation(t.Context(), client.ConversationCreation{Parameters: completion.Parameters{Model: model}})
	require.NoError(t, err)
	p = newTab(t, url)
	p.visit(key, "#/c/"+n.ID)
	p.until(`document.querySelector(` + quote(composer) + `) !== null`)
	return p, api, n.ID
}

// types puts a text where the focus is, as a paste does.
func (p *tab) types(text string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, input.InsertText, input.InsertTextParams{Text: text})
	require.NoError(p.t, err)
}

// writes puts a text into the composer.
func (p *tab) writes(text string) {
	p.t.Helper()
	p.until(`document.querySelector(` + quote(composer) + `) !== null`)
	see[bool](p, `(document.querySelector(`+quote(composer)+`).focus(), true)`)
	p.types(text)
}

// says sends a message, and returns when it is shown as taken.
func (p *tab) says(text string) {
	p.t.Helper()
	before := see[int](p, count(asked))
	p.writes(text)
	p.enter(chromedp.ModifierNone)
	p.until(count(asked) + ` === ` + number(before+1))
}

func number(n int) string { return strconv.Itoa(n) }

func count(selector string) string {
	return `document.querySelectorAll(` + quote(selector) + `).length`
}

// ends waits for the last answer to be in a state.
func (p *tab) ends(state completion.State) {
	p.t.Helper()
	p.until(last + `?.dataset.state === ` + quote(string(state)))
}

// hears waits until the last answer is under way and shows what a gate has let through: the first so many deltas, of which
// the first has the role alone.
func (p *tab) hears(deltas int) {
	p.t.Helper()
	p.until(`(window.asked = [...document.querySelectorAll(` + quote(asked+" .bubble") + `)].at(-1)?.textContent)`) // it moves when the server has taken it
	question := see[string](p, `window.asked`)
	said := modelsim.AnswerOf(deltas-1, question)
	p.until(last + `?.dataset.state === "running" && ` + spoken + ` === ` + quote(bare(said)))
}

// shows checks that the last answer is the one that is stored, and says the same.
func (p *tab) shows(api *client.Client, conversation string) client.Message {
	p.t.Helper()
	m := stored(p.t, api, conversation)
	p.until(spoken + ` === ` + quote(bare(m.Text())))
	p.ends(m.State)
	return m
}

// bare is a text without spaces.
func bare(text string) string { return strings.Join(strings.Fields(text), "") }

// labelled is the selector of what has an accessible name.
func labelled(name string) string { return `[aria-label="` + name + `"]` }

// presses clicks the button with a text in it, within what a selector finds.
func (p *tab) presses(within, text string) {
	p.t.Helper()
	button := `[...document.querySelectorAll(` + quote(within+" button") + `)].find((button) => !button.disabled && button.textContent.trim() === ` + quote(text) + `)`
	p.until(button + ` !== undefined`)
	see[bool](p, `(`+button+`.click(), true)`)
}

// grows begins to note, across reloads, when the text of the last answer is not the earlier one with more behind it.
func (p *tab) grows() {
	p.t.Helper()
	const script = `(() => {
		let most = sessionStorage.getItem("test.most") ?? "";
		const look = () => {
			const answer = ` + last + `;
			if (!answer) return;
			const text = (answer.querySelector(".markdown")?.textContent ?? "").replace(/\s/g, "");
			if (!text.startsWith(most)) sessionStorage.setItem("test.shrunk", (sessionStorage.getItem("test.shrunk") ?? "") + "\n" + most.length + " to " + text.length);
			most = text;
			sessionStorage.setItem("test.most", most);
		};
		new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true});
	})()`
	_, err := chromedp.Call(p.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	require.NoError(p.t, err)
	see[bool](p, script+` ?? true`)
}

// neverShrank checks what grows has noted.
func (p *tab) neverShrank() {
	p.t.Helper()
	require.NotEmpty(p.t, see[string](p, `sessionStorage.getItem("test.most") ?? ""`), "it was looked at")
	require.Empty(p.t, see[string](p, `sessionStorage.getItem("test.shrunk") ?? ""`))
}
