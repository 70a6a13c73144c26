package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/state"
)

// worker is River's view of the reconcilers.
type worker struct {
	river.WorkerDefaults[args]
	q *Queue
}

// Work reconciles a key until nothing new is marked, a run fails, or its turn is
// over. It returns an error only when the database can't be written, for River to
// try again.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	q, name := w.q, job.Args.Key
	begun := q.o.Now()
	for {
		m, ok, err := q.db.Mark(ctx, name)
		if err != nil {
			return err
		}
		if !ok {
			// Nobody marked it; the mark is needed to see who does during the run.
			if m, err = q.mark(ctx, name); err != nil {
				return err
			}
		}
		runErr := q.run(ctx, name)
		again, err := q.end(ctx, job, m, runErr, func() bool {
			return !q.stopping.Load() && q.o.Now().Sub(begun) < q.o.RunTimeout
		})
		if err != nil || !again {
			return err
		}
	}
}

func (q *Queue) mark(ctx context.Context, name string) (m state.Mark, err error) {
	err = q.db.Update(ctx, func(t *state.Tx) error {
		m, err = t.Raise(ctx, name, q.o.Now())
		return err
	})
	return m, err
}

// run calls the reconciler of a key. A panic becomes an error.
func (q *Queue) run(ctx context.Context, name string) (err error) {
	q.running.Add(1)
	defer q.running.Add(-1)
	defer func() {
		if v := recover(); v != nil {
			q.log.ErrorContext(ctx, "reconciler panicked", "key", name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("reconcile %s: panic: %v", name, v)
		}
	}()
	key, err := reconcile.ParseKey(name)
	if err != nil {
		return permanent{err}
	}
	work := q.o.Workers[key.Kind]
	if work == nil {
		return permanent{fmt.Errorf("reconcile %s: this process has no reconciler of its kind", name)}
	}
	ctx, cancel := context.WithTimeout(ctx, q.o.RunTimeout)
	defer cancel()
	return work(ctx, key)
}

// permanent is an error that only a person can mend.
type permanent struct{ error }

func (permanent) Permanent() bool { return true }
func (p permanent) Unwrap() error { return p.error }

// end writes what became of a run that began at a mark, in one transaction: the
// mark, the deliveries and the job. It says whether to run again in place.
func (q *Queue) end(ctx context.Context, job *river.Job[args], m state.Mark, runErr error, mayRunAgain func() bool) (again bool, err error) {
	cancelled := ctx.Err() != nil // the process stops
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	now := q.o.Now()
	var f state.Failure
	if runErr != nil && !cancelled {
		f = q.failure(m, runErr, now)
		q.logFailure(ctx, m, f, now)
	}
	err = q.db.Update(ctx, func(t *state.Tx) error {
		next := want{mark: m, priority: job.Priority, at: now}
		due := false
		switch {
		case runErr == nil:
			if due, err = t.Worked(ctx, m.Key, m.Generation, now); err != nil {
				return err
			}
			if again = due && mayRunAgain(); again {
				return nil
			}
		case cancelled:
			due = true
		default:
			due, next.at = true, f.Due
			// What was marked during the run may be the mending.
			latest, _, err := t.Mark(ctx, m.Key)
			if err != nil {
				return err
			}
			if soon := now.Add(defaultFirstDelay); latest.Generation > m.Generation && f.Held.IsZero() && f.Due.After(soon) {
				f.Due, next.at = soon, soon
			}
			if err := t.Failed(ctx, m.Key, m.Generation, f, now); err != nil {
				return err
			}
		}
		if _, err := river.JobCompleteTx[driver](ctx, t.SQL(), job); err != nil {
			return fmt.Errorf("complete job: %w", err)
		}
		if !due {
			return nil
		}
		_, err := q.insert(ctx, t, []want{next}, now)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("end run of %s: %w", m.Key, err)
	}
	return again, nil
}

// failure says when a failed run is tried again.
func (q *Queue) failure(m state.Mark, err error, now time.Time) state.Failure {
	f := state.Failure{Err: err.Error(), Counts: true}
	var later interface{ RetryAfter() time.Duration }
	var lasting interface{ Permanent() bool }
	switch {
	case errors.As(err, &later) && later.RetryAfter() > 0:
		f.Counts = false
		f.Held = now.Add(min(later.RetryAfter(), maxRetryAfter))
		f.Due = f.Held
	case errors.As(err, &lasting) && lasting.Permanent():
		f.Permanent = true
		f.Due = now.Add(q.o.PermanentDelay)
	default:
		f.Due = now.Add(q.o.Backoff(m.Failures + 1))
	}
	return f
}

func (q *Queue) logFailure(ctx context.Context, m state.Mark, f state.Failure, now time.Time) {
	facts := []any{"key", m.Key, "error", f.Err, "failures", m.Failures, "retry_in", f.Due.Sub(now).Round(time.Millisecond).String()}
	switch {
	case f.Permanent:
		q.log.ErrorContext(ctx, "reconcile failed and needs a person", facts...)
	case !f.Counts:
		q.log.InfoContext(ctx, "reconcile waits as it was asked to", facts...)
	default:
		q.log.WarnContext(ctx, "reconcile failed", facts...)
	}
}

// defaultBackoff doubles from 1 s to DefaultMaxDelay; half of it is random, so that
// keys which failed together don't come back together.
func defaultBackoff(failures int) time.Duration {
	d := DefaultMaxDelay
	if shift := failures - 1; shift < 9 { // 2^9 s is more than DefaultMaxDelay
		d = min(d, defaultFirstDelay<<max(0, shift))
	}
	return d/2 + rand.N(d/2+1)
}
