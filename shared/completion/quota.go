package completion

import (
	"fmt"
	"time"
)

// Quota is how many completions may be accepted. Zero means no limit; what has no limit is not counted.
type Quota struct {
	Total       int    // of the tenant, ever
	PerDay      int    // of the tenant, in a day of UTC
	OwnerPerDay int    // of Owner, in a day of UTC
	Owner       string // the end user for whom the completion is; empty: nobody in particular, and OwnerPerDay does not hold
}

// Quota returns what l leaves to a tenant and its owner, who may be empty.
func (l Limits) Quota(owner string) Quota {
	return Quota{Total: l.Completions, PerDay: l.CompletionsPerDay, OwnerPerDay: l.OwnerCompletionsPerDay, Owner: owner}
}

// Account is where completions are counted.
type Account struct {
	Owner string // empty: the tenant's own
	Day   int    // of UTC, as 20261121; 0: all days together
	Limit int
}

// Accounts are those in which a completion counts that is accepted at a time, always in the same order. None: there is no
// limit.
func (q Quota) Accounts(at time.Time) []Account {
	day := Day(at)
	var list []Account
	if q.Total > 0 {
		list = append(list, Account{Limit: q.Total})
	}
	if q.PerDay > 0 {
		list = append(list, Account{Day: day, Limit: q.PerDay})
	}
	if q.OwnerPerDay > 0 && q.Owner != "" {
		list = append(list, Account{Owner: q.Owner, Day: day, Limit: q.OwnerPerDay})
	}
	return list
}

// Day is the day of UTC as a number: 20261121.
func Day(at time.Time) int {
	year, month, day := at.UTC().Date()
	return (year*100+int(month))*100 + day
}

// NextDay is when the day of UTC ends.
func NextDay(at time.Time) time.Time {
	year, month, day := at.UTC().Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
}

// Full is the answer when n more completions do not fit: CodeAllQuota, or CodeDayQuota, which says when the next day begins.
func (a Account) Full(n int, at time.Time) *Error {
	e, whose, when := NewError(CodeAllQuota, ""), "the tenant", ""
	if a.Day != 0 {
		e, when = NewError(CodeDayQuota, ""), " in a day (UTC)"
		e.RetryAfter = Wait(NextDay(at).Sub(at))
	}
	if a.Owner != "" {
		whose = "the owner"
	}
	e.Message = fmt.Sprintf("All %d completions are used up that %s may have%s.", a.Limit, whose, when)
	if n > 1 {
		e.Message = fmt.Sprintf("%d more completions would be more than the %d that %s may have%s.", n, a.Limit, whose, when)
	}
	return e
}

// Quota reports whether c says that a tenant's completions are used up.
func (c Code) Quota() bool { return c == CodeDayQuota || c == CodeAllQuota }
