package eventlog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// long appends a job of n deltas of so many bytes each and returns its records.
func long(t testing.TB, log *eventlog.Log, ref completion.Ref, n, size int) []completion.Record {
	t.Helper()
	tail := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
	all := []completion.Record{tail.Last()}
	for i := range n {
		eventlogtest.Write(t, tail, eventlogtest.Delta(1, fmt.Sprintf("%06d", i)+strings.Repeat("x", size)))
		all = append(all, tail.Last())
	}
	eventlogtest.Write(t, tail, eventlogtest.Completed(1))
	return append(all, tail.Last())
}

// A job of many answers costs the responder little more than reading it once.
func TestServeReplay_ReadsALongJobOnce(t *testing.T) {
	t.Parallel()
	n, nc, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	all := long(t, log, ref, 400, 50_000)
	bytes := 0
	for _, r := range all {
		bytes += len(r.Data)
	}
	require.Greater(t, bytes, 20_000_000)
	serve(t, log)
	before := nc.Stats()
	got, err := eventlogtest.Collect(eventlog.View(t.Context(), connect(t, n.ClientURL(), testkit.Viewer(t, n, acme)), ref, 0))
	require.NoError(t, err)
	eventlogtest.Same(t, all, got)
	read := nc.Stats()
	messages, size := read.InMsgs-before.InMsgs, read.InBytes-before.InBytes
	t.Logf("%d events of %d bytes: the responder read %d messages, %d bytes", len(all), bytes, messages, size)
	require.Less(t, messages, uint64(2*len(all)))
	require.Less(t, size, uint64(2*bytes))
}

// asker asks the responder as a program does that is not written in Go.
type asker struct {
	nc  *nats.Conn
	ref completion.Ref
}

func newAsker(t *testing.T, n *embedded.NATS, ref completion.Ref) asker {
	return asker{connect(t, n.ClientURL(), testkit.Viewer(t, n, ref), nats.CustomInboxPrefix("rp."+ref.Tenant+"."+ref.Job)), ref}
}

// ask returns the answer to a question, which must be one with events.
func (a asker) ask(t *testing.T, question string) gjson.Result {
	t.Helper()
	for {
		m, err := a.nc.RequestWithContext(t.Context(), "replay."+a.ref.Tenant+"."+a.ref.Job, []byte(question))
		if errors.Is(err, nats.ErrNoResponders) { // not serving yet
			continue
		}
		require.NoError(t, err)
		require.True(t, json.Valid(m.Data))
		answer := gjson.ParseBytes(m.Data)
		require.True(t, answer.Get("events").Exists(), answer.Raw)
		return answer
	}
}

// What a viewer says of where it was may spare work; it changes no answer.
func TestServeReplay_I3_I8_CursorIsNotTrusted(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	other := completion.Ref{Tenant: "other", Job: ref.Job} // in the same stream
	long(t, log, ref, 4, 300)
	long(t, log, other, 4, 300)
	a := newAsker(t, n, ref)
	end := newAsker(t, n, other).ask(t, `{"from":1}`).Get("cursor").Str
	own := a.ask(t, `{"from":1}`).Get("cursor").Str
	for from := 1; from <= 8; from++ {
		want := a.ask(t, fmt.Sprintf(`{"from":%d}`, from))
		for _, cursor := range []string{"", "0", "1", own, end, own + "1", "-1", "x", "9223372036854775807", "18446744073709551615", "99999999999999999999999"} {
			got := a.ask(t, fmt.Sprintf(`{"from":%d,"cursor":%q}`, from, cursor))
			require.Equal(t, want.Get("events").Raw, got.Get("events").Raw, "from %d with cursor %q", from, cursor)
			require.Equal(t, want.Get("done").Raw, got.Get("done").Raw)
		}
	}
}

// A viewer that knows no cursor reads a job of many answers too.
func TestServeReplay_I3_WithoutCursor(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	all := long(t, log, ref, 30, 100_000)
	a := newAsker(t, n, ref)
	last, answers := int64(0), 0
	for more := true; more; answers++ {
		answer := a.ask(t, fmt.Sprintf(`{"from":%d}`, last+1))
		for _, e := range answer.Get("events").Array() {
			last++
			require.Equal(t, last, e.Get("seq").Int())
		}
		more = answer.Get("more").Bool()
	}
	require.EqualValues(t, len(all), last)
	require.Greater(t, answers, 3)
}
