package clients_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// TestCredential follows a job that lasts longer than its credentials.
func TestCredential(t *testing.T) {
	t.Parallel()
	const life = 3 * time.Second // whole seconds are what the server knows; the job lasts six
	never := func(int64) int { return 0 }
	for name, c := range map[string]struct {
		refuse func(n int64) int // see office
		stale  bool
		skew   time.Duration // of the client's clock
		most   int64         // renewals
		code   string        // of the error that ends it
		least  int           // connections
	}{
		"renewed ahead of its end":         {refuse: never, least: 2, most: 5},
		"clock an hour behind":             {refuse: never, skew: -time.Hour, least: 2, most: 3},
		"clock an hour ahead":              {refuse: never, skew: time.Hour, least: 2, most: 3},
		"ended before it began":            {refuse: never, stale: true, least: 2, most: 6},
		"renewals fail for a while":        {refuse: unavailable, least: 2, most: 8},
		"renewals are refused":             {refuse: notFound, least: 1, most: 20, code: "status_404"},
		"refused from the start, for good": {refuse: notFound, stale: true, least: 1, most: 1, code: "status_404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startOffice(t, &office{life: life, refuse: c.refuse, stale: c.stale})
			p := plan{Base: o.api.URL, Act: "follow", ID: "job_1", Skew: c.skew.Milliseconds()}
			var seqs []int64
			var failed *failure
			for l := range (nodeClient{}).act(t, nil, p) {
				require.Empty(t, l.Broken)
				if l.Event != nil {
					seqs = append(seqs, gjson.GetBytes(l.Event, "seq").Int())
				}
				failed = l.Error
			}
			for i, seq := range seqs {
				require.EqualValues(t, i+1, seq, "I3")
			}
			require.LessOrEqual(t, o.renewed.Load(), c.most)
			require.GreaterOrEqual(t, o.ws.served(), c.least)
			if c.code != "" {
				require.NotNil(t, failed)
				require.Equal(t, c.code, failed.Code)
				return
			}
			require.Nil(t, failed)
			require.Len(t, seqs, officeEvents)
		})
	}
}

func notFound(int64) int { return http.StatusNotFound }

func unavailable(n int64) int {
	if n < 4 {
		return http.StatusServiceUnavailable
	}
	return 0
}
