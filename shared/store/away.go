package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"sluice/shared/completion"
)

// awayCodes are the SQLSTATE classes and codes of a server that cannot serve now (PostgreSQL manual, appendix A).
var awayCodes = []string{
	"08",    // connection exception
	"53",    // insufficient resources, such as too many connections
	"57P01", // admin shutdown
	"57P02", // crash shutdown
	"57P03", // cannot connect now
	"25006", // read-only transaction: a failover is under way
}

// schemaCodes are the SQLSTATE codes of a database that lacks migrations: an undefined table or column.
var schemaCodes = []string{"42P01", "42703"}

// away returns err as a service_unavailable error if it says that the database cannot be reached or lacks migrations,
// and as it is if not.
func away(err error) error {
	var known *completion.Error
	var answer *pgconn.PgError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &answer) && slices.Contains(schemaCodes, answer.Code):
		return completion.NewError(completion.CodeUnavailable, "The database lacks migrations: run migrate up.").Because(err)
	case unreachable(err):
		return completion.NewError(completion.CodeUnavailable, "The database cannot be reached; try again.").Because(err)
	default:
		return err
	}
}

func unreachable(err error) bool {
	for _, lost := range []error{
		driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded,
		sql.ErrTxDone, // its time was over, and it was undone before it could end
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	var refused *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &refused) || errors.As(err, &network) {
		return true
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range awayCodes {
		if strings.HasPrefix(answer.Code, code) {
			return true
		}
	}
	return false
}

// deadlocked reports whether the database gave the statement up for another one's sake: it may be tried again.
func deadlocked(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "40P01"
}

// underway names what index job_turn forbids as the domain does: that a conversation has two turns under way.
func underway(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.ConstraintName == "job_turn" || err != nil && strings.HasSuffix(err.Error(), "failed: job.conversation (2067)") {
		return completion.NewError(completion.CodeTurn, "").Because(err)
	}
	return err
}
