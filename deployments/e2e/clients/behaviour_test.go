package clients_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// row is one behaviour; behaviour.json explains the fields.
type row struct {
	Name    string   `json:"name"`
	Model   string   `json:"model"`
	Submit  []string `json:"submit"`
	Lines   int      `json:"lines"`
	Log     []entry  `json:"log"`
	Act     string   `json:"act"`
	Disturb struct {
		Kind    string `json:"kind"`
		At      []int  `json:"at"`
		Outlast bool   `json:"outlast"`
	} `json:"disturb"`
	Expect struct {
		Final    completion.State `json:"final"`
		Code     completion.Code  `json:"code"`
		Attempts int              `json:"attempts"`
		Resets   *int             `json:"resets"`
		Jobs     *int             `json:"jobs"`
		Seen     []int64          `json:"seen"`
		Error    *failure         `json:"error"`
	} `json:"expect"`
}

// entry is an event of a log that is told to clients.
type entry struct {
	Type    completion.EventType `json:"type"`
	Seq     int64                `json:"seq"`
	Attempt int                  `json:"attempt"`
}

func table(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("../../clients/behaviour.json")
	require.NoError(t, err)
	var table struct {
		Description string `json:"description"`
		Rows        []row  `json:"rows"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&table))
	return table.Rows
}

func TestBehaviour(t *testing.T) {
	t.Parallel()
	for _, r := range table(t) {
		for name, a := range actors {
			if a.can(r.Act) && r.Log == nil {
				t.Run(r.Name+"/"+name, func(t *testing.T) {
					t.Parallel()
					newScene(t, r, a).play(t)
				})
			}
		}
	}
}

// scene is one row being played by one client.
type scene struct {
	row
	actor actor
	in    *installation
	job   client.Job
	batch client.Batch
	lines int // that the client has said
	hits  int // connections that were cut

	events  []json.RawMessage
	parts   []string
	resets  int
	jobs    []client.Job
	failure *failure
}

func newScene(t *testing.T, r row, a actor) *scene {
	t.Helper()
	return &scene{row: r, actor: a, in: setup(t)}
}

func (s *scene) play(t *testing.T) {
	p := plan{Base: s.actor.base(s.in), Key: s.in.key, Act: s.Act, ID: "unknown"}
	for _, directives := range s.Submit {
		p.Requests, p.Once = append(p.Requests, request(directives)), "once"
	}
	if s.Submit != nil && s.Submit[0] == "" {
		p.Requests = []json.RawMessage{[]byte(`{"model":"sim"}`)}
	}
	begin := s.prepare(t, &p)
	var beginning sync.WaitGroup
	beginning.Go(begin)
	s.perform(t, p)
	beginning.Wait()
	if s.Disturb.Kind == "leave" {
		p.After, p.LeaveAt = p.LeaveAt, 0
		s.perform(t, p)
	}
	s.check(t)
}

// prepare submits the job, and says in the plan what the client itself does to disturb. The job begins with the
// function that it returns, when the client listens.
func (s *scene) prepare(t *testing.T, p *plan) (begin func()) {
	t.Helper()
	begin = func() {}
	switch {
	case s.Lines > 0:
		return s.prepareBatch(t, p)
	case s.Model == "":
		return begin
	}
	release := begin
	if s.Disturb.Kind != "late" {
		release = s.in.hold(t)
	}
	s.job = s.in.submit(t, s.Model+"&key=the-row")
	p.ID = s.job.ID
	switch s.Disturb.Kind {
	case "late":
		s.in.follow(t, s.job.ID)
	case "leave", "free":
		p.LeaveAt = int64(s.Disturb.At[0])
	case "cancel":
		p.CancelAt = int64(s.Disturb.At[0])
	case "doze":
		p.DozeAt = int64(s.Disturb.At[0])
	case "wrong key":
		p.Key = "sk-sluice-wrong"
	}
	if s.Act == "get" || s.Act == "retry" || s.Disturb.Kind == "late" {
		release()
		return begin
	}
	return func() {
		if err := s.actor.stream(s.in).await(some); err != nil {
			t.Error(err)
		}
		release()
	}
}

// perform has the client do what is planned, and disturbs it.
func (s *scene) perform(t *testing.T, p plan) {
	t.Helper()
	for l := range s.actor.act(t, s.in, p) {
		require.Empty(t, l.Broken)
		s.note(l)
		s.lines++
		if slices.Contains(s.Disturb.At, s.lines) {
			s.disturb(t)
		}
	}
}

func (s *scene) note(l line) {
	switch {
	case l.Event != nil:
		s.events = append(s.events, l.Event)
	case l.Part != nil && l.Part.Reset:
		s.resets++
		s.parts = []string{l.Part.Text}
	case l.Part != nil:
		s.parts = append(s.parts, l.Part.Text)
	case l.Job != nil:
		s.jobs = append(s.jobs, *l.Job)
	case l.Error != nil:
		s.failure = l.Error
	}
}

func (s *scene) disturb(t *testing.T) {
	t.Helper()
	switch s.Disturb.Kind {
	case "cut":
		s.hits += s.actor.stream(s.in).cut()
	case "restart":
		s.in.stop(t)
		s.in.start(t)
	}
}

func (s *scene) check(t *testing.T) {
	t.Helper()
	for _, p := range []*proxy{s.in.ws, s.in.http, s.in.nats} {
		if p == s.actor.stream(s.in) {
			require.NoError(t, p.await(none), "the client has left, its connections are closed")
		}
	}
	require.Equal(t, s.Expect.Error, s.failure)
	if s.Disturb.Outlast && s.Lines == 0 {
		require.True(t, s.job.Stream.ExpiresAt.Before(time.Now()), "the credential has ended")
	}
	if s.Disturb.Kind == "cut" {
		require.Positive(t, s.hits, "a connection was cut")
	}
	if s.Expect.Jobs != nil {
		ids := map[string]bool{}
		for _, j := range s.jobs {
			ids[j.ID] = true
		}
		require.Len(t, ids, *s.Expect.Jobs)
	}
	switch {
	case s.Lines > 0:
		s.checkBatch(t)
	case s.Expect.Final != "":
		s.checkJob(t)
	}
}

// checkJob compares what the client has seen with what the API has.
func (s *scene) checkJob(t *testing.T) {
	t.Helper()
	want := s.in.follow(t, s.job.ID)
	stored, err := s.in.api().Get(t.Context(), s.job.ID)
	require.NoError(t, err)
	require.Equal(t, s.Expect.Final, stored.State, "%v", stored.Error)
	if s.Expect.Code != "" {
		require.Equal(t, s.Expect.Code, stored.Error.Code)
	}
	if s.Expect.Attempts != 0 {
		require.Equal(t, s.Expect.Attempts, stored.Attempt)
	}
	text := gjson.GetBytes(stored.Result, "choices.0.message.content").String()
	switch s.Act {
	case "follow", "follow_with":
		s.checkEvents(t, want)
		require.Equal(t, text, streamed(want), "I4")
	case "text":
		require.Equal(t, text, strings.Join(s.parts, ""), "I4")
		if s.Expect.Resets != nil {
			require.Equal(t, *s.Expect.Resets, s.resets)
		}
	case "result":
		require.Len(t, s.jobs, 1)
		require.Equal(t, stored, s.jobs[0])
	case "retry":
		if s.failure == nil {
			require.Equal(t, s.job.ID, s.jobs[0].RetryOf)
		}
	}
}

func (s *scene) checkEvents(t *testing.T, want []completion.Event) {
	t.Helper()
	require.Len(t, s.events, len(want), "I3: every event once")
	for i, e := range want {
		require.EqualValues(t, i+1, e.Seq)
		text, err := e.Encode()
		require.NoError(t, err)
		if !bytes.Equal(text, s.events[i]) { // which is quick, and says nothing of how numbers are written
			require.JSONEq(t, string(text), string(s.events[i]))
		}
	}
	last := want[len(want)-1]
	require.Equal(t, string(s.Expect.Final), string(last.Type))
	if s.Expect.Code != "" {
		require.Equal(t, s.Expect.Code, last.Error.Code)
	}
}

// follow reads the job's event stream to its end, past the proxies.
func (in *installation) follow(t *testing.T, id string) []completion.Event {
	t.Helper()
	var events []completion.Event
	for e, err := range in.api().Follow(t.Context(), id, 0) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// streamed puts together the text of the last attempt.
func streamed(events []completion.Event) string {
	var b strings.Builder
	for _, e := range events {
		if e.Type == completion.EventStarted {
			b.Reset()
		}
		for _, c := range e.Chunks {
			b.WriteString(gjson.GetBytes(c, "choices.0.delta.content").String())
		}
	}
	return b.String()
}
