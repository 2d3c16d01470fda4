package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// The columns of the account: all must stay 0.
const (
	lost       = "accepted and lost"
	wrong      = "ended in the wrong state"
	twice      = "finished twice"
	twins      = "made twice for one key"
	untrue     = "stored text not the upstream's"
	unlike     = "streamed text not the stored one"
	gaps       = "gaps seen by viewers"
	duplicates = "duplicates seen by viewers"
	zombies    = "events of an attempt after the next had started"
	needless   = "generations paid twice without need"
)

var account = []string{lost, wrong, twice, twins, untrue, unlike, gaps, duplicates, zombies, needless}

// summary is what the run came to.
type summary struct {
	counts    map[string]int
	offenders []string
	views     int
	jumps     int // viewers that were led past what the log had discarded
}

// shown is how many offenders of a kind are shown.
const shown = 3

func (s *summary) note(what string, e *errand, format string, args ...any) {
	if s.counts[what]++; s.counts[what] <= shown {
		s.offenders = append(s.offenders, fmt.Sprintf("%s: %s (%s) %s", what, e.job.ID, e.directives, fmt.Sprintf(format, args...)))
	}
}

// verify compares what was accepted, stored and seen.
func (in *ruin) verify(t *testing.T, work *load) *summary {
	t.Helper()
	in.count(t)
	s := &summary{counts: map[string]int{}}
	owners := map[string]*errand{}
	for _, e := range work.errands {
		stored, err := in.apis[0].Get(t.Context(), e.job.ID)
		if err != nil || !stored.State.Final() {
			s.note(lost, e, "%s, attempt %d: %v %v", stored.State, stored.Attempt, err, outline(e.views[0].events))
			continue
		}
		if other := owners[e.job.ID]; other != nil || e.twin != "" && e.twin != e.job.ID {
			s.note(twins, e, "%s", e.twin)
		}
		owners[e.job.ID] = e
		s.judge(e, stored)
		for _, v := range e.views {
			s.views++
			s.see(e, stored, v)
		}
		s.costs(in, e, stored, e.views[0].events)
		again, err := in.apis[1].Get(t.Context(), e.job.ID)
		if err != nil || again.State != stored.State || string(again.Result) != string(stored.Result) {
			s.note(twice, e, "%s, then %s: %v", stored.State, again.State, err)
		}
	}
	return s
}

// judge checks how the job ended. A job that was cancelled at its very end may have ended before.
func (s *summary) judge(e *errand, stored client.Job) {
	if stored.State != e.state {
		s.note(wrong, e, "%s, not %s: %v", stored.State, e.state, stored.Error)
		return
	}
	switch said := content(stored); {
	case e.state == completion.Completed && said != e.text:
		s.note(untrue, e, "%d bytes, not %d", len(said), len(e.text))
	case e.state == completion.Cancelled && !strings.HasPrefix(sixty, said[:min(len(said), len(sixty)/2)]):
		s.note(untrue, e, "%q", said)
	}
}

// see checks what one viewer saw (I3, I4, I5). Where the log has discarded or lost what was before, a viewer is led on to a
// started event or to the final one, which has the whole result unless that is large. Of a log that has nothing left the
// viewer gets the final event alone.
func (s *summary) see(e *errand, stored client.Job, v *view) {
	attempt, last, finals, led := 0, int64(0), 0, false
	for _, ev := range v.events {
		switch {
		case ev.Seq <= last:
			s.note(duplicates, e, "%v", outline(v.events))
		case ev.Seq > last+1 && ev.Type != completion.EventStarted && !ev.Type.Final():
			s.note(gaps, e, "%v", outline(v.events))
		}
		led = ev.Type.Final() && (ev.Seq > last+1 || last == 0 && stored.Attempt > 0)
		last = ev.Seq
		if ev.Attempt < attempt {
			s.note(zombies, e, "%v", outline(v.events))
		}
		if ev.Type == completion.EventStarted {
			attempt = ev.Attempt
		}
		if ev.Type.Final() {
			finals++
		}
	}
	if finals != 1 {
		s.note(twice, e, "%d final events: %v", finals, outline(v.events))
	}
	said := text(v.events...)
	if led {
		s.jumps++
		final := v.events[len(v.events)-1]
		said = gjson.GetBytes(append(final.Result, final.Partial...), "choices.0.message.content").Str
		if len(final.Result)+len(final.Partial) == 0 {
			return // too large for an event: it is read from the API
		}
	}
	if said != content(stored) {
		s.note(unlike, e, "%d bytes streamed, %d stored: %v", len(said), len(content(stored)), outline(v.events))
	}
}

// costs checks that no generation was begun without need: after an attempt whose whole answer was in the log already, or
// after one that neither failed nor could have been lost with its worker; and that the upstream was not asked more often
// than attempts were made. An upstream that is killed takes its last counts along. A failed attempt may not get to say so:
// when Redis was wiped, the next one may start as soon as the failure is stored.
func (s *summary) costs(in *ruin, e *errand, stored client.Job, events []completion.Event) {
	finished, failed, before := false, true, time.Time{}
	attempt := 0
	for _, ev := range events {
		switch ev.Type {
		case completion.EventStarted:
			if ev.Attempt != attempt && finished {
				s.note(needless, e, "the answer was whole: %v", outline(events))
			}
			if attempt > e.fails && ev.Attempt != attempt && !failed && !in.excuse(before, ev.At) {
				s.note(needless, e, "no worker was lost: %v", outline(events))
			}
			finished, failed, before, attempt = false, false, ev.At, ev.Attempt
		case completion.EventRetrying:
			failed = true
		case completion.EventDelta:
			for _, chunk := range ev.Chunks {
				finished = finished || gjson.GetBytes(chunk, "choices.0.finish_reason").Str != ""
			}
		}
	}
	if asked := in.asked[e.key]; !e.repeats && asked > int64(stored.Attempt) {
		s.note(needless, e, "the upstream was asked %d times in %d attempts: %v", asked, stored.Attempt, outline(events))
	}
}

// excuse reports whether an attempt that ran from one time to the other may have been lost with its worker.
func (in *ruin) excuse(from, to time.Time) bool {
	return slices.ContainsFunc(in.strikes, func(s strike) bool {
		return s.costs && s.at.Before(to) && s.back.Add(2*deadAfter).After(from)
	})
}

// outline is a story in a line: runs of deltas are left out.
func outline(events []completion.Event) string {
	var b strings.Builder
	for i, e := range events {
		if e.Type == completion.EventDelta && i > 0 && i+1 < len(events) && events[i-1].Type == e.Type && events[i+1].Type == e.Type && events[i+1].Seq == e.Seq+1 {
			continue
		}
		fmt.Fprintf(&b, " %d:%s/%d@%s", e.Seq, e.Type, e.Attempt, e.At.Format("05.000"))
		if e.Error != nil {
			fmt.Fprintf(&b, "(%s)", e.Error.Code)
		}
	}
	return b.String()
}

// recovery is how long it took after a strike until each job that was on its way had moved on.
func (s strike) recovery(work *load) time.Duration {
	longest := time.Duration(0)
	for _, e := range work.errands {
		if e.accepted.After(s.at) || e.ended.Before(s.at) || e.accepted.IsZero() {
			continue
		}
		next := e.ended
		for _, v := range e.views[:2] {
			if i := slices.IndexFunc(v.seen, func(at time.Time) bool { return at.After(s.back) }); i >= 0 && v.seen[i].Before(next) {
				next = v.seen[i]
			}
		}
		longest = max(longest, next.Sub(s.back))
	}
	return longest
}

// print writes the account and the times.
func (s *summary) print(w io.Writer, in *ruin, work *load, blows []blow) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "\njobs accepted\t%d\nviewers\t%d\nviewers led past what the log had discarded\t%d\n", len(work.errands), s.views, s.jumps)
	for _, row := range account {
		fmt.Fprintf(tw, "%s\t%d\n", row, s.counts[row])
	}
	fmt.Fprintf(tw, "\nfault\ttimes\tmoved on after, p50\tmax\n")
	for _, b := range blows {
		var took []time.Duration
		for _, s := range in.strikes {
			if s.kind == b.kind {
				took = append(took, s.recovery(work))
			}
		}
		slices.Sort(took)
		fmt.Fprintf(tw, "%s\t%d\t%.1f s\t%.1f s\n", b.kind, len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds())
	}
	fmt.Fprintln(tw)
	_ = tw.Flush() // to standard output
}

func decode(t *testing.T, r io.Reader, into any) {
	t.Helper()
	require.NoError(t, json.NewDecoder(r).Decode(into))
}
