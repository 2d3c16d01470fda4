package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// office is an installation whose clients and whose upstreams are watched.
type office struct {
	cluster *cluster
	worker  *child
	front   *recorder // before the api
	back    *recorder // before the upstreams
	wire    *wire
	keys    map[string]string
	drivers map[string]driver
}

// stepHeader marks the requests of a step.
const stepHeader = "X-Step"

// pollPause is how often a program asks for what it waits for, so that asking is no load.
const pollPause = 100 * time.Millisecond

// ownKey names the key of a tenant that no other case has.
const ownKey = "$case"

// startOffice starts an installation of one api and one worker; env is for both.
func startOffice(t *testing.T, env ...string) *office {
	t.Helper()
	o := &office{wire: newWire(t)}
	sim := startUpstream(t)
	mock := startAimock(t)
	o.back = startRecorder(t, func(e *exchange) *url.URL {
		if strings.HasPrefix(gjson.GetBytes(e.Request, "model").Str, "sim") {
			return parseURL(t, strings.TrimSuffix(sim.url, "/v1"))
		}
		return parseURL(t, mock)
	})
	o.cluster = startServers(t, append(env, "OPENAI_BASE_URL="+o.back.url+"/v1", "SLUICE_INTERACTIVE_ATTEMPTS=2")...)
	o.cluster.migrate(t, "up")
	o.keys = map[string]string{"": o.cluster.key, "wrong": "sk-nobody", "reader": o.cluster.newKey(t, "local", "read"), "other": o.cluster.newKey(t, "other", "submit,read")}
	o.limit(t, "small", "--body-bytes", "300")
	o.limit(t, "limited", "--submits-per-second", "0.001")
	o.cluster.startAPI(t, "127.0.0.1:0").ready(t)
	o.worker = o.cluster.startWorker(t)
	until(t, "the models to be known", func() bool { return strings.Contains(o.cluster.apis[0].get(t, "/v1/models").body, "gpt-4o") })
	newAPI(t, o.cluster.apis[0].url, o.keys["limited"]).submit(t, "tps=0") // all that it may for a while
	o.front = startRecorder(t, func(*exchange) *url.URL { return parseURL(t, o.cluster.apis[0].url) })
	o.drivers = map[string]driver{"node": startNodeDriver(t), "go": goSDK{}}
	return o
}

// limit makes a tenant with a limit, and a key of its name.
func (o *office) limit(t *testing.T, tenant string, flags ...string) {
	t.Helper()
	o.cluster.sluice(append([]string{"tenants", "set", tenant}, flags...)...).succeed(t)
	o.keys[tenant] = o.cluster.newKey(t, tenant, "submit,read")
}

// TestOpenAI makes the calls of the table with programs that were written for OpenAI's API, and compares what they see
// with the table, and all that is sent to them with the SDK's types.
func TestOpenAI(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	t.Run("support", func(t *testing.T) { t.Parallel(); testSupport(t, o) })
	for _, c := range openaiCases(t) {
		for name, d := range o.drivers {
			if len(c.Only) > 0 && !slices.Contains(c.Only, name) {
				continue
			}
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				o.run(t, d, c, strings.ReplaceAll(c.Name, "/", ".")+"."+name)
			})
		}
	}
}

// run makes the calls of a case, one after the other.
func (o *office) run(t *testing.T, d driver, c openaiCase, marker string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	keys := maps.Clone(o.keys)
	if slices.ContainsFunc(c.Steps, func(s openaiStep) bool { return s.Key == ownKey }) {
		keys[marker] = o.cluster.newKey(t, strings.ReplaceAll(marker, ".", "-"), "submit,read")
	}
	var sights []string
	for i, row := range c.Steps {
		text, err := json.Marshal(row)
		require.NoError(t, err)
		var step openaiStep
		require.NoError(t, json.Unmarshal(fill(t, text, marker, keys, sights), &step))
		s := o.step(t, ctx, d, step, marker, keys, i)
		if speaksOf(step, "upstream") {
			s.Upstream = o.asked(t, marker)
		}
		text, err = json.Marshal(s)
		require.NoError(t, err)
		sights = append(sights, string(text))
		if _, ok := d.(goSDK); ok {
			delete(step.Want, "error.class") // it has one type for all
		}
		require.NoError(t, check(sights[i], step.Want), step.Call)
		if !speaksOf(step, "error") {
			require.Nil(t, s.Error, "%s: %s", step.Call, text)
		}
	}
}

// speaksOf says whether a step wants something of this part of its sight.
func speaksOf(step openaiStep, part string) bool {
	for path := range step.Want {
		if strings.HasPrefix(path, part) {
			return true
		}
	}
	return false
}

// asked is what the upstreams were asked in a case so far.
func (o *office) asked(t *testing.T, marker string) []upstreamSight {
	t.Helper()
	asked := []upstreamSight{}
	for _, e := range o.back.of(t, func(e *exchange) bool { return bytes.Contains(e.Request, []byte(marker)) }) {
		asked = append(asked, upstreamSight{Path: e.Path, Body: e.Request, Aborted: e.Aborted})
	}
	return asked
}

// step makes a call until it sees what it waits for.
func (o *office) step(t *testing.T, ctx context.Context, d driver, step openaiStep, marker string, keys map[string]string, i int) (s sight) {
	t.Helper()
	if step.Call == "job" {
		return o.job(t, step)
	}
	var args []json.RawMessage
	require.NoError(t, json.Unmarshal(step.Args, &args))
	call := order{URL: o.front.url + "/v1", Key: keys[step.Key], Call: step.Call, Args: args, Headers: step.Headers, Retries: step.Retries, Timeout: step.Timeout, Abort: step.Abort}
	pause := time.NewTicker(pollPause)
	defer pause.Stop()
	times := 0
	until(t, "what "+marker+" waits for", func() bool {
		if times > 0 {
			<-pause.C
		}
		call.ID = fmt.Sprintf("%s.%d.%d", marker, i, times)
		times++
		s = o.call(t, ctx, d, call)
		return o.reached(t, s, step.Until)
	})
	return s
}

// reached says whether a sight is what a step waits for. What has failed is waited for no more.
func (o *office) reached(t *testing.T, s sight, awaited map[string]json.RawMessage) bool {
	t.Helper()
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return s.Error != nil || check(string(text), awaited) == nil
}

// call makes one call and checks all that it sends and gets.
func (o *office) call(t *testing.T, ctx context.Context, d driver, call order) sight {
	t.Helper()
	call.Headers = maps.Clone(call.Headers)
	if call.Headers == nil {
		call.Headers = map[string]string{}
	}
	call.Headers[stepHeader] = call.ID
	s := d.do(ctx, call)
	if call.Call == "files.content" {
		s.Lines = lines(s.Text)
	}
	made := o.front.of(t, func(e *exchange) bool { return e.Header.Get(stepHeader) == call.ID })
	for _, e := range made {
		o.wire.require(t, e)
	}
	s.Requests = len(made)
	return s
}

// job waits for the end of a job and shows it.
func (o *office) job(t *testing.T, step openaiStep) sight {
	t.Helper()
	var ids []string
	require.NoError(t, json.Unmarshal(step.Args, &ids))
	body, err := json.Marshal(o.cluster.apis[0].finished(t, ids[0]))
	require.NoError(t, err)
	return sight{Body: body}
}
