package conductor

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/line"
	"sluice/shared/completion"
)

func TestWeight(t *testing.T) {
	t.Parallel()
	at := time.Now()
	b := completion.Batch{CreatedAt: at, Deadline: at.Add(100 * time.Hour)}
	for hours, want := range map[int]int{-1: 1, 0: 1, 49: 1, 50: 2, 74: 2, 75: 4, 89: 4, 90: 8, 99: 8, 100: 8, 200: 8} {
		require.Equal(t, want, weight(&b, at.Add(time.Duration(hours)*time.Hour)), hours)
	}
}

func TestDivide(t *testing.T) {
	t.Parallel()
	at := time.Now()
	some := func(tenant string, n int, age time.Duration) []completion.Batch {
		var list []completion.Batch
		for i := range n {
			list = append(list, completion.Batch{
				ID: fmt.Sprint(age, i), Tenant: tenant, CreatedAt: at.Add(-age), Deadline: at.Add(time.Hour - age), Counts: completion.Counts{Total: 1},
			})
		}
		return list
	}
	for name, tc := range map[string]struct {
		list []completion.Batch
		room int
		want map[int]int // how many batches get a share
	}{
		"one":                {some("a", 1, 0), 2000, map[int]int{1000: 1}},
		"two":                {some("a", 2, 0), 2000, map[int]int{1000: 2}},
		"twenty":             {some("a", 20, 0), 2000, map[int]int{100: 20}},
		"tenants":            {append(some("a", 4, 0), some("b", 4, 0)...), 2000, map[int]int{500: 8}},
		"deadline":           {append(some("a", 4, 0), some("a", 1, 59*time.Minute)...), 2000, map[int]int{171: 4, 1000: 1}},
		"hundreds":           {some("a", 400, 0), 2000, map[int]int{5: 400}},
		"more than there is": {some("a", 3000, 0), 2000, map[int]int{1: 3000}},
		"little room":        {some("a", 4, 0), 100, map[int]int{25: 4}},
		"no room":            {some("a", 4, 0), 5, map[int]int{1: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, sums := map[int]int{}, map[string]int{}
			for ref, n := range divide(tc.list, at, func(string) int { return tc.room }) {
				got[n]++
				sums[ref.Tenant] += n
			}
			require.Equal(t, tc.want, got)
			for tenant, sum := range sums {
				require.LessOrEqual(t, sum, max(tenantWaiting, len(tc.list)), tenant)
			}
		})
	}
	fed := completion.Batch{Counts: completion.Counts{Total: 5}, Checkpoint: completion.Checkpoint{Fed: 5}}
	require.Empty(t, divide([]completion.Batch{fed}, at, func(string) int { return 2000 }))
}

func TestMeter(t *testing.T) {
	t.Parallel()
	at := time.Now()
	var m meter
	batches := []completion.Batch{{ID: "one", Tenant: "a"}, {ID: "two", Tenant: "a"}, {ID: "other", Tenant: "b"}}
	look := func(after time.Duration, fed ...int) {
		at = at.Add(after)
		for i, n := range fed {
			batches[i].Checkpoint.Fed += n
		}
		m.note(batches, at)
	}
	look(0, 5000, 0, 0) // what was fed before is no rate
	require.Equal(t, firstWaiting, m.room("a", 0))
	look(2*time.Second, 400, 200, 10)
	require.Equal(t, 600, m.room("a", 0), "of all its batches")
	require.Equal(t, firstWaiting, m.room("b", 0))
	require.Equal(t, 50, m.room("a", 50), "its limit")
	look(100*time.Millisecond, 100, 0, 0)
	require.Equal(t, 600, m.room("a", 0), "too soon")
	look(1900*time.Millisecond, 0, 0, 0)
	require.Equal(t, 300, m.room("a", 0), "half at least")
	look(2*time.Second, 9000, 0, 0)
	require.Equal(t, tenantWaiting, m.room("a", 0))
	batches = append(batches, completion.Batch{ID: "back", Tenant: "c", Checkpoint: completion.Checkpoint{Fed: 9000}})
	look(2*time.Second, 0, 0, 0)
	require.Equal(t, firstWaiting, m.room("c", 0), "fed before it was paused")
	for range 10 {
		look(2*time.Second, 0, 0, 0)
	}
	require.Equal(t, firstWaiting, m.room("a", 0))
}

func TestUse(t *testing.T) {
	t.Parallel()
	var u completion.BatchUsage
	for _, said := range []string{
		`{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":4}}`,
		`{"input_tokens":10,"output_tokens":20,"input_tokens_details":{"cached_tokens":30},"output_tokens_details":{"reasoning_tokens":40}}`,
		`{"prompt_tokens":100,"total_tokens":100}`, `{"prompt_tokens":-5}`, `null`, ``, `[]`, `{"prompt_tokens":"x"}`,
	} {
		use(&u, json.RawMessage(said))
	}
	require.Equal(t, completion.BatchUsage{Input: 111, Output: 22, Cached: 33, Reasoning: 44}, u)
}

func TestInbox(t *testing.T) {
	t.Parallel()
	i := newInbox()
	i.ring([]int{1, 2})
	i.ring([]int{3})
	<-i.bell
	require.Equal(t, mail{lines: []int{1, 2, 3}}, i.empty())
	require.Equal(t, mail{}, i.empty())
	i.ring(nil)
	i.stands(completion.BatchCancelling, true)
	i.ring(make([]int, maxRung))
	i.ring([]int{1})
	require.Equal(t, mail{lines: make([]int, maxRung), look: true, row: true, stand: &stand{completion.BatchCancelling, true}}, i.empty())
}

func TestTwins(t *testing.T) {
	t.Parallel()
	tw := &twins{}
	for i, body := range []string{"a", "b", "a", "c", "b", "a"} {
		l := line.Line{Number: i + 1, CustomID: fmt.Sprint("c", i+1), Body: json.RawMessage(body)}
		require.Equal(t, i > 1 && i != 3, tw.meet(&l), i)
	}
	require.Equal(t, []twin{{3, 1, "c3"}, {6, 1, "c6"}}, tw.of(1))
	require.Empty(t, tw.of(4))
	require.Equal(t, []int{1, 2, 4}, tw.originals([]int{6, 5, 4, 3, 1}))
	require.True(t, tw.has(5))
	require.False(t, tw.has(4))
	var in completion.LineSet
	in.Add(3)
	require.True(t, tw.missing(1, in))
	in.Add(6)
	require.False(t, tw.missing(1, in))

	var none *twins
	require.False(t, none.meet(&line.Line{Number: 1}))
	require.Equal(t, 7, none.original(7))
	require.Empty(t, none.of(7))
}
