package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// sheet is one of the tables that the user can switch to.
type sheet struct {
	name  string
	none  string // what is said where there is nothing
	count int
	wide  int // columns to sort by
	lay   func(by sorting, width int, th theme) (head string, rows []string)
}

func sheetOf[T any](name, none string, columns []column[T], items []T) sheet {
	return sheet{name, none, len(items), len(columns), func(by sorting, width int, th theme) (string, []string) {
		return lay(columns, items, by, width, th)
	}}
}

// sheets are the tables below the lanes.
func (m Model) sheets() []sheet {
	at := m.seen.System.At
	return []sheet{
		sheetOf("Workers", "No worker has been heard of: jobs wait until one starts.", workers(at), m.seen.System.Workers),
		sheetOf("Upstreams", "No worker says which upstreams it has.", upstreams(), m.seen.System.Upstreams),
		sheetOf("Failures", "Nothing has failed of late.", failures(at), m.seen.Failures),
	}
}

func workers(at time.Time) []column[client.SystemWorker] {
	type w = client.SystemWorker
	return []column[w]{
		{head: "HOST", keep: 8, wide: true, show: func(v w) cell { return cell{cmp.Or(v.Host, v.ID), strong} }},
		{head: "STATE", keep: 9, show: stateOf},
		{head: "INTERACTIVE", right: true, keep: 7, show: slotsOf(completion.LaneInteractive), order: byRunning(completion.LaneInteractive)},
		{head: "BATCH", right: true, keep: 7, show: slotsOf(completion.LaneBatch), order: byRunning(completion.LaneBatch)},
		{head: "THROTTLE", keep: 6, wide: true, show: func(v w) cell { return throttleOf(v, at) }},
		{head: "VERSION", keep: 4, wide: true, show: func(v w) cell { return cell{text: cmp.Or(v.Version, unknown)} }},
		{head: "UP", right: true, keep: 3, order: func(a, b w) int { return a.StartedAt.Compare(b.StartedAt) }, show: func(v w) cell {
			if v.StartedAt.IsZero() {
				return cell{text: unknown}
			}
			return cell{text: ago(at.Sub(v.StartedAt))}
		}},
		{
			head: "SEEN", right: true, keep: 2, show: func(v w) cell { return cell{text: ago(at.Sub(v.SeenAt)) + " ago"} },
			order: func(a, b w) int { return b.SeenAt.Compare(a.SeenAt) },
		},
		{head: "ID", keep: 1, show: func(v w) cell { return cell{v.ID, faint} }},
	}
}

func stateOf(w client.SystemWorker) cell {
	switch {
	case !w.Alive:
		return cell{"lost", bad}
	case w.Draining:
		return cell{"draining", warn}
	default:
		return cell{"alive", good}
	}
}

func laneOf(w client.SystemWorker, lane completion.Lane) (client.SystemWorkerLane, bool) {
	i := slices.IndexFunc(w.Lanes, func(l client.SystemWorkerLane) bool { return l.Lane == lane })
	if i < 0 {
		return client.SystemWorkerLane{}, false
	}
	return w.Lanes[i], true
}

func slotsOf(lane completion.Lane) func(client.SystemWorker) cell {
	return func(w client.SystemWorker) cell {
		l, has := laneOf(w, lane)
		if !has {
			return cell{unknown, faint}
		}
		return cell{text: fmt.Sprintf("%s/%s", count(l.Running), count(l.Slots))}
	}
}

func byRunning(lane completion.Lane) func(a, b client.SystemWorker) int {
	return func(a, b client.SystemWorker) int {
		x, _ := laneOf(a, lane)
		y, _ := laneOf(b, lane)
		return cmp.Or(cmp.Compare(y.Running, x.Running), cmp.Compare(y.Slots, x.Slots))
	}
}

// throttleOf says how an upstream slows the worker down: "3 at once, 40 wait, 5s" until they may ask it.
func throttleOf(w client.SystemWorker, at time.Time) cell {
	var parts []string
	for _, l := range w.Lanes {
		if t := l.Throttle; t != nil {
			text := fmt.Sprintf("%s at once, %s wait", count(t.Limit), count(t.Waiting))
			if left := t.Until.Sub(at); left > 0 {
				text += ", " + ago(left)
			}
			parts = append(parts, text)
		}
	}
	if parts == nil {
		return cell{"none", faint}
	}
	return cell{strings.Join(parts, "; "), warn}
}

func upstreams() []column[client.SystemUpstream] {
	type u = client.SystemUpstream
	return []column[u]{
		{head: "UPSTREAM", keep: 9, wide: true, show: func(v u) cell { return cell{v.Name, strong} }},
		{head: "STATE", keep: 8, show: func(v u) cell {
			return cell{v.State, map[string]mood{"ok": good, "degraded": warn, "failing": bad, "idle": faint}[v.State]}
		}},
		{
			head: "OPEN", right: true, keep: 7, show: func(v u) cell { return cell{text: count(v.Running)} },
			order: func(a, b u) int { return cmp.Compare(b.Running, a.Running) },
		},
		{
			head: "CALLS/min", right: true, keep: 5, show: func(v u) cell { return cell{text: count(v.Calls)} },
			order: func(a, b u) int { return cmp.Compare(b.Calls, a.Calls) },
		},
		{
			head: "WORKERS", right: true, keep: 1, show: func(v u) cell { return cell{text: count(v.Workers)} },
			order: func(a, b u) int { return cmp.Compare(b.Workers, a.Workers) },
		},
		{
			head: "ERRORS/min", keep: 6, wide: true, show: func(v u) cell { return errorsOf(v.Errors) },
			order: func(a, b u) int { return cmp.Compare(sum(b.Errors), sum(a.Errors)) },
		},
	}
}

func sum(errors map[completion.Code]int64) (n int64) {
	for _, one := range errors {
		n += one
	}
	return n
}

// errorsOf lists errors, the most frequent first.
func errorsOf(errors map[completion.Code]int64) cell {
	if len(errors) == 0 {
		return cell{"none", faint}
	}
	codes := slices.SortedFunc(maps.Keys(errors), func(a, b completion.Code) int {
		return cmp.Or(cmp.Compare(errors[b], errors[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, code := range codes {
		parts = append(parts, count(errors[code])+" "+string(code))
	}
	return cell{strings.Join(parts, ", "), bad}
}

func failures(at time.Time) []column[client.Failure] {
	type f = client.Failure
	return []column[f]{
		{
			head: "WHEN", right: true, keep: 8, show: func(v f) cell { return cell{text: ago(at.Sub(v.FinishedAt)) + " ago"} },
			order: func(a, b f) int { return b.FinishedAt.Compare(a.FinishedAt) },
		},
		{head: "WHY", keep: 9, wide: true, show: whyOf},
		{head: "TENANT", keep: 6, wide: true, show: func(v f) cell { return cell{text: v.Tenant} }},
		{head: "MODEL", keep: 5, wide: true, show: func(v f) cell { return cell{text: v.Model} }},
		{head: "UPSTREAM", keep: 4, wide: true, show: func(v f) cell { return cell{text: cmp.Or(v.Upstream, unknown)} }},
		{head: "LANE", keep: 2, show: func(v f) cell { return cell{text: string(v.Lane)} }},
		{head: "TRIES", right: true, keep: 3, show: func(v f) cell { return cell{text: count(v.Attempt)} }, order: func(a, b f) int {
			return cmp.Compare(b.Attempt, a.Attempt)
		}},
		{head: "RETRIED", keep: 1, show: func(v f) cell { return cell{map[bool]string{false: "no", true: "yes"}[v.Retry != ""], faint} }},
		{head: "JOB", keep: 0, show: func(v f) cell { return cell{v.ID, faint} }},
	}
}

func whyOf(f client.Failure) cell {
	text, m := string(f.Error.Code), bad
	if f.State == completion.Expired {
		text, m = "expired: "+text, warn
	}
	if f.Error.UpstreamStatus != 0 {
		text += fmt.Sprintf(" (%d)", f.Error.UpstreamStatus)
	}
	return cell{text, m}
}
