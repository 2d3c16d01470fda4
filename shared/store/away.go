package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
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

// away returns err as a service_unavailable error if it says that the database cannot be reached, and as it is if not.
func away(err error) error {
	var known *completion.Error
	if err == nil || errors.As(err, &known) || !unreachable(err) {
		return err
	}
	return completion.NewError(completion.CodeUnavailable, "The database cannot be reached; try again.").Because(err)
}

func unreachable(err error) bool {
	for _, lost := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded} {
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
