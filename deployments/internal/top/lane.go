package top

import (
	"fmt"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// trendWidth is how many columns the line of what waits has.
const trendWidth = 30

// lanes are the columns of the lanes.
func (m Model) lanes() []column[client.SystemLane] {
	queued := func(show func(*client.SystemQueue) cell) func(client.SystemLane) cell {
		return func(l client.SystemLane) cell {
			if l.Queue == nil {
				return cell{text: unknown}
			}
			return show(l.Queue)
		}
	}
	columns := []column[client.SystemLane]{
		{head: "LANE", keep: 9, show: func(l client.SystemLane) cell { return cell{string(l.Lane), strong} }},
		{head: "WAITING", right: true, keep: 8, show: queued(func(q *client.SystemQueue) cell { return cell{text: count(q.Waiting)} })},
		{head: "OLDEST", right: true, keep: 7, show: queued(func(q *client.SystemQueue) cell { return cell{text: seconds(q.Oldest)} })},
		{head: "RUNNING", right: true, keep: 8, show: busy},
		{head: "RETRY", right: true, keep: 5, show: queued(func(q *client.SystemQueue) cell { return cell{text: count(q.Retrying)} })},
		{head: "ACCEPTED/s", right: true, keep: 3, show: func(l client.SystemLane) cell { return cell{text: speed(perSecond(l.Rates.Minute.Accepted))} }},
		{head: "DONE/s", right: true, keep: 4, show: func(l client.SystemLane) cell { return cell{text: speed(perSecond(&l.Rates.Minute.Completed))} }},
		{head: "TOKENS/s", right: true, keep: 4, show: func(l client.SystemLane) cell { return cell{text: speed(l.Rates.Minute.PerSecond)} }},
		{head: "DELTA p50", right: true, keep: 6, show: func(l client.SystemLane) cell { return cell{text: seconds(l.Rates.Minute.FirstDelta.P50)} }},
		{head: "p95", right: true, keep: 6, show: func(l client.SystemLane) cell { return cell{text: seconds(l.Rates.Minute.FirstDelta.P95)} }},
		{head: "FAILED", right: true, keep: 2, show: failed},
		{head: "SCHEDULED", right: true, keep: 1, show: queued(func(q *client.SystemQueue) cell { return cell{text: count(q.Scheduled)} })},
		{head: "UNREADABLE", right: true, keep: 1, show: queued(unreadable)},
	}
	if m.look == nil { // one look has no trend
		return columns
	}
	return append(columns, column[client.SystemLane]{head: "WAITING OF LATE", show: func(l client.SystemLane) cell { return cell{text: m.trend(l.Lane)} }})
}

func busy(l client.SystemLane) cell {
	c := cell{text: fmt.Sprintf("%s/%s", count(l.Running), count(l.Slots))}
	switch {
	case l.Slots == 0:
		c.mood = warn
	case l.Running > 0:
		c.mood = good
	}
	return c
}

func failed(l client.SystemLane) cell {
	if n := l.Rates.Minute.Failed + l.Rates.Minute.Expired; n > 0 {
		return cell{count(n), bad}
	}
	return cell{text: "0"}
}

func unreadable(q *client.SystemQueue) cell {
	if q.Unreadable > 0 {
		return cell{count(q.Unreadable), bad}
	}
	return cell{text: "0"}
}

func (m Model) trend(lane completion.Lane) string {
	value := func(s sample) float64 { return s.waiting[lane] }
	return m.history.spark(trendWidth, m.history.most(value), value)
}
