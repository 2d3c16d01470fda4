package page_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

var update = flag.Bool("update", false, "take the pictures of the docs anew")

// maxPicture is how large a picture of the docs may be.
const maxPicture = 200_000 // bytes

const answered = "A buffered channel lets the producer run ahead of the consumer, but only so far:\n\n```go\njobs := make(chan Job, 64) // the 65th waits\n\n" +
	"go func() {\n\tdefer close(jobs)\n\tfor _, j := range work {\n\t\tjobs <- j\n\t}\n}()\n```\n\n| size | the producer waits |\n|---:|---|\n| 0 | for each receive |\n| 64 | once 64 are unread |\n\n" +
	"Pick a size that you can **justify**, and say what happens when it is full."

// TestPictures_OfTheDocs looks at each view as the docs show it, and keeps the pictures if it is told to.
func TestPictures_OfTheDocs(t *testing.T) {
	t.Parallel()
	i := start(t, newInstallation(t.TempDir()))
	key := i.tenant(t, "submit,read,admin,system")
	api := i.client(t, key)
	n := said(t, api)
	p := newTab(t, "http://"+i.http)
	p.do(chromedp.EmulateViewport(1120, 720))
	p.colours("light")
	p.visit(key, "#/c/"+n)
	p.until(count(answers) + ` === 1 && document.querySelector(".markdown table") !== null`)
	p.picture("page-chat.png")
	p.colours("dark")
	p.picture("page-chat-dark.png")

	p.visit("", "#/batches")
	p.colours("light")
	g := gated(t)
	p.choose("reviews.jsonl", line("r-1", quick)+line("r-2", quick)+line("r-3", quick)+line("r-4", g.model)+line("r-5", g.model))
	p.click(testID("batch-start"))
	p.until(`document.querySelector(` + quote(testID("batch-ended")) + `)?.textContent === "3"`)
	p.picture("page-batches.png")
	p.visit("", "#/system")
	p.until(`document.querySelector(` + quote(testID("workers")) + `) !== null`)
	p.picture("page-system.png")

	p.phone()
	p.visit("", "#/c/"+n)
	p.until(count(answers) + ` === 1 && document.querySelector(".markdown table") !== null`)
	p.picture("page-phone.png")
}

// said makes some conversations and returns the last one.
func said(t *testing.T, api *client.Client) (id string) {
	t.Helper()
	for _, name := range []string{"Names for a cat", "Trip to the coast", "SQL: running totals", "Back-pressure with channels"} {
		n, err := api.CreateConversation(t.Context(), client.ConversationCreation{Name: name, Messages: []client.Said{
			{Role: completion.RoleUser, Content: "How does a buffered channel give me back-pressure in Go?"}, {Role: completion.RoleAssistant, Content: answered},
		}})
		require.NoError(t, err)
		id = n.ID
	}
	return id
}

// picture takes a picture of what is shown.
func (p *tab) picture(name string) {
	p.t.Helper()
	p.until(`document.fonts.status === "loaded" && document.querySelector(".spinner") === null`)
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p.t, err)
	require.Less(p.t, len(png), maxPicture, name)
	if *update {
		require.NoError(p.t, os.WriteFile(filepath.Join("../../docs", name), png, 0o644))
	}
}
