package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/queue"
	"github.com/conductor-dev/conductor/reconcile/state"
)

type work = func(context.Context, reconcile.Key) error

// allKinds has one function reconcile keys of every kind.
func allKinds(do work) map[reconcile.KeyKind]func(context.Context, reconcile.Key) error {
	return map[reconcile.KeyKind]func(context.Context, reconcile.Key) error{
		reconcile.KeyPull: do, reconcile.KeyBranch: do, reconcile.KeyInstallation: do,
	}
}

func openState(t testing.TB) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

// soon is a retry policy without patience.
func soon(int) time.Duration { return 5 * time.Millisecond }

func newQueue(t testing.TB, db *state.DB, o queue.Options) *queue.Queue {
	t.Helper()
	if o.Backoff == nil {
		o.Backoff = soon
	}
	o.Logger = slog.New(slog.DiscardHandler)
	q, err := queue.New(t.Context(), db, o)
	require.NoError(t, err)
	return q
}

func start(t testing.TB, q *queue.Queue) {
	t.Helper()
	require.NoError(t, q.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, q.Stop(ctx))
	})
}

func idle(t testing.TB, q *queue.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	require.NoError(t, q.Idle(ctx))
}

func event(id string, keys ...reconcile.Key) reconcile.Event {
	return reconcile.Event{Delivery: id, Name: "pull_request", Action: "synchronize", Keys: keys}
}

func accept(t testing.TB, q *queue.Queue, e reconcile.Event) queue.Accepted {
	t.Helper()
	a, err := q.Accept(t.Context(), e)
	require.NoError(t, err)
	return a
}

// receive fails the test when nothing comes.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		require.FailNow(t, "nothing came in 30 s")
		panic("unreachable")
	}
}

var pull7 = reconcile.PullKey("1", 7)

func TestAccept_RunsEachKeyOfTheEventOnce(t *testing.T) {
	db := openState(t)
	var mu sync.Mutex
	runs := map[reconcile.Key]int{}
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(_ context.Context, key reconcile.Key) error {
		mu.Lock()
		defer mu.Unlock()
		runs[key]++
		return nil
	})})
	start(t, q)
	keys := []reconcile.Key{pull7, reconcile.BranchKey("1", "release/1.0"), reconcile.InstallationKey(9)}
	got := accept(t, q, event("d1", append(keys, pull7)...))
	assert.Equal(t, queue.Accepted{Keys: keys}, got)
	idle(t, q)
	assert.Equal(t, map[reconcile.Key]int{keys[0]: 1, keys[1]: 1, keys[2]: 1}, runs)
	d, ok, err := db.Delivery(t.Context(), "d1")
	require.NoError(t, err)
	require.True(t, ok)
	assert.False(t, d.CompletedAt.IsZero())
}

func TestAccept_StoresFactsAndFindsPullRequestsByHead(t *testing.T) {
	db := openState(t)
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })})
	head := reconcile.CommitSHA("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	e := event("d1", pull7)
	e.Repos = []reconcile.Repo{{ID: "1", Owner: "octo", Name: "infra", DefaultBranch: "main", Installation: 5}}
	e.Pulls = []reconcile.PullFact{{Repo: "1", Pull: reconcile.PullRequest{Number: 7, State: "open", HeadSHA: head}}}
	accept(t, q, e)
	_, watched, err := db.Repo(t.Context(), "1")
	require.NoError(t, err)
	assert.True(t, watched)

	rerun := event("d2")
	rerun.Heads = []reconcile.Head{{Repo: "1", SHA: head}, {Repo: "2", SHA: head}}
	assert.Equal(t, []reconcile.Key{pull7}, accept(t, q, rerun).Keys)
}

func TestAccept_CompletedDeliveryIsDuplicateAndUnfinishedOneIsMarkedAgain(t *testing.T) {
	db := openState(t)
	var fail atomic.Bool
	fail.Store(true)
	var runs atomic.Int32
	q := newQueue(t, db, queue.Options{
		Backoff: func(int) time.Duration { return time.Hour },
		Workers: allKinds(func(context.Context, reconcile.Key) error {
			runs.Add(1)
			if fail.Load() {
				return errors.New("no route")
			}
			return nil
		}),
	})
	accept(t, q, event("d1", pull7))
	assert.False(t, accept(t, q, event("d1", pull7)).Duplicate, "pending")
	start(t, q)
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Failing == 1 && s.Running == 0
	}, 30*time.Second, 5*time.Millisecond)
	d, _, err := db.Delivery(t.Context(), "d1")
	require.NoError(t, err)
	assert.Equal(t, "no route", d.Error)

	fail.Store(false)
	assert.False(t, accept(t, q, event("d1", pull7)).Duplicate, "failed")
	idle(t, q)
	assert.True(t, accept(t, q, event("d1", pull7)).Duplicate, "completed")
	assert.EqualValues(t, 2, runs.Load())
}

func TestAccept_WithoutKeysIsCompleteAtOnce(t *testing.T) {
	q := newQueue(t, openState(t), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })})
	assert.Equal(t, queue.Accepted{}, accept(t, q, event("d1")))
	assert.True(t, accept(t, q, event("d1")).Duplicate)
}

func TestAccept_OneBadEventDoesNotSpoilTheOthersOfItsTransaction(t *testing.T) {
	q := newQueue(t, openState(t), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })})
	var wg sync.WaitGroup
	var refused atomic.Int32
	for i := range 60 {
		wg.Go(func() {
			e := event(fmt.Sprintf("d%d", i), reconcile.PullKey("1", i+1))
			if i%10 == 0 {
				e.Keys = []reconcile.Key{reconcile.BranchKey("has/slash", "main")}
			}
			if _, err := q.Accept(t.Context(), e); err != nil {
				refused.Add(1)
				assert.ErrorContains(t, err, "can't be read back")
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 6, refused.Load())
	s, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 54, s.Pending)
}

func TestAccept_RefusesDeliveryWithoutUsableID(t *testing.T) {
	q := newQueue(t, openState(t), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })})
	for _, id := range []string{"", string(make([]byte, 200))} {
		_, err := q.Accept(t.Context(), event(id, pull7))
		assert.ErrorContains(t, err, "delivery id")
	}
}

func TestBurst_OfOneKeyDuringARunNeedsFewMoreRuns(t *testing.T) {
	db := openState(t)
	var runs atomic.Int32
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error {
		if runs.Add(1) == 1 {
			begun <- struct{}{}
			<-goOn
		}
		return nil
	})})
	start(t, q)
	accept(t, q, event("first", pull7))
	receive(t, begun)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			_, err := q.Accept(t.Context(), event(fmt.Sprintf("d%d", i), pull7))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	close(goOn)
	idle(t, q)
	assert.LessOrEqual(t, runs.Load(), int32(3))
	var open int
	require.NoError(t, db.Writer().QueryRow(`SELECT COUNT(*) FROM deliveries WHERE completed_at = 0`).Scan(&open))
	assert.Zero(t, open)
}

// An event tells of a change that was made before it. Whatever the interleaving, a
// run must begin after it was accepted.
func TestEvent_DuringARunIsNeverLost(t *testing.T) {
	const events = 80
	db := openState(t)
	var desired, seen [4]atomic.Int64
	var busy [4]atomic.Bool
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(_ context.Context, key reconcile.Key) error {
		k := key.Number - 1
		if !busy[k].CompareAndSwap(false, true) {
			t.Errorf("two runs of %s at once", key)
		}
		defer busy[k].Store(false)
		now := desired[k].Load() // what this run reads of the world
		time.Sleep(time.Duration(now%3) * time.Millisecond)
		seen[k].Store(now)
		return nil
	})})
	start(t, q)
	var wg sync.WaitGroup
	for k := range desired {
		wg.Go(func() {
			for i := range events {
				desired[k].Add(1)
				_, err := q.Accept(t.Context(), event(fmt.Sprintf("d-%d-%d", k, i), reconcile.PullKey("1", k+1)))
				assert.NoError(t, err)
				time.Sleep(time.Duration(i%4) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	idle(t, q)
	for k := range seen {
		assert.EqualValues(t, events, seen[k].Load(), "key %d", k)
	}
}

type retryAfter time.Duration

func (retryAfter) Error() string               { return "rate limit" }
func (r retryAfter) RetryAfter() time.Duration { return time.Duration(r) }

type lasting struct{}

func (lasting) Error() string   { return "permission missing" }
func (lasting) Permanent() bool { return true }

func TestFailure_IsRetriedWithGrowingDelayUntilItSucceeds(t *testing.T) {
	db := openState(t)
	var mu sync.Mutex
	var asked []int
	var runs atomic.Int32
	q := newQueue(t, db, queue.Options{
		Backoff: func(n int) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, n)
			return time.Millisecond
		},
		Workers: allKinds(func(context.Context, reconcile.Key) error {
			switch n := runs.Add(1); {
			case n == 2:
				panic("boom")
			case n <= 30: // more than River's default of attempts
				return errors.New("no route")
			}
			return nil
		}),
	})
	start(t, q)
	accept(t, q, event("d1", pull7))
	idle(t, q)
	assert.EqualValues(t, 31, runs.Load())
	want := make([]int, 30)
	for i := range want {
		want[i] = i + 1
	}
	assert.Equal(t, want, asked)
	m, ok, err := db.Mark(t.Context(), pull7.String())
	require.NoError(t, err)
	require.True(t, ok)
	assert.Zero(t, m.Failures)
	assert.Empty(t, m.Error)
}

func TestRetryAfter_IsWaitedForWhateverHappens(t *testing.T) {
	const wait = 400 * time.Millisecond
	var mu sync.Mutex
	var runs []time.Time
	q := newQueue(t, openState(t), queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error {
		mu.Lock()
		defer mu.Unlock()
		runs = append(runs, time.Now())
		if len(runs) == 1 {
			return fmt.Errorf("list reviews: %w", retryAfter(wait))
		}
		return nil
	})})
	start(t, q)
	accept(t, q, event("d1", pull7))
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Waiting == 1
	}, 30*time.Second, 5*time.Millisecond)
	accept(t, q, event("d2", pull7))
	require.NoError(t, q.Enqueue(t.Context(), pull7))
	idle(t, q)
	require.Len(t, runs, 2)
	assert.GreaterOrEqual(t, runs[1].Sub(runs[0]), wait)
}

func TestPermanentFailure_StaysVisibleAndYieldsToANewEvent(t *testing.T) {
	db := openState(t)
	var mended atomic.Bool
	var runs atomic.Int32
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error {
		runs.Add(1)
		if mended.Load() {
			return nil
		}
		return lasting{}
	})})
	start(t, q)
	accept(t, q, event("d1", pull7))
	require.Eventually(t, func() bool {
		s, err := q.Stats(t.Context())
		return err == nil && s.Permanent == 1 && s.Waiting == 1
	}, 30*time.Second, 5*time.Millisecond)
	failing, err := db.Failing(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, failing, 1)
	assert.Equal(t, "permission missing", failing[0].Error)

	require.NoError(t, q.Enqueue(t.Context(), pull7), "a sweep doesn't hurry it")
	assert.EqualValues(t, 1, runs.Load())
	mended.Store(true)
	accept(t, q, event("d2", pull7))
	idle(t, q)
	assert.EqualValues(t, 2, runs.Load())
}

func TestEnqueue_ComesAfterEvents(t *testing.T) {
	var mu sync.Mutex
	var order []reconcile.Key
	q := newQueue(t, openState(t), queue.Options{MaxWorkers: 1, Workers: allKinds(func(_ context.Context, key reconcile.Key) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, key)
		return nil
	})})
	swept := []reconcile.Key{reconcile.BranchKey("1", "main"), reconcile.BranchKey("2", "main"), reconcile.BranchKey("3", "main")}
	require.NoError(t, q.Enqueue(t.Context(), swept...))
	accept(t, q, event("d1", pull7, swept[2]))
	start(t, q)
	idle(t, q)
	require.Len(t, order, 4)
	assert.ElementsMatch(t, []reconcile.Key{pull7, swept[2]}, order[:2], "an event lifts a key that a sweep had marked")
}

func TestStop_WaitsForRunsAndTakesNoMore(t *testing.T) {
	db := openState(t)
	begun, goOn := make(chan struct{}, 8), make(chan struct{})
	var finished atomic.Int32
	q := newQueue(t, db, queue.Options{MaxWorkers: 1, Workers: allKinds(func(context.Context, reconcile.Key) error {
		begun <- struct{}{}
		<-goOn
		finished.Add(1)
		return nil
	})})
	require.NoError(t, q.Start(t.Context()))
	accept(t, q, event("d1", pull7))
	receive(t, begun)
	accept(t, q, event("d2", pull7, reconcile.PullKey("1", 8)))
	stopped := make(chan error, 1)
	go func() { stopped <- q.Stop(context.Background()) }()
	time.Sleep(20 * time.Millisecond)
	close(goOn)
	require.NoError(t, receive(t, stopped))
	assert.EqualValues(t, 1, finished.Load())
	s, err := q.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, s.Pending, "both are still due")
	assert.Equal(t, 0, countJobs(t, db, "running"))

	require.NoError(t, q.Start(t.Context()), "it starts again")
	idle(t, q)
	assert.EqualValues(t, 3, finished.Load())
	require.NoError(t, q.Stop(context.Background()))
}

func TestStop_CancelsRunsThatOutlastItsContext(t *testing.T) {
	db := openState(t)
	begun := make(chan struct{}, 1)
	var runs atomic.Int32
	workers := allKinds(func(ctx context.Context, _ reconcile.Key) error {
		if runs.Add(1) > 1 {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	q := newQueue(t, db, queue.Options{Workers: workers})
	require.NoError(t, q.Start(t.Context()))
	accept(t, q, event("d1", pull7))
	receive(t, begun)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.NoError(t, q.Stop(ctx))
	assert.Equal(t, 0, countJobs(t, db, "running"))
	m, _, err := db.Mark(t.Context(), pull7.String())
	require.NoError(t, err)
	assert.Zero(t, m.Failures, "being stopped is no failure")

	next := newQueue(t, db, queue.Options{Workers: workers})
	start(t, next)
	idle(t, next)
	assert.EqualValues(t, 2, runs.Load())
}

func TestStart_FreesWhatAKilledProcessLeftRunning(t *testing.T) {
	db := openState(t)
	var runs atomic.Int32
	q := newQueue(t, db, queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error {
		runs.Add(1)
		return nil
	})})
	accept(t, q, event("d1", pull7))
	accept(t, q, event("d2", reconcile.PullKey("1", 8)))
	_, err := db.Writer().Exec(`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = datetime('now', 'subsec') WHERE id = 1`)
	require.NoError(t, err)
	_, err = db.Writer().Exec(`DELETE FROM river_job WHERE id = 2`) // a mark without its job
	require.NoError(t, err)
	start(t, q)
	idle(t, q)
	assert.EqualValues(t, 2, runs.Load())
}

func TestStart_IsRefusedWhileAnotherProcessWorks(t *testing.T) {
	db := openState(t)
	o := queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })}
	start(t, newQueue(t, db, o))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, newQueue(t, db, o).Start(ctx), "another process works on it")
}

func TestNew_RefusesNewerQueueSchema(t *testing.T) {
	db := openState(t)
	o := queue.Options{Workers: allKinds(func(context.Context, reconcile.Key) error { return nil })}
	newQueue(t, db, o)
	_, err := db.Writer().Exec(`INSERT INTO river_migration (line, version) VALUES ('main', 9999)`)
	require.NoError(t, err)
	_, err = queue.New(t.Context(), db, o)
	require.ErrorIs(t, err, state.ErrNewerSchema)
}

func TestKind_WithoutReconcilerStaysVisible(t *testing.T) {
	db := openState(t)
	q := newQueue(t, db, queue.Options{Workers: map[reconcile.KeyKind]func(context.Context, reconcile.Key) error{
		reconcile.KeyPull: func(context.Context, reconcile.Key) error { return nil },
	}})
	start(t, q)
	accept(t, q, event("d1", reconcile.InstallationKey(3)))
	require.Eventually(t, func() bool {
		failing, err := db.Failing(t.Context(), 1)
		return err == nil && len(failing) == 1 && failing[0].Permanent
	}, 30*time.Second, 5*time.Millisecond)
}

func countJobs(t *testing.T, db *state.DB, jobState string) (n int) {
	t.Helper()
	require.NoError(t, db.Writer().QueryRow(`SELECT COUNT(*) FROM river_job WHERE state = $1`, jobState).Scan(&n))
	return n
}
