package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the "sqlite" driver
)

// readers is the number of connections that only read. Queries are short and the
// machine that runs SQLite is small; more connections only cost memory.
const readers = 4

// busyTimeout bounds the wait for another process's lock, such as a backup's.
const busyTimeout = 10 * time.Second

// ErrNewerSchema is returned by Open for a database that a newer binary wrote.
var ErrNewerSchema = errors.New("the database was written by a newer version")

// DB is the open state. It is safe for concurrent use.
type DB struct {
	path  string
	write *sql.DB // one connection
	read  *sql.DB // query_only connections
}

// Open opens the state at dsn, a file path or "sqlite://PATH", creates it when it
// is missing (mode 0600), and migrates its schema.
func Open(ctx context.Context, dsn string) (*DB, error) {
	path, err := sqlitePath(dsn)
	if err != nil {
		return nil, err
	}
	// SQLite would create it readable for all; logins and titles are nobody's
	// business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open state database %s: %w", path, err)
	}
	d := &DB{path: path}
	if d.write, err = openPool(path, 1, busyTimeout, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"); err != nil {
		return nil, err
	}
	if err := migrate(ctx, d.write); err != nil {
		d.write.Close()
		return nil, fmt.Errorf("migrate state database %s: %w", path, err)
	}
	if d.read, err = openPool(path, readers, busyTimeout, "query_only(1)"); err != nil {
		d.write.Close()
		return nil, err
	}
	return d, nil
}

// sqlitePath gives the absolute file path that a DSN names.
func sqlitePath(dsn string) (string, error) {
	path, isURL := strings.CutPrefix(dsn, "sqlite://")
	switch {
	case !isURL && strings.Contains(dsn, "://"):
		scheme, _, _ := strings.Cut(dsn, "://")
		return "", fmt.Errorf("state database: scheme %q is not supported; give a file path or sqlite://PATH", scheme)
	case path == "":
		return "", errors.New("state database: no path given; give a file path or sqlite://PATH")
	case strings.Contains(path, ":memory:"):
		return "", errors.New("state database: it must outlive the process; give a file path")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("state database: %w", err)
	}
	return abs, nil
}

// openPool opens connections that wait up to busy for a lock and have the pragmas
// set.
func openPool(path string, conns int, busy time.Duration, pragmas ...string) (*sql.DB, error) {
	// Writers take the lock when they begin: one that read first could not be let in.
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds())}, pragmas...)}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open state database %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close closes the database. Transactions in progress end first.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// Path is the database's absolute file path.
func (d *DB) Path() string { return d.path }

// Writer is the pool of the one writing connection, for the queue's driver. Using
// it inside Update's function waits for ever.
func (d *DB) Writer() *sql.DB { return d.write }

// Tx is a transaction that may write.
type Tx struct{ tx *sql.Tx }

// SQL is the transaction itself, for those who write their own tables in it.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Update runs do in a transaction and commits it, or rolls it back when do fails.
// When Update returns nil, what do wrote is on the disk. do may not call methods
// of DB that write, nor keep the Tx.
func (d *DB) Update(ctx context.Context, do func(*Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := do(&Tx{tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// exec runs a statement, naming what it is for in the error.
func (t *Tx) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return n, nil
}

// querier is what a transaction and the reading pool share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect runs a query and scans each of its rows.
func collect[T any](ctx context.Context, q querier, what string, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// millis is how times are stored; 0 is the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
