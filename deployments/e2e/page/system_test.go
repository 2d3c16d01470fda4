package page_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/client"
)

func TestSystem_ShowsTheInstallationAndTriesAgain(t *testing.T) {
	t.Parallel()
	i := start(t, newInstallation(t.TempDir()))
	key := i.tenant(t, "submit,read,system")
	api := i.client(t, key)
	job, err := api.Submit(t.Context(), client.Submission{Request: []byte(`{"model":"` + failing() + `","messages":[{"role":"user","content":"hi"}]}`)})
	require.NoError(t, err)
	for _, err := range api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
	}
	p := newTab(t, "http://"+i.http)
	p.visit(key, "#/system")
	for _, name := range []string{"lane-interactive", "lane-batch", "workers", "upstreams", "failures"} {
		p.until(`document.querySelector(` + quote(testID(name)) + `) !== null`)
	}
	p.until(`document.querySelector(` + quote(testID("workers")) + `).querySelectorAll("tbody tr").length === 1`)
	p.until(`document.querySelector(` + quote(testID("failures")) + `).textContent.includes("upstream_rejected")`)
	p.inspect("system")
	p.click(testID("failure-retry"))
	again := ""
	require.Eventually(t, func() bool {
		jobs, _, err := api.List(t.Context(), client.Query{})
		if err == nil && len(jobs) == 2 {
			again = jobs[0].RetryOf
		}
		return again != ""
	}, patience, patience/1000)
	require.Equal(t, job.ID, again)
}

func TestSystem_I8_IsNotForEveryKey(t *testing.T) {
	t.Parallel()
	i := common.get(t)
	p := newTab(t, "http://"+i.http)
	p.tolerate() // the refusal is a failed request
	p.visit(i.tenant(t, "submit,read,admin"), "#/system")
	p.until(`document.querySelector(` + quote(testID("system")) + `)?.textContent.includes("may not see the system")`)
	p.inspect("system, refused")
}
