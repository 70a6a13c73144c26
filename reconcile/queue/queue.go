package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/state"
)

// Defaults of Options.
const (
	DefaultMaxWorkers   = 8
	DefaultRunTimeout   = 10 * time.Minute
	DefaultMaxDelay     = 5 * time.Minute
	DefaultPermanent    = time.Hour
	DefaultStopGrace    = 5 * time.Second
	defaultFirstDelay   = time.Second
	maxRetryAfter       = 2 * time.Hour
	fetchCooldown       = 5 * time.Millisecond
	fetchPollInterval   = time.Second
	completedRetention  = 10 * time.Minute
	endTimeout          = 30 * time.Second // of the transaction that ends a run
	databaseRetryDelay  = 5 * time.Second
	databaseMaxAttempts = 10_000
)

// Options configure a Queue. The zero value of each field but Workers stands for
// its default.
type Options struct {
	// Workers reconcile a key. They are called concurrently, for different keys.
	//
	// An error, or a panic, means that the key is tried again. An error with a method
	// RetryAfter() time.Duration is tried again after that time, not earlier, at most
	// 2 h. One with Permanent() bool that is true needs a person: it is tried again
	// after PermanentDelay.
	Workers map[reconcile.KeyKind]func(context.Context, reconcile.Key) error
	// MaxWorkers is how many keys are reconciled at once; DefaultMaxWorkers.
	MaxWorkers int
	// RunTimeout bounds a run; DefaultRunTimeout.
	RunTimeout time.Duration
	// Backoff is the delay before the next run after n failed ones, n >= 1. The
	// default doubles from 1 s to 5 min, half of it random.
	Backoff func(failures int) time.Duration
	// PermanentDelay is the delay after an error that needs a person;
	// DefaultPermanent. A new event for the key comes before it.
	PermanentDelay time.Duration
	// StopGrace is how long Stop waits, once its context ended, for runs to heed the
	// cancellation; DefaultStopGrace.
	StopGrace time.Duration
	Logger    *slog.Logger // nil: discarded
	Now       func() time.Time
}

// Queue accepts events and works the keys that they name. It is safe for concurrent
// use.
type Queue struct {
	db     *state.DB
	river  *river.Client[*sql.Tx]
	o      Options
	log    *slog.Logger
	wake   chan struct{} // holds at most one signal: look for jobs now
	intake intake

	running  atomic.Int64
	stopping atomic.Bool

	mu      sync.Mutex   // guards the two below
	started bool         // Start was called and Stop was not
	release func() error // gives the lease back
}

// New makes a queue on a database, and migrates River's tables in it. It accepts
// events at once, and works them between Start and Stop.
func New(ctx context.Context, db *state.DB, o Options) (*Queue, error) {
	if len(o.Workers) == 0 {
		return nil, errors.New("queue: no workers given")
	}
	o = o.withDefaults()
	q := &Queue{db: db, o: o, log: o.Logger, wake: make(chan struct{}, 1)}
	q.intake.commit = q.commitEvents
	driver := newDriver(db.Writer(), q.wake)
	if err := migrate(ctx, db.Writer(), driver); err != nil {
		return nil, fmt.Errorf("migrate queue tables: %w", err)
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{q: q}); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	client, err := river.NewClient(driver, &river.Config{
		CompletedJobRetentionPeriod: completedRetention,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPollInterval,
		JobTimeout:                  -1, // each run has its own
		Logger:                      slog.New(riverLog{o.Logger.Handler()}),
		MaxAttempts:                 databaseMaxAttempts,
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.MaxWorkers}},
		RescueStuckJobsAfter:        max(time.Hour, 3*o.RunTimeout),
		RetryPolicy:                 databaseRetry{},
		Workers:                     workers,
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	q.river = client
	return q, nil
}

func (o Options) withDefaults() Options {
	if o.MaxWorkers <= 0 {
		o.MaxWorkers = DefaultMaxWorkers
	}
	if o.RunTimeout <= 0 {
		o.RunTimeout = DefaultRunTimeout
	}
	if o.Backoff == nil {
		o.Backoff = defaultBackoff
	}
	if o.PermanentDelay <= 0 {
		o.PermanentDelay = DefaultPermanent
	}
	if o.StopGrace <= 0 {
		o.StopGrace = DefaultStopGrace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// migrate brings River's tables up to date, and refuses those of a newer River.
func migrate(ctx context.Context, db *sql.DB, d driver) error {
	m, err := rivermigrate.New(d, nil)
	if err != nil {
		return err
	}
	exists, err := d.GetExecutor().TableExists(ctx, &riverdriver.TableExistsParams{Table: "river_migration"})
	if err != nil {
		return err
	}
	if exists {
		var have int
		if err := db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM river_migration WHERE line = 'main'`).Scan(&have); err != nil {
			return err
		}
		known := m.AllVersions()
		if newest := known[len(known)-1].Version; have > newest {
			return fmt.Errorf("%w: queue schema %d, this binary knows %d; run the newer binary or restore a backup", state.ErrNewerSchema, have, newest)
		}
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// Start begins to work. Jobs that a killed process left running, and due keys
// without a job, are taken up at once; keys that wait after a failure are tried now,
// but those that a rate limit holds. It fails when another process works on the
// database. Only Stop ends the work; ctx is that of the start.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started {
		return errors.New("start queue: it was started before")
	}
	release, err := q.db.Lease(ctx)
	if err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	q.stopping.Store(false)
	err = q.recover(ctx)
	if err == nil {
		err = q.river.Start(context.WithoutCancel(ctx))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start queue: %w", err), release())
	}
	q.started, q.release = true, release
	return nil
}

// recover frees orphaned jobs and gives every due mark its job.
func (q *Queue) recover(ctx context.Context) error {
	now := q.o.Now()
	var orphans int64
	var due []state.Mark
	err := q.db.Update(ctx, func(t *state.Tx) error {
		res, err := t.SQL().ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE state = 'running'`)
		if err != nil {
			return fmt.Errorf("free orphaned jobs: %w", err)
		}
		if orphans, err = res.RowsAffected(); err != nil {
			return err
		}
		// A leader that died would keep the maintenance waiting until its term ends.
		if _, err := t.SQL().ExecContext(ctx, `DELETE FROM river_leader`); err != nil {
			return fmt.Errorf("free leadership: %w", err)
		}
		if due, err = t.Pending(ctx); err != nil {
			return err
		}
		var wants []want
		for _, m := range due {
			key, err := reconcile.ParseKey(m.Key)
			if err != nil {
				q.log.WarnContext(ctx, "mark skipped", "key", m.Key, "error", err)
				continue
			}
			wants = append(wants, want{mark: m, priority: priorityOf(key), at: laterOf(now, m.HeldUntil)})
		}
		return q.schedule(ctx, t, wants, now)
	})
	if err == nil && (orphans > 0 || len(due) > 0) {
		q.log.InfoContext(ctx, "work taken up", "orphaned", orphans, "due", len(due))
	}
	return err
}

// Stop takes no more work up and waits for the runs in progress. When ctx ends
// first, their contexts are cancelled and they are given StopGrace; a run that was
// cancelled is taken up again by the next Start. Accept goes on working.
func (q *Queue) Stop(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		return nil
	}
	q.stopping.Store(true)
	err := q.river.Stop(ctx)
	if err != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.o.StopGrace)
		defer cancel()
		err = q.river.StopAndCancel(grace)
	}
	if err != nil {
		return fmt.Errorf("stop queue: %d runs ignore their cancellation; end the process: %w", q.running.Load(), err)
	}
	q.started = false
	return q.release()
}

// Stats is the state of the queue.
type Stats struct {
	state.Backlog
	Running int           // runs in progress in this process
	Age     time.Duration // how long the longest waiting key is due
}

// Stats counts the keys that are due.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	now := q.o.Now()
	b, err := q.db.Backlog(ctx, now)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Backlog: b, Running: int(q.running.Load())}
	if !b.Oldest.IsZero() {
		s.Age = max(0, now.Sub(b.Oldest))
	}
	return s, nil
}

// Idle waits until no key is due and nothing runs. A key that keeps failing is due.
func (q *Queue) Idle(ctx context.Context) error {
	for {
		s, err := q.Stats(ctx)
		if err != nil {
			return err
		}
		if s.Pending == 0 && s.Running == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for queue: %d keys due, %d running, %d failing: %w", s.Pending, s.Running, s.Failing, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// signal has the workers look for jobs.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // a signal waits already
	}
}

// signalAt has the workers look for jobs when one becomes due. A second is the most
// that a lost signal delays it.
func (q *Queue) signalAt(at, now time.Time) {
	d := at.Sub(now)
	if d <= 0 {
		q.signal()
		return
	}
	// One millisecond on, since due times are stored in whole ones.
	time.AfterFunc(d+time.Millisecond, q.signal)
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// databaseRetry is when River tries a job again whose end couldn't be written.
type databaseRetry struct{}

func (databaseRetry) NextRetry(*rivertype.JobRow) time.Time {
	return time.Now().UTC().Add(databaseRetryDelay)
}

// riverLog passes River's warnings and errors on; the rest is about itself.
type riverLog struct{ slog.Handler }

func (h riverLog) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h riverLog) WithAttrs(a []slog.Attr) slog.Handler { return riverLog{h.Handler.WithAttrs(a)} }
func (h riverLog) WithGroup(n string) slog.Handler      { return riverLog{h.Handler.WithGroup(n)} }
