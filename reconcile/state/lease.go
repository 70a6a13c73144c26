package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// leaseWait is how long Lease waits for another process to let go: one that was
// told to stop may still be finishing its work.
const leaseWait = 15 * time.Second

// Lease makes this process the only one that works on the database, until release
// is called or the process ends, however it ends. It is an exclusive lock of SQLite
// on a file beside the database, so it needs no clock and leaves nothing to clean
// up. Its holder knows that work which the database calls running is orphaned.
func (d *DB) Lease(ctx context.Context) (release func() error, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	pool, err := openPool(d.path+"-lease", 1, 0)
	if err != nil {
		return nil, err
	}
	for {
		conn, err := hold(ctx, pool)
		if err == nil {
			return func() error { return errors.Join(conn.Close(), pool.Close()) }, nil
		}
		select {
		case <-ctx.Done():
			pool.Close()
			return nil, fmt.Errorf("lease state database %s: another process works on it; stop that one first: %w", d.path, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hold takes the lock on a connection, which keeps it until it is closed.
func hold(ctx context.Context, pool *sql.DB) (*sql.Conn, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, `BEGIN EXCLUSIVE`); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
