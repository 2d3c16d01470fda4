package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/modelsim"
)

// TestOpenAI_WorkerKilled kills the worker in the middle of the answers that programs read as streams. They see the whole
// text once, in one answer.
func TestOpenAI_WorkerKilled(t *testing.T) {
	t.Parallel()
	const tokens = 150
	o := startOffice(t, "SLUICE_WORKER_TTL=2s")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var reading sync.WaitGroup
	defer reading.Wait()
	saw := map[string]*sight{}
	for name, d := range o.drivers {
		s := &sight{}
		saw[name] = s
		body, err := json.Marshal(map[string]any{
			"model": "sim?tps=0&tokens=150&stall=60&times=1&key=killed." + name, "stream": true, "messages": json.RawMessage(`[{"role":"user","content":"` + prompt + `"}]`),
		})
		require.NoError(t, err)
		reading.Go(func() {
			*s = d.do(ctx, order{
				ID: name, URL: o.front.url + "/v1", Key: o.cluster.key, Call: "chat.completions.stream",
				Args: []json.RawMessage{body}, Headers: map[string]string{stepHeader: name},
			})
		})
	}
	for name := range o.drivers {
		until(t, "text for "+name, func() bool { return strings.Count(o.front.body(name), `"content":`) > 5 })
	}
	o.worker.signal(t, syscall.SIGKILL)
	o.cluster.startWorker(t)
	reading.Wait()

	for name, s := range saw {
		text, err := json.Marshal(s)
		require.NoError(t, err)
		require.Nil(t, s.Error, "%s: %s", name, text)
		require.Equal(t, modelsim.AnswerOf(tokens, prompt), s.Text, name)
		require.Equal(t, s.Text, gjson.GetBytes(s.Body, "choices.0.message.content").Str, name)
		made := o.front.of(t, func(e *exchange) bool { return e.Header.Get(stepHeader) == name })
		require.Len(t, made, 1, "no program asked again")
		o.wire.require(t, made[0])
		asked := o.back.of(t, func(e *exchange) bool { return bytes.Contains(e.Request, []byte("killed."+name)) })
		require.Len(t, asked, 2, "%s: the worker died in mid-answer", name)
	}
}
