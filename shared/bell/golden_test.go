package bell_test

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/shared/bell"
	"sluice/shared/completion"
	"sluice/shared/testkit"
	"sluice/shared/testkit/golden"
)

// ring is a message as it travels.
type ring struct {
	Subject string `json:"subject"`
	Data    string `json:"data"`
}

// TestGolden_Rings are what one release rings and another one hears.
func TestGolden_Rings(t *testing.T) {
	t.Parallel()
	nc := testkit.Conn(t, testkit.NATS(t))
	b, ref := bell.New(nc), completion.Ref{Tenant: "acme", Job: "job_1"}
	talk := completion.Ref{Tenant: "acme", Job: "conv_1"}
	all, err := nc.SubscribeSync(">")
	require.NoError(t, err)
	heard := make(chan any, 16)
	for _, listen := range []func() (func(), error){
		func() (func(), error) {
			return b.OnWake(completion.LaneBatch, func() { heard <- completion.LaneBatch })
		},
		func() (func(), error) { return b.OnCancel(func(r completion.Ref) { heard <- r }) },
		func() (func(), error) {
			return b.OnBatch(func(r completion.Ref, lines []int) { heard <- []any{r, lines} })
		},
		func() (func(), error) { return b.OnTurn(func(r completion.Ref) { heard <- r }) },
		func() (func(), error) { return b.OnChanged(talk, func(version int64) { heard <- version }) },
	} {
		stop, err := listen()
		require.NoError(t, err)
		t.Cleanup(stop)
	}
	for _, c := range []struct {
		name string
		ring func()
		want any
	}{
		{"wake", func() { b.Wake(completion.LaneBatch) }, completion.LaneBatch},
		{"cancel", func() { b.Cancel(ref) }, ref},
		{"batch", func() { b.Batch(ref) }, []any{ref, []int(nil)}},
		{"batch_lines", func() { b.Batch(ref, 1, 20, 300) }, []any{ref, []int{1, 20, 300}}},
		{"turn", func() { b.Turn(talk) }, talk},
		{"changed", func() { b.Changed(talk, 7) }, int64(7)},
	} {
		c.ring()
		m, err := all.NextMsgWithContext(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.want, <-heard, c.name)
		written, err := json.Marshal(ring{m.Subject, string(m.Data)})
		require.NoError(t, err)
		golden.Check(t, c.name, written, func(t testing.TB, data []byte) {
			var r ring
			require.NoError(t, json.Unmarshal(data, &r))
			require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: r.Subject, Data: []byte(r.Data), Header: nats.Header{"Newer": {"x"}}}))
			require.Equal(t, c.want, <-heard, c.name)
			_, err := all.NextMsgWithContext(t.Context())
			require.NoError(t, err)
		})
	}
}
