package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/state"
)

// River's priorities: 1 is taken first.
const (
	priorityPull         = 1
	priorityBranch       = 1
	priorityInstallation = 2
	prioritySweep        = 3
)

// priorityOf is the priority of a key that an event named.
func priorityOf(key reconcile.Key) int {
	switch key.Kind {
	case reconcile.KeyPull:
		return priorityPull
	case reconcile.KeyBranch:
		return priorityBranch
	default:
		return priorityInstallation
	}
}

// args is a job: a key to reconcile.
type args struct {
	Key string `json:"key" river:"unique"`
}

// Kind is the job's name in the database.
func (args) Kind() string { return "reconcile" }

// InsertOpts makes a job unique among those that aren't done.
func (args) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}}}
}

// want is a job that a key should have.
type want struct {
	mark     state.Mark
	priority int
	at       time.Time // not before
}

// schedule sees to it that each key has a job that runs no later, and with no lower
// a priority, than wanted. A key that runs needs none: the run will see the mark.
func (q *Queue) schedule(ctx context.Context, t *state.Tx, wants []want, now time.Time) error {
	inserted, err := q.insert(ctx, t, wants, now)
	if err != nil {
		return err
	}
	var replace []want
	for i, in := range inserted {
		w := wants[i]
		if in.Job.State == rivertype.JobStateRunning {
			continue
		}
		if in.UniqueSkippedAsDuplicate {
			if in.Job.Priority <= w.priority && !in.Job.ScheduledAt.After(w.at) {
				continue
			}
			w.priority = min(w.priority, in.Job.Priority)
			if in.Job.ScheduledAt.Before(w.at) {
				w.at = in.Job.ScheduledAt
			}
			if _, err := q.river.JobDeleteTx(ctx, t.SQL(), in.Job.ID); err != nil {
				return fmt.Errorf("hurry job of %s: %w", w.mark.Key, err)
			}
			replace = append(replace, w)
		}
		if w.at.After(now) || !w.mark.DueAt.IsZero() {
			if err := t.Due(ctx, w.mark.Key, dueAt(w.at, now)); err != nil {
				return err
			}
		}
	}
	_, err = q.insert(ctx, t, replace, now)
	return err
}

// dueAt is zero for now.
func dueAt(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return time.Time{}
}

// insert inserts a job for each key that has none.
func (q *Queue) insert(ctx context.Context, t *state.Tx, wants []want, now time.Time) ([]*rivertype.JobInsertResult, error) {
	if len(wants) == 0 {
		return nil, nil
	}
	params := make([]river.InsertManyParams, len(wants))
	for i, w := range wants {
		params[i] = river.InsertManyParams{
			Args:       args{Key: w.mark.Key},
			InsertOpts: &river.InsertOpts{Priority: w.priority, ScheduledAt: dueAt(w.at, now)},
		}
	}
	inserted, err := q.river.InsertManyTx(ctx, t.SQL(), params)
	if err != nil {
		return nil, fmt.Errorf("insert %d jobs: %w", len(wants), err)
	}
	if len(inserted) != len(wants) {
		return nil, errors.New("insert jobs: the database returned another number of them")
	}
	for i, in := range inserted {
		if in.UniqueSkippedAsDuplicate || in.Job.State != rivertype.JobStateScheduled {
			continue
		}
		// River looks every 5 s for scheduled jobs that became due. An available one
		// is taken when it is due.
		if _, err := t.SQL().ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE id = $1 AND state = 'scheduled'`, in.Job.ID); err != nil {
			return nil, fmt.Errorf("schedule job of %s: %w", wants[i].mark.Key, err)
		}
		q.signalAt(wants[i].at, now)
	}
	return inserted, nil
}
