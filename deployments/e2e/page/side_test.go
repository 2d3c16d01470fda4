package page_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// rows is the JavaScript for the names in the side bar.
const rows = `[...document.querySelectorAll("nav.conversations .name")].map((name) => name.textContent).join()`

func TestSide_FindsRenamesCopiesAndDeletes(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, _ := sees(t, i, "#/")
	for _, name := range []string{"Apples", "Pears"} {
		_, err := api.CreateConversation(t.Context(), client.ConversationCreation{Name: name, Messages: []client.Said{{Role: completion.RoleUser, Content: "about " + name + " and plums"}}})
		require.NoError(t, err)
	}
	p.do(chromedp.Reload())
	p.until(rows + ` === "Pears,Apples"`)

	p.press("k", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	p.until(`document.activeElement.type === "search"`)
	p.types("apples AND")
	p.until(rows + ` === "Apples"`)
	p.until(`document.querySelector("nav.conversations .snippet")?.textContent.includes("plums")`)
	p.press(kb.Escape)
	p.until(rows + ` === "Pears,Apples"`)

	p.click(labelled("More about Pears"))
	p.until(`document.activeElement.role === "menuitem"`)
	p.inspect("menu")
	p.enter(chromedp.ModifierNone) // the first one
	p.until(`document.activeElement.ariaLabel === "Name of the conversation"`)
	p.types("Cherries")
	p.enter(chromedp.ModifierNone)
	p.until(rows + ` === "Cherries,Apples"`)

	p.click(labelled("More about Apples"))
	p.presses(".menu", "Copy")
	p.until(`location.hash.startsWith("#/c/") && ` + rows + ` === "Apples,Cherries,Apples"`)
	p.until(count(asked) + ` === 1`)
	p.click(labelled("More about Cherries"))
	p.presses(".menu", "Delete")
	p.until(`document.querySelector("dialog[open]") !== null`)
	p.inspect("question")
	p.presses("dialog", "Delete")
	p.until(rows + ` === "Apples,Apples"`)
	all, _, err := api.Conversations(t.Context(), client.ConversationQuery{})
	require.NoError(t, err)
	require.Len(t, all, 2)

	p.press("o", chromedp.KeyModifiers(chromedp.ModifierCtrl|chromedp.ModifierShift))
	p.until(`document.querySelector(".welcome") !== null`)
}

func TestSide_ShowsMore(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, _ := sees(t, i, "#/")
	create := func(name string) {
		_, err := api.CreateConversation(t.Context(), client.ConversationCreation{Name: name})
		require.NoError(t, err)
	}
	for n := range 105 {
		create(fmt.Sprint("No. ", n))
	}
	p.do(chromedp.Reload())
	for _, n := range []int{40, 80} {
		p.until(count("nav.conversations li") + fmt.Sprint(" === ", n))
		p.presses("nav.conversations", "Show more")
	}
	p.until(count("nav.conversations li") + ` === 105`)
	create("No. 105")
	see[bool](p, `dispatchEvent(new Event("online"))`) // it looks again
	p.until(`document.querySelector("nav.conversations li")?.innerText.includes("No. 105")`)
	require.GreaterOrEqual(t, see[int](p, count("nav.conversations li")), 105, "the place is kept")
}

// Another tenant's key finds nothing, not even where it is told to look.
func TestSide_I8_AnotherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, id := opens(t, i, "http://"+i.http, quick)
	p.says("a secret")
	p.shows(api, id)
	q := newTab(t, "http://"+i.http)
	q.tolerate() // a 404 is a failed request
	q.visit(i.tenant(t, "submit,read,admin"), "#/c/"+id)
	q.until(`document.querySelector("h1")?.textContent === "Not here"`)
	q.inspect("not here")
	q.until(`document.querySelector("nav.conversations .quiet")?.textContent === "Nothing was said yet."`)
	require.NotContains(t, see[string](q, "document.body.textContent"), "secret")
}

func TestSide_HelpAndColours(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, _, _ := sees(t, i, "#/batches")
	p.until(`document.querySelector("h1") !== null`)
	for !see[bool](p, `document.querySelector("dialog[open] .keys") !== null`) { // a page that is just drawn does not listen yet
		p.press("?")
	}
	p.inspect("help")
	p.press(kb.Escape)
	p.until(`document.querySelector("dialog[open]") === null`)

	ground := `getComputedStyle(document.body).backgroundColor`
	p.colours("light")
	light := see[string](p, ground)
	p.colours("dark")
	p.until(ground + ` !== ` + quote(light)) // as the system has it
	p.click(`[data-testid="theme"]`)
	p.until(ground + ` === ` + quote(light)) // whatever the system has
	p.do(chromedp.Reload())
	p.until(ground + ` === ` + quote(light))
	p.click(`[data-testid="theme"]`)
	p.colours("light")
	p.until(ground + ` !== ` + quote(light))
}

// On a phone the side bar is a drawer, and nothing is wider than the screen.
func TestSide_Phone(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, _, _ := opens(t, i, "http://"+i.http, quick)
	p.phone()
	p.says(document + "\n\n```text\n" + fmt.Sprintf("%0300d", 1) + "\n```\n\n" + fmt.Sprintf("%0300d", 2))
	p.ends(completion.Completed)
	fits := `document.documentElement.scrollWidth <= innerWidth && innerWidth === 375`
	p.until(fits)
	p.inspect("phone")
	hidden := `document.querySelector(".side").getBoundingClientRect().right <= 0 || getComputedStyle(document.querySelector(".side")).visibility === "hidden"`
	p.until(hidden)
	p.click(labelled("Open the side bar"))
	p.until(`!(` + hidden + `)`)
	p.inspect("drawer")
	p.until(`document.querySelector("main").inert`)
	p.press(kb.Escape)
	p.until(hidden)
	for _, place := range []string{"#/batches", "#/system", "#/"} {
		see[bool](p, `(location.hash = `+quote(place)+`, true)`)
		p.until(`document.querySelector(".content h1, .welcome") !== null && ` + fits)
		p.inspect("phone " + place)
	}
}
