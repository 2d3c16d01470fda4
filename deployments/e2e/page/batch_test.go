package page_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// testID is the selector of what the page has named for tests.
func testID(name string) string { return `[data-testid="` + name + `"]` }

// choose puts a file into the form of a new batch.
func (p *tab) choose(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	require.NoError(p.t, os.WriteFile(path, []byte(content), 0o600))
	p.do(chromedp.SetUploadFiles(chromedp.CSS(testID("batch-file")), []string{path}))
	p.until(`document.querySelector(".drop strong")?.textContent === ` + quote(name))
}

// downloads lets the tab's files come into a folder.
func (p *tab) downloads() (dir string) {
	p.t.Helper()
	dir = p.t.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: dir,
	})
	require.NoError(p.t, err)
	return dir
}

func line(id, model string) string {
	return fmt.Sprintf(`{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"model":%q,"messages":[{"role":"user","content":"hi %s"}]}}`+"\n", id, model, id)
}

// A file is uploaded, its lines end one after the other, its answers come back, and what failed is tried again.
func TestBatches_FromTheUploadToTheRetry(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, api, _ := sees(t, i, "#/batches")
	g := gated(t)
	p.until(`document.querySelector(` + quote(testID("batch-form")) + `) !== null`)
	p.inspect("a new batch")
	p.choose("questions.jsonl", line("a", quick)+line("b", failing())+line("c", g.model))
	p.click(testID("batch-start"))
	p.until(`location.hash.startsWith("#/batches/batch_")`)
	id := strings.TrimPrefix(see[string](p, "location.hash"), "#/batches/")
	ended := `document.querySelector(` + quote(testID("batch-ended")) + `)?.textContent`
	p.until(ended + ` === "2"`) // live: one waits
	p.inspect("a batch that runs")
	g.open()
	state := `document.querySelector(` + quote(testID("batch-state")) + `)?.dataset.state`
	p.until(state + ` === "completed" && ` + ended + ` === "3"`)
	p.until(`document.querySelector(` + quote(testID("batch-item")) + `)?.textContent.includes("questions.jsonl")`)
	p.inspect("a batch that has ended")

	dir := p.downloads()
	p.click(testID("batch-output"))
	b, err := api.Batch(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, completion.Counts{Total: 3, Completed: 2, Failed: 1}, b.Counts)
	require.ElementsMatch(t, []string{"a", "c"}, customIDs(p.saved(dir)))

	p.click(testID("batch-retry"))
	p.until(`location.hash.startsWith("#/batches/batch_") && location.hash !== ` + quote("#/batches/"+id))
	p.until(state + ` === "completed" && ` + ended + ` === "1"`)
	all, _, err := api.Batches(t.Context(), client.BatchQuery{})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, id, all[0].RetryOf)
}

// saved waits for the one file that was downloaded into a folder, and reads it.
func (p *tab) saved(dir string) string {
	p.t.Helper()
	var content []byte
	require.Eventually(p.t, func() bool {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) != 1 || strings.HasSuffix(names[0], ".crdownload") {
			return false
		}
		content, err = os.ReadFile(names[0])
		return err == nil && len(content) > 0
	}, patience, patience/1000)
	return string(content)
}

func customIDs(lines string) (ids []string) {
	for line := range strings.Lines(lines) {
		ids = append(ids, gjson.Get(line, "custom_id").Str)
	}
	return ids
}

// A file that cannot be run is not; the page says which line is wrong, and where.
func TestBatches_SaysWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p, _, _ := sees(t, i, "#/batches")
	p.choose("wrong.jsonl", line("a", quick)+"{\n"+line("a", quick))
	p.click(testID("batch-start"))
	p.until(`document.querySelector(` + quote(testID("batch-state")) + `)?.dataset.state === "failed"`)
	p.until(`document.querySelector(` + quote(testID("batch-faults")) + `)?.querySelectorAll("tbody tr").length === 2`)
	p.inspect("a batch that was refused")
}

// A reload in the middle of a batch goes on with it, and so does a lost connection.
func TestBatches_I3_Reload(t *testing.T) {
	t.Parallel()
	i, web, ws := behind(t)
	p := newTab(t, "http://"+web.addr)
	p.visit(i.tenant(t, "submit,read"), "#/batches")
	g := gated(t)
	p.choose("slow.jsonl", line("a", quick)+line("b", g.model)+line("c", g.model))
	p.click(testID("batch-start"))
	ended := `document.querySelector(` + quote(testID("batch-ended")) + `)?.textContent`
	p.until(ended + ` === "1"`)
	p.do(chromedp.Reload())
	p.until(ended + ` === "1"`)
	p.tolerate()
	web.lose()
	ws.lose()
	p.until(`document.querySelector(` + quote(testID("reconnecting")) + `) !== null`)
	g.open()
	web.mend()
	ws.mend()
	p.until(ended + ` === "3" && document.querySelector(` + quote(testID("batch-state")) + `).dataset.state === "completed"`)
	p.until(`document.querySelector(` + quote(testID("reconnecting")) + `) === null`)
}
