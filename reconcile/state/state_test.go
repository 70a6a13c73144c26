package state_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/state"
)

var t0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

func repo(id string) reconcile.Repo {
	return reconcile.Repo{
		ID: reconcile.RepoID(id), Installation: 7, Owner: "octo", Name: "infra", DefaultBranch: "main",
		CloneURL: "https://github.com/octo/infra.git", HTMLURL: "https://github.com/octo/infra",
	}
}

func TestOpen_IsDurableAndPrivate(t *testing.T) {
	db := open(t)
	var journal, foreign string
	var sync int
	require.NoError(t, db.Writer().QueryRow(`PRAGMA journal_mode`).Scan(&journal))
	require.NoError(t, db.Writer().QueryRow(`PRAGMA synchronous`).Scan(&sync))
	require.NoError(t, db.Writer().QueryRow(`PRAGMA foreign_keys`).Scan(&foreign))
	assert.Equal(t, "wal", journal)
	assert.Equal(t, 2, sync, "FULL")
	assert.Equal(t, "1", foreign)

	info, err := os.Stat(db.Path())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestOpen_KeepsWhatWasStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space & ?odd#.db")
	db, err := state.Open(t.Context(), "sqlite://"+path)
	require.NoError(t, err)
	require.NoError(t, db.SaveRepos(t.Context(), []reconcile.Repo{repo("1")}))
	require.NoError(t, db.Close())

	db, err = state.Open(t.Context(), path)
	require.NoError(t, err)
	defer db.Close()
	repos, err := db.Repos(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []reconcile.Repo{repo("1")}, repos)
	assert.FileExists(t, path)
}

func TestOpen_RefusesNewerSchema(t *testing.T) {
	db := open(t)
	_, err := db.Writer().Exec(`INSERT INTO conductor_schema (version) VALUES (9999)`)
	require.NoError(t, err)
	_, err = state.Open(t.Context(), db.Path())
	require.ErrorIs(t, err, state.ErrNewerSchema)
	assert.ErrorContains(t, err, "run the newer binary")
}

func TestOpen_RefusesWhatItCannotOpen(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                    "no path given",
		":memory:":            "must outlive the process",
		"postgres://host/db":  `scheme "postgres" is not supported`,
		"/nonexistent/dir/db": "no such file or directory",
	} {
		_, err := state.Open(t.Context(), dsn)
		assert.ErrorContains(t, err, want, dsn)
	}
}

func TestUpdate_RollsBackOnError(t *testing.T) {
	db := open(t)
	boom := errors.New("boom")
	err := db.Update(t.Context(), func(tx *state.Tx) error {
		require.NoError(t, tx.NoteRepo(t.Context(), repo("1")))
		return boom
	})
	require.ErrorIs(t, err, boom)
	_, watched, err := db.Repo(t.Context(), "1")
	require.NoError(t, err)
	assert.False(t, watched)
}

func TestRepos_EventDoesNotResurrectRemovedRepository(t *testing.T) {
	db := open(t)
	require.NoError(t, db.SaveRepos(t.Context(), []reconcile.Repo{repo("1"), repo("2")}))
	require.NoError(t, db.RemoveRepos(t.Context(), []reconcile.RepoID{"1"}))
	renamed := reconcile.Repo{ID: "1", Name: "platform"}
	require.NoError(t, db.Update(t.Context(), func(tx *state.Tx) error { return tx.NoteRepo(t.Context(), renamed) }))

	got, watched, err := db.Repo(t.Context(), "1")
	require.NoError(t, err)
	assert.False(t, watched)
	want := repo("1")
	want.Name = "platform"
	assert.Equal(t, want, got, "empty fields keep what was known")

	require.NoError(t, db.SaveRepos(t.Context(), []reconcile.Repo{repo("1")}))
	_, watched, err = db.Repo(t.Context(), "1")
	require.NoError(t, err)
	assert.True(t, watched, "the forge shows it again")
}

func pull(n int, updated time.Time) reconcile.PullRequest {
	return reconcile.PullRequest{
		Number: n, Title: "Grow \u2728", Author: ledger.Person{Login: "mona", ID: 3}, State: "open", BaseRef: "main",
		HeadSHA: "1111111111111111111111111111111111111111", HeadRepoID: "1", UpdatedAt: updated, Commits: 2,
	}
}

func TestSavePull_AnyOrderEndsWithNewestFact(t *testing.T) {
	db := open(t)
	for seed := range uint64(20) {
		number := int(seed) + 1
		rng := rand.New(rand.NewPCG(seed, 1))
		facts := make([]reconcile.PullRequest, 8)
		for i := range facts {
			facts[i] = pull(number, t0.Add(time.Duration(i)*time.Second))
			facts[i].Commits = i + 1
		}
		rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		for _, f := range facts {
			require.NoError(t, db.SavePull(t.Context(), "1", f))
		}
		got, ok, err := db.Pull(t.Context(), "1", number)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, len(facts), got.Commits, "seed %d", seed)
	}
}

func TestSavePull_MergedStaysMerged(t *testing.T) {
	db := open(t)
	merged := pull(5, t0)
	merged.State, merged.Merged, merged.MergedAt = "closed", true, t0
	merged.Merger = &ledger.Person{Login: "hubot", ID: 9}
	require.NoError(t, db.SavePull(t.Context(), "1", merged))
	require.NoError(t, db.SavePull(t.Context(), "1", pull(5, t0)))
	got, _, err := db.Pull(t.Context(), "1", 5)
	require.NoError(t, err)
	assert.Equal(t, merged, got)
	open, err := db.OpenPulls(t.Context(), "1")
	require.NoError(t, err)
	assert.Empty(t, open)
}

func TestOpenPullsAt_FindsOnlyOpenOnesOfTheRepository(t *testing.T) {
	db := open(t)
	closed := pull(6, t0)
	closed.State = "closed"
	other := pull(7, t0)
	other.HeadSHA = "2222222222222222222222222222222222222222"
	for _, p := range []reconcile.PullRequest{pull(5, t0), closed, other, pull(8, t0)} {
		require.NoError(t, db.SavePull(t.Context(), "1", p))
	}
	require.NoError(t, db.SavePull(t.Context(), "2", pull(9, t0)))
	require.NoError(t, db.Update(t.Context(), func(tx *state.Tx) error {
		numbers, err := tx.OpenPullsAt(t.Context(), "1", pull(5, t0).HeadSHA)
		assert.Equal(t, []int{5, 8}, numbers)
		return err
	}))
}

func TestReported_RoundTrips(t *testing.T) {
	db := open(t)
	got, err := db.Reported(t.Context(), "1", 5)
	require.NoError(t, err)
	assert.Zero(t, got)
	want := reconcile.Reported{
		BaseTip: "b", Reruns: 2,
		Head: pull(5, t0).HeadSHA, CommentID: 1 << 40, CommentDigest: "ab",
		Checks: map[string]reconcile.ReportedCheck{"conductor/tenants": {ID: 11, Digest: "cd"}},
	}
	require.NoError(t, db.SaveReported(t.Context(), "1", 5, reconcile.Reported{Head: "x"}))
	require.NoError(t, db.SaveReported(t.Context(), "1", 5, want))
	got, err = db.Reported(t.Context(), "1", 5)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func update(t *testing.T, db *state.DB, do func(ctx context.Context, tx *state.Tx) error) {
	t.Helper()
	require.NoError(t, db.Update(t.Context(), func(tx *state.Tx) error { return do(t.Context(), tx) }))
}

func TestWorked_CompletesADeliveryOnlyWithItsLastKey(t *testing.T) {
	db := open(t)
	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		completed, err := tx.Receive(ctx, state.Delivery{ID: "d", Event: "push"}, t0)
		assert.False(t, completed)
		for _, key := range []string{"a", "b"} {
			m, err := tx.Raise(ctx, key, t0)
			require.NoError(t, err)
			require.NoError(t, tx.Await(ctx, "d", key, m.Generation))
		}
		return err
	})
	complete := func() bool {
		v, ok, err := db.Delivery(t.Context(), "d")
		require.NoError(t, err)
		require.True(t, ok)
		return !v.CompletedAt.IsZero()
	}
	work := func(key string, generation int64) {
		update(t, db, func(ctx context.Context, tx *state.Tx) error {
			_, err := tx.Worked(ctx, key, generation, t0)
			return err
		})
	}
	work("a", 1)
	assert.False(t, complete())
	work("b", 0)
	assert.False(t, complete(), "a run that began before the event doesn't complete it")
	work("b", 1)
	assert.True(t, complete())
	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		completed, err := tx.Receive(ctx, state.Delivery{ID: "d", Event: "push"}, t0)
		assert.True(t, completed)
		return err
	})
}

func TestWorked_SaysWhenTheKeyWasMarkedAgain(t *testing.T) {
	db := open(t)
	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		_, err := tx.Raise(ctx, "a", t0)
		require.NoError(t, err)
		m, err := tx.Raise(ctx, "a", t0.Add(time.Minute))
		require.NoError(t, err)
		assert.EqualValues(t, 2, m.Generation)
		assert.Equal(t, t0, m.PendingSince)
		again, err := tx.Worked(ctx, "a", 1, t0)
		require.NoError(t, err)
		assert.True(t, again)
		again, err = tx.Worked(ctx, "a", 2, t0)
		assert.False(t, again)
		return err
	})
}

func TestFailed_ShowsInBacklogAndOnDelivery(t *testing.T) {
	db := open(t)
	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		_, err := tx.Receive(ctx, state.Delivery{ID: "d", Event: "push"}, t0)
		require.NoError(t, err)
		m, err := tx.Raise(ctx, "a", t0)
		require.NoError(t, err)
		require.NoError(t, tx.Await(ctx, "d", "a", m.Generation))
		return tx.Failed(ctx, "a", m.Generation, state.Failure{Err: "no route", Permanent: true, Counts: true, Due: t0.Add(time.Hour)}, t0)
	})
	b, err := db.Backlog(t.Context(), t0)
	require.NoError(t, err)
	assert.Equal(t, state.Backlog{Pending: 1, Waiting: 1, Failing: 1, Permanent: 1, Oldest: t0}, b)
	v, _, err := db.Delivery(t.Context(), "d")
	require.NoError(t, err)
	assert.Equal(t, "no route", v.Error)
	failing, err := db.Failing(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, failing, 1)
	assert.Equal(t, 1, failing[0].Failures)

	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		_, err := tx.Worked(ctx, "a", 1, t0)
		return err
	})
	b, err = db.Backlog(t.Context(), t0)
	require.NoError(t, err)
	assert.Zero(t, b)
}

func TestPrune_KeepsWhatIsUnfinishedOrRecent(t *testing.T) {
	db := open(t)
	receive := func(id string, at time.Time, complete bool) {
		update(t, db, func(ctx context.Context, tx *state.Tx) error {
			_, err := tx.Receive(ctx, state.Delivery{ID: id, Event: "push"}, at)
			require.NoError(t, err)
			m, err := tx.Raise(ctx, id, at)
			require.NoError(t, err)
			require.NoError(t, tx.Await(ctx, id, id, m.Generation))
			if complete {
				_, err = tx.Worked(ctx, id, m.Generation, at)
			}
			return err
		})
	}
	receive("old", t0, true)
	receive("old-unfinished", t0, false)
	receive("recent", t0.Add(time.Hour), true)
	rows, err := db.Prune(t.Context(), t0.Add(time.Minute))
	require.NoError(t, err)
	assert.EqualValues(t, 2, rows, "one delivery and its key's mark")
	left, err := db.Deliveries(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, left, 2)
	assert.Equal(t, "recent", left[0].ID)
	assert.Equal(t, "old-unfinished", left[1].ID)
}

func TestLease_IsExclusiveUntilReleased(t *testing.T) {
	db := open(t)
	release, err := db.Lease(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = db.Lease(ctx)
	require.ErrorContains(t, err, "another process works on it")
	require.NoError(t, release())
	release, err = db.Lease(t.Context())
	require.NoError(t, err)
	require.NoError(t, release())
}

func TestReaders_DoNotWaitForTheWriter(t *testing.T) {
	db := open(t)
	require.NoError(t, db.SaveRepos(t.Context(), []reconcile.Repo{repo("1")}))
	update(t, db, func(ctx context.Context, tx *state.Tx) error {
		require.NoError(t, tx.NoteRepo(ctx, repo("2")))
		repos, err := db.Repos(ctx)
		assert.Len(t, repos, 1, "what isn't committed isn't seen")
		return err
	})
}
