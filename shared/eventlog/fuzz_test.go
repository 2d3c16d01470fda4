package eventlog

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// FuzzAsker checks whom a replay may be sent to: nobody but viewers of the job that the question is about.
func FuzzAsker(f *testing.F) {
	for _, reply := range []string{"rp.acme.job_1.x.1", "rp.acme.job_1.", "", "rp.acme.job_1", "rp.acme.job_11.x", "rp.other.job_1.x", "rp.acme.job_1.>", "rp.acme.job_1.*.x", "rp.acme.job_1.a b", "$JS.API.STREAM.DELETE.C1"} {
		f.Add("replay.acme.job_1", reply)
	}
	f.Add("replay.acme.*", "rp.acme.*.x")
	f.Add("replay.acme.job_1.x", "rp.acme.job_1.x.y")
	f.Add("replay..", "rp...x")
	f.Fuzz(func(t *testing.T, subject, reply string) {
		ref, ok := asker(subject, reply)
		s, r := strings.Split(subject, "."), strings.Split(reply, ".")
		want := len(s) == 3 && s[0] == "replay" && completion.ValidToken(s[1]) && completion.ValidToken(s[2]) &&
			len(r) > 3 && r[0] == "rp" && r[1] == s[1] && r[2] == s[2] && !strings.ContainsAny(reply, "*> ")
		require.Equal(t, want, ok)
		if ok {
			require.Equal(t, subject, "replay."+ref.Tenant+"."+ref.Job)
		}
	})
}

// answers are replays as they come, and as they should not.
var answers = []string{
	`{"events":[{"type":"started","seq":1,"attempt":1},{"type":"delta","seq":2,"attempt":1}],"more":true,"done":false,"cursor":"17"}`,
	`{"events":[{"type":"completed","seq":3,"attempt":1}],"more":false,"done":true,"cursor":"18"}`,
	`{"events":[{"type":"delta","seq":9,"attempt":1},{"type":"delta","seq":4,"attempt":2},{"seq":5},null,7,{"type":"retrying","seq":-1}],"more":true}`,
	`{"error":{"code":"service_unavailable","message":"x","retryable":true}}`,
	`{"error":{"code":"no such code","message":""}}`, `{"error":null}`, `{"events":{"type":"completed","seq":1}}`, `{"done":"true"}`, `[]`, `{"events":[{`, "",
	`{"events":[{"type":"failed","seq":9223372036854775807,"attempt":99999999999}]}`,
}

// FuzzMerge_Answer_I3 reads two answers one after the other, as a viewer does: what comes out is in order, each once, and
// nothing follows the end.
func FuzzMerge_Answer_I3(f *testing.F) {
	for i, a := range answers {
		f.Add(int64(0), []byte(a), []byte(answers[(i+1)%len(answers)]))
		f.Add(int64(50), []byte(a), []byte(a))
	}
	f.Add(int64(completion.MaxSeq), []byte(answers[1]), []byte(answers[1]))
	f.Fuzz(func(t *testing.T, after int64, one, two []byte) {
		if after < 0 || after > completion.MaxSeq {
			return
		}
		last, ended := after, false
		m := &merge{last: after, yield: func(r completion.Record, err error) bool {
			require.NoError(t, err)
			require.False(t, ended, "an event behind the final one")
			require.Greater(t, r.Seq, last)
			require.NotEmpty(t, r.Type)
			require.GreaterOrEqual(t, r.Attempt, 0)
			if json.Valid(one) && json.Valid(two) {
				require.True(t, json.Valid(r.Data), "%s", r.Data)
			}
			last, ended = r.Seq, r.Type.Final()
			return true
		}}
		for _, data := range [][]byte{one, two} {
			more, err := m.answer(&nats.Msg{Data: data})
			if err != nil {
				var refused *completion.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, refused.Retryable, retryable(err))
				require.False(t, more)
			}
			require.GreaterOrEqual(t, m.last, last)
			require.True(t, !ended || m.final)
		}
		_, err := m.answer(&nats.Msg{Header: nats.Header{"Status": {"503"}}, Data: one})
		require.ErrorIs(t, err, errNotYet)
		require.True(t, retryable(err))
	})
}

// FuzzStored reads a message as Direct Get answers it.
func FuzzStored(f *testing.F) {
	f.Add("17", []byte(`{"type":"delta","seq":2,"attempt":1}`))
	f.Add("-1", []byte(`{}`))
	f.Add("", []byte(`7`))
	f.Fuzz(func(t *testing.T, pos string, data []byte) {
		e, err := stored(&nats.Msg{Header: nats.Header{"Nats-Sequence": {pos}}, Data: data})
		if err != nil {
			require.Zero(t, e)
			return
		}
		require.Equal(t, strings.TrimLeft(pos, "0"), strings.TrimLeft(jsonNumber(t, e.pos), "0"))
		require.Equal(t, data, []byte(e.Data))
	})
}

func jsonNumber(t *testing.T, n uint64) string {
	t.Helper()
	b, err := json.Marshal(n)
	require.NoError(t, err)
	return string(b)
}

// FuzzFailure checks that a viewer reads the error that a responder writes.
func FuzzFailure(f *testing.F) {
	f.Add("too deep", true)
	f.Add("\xff\u2028</script>", false)
	f.Fuzz(func(t *testing.T, cause string, asked bool) {
		err := errors.New(cause)
		if asked {
			err = errQuestion
		}
		_, got := new(merge).answer(&nats.Msg{Data: failure(err)})
		var refused *completion.Error
		require.ErrorAs(t, got, &refused)
		require.Equal(t, !asked, refused.Retryable)
		require.NotEmpty(t, refused.Message)
		require.True(t, asked || refused.Message == completion.CodeUnavailable.Kind().Text, "the cause is not shown")
	})
}
