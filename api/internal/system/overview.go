package system

import (
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/api/internal/optional"
	"sluice/shared/completion"
	"sluice/shared/queue"
)

// The two times that rates are over.
const (
	minute  = time.Minute
	quarter = queue.AcceptedFor
)

// waiting is what Redis knows of a lane.
type waiting struct {
	depth    queue.Depth
	oldest   time.Time
	accepted [2]int64 // in the last minute, and in the last quarter of an hour
}

// overview puts together what the workers have said and what Redis knows, which is nothing of any lane while it is away.
func overview(at time.Time, workers []completion.Worker, redis map[completion.Lane]waiting) Overview {
	o := Overview{Object: "system", At: at.UTC(), QueueReady: redis != nil, Workers: make([]Worker, 0, len(workers))}
	for _, w := range workers {
		o.Workers = append(o.Workers, viewWorker(w))
	}
	o.Upstreams = upstreams(workers)
	var both [2]completion.Yield
	var accepted [2]int64
	for _, name := range completion.Lanes {
		yields := [2]completion.Yield{}
		lane := LaneOverview{Lane: name}
		for _, l := range lanesOf(workers, name) {
			lane.Running += l.Running
			yields[0].Add(l.Minute)
			yields[1].Add(l.Quarter)
			if !l.draining {
				lane.Slots += l.Slots
			}
		}
		w, known := redis[name]
		if known {
			lane.Queue = viewQueue(at, w)
		}
		lane.Rates = spans(yields, w.accepted, known)
		for i := range both {
			both[i].Add(yields[i])
			accepted[i] += w.accepted[i]
		}
		o.Lanes = append(o.Lanes, lane)
	}
	o.Rates = spans(both, accepted, redis != nil)
	return o
}

// laneOf is a lane of a live worker.
type laneOf struct {
	completion.LaneStatus
	draining bool
}

func lanesOf(workers []completion.Worker, name completion.Lane) (list []laneOf) {
	for _, w := range workers {
		if !w.Alive || w.Status == nil {
			continue
		}
		for _, l := range w.Status.Lanes {
			if l.Lane == name {
				list = append(list, laneOf{l, w.Status.Draining})
			}
		}
	}
	return list
}

func viewQueue(at time.Time, w waiting) *LaneQueue {
	q := &LaneQueue{
		Waiting: w.depth.Pending, Active: w.depth.Active, Retrying: w.depth.Retry, Scheduled: w.depth.Scheduled, Unreadable: w.depth.Archived,
	}
	if !w.oldest.IsZero() {
		seconds := max(at.Sub(w.oldest), 0).Seconds() // another machine's clock
		q.Oldest = &seconds
	}
	return q
}

func spans(yields [2]completion.Yield, accepted [2]int64, known bool) Spans {
	s := Spans{Minute: rates(yields[0], minute), Quarter: rates(yields[1], quarter)}
	if known {
		s.Minute.Accepted, s.Quarter.Accepted = &accepted[0], &accepted[1]
	}
	return s
}

func rates(y completion.Yield, over time.Duration) Rates {
	r := Rates{
		Completed: y.Completed, Failed: y.Failed, Cancelled: y.Cancelled, Expired: y.Expired, Retried: y.Retried,
		OutputTokens: y.OutputTokens, PerSecond: float64(y.OutputTokens) / over.Seconds(),
		FirstDelta: FirstDelta{Count: y.FirstDelta.Count()},
	}
	if r.FirstDelta.Count > 0 {
		p50, p95 := y.FirstDelta.Quantile(0.5).Seconds(), y.FirstDelta.Quantile(0.95).Seconds()
		r.FirstDelta.P50, r.FirstDelta.P95 = &p50, &p95
	}
	return r
}

func viewWorker(w completion.Worker) Worker {
	v := Worker{ID: w.ID, SeenAt: w.SeenAt.UTC(), Alive: w.Alive, Lanes: []WorkerLane{}, Upstreams: []WorkerUpstream{}}
	if w.Status == nil {
		return v
	}
	v.Host, v.Version, v.StartedAt, v.Draining = w.Status.Host, w.Status.Version, optional.Time(w.Status.StartedAt), w.Status.Draining
	for _, l := range w.Status.Lanes {
		lane := WorkerLane{Lane: l.Lane, Slots: l.Slots, Running: l.Running}
		if t := l.Throttle; t != nil {
			lane.Throttle = &Throttle{Limit: t.Limit, Waiting: t.Waiting, Until: optional.Time(t.Until)}
		}
		v.Lanes = append(v.Lanes, lane)
	}
	for _, u := range w.Status.Upstreams {
		v.Upstreams = append(v.Upstreams, WorkerUpstream{Name: u.Name, State: u.State, Running: u.Running, Calls: u.Calls, Errors: counted(u.Errors)})
	}
	return v
}

// counted is errors, which JSON shall not show as null.
func counted(errors map[completion.Code]int64) map[completion.Code]int64 {
	if errors == nil {
		return map[completion.Code]int64{}
	}
	return errors
}

// upstreams adds up what live workers say of each upstream.
func upstreams(workers []completion.Worker) []Upstream {
	byName, states := map[string]*Upstream{}, map[string]map[completion.UpstreamState]bool{}
	for _, w := range workers {
		if !w.Alive || w.Status == nil {
			continue
		}
		for _, s := range w.Status.Upstreams {
			u := byName[s.Name]
			if u == nil {
				u = &Upstream{Name: s.Name, Errors: map[completion.Code]int64{}}
				byName[s.Name], states[s.Name] = u, map[completion.UpstreamState]bool{}
			}
			u.Workers++
			u.Running += s.Running
			u.Calls += s.Calls
			for code, n := range s.Errors {
				u.Errors[code] += n
			}
			states[s.Name][s.State] = true
		}
	}
	list := make([]Upstream, 0, len(byName))
	for name, u := range byName {
		u.State = together(states[name])
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b Upstream) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// together is the state of an upstream that some workers see in these states. Those that have not asked do not know.
func together(states map[completion.UpstreamState]bool) string {
	seen := maps.Clone(states)
	delete(seen, completion.UpstreamIdle)
	switch {
	case len(seen) == 0:
		return string(completion.UpstreamIdle)
	case !seen[completion.UpstreamFailing]:
		return string(completion.UpstreamOK)
	case len(seen) == 1:
		return string(completion.UpstreamFailing)
	default:
		return "degraded"
	}
}
