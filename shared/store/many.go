package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"

	"sluice/shared/completion"
)

// updateMany updates the jobs that are in one of the states, each with its row of values, which are called v and have an id, as
// their first column, and a tenant too. It returns those that it changed, without some columns.
func updateMany[V any](ctx context.Context, s *Store, values []V, without []string, from []completion.State, change func(*bun.UpdateQuery) *bun.UpdateQuery) ([]jobRow, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var names []string
	for _, f := range s.db.Table(reflect.TypeFor[jobRow]()).Fields {
		if !slices.Contains(without, f.Name) {
			names = append(names, "job."+f.Name)
		}
	}
	var rows []jobRow
	// The CASE and, below, the list of ids are for PostgreSQL: it would guess that hardly any job is in such a state, and look
	// through all of those, or compare each with each.
	query := s.db.NewUpdate().Model(&rows).TableExpr("v").
		Where("job.id = v.id").Where("job.tenant = v.tenant").
		Where("CASE WHEN job.state IN (?) THEN TRUE ELSE FALSE END", bun.List(from)).
		Returning(strings.Join(names, ", "))
	if s.db.Dialect().Name() != dialect.PG {
		_, err := change(query.With("v", s.db.NewValues(&values))).Exec(ctx)
		return rows, err
	}
	// It is not prepared: PostgreSQL would go on with a plan from when the table was small.
	args, columns := arrays(s.db.Table(reflect.TypeFor[V]()), values)
	query = query.With("v", s.db.NewSelect().ColumnExpr("*").TableExpr(columns)).Where("job.id = ANY ($1)")
	answer, err := s.db.DB.QueryContext(ctx, change(query).String(), append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	if err := s.db.ScanRows(ctx, answer, &rows); err != nil {
		return nil, err
	}
	return rows, answer.Err()
}

// arrays are the columns of values, rows of the table, and the expression that makes rows of them again when they are the
// parameters of a statement of PostgreSQL's. Such a statement is the same short text for any number of rows: there is less to
// parse, its types are asked for once, and nothing is spelled out, of which bytes would take twice their size.
func arrays[V any](table *schema.Table, values []V) (args []any, rows string) {
	var types, names []string
	for i, f := range table.Fields {
		element := f.StructField.Type
		if f.NullZero && element.Kind() != reflect.Slice {
			element = reflect.PointerTo(element)
		}
		array := reflect.MakeSlice(reflect.SliceOf(element), len(values), len(values))
		for j := range values {
			row := reflect.ValueOf(&values[j]).Elem()
			switch {
			case f.NullZero && f.HasZeroValue(row): // stays NULL
			case element.Kind() == reflect.Pointer:
				array.Index(j).Set(f.Value(row).Addr())
			default:
				array.Index(j).Set(f.Value(row))
			}
		}
		args = append(args, array.Interface())
		types = append(types, fmt.Sprintf("$%d::%s[]", i+1, f.UserSQLType))
		names = append(names, f.Name)
	}
	return args, fmt.Sprintf("unnest(%s) AS u (%s)", strings.Join(types, ", "), strings.Join(names, ", "))
}
