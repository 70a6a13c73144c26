package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Mark is how a key stands: it is due while Done < Generation.
type Mark struct {
	Key              string
	Generation, Done int64
	PendingSince     time.Time // when it became due
	DueAt            time.Time // next run, when it waits for one; zero: at once
	HeldUntil        time.Time // no event makes it run before this (a rate limit)
	Failures         int       // failed runs since the last good one
	FailedAt         time.Time // of the last failed run
	Permanent        bool      // the last failure needs a person
	Error            string    // of the last failed run
}

// maxError bounds a stored error, in bytes.
const maxError = 2048

const markColumns = `key, generation, done, pending_since, due_at, held_until, failures, failed_at, permanent, error`

// Mark reads a key's mark.
func (d *DB) Mark(ctx context.Context, key string) (Mark, bool, error) {
	return mark(ctx, d.read, key)
}

// Mark reads a key's mark.
func (t *Tx) Mark(ctx context.Context, key string) (Mark, bool, error) {
	return mark(ctx, t.tx, key)
}

func mark(ctx context.Context, q querier, key string) (Mark, bool, error) {
	all, err := collect(ctx, q, "read mark", scanMark, `SELECT `+markColumns+` FROM marks WHERE key = $1`, key)
	if err != nil || len(all) == 0 {
		return Mark{}, false, err
	}
	return all[0], true, nil
}

func scanMark(rows *sql.Rows) (m Mark, err error) {
	var since, due, held, failed, permanent int64
	err = rows.Scan(&m.Key, &m.Generation, &m.Done, &since, &due, &held, &m.Failures, &failed, &permanent, &m.Error)
	m.PendingSince, m.DueAt, m.HeldUntil, m.FailedAt = fromMillis(since), fromMillis(due), fromMillis(held), fromMillis(failed)
	m.Permanent = permanent != 0
	return m, err
}

// Raise marks a key to be looked at again: a run that begins after this
// transaction commits will see the new generation. It returns the mark.
func (t *Tx) Raise(ctx context.Context, key string, now time.Time) (Mark, error) {
	all, err := collect(ctx, t.tx, "raise mark", scanMark, `
		INSERT INTO marks (`+markColumns+`, updated_at) VALUES ($1, 1, 0, $2, 0, 0, 0, 0, 0, '', $2)
		ON CONFLICT (key) DO UPDATE SET
			generation    = marks.generation + 1,
			pending_since = CASE WHEN marks.done = marks.generation THEN excluded.pending_since ELSE marks.pending_since END,
			updated_at    = excluded.updated_at
		RETURNING `+markColumns, key, millis(now))
	if err != nil {
		return Mark{}, err
	}
	if len(all) != 1 {
		return Mark{}, fmt.Errorf("raise mark: %d rows of key %q", len(all), key)
	}
	return all[0], nil
}

// Worked stores that a run which began at a generation of a key succeeded, and
// completes the deliveries that waited for it. It says whether the key was marked
// again in the meantime, that is, whether another run is due.
func (t *Tx) Worked(ctx context.Context, key string, generation int64, now time.Time) (again bool, err error) {
	// pending_since is moved only when the key stays due.
	if _, err := t.exec(ctx, "lower mark", `
		UPDATE marks SET done = $2, pending_since = $3, due_at = 0, held_until = 0,
			failures = 0, failed_at = 0, permanent = 0, error = '', updated_at = $3
		WHERE key = $1 AND done <= $2 AND generation >= $2`, key, generation, millis(now)); err != nil {
		return false, err
	}
	if err := t.settle(ctx, key, generation, now); err != nil {
		return false, err
	}
	m, ok, err := t.Mark(ctx, key)
	if err != nil {
		return false, err
	}
	return ok && m.Done < m.Generation, nil
}

// Failure is a failed run.
type Failure struct {
	Err       string
	Permanent bool
	Due, Held time.Time // when it is tried again; when the earliest, whatever happens (zero: any time)
	Counts    bool      // false for a wait that was asked for, such as a rate limit
}

// Failed stores a failed run of a key that began at a generation.
func (t *Tx) Failed(ctx context.Context, key string, generation int64, f Failure, now time.Time) error {
	if len(f.Err) > maxError {
		f.Err = f.Err[:maxError]
	}
	counts, permanent := 0, 0
	if f.Counts {
		counts = 1
	}
	if f.Permanent {
		permanent = 1
	}
	if _, err := t.exec(ctx, "save failure", `
		UPDATE marks SET failures = failures + $2, failed_at = $3, permanent = $4, error = $5, due_at = $6, held_until = $7, updated_at = $3
		WHERE key = $1`, key, counts, millis(now), permanent, f.Err, millis(f.Due), millis(f.Held)); err != nil {
		return err
	}
	_, err := t.exec(ctx, "save failure of deliveries", `
		UPDATE deliveries SET error = $3
		WHERE guid IN (SELECT delivery FROM delivery_keys WHERE key = $1 AND generation <= $2)`, key, generation, f.Err)
	return err
}

// Due stores when a waiting key is run next; zero for at once.
func (t *Tx) Due(ctx context.Context, key string, at time.Time) error {
	_, err := t.exec(ctx, "save due time", `UPDATE marks SET due_at = $2 WHERE key = $1`, key, millis(at))
	return err
}

// Pending lists the marks that are due, the longest waiting first.
func (t *Tx) Pending(ctx context.Context) ([]Mark, error) {
	return collect(ctx, t.tx, "list pending marks", scanMark,
		`SELECT `+markColumns+` FROM marks WHERE done < generation ORDER BY pending_since, key`)
}

// Failing lists the keys whose last run failed, the longest waiting first, at most
// limit.
func (d *DB) Failing(ctx context.Context, limit int) ([]Mark, error) {
	return collect(ctx, d.read, "list failing marks", scanMark,
		`SELECT `+markColumns+` FROM marks WHERE done < generation AND error <> '' ORDER BY pending_since, key LIMIT $1`, limit)
}

// Backlog counts the due keys.
type Backlog struct {
	Pending   int       // all keys that are due, those that run included
	Waiting   int       // of these, those that wait for a later time
	Failing   int       // of these, those whose last run failed
	Permanent int       // of these, those whose failure needs a person
	Oldest    time.Time // since when the longest waiting is due; zero when none is
}

// Backlog counts the keys that are due at now.
func (d *DB) Backlog(ctx context.Context, now time.Time) (Backlog, error) {
	var b Backlog
	var oldest int64
	err := d.read.QueryRowContext(ctx, `
		SELECT COUNT(*), COALESCE(SUM(CASE WHEN due_at > $1 THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN error <> '' THEN 1 ELSE 0 END), 0), COALESCE(SUM(permanent), 0), COALESCE(MIN(pending_since), 0)
		FROM marks WHERE done < generation`, millis(now)).
		Scan(&b.Pending, &b.Waiting, &b.Failing, &b.Permanent, &oldest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Backlog{}, fmt.Errorf("count pending marks: %w", err)
	}
	b.Oldest = fromMillis(oldest)
	return b, nil
}
