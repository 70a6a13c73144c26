package ledger

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestAppend_GivesReceiptsAndRecordsACommitOnce(t *testing.T) {
	ctx := context.Background()
	dir, keys, l := newLedger(t)
	assert.EqualValues(t, 1, l.Size())
	first := appendAll(t, l, draft(0), draft(1), draft(0))
	assert.Equal(t, "CL-1", first[0].Entry)
	assert.Equal(t, "change-log/00/00/CL-2.md", first[1].Path)
	assert.Len(t, first[0].Commit, 40)
	assert.Equal(t, Receipt{"CL-1", 1, first[0].Commit, "change-log/00/00/CL-1.md", true}, first[2])

	again := appendAll(t, openLedger(t, dir, keys), draft(1), draft(2))
	assert.Equal(t, Receipt{"CL-2", 2, "", "change-log/00/00/CL-2.md", true}, again[0], "another process does not know the commit")
	assert.False(t, again[1].Existing)

	fork := draft(1)
	fork.Change.Repository = Repository{ID: "42", Name: "fork/shop"}
	got := appendAll(t, l, fork)
	assert.False(t, got[0].Existing, "forks share commits")
	assert.Equal(t, "CL-2 1234567\nCL-4 42\n", run(t, dir, "git", "show", "main:"+commitIndexPath(fork.Change.Commit)))

	tip := run(t, dir, "git", "rev-parse", "main")
	_, err := l.Append(ctx, Batch{Drafts: []Draft{draft(0), fork}})
	require.NoError(t, err)
	assert.Equal(t, tip, run(t, dir, "git", "rev-parse", "main"), "nothing new, nothing written")
	requireVerified(t, dir)
}

func TestCursor_FollowsTheRepository(t *testing.T) {
	ctx := context.Background()
	dir, keys, l := newLedger(t)
	_, ok, err := l.Cursor(ctx, "1234567", "main")
	require.NoError(t, err)
	assert.False(t, ok)
	c := testCursor(5)
	c.Since = fakeSHA("since")
	_, err = openLedger(t, dir, keys).Append(ctx, Batch{Cursors: []Cursor{c}})
	require.NoError(t, err)
	got, ok, err := l.Cursor(ctx, "1234567", "main")
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, c, got, "what another process wrote is seen")
	assert.EqualValues(t, 1, l.Size(), "a cursor is no entry")
	other := c
	other.Branch, other.Since = "release", ""
	_, err = l.Append(ctx, Batch{Cursors: []Cursor{other}})
	require.NoError(t, err)
	tip := run(t, dir, "git", "rev-parse", "main")
	_, err = l.Append(ctx, Batch{Cursors: []Cursor{c, other}})
	require.NoError(t, err)
	assert.Equal(t, tip, run(t, dir, "git", "rev-parse", "main"))
	requireVerified(t, dir)
}

func TestAppend_RefusesWhatCannotBeRecorded(t *testing.T) {
	_, _, l := newLedger(t)
	for name, spoil := range map[string]func(*Batch){
		"repository id": func(b *Batch) { b.Drafts[0].Change.Repository.ID = "../../etc" },
		"commit":        func(b *Batch) { b.Drafts[0].Change.Commit = "HEAD" },
		"upper case":    func(b *Batch) { b.Drafts[0].Change.Commit = strings.ToUpper(b.Drafts[0].Change.Commit) },
		"time":          func(b *Batch) { b.Drafts[0].Change.MergedAt = time.Time{} },
		"huge subject":  func(b *Batch) { b.Drafts[0].Change.Subject = strings.Repeat("x", maxStatementBytes) },
		"cursor":        func(b *Batch) { b.Cursors = []Cursor{{Repository: Repository{ID: "1"}, Branch: "main", Through: "x"}} },
		"branch":        func(b *Batch) { c := testCursor(1); c.Branch = "a\nb"; b.Cursors = []Cursor{c} },
	} {
		t.Run(name, func(t *testing.T) {
			b := Batch{Drafts: []Draft{draft(0)}}
			spoil(&b)
			_, err := l.Append(context.Background(), b)
			require.ErrorIs(t, err, ErrInvalidDraft)
			assert.EqualValues(t, 1, l.Size())
		})
	}
}

func TestAppend_KeepsHostileTextHarmlessAndTooLongTextOut(t *testing.T) {
	dir, _, l := newLedger(t)
	d := draft(0)
	d.Change.Subject = "x | y\n| [CL-9](evil) | @admin `rm` <script>\x00\u202e\xff"
	d.Change.Tenants = []string{"../../etc", "ACME Größe", "", "ok-1"}
	d.Change.Branch = "a`b|c"
	d.Change.Repository.URL = "javascript:alert(1)"
	for range 20_000 {
		d.Change.Semantic = append(d.Change.Semantic, d.Change.Semantic[0])
	}
	d.Patch = []byte(strings.Repeat("+", MaxPatchBytes+1))
	appendAll(t, l, d)
	requireVerified(t, dir)
	got, err := Show(context.Background(), dir, 1, nil)
	require.NoError(t, err)
	assert.False(t, got.Change.Diff.Stored)
	assert.Greater(t, got.Change.SemanticOmitted, 10_000)
	assert.Equal(t, 20_001, got.Change.SemanticOmitted+len(got.Change.Semantic))
	paths := run(t, dir, "git", "ls-tree", "-r", "--name-only", "main")
	assert.Contains(t, paths, "index/tenant/ok-1/2026/11/23.md")
	assert.NotContains(t, paths, "..")
	assert.NotContains(t, paths, ".patch")
	assert.Empty(t, strings.TrimSpace(run(t, dir, "git", "fsck", "--strict")))
}

func TestAppend_ThreeWritersRaceWithoutDoubleOrGap(t *testing.T) {
	const each = 12
	dir, keys, _ := newLedger(t)
	var wg sync.WaitGroup
	for range 3 {
		l := openLedger(t, dir, keys)
		for part := range 2 { // two callers in each writer
			wg.Go(func() {
				for i := part; i < each; i += 2 {
					_, err := l.Append(context.Background(), Batch{Drafts: drafts(i, i+2), Cursors: []Cursor{testCursor(i)}})
					assert.NoError(t, err)
				}
			})
		}
	}
	wg.Wait()
	r := requireVerified(t, dir)
	assert.EqualValues(t, 1+each+1, r.Entries)
}

func TestAppend_AnyBatchingGivesTheSameEntries(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	const n = 40
	var want []string
	for trial := range 3 {
		dir, _, l := newLedger(t)
		for at := 0; at < n; {
			size := min(1+rng.Intn(15), n-at)
			appendAll(t, l, drafts(at, at+size)...)
			at += size
		}
		requireVerified(t, dir)
		list, err := Entries(context.Background(), dir, Filter{})
		require.NoError(t, err)
		var got []string
		for _, e := range list {
			got = append(got, e.Name()+" "+e.Change.Commit)
		}
		if trial == 0 {
			want = got
		}
		assert.Equal(t, want, got)
	}
}

func TestAppend_RefusesARepositoryThatWasRolledBackOrRewritten(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, draft(0))
	before := strings.TrimSpace(run(t, dir, "git", "rev-parse", "main"))
	appendAll(t, l, draft(1))
	run(t, dir, "git", "update-ref", "refs/heads/main", before)
	_, err := l.Append(context.Background(), Batch{Drafts: []Draft{draft(2)}})
	require.ErrorIs(t, err, ErrDiverged)
	assert.Equal(t, before, strings.TrimSpace(run(t, dir, "git", "rev-parse", "main")), "nothing was written")

	appendAll(t, openLedger(t, dir, keys), draft(3), draft(4)) // a longer, other history
	_, err = l.Append(context.Background(), Batch{Drafts: []Draft{draft(2)}})
	require.ErrorIs(t, err, ErrDiverged)
	run(t, dir, "git", "update-ref", "-d", "refs/heads/main")
	_, err = l.Append(context.Background(), Batch{Drafts: []Draft{draft(2)}})
	require.ErrorIs(t, err, ErrDiverged)
}

func TestAppend_RemovesALockThatAKilledGitLeft(t *testing.T) {
	dir, _, l := newLedger(t)
	lock := filepath.Join(dir, "refs/heads/main.lock")
	require.NoError(t, os.WriteFile(lock, nil, 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(lock, old, old))
	appendAll(t, l, draft(0))
	requireVerified(t, dir)
}

func TestOpen_NeedsTheLedgersOwnKeys(t *testing.T) {
	ctx := context.Background()
	dir, _, _ := newLedger(t)
	other, err := GenerateKeys("audit.example.com", epoch, rand.New(rand.NewSource(5)))
	require.NoError(t, err)
	_, err = Open(ctx, dir, other, Options{})
	require.ErrorIs(t, err, ErrForeignKeys)
	require.ErrorIs(t, Init(ctx, dir, other, InitOptions{}), ErrNotEmpty)
}

func TestInit_IsRepeatableAndRefusesForeignRepositories(t *testing.T) {
	ctx := context.Background()
	dir, keys, _ := newLedger(t)
	tip := run(t, dir, "git", "rev-parse", "main")
	require.NoError(t, Init(ctx, dir, keys, InitOptions{}))
	assert.Equal(t, tip, run(t, dir, "git", "rev-parse", "main"))

	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "notes.txt"), nil, 0o600))
	require.ErrorIs(t, Init(ctx, full, keys, InitOptions{}), ErrNotEmpty)

	empty := filepath.Join(t.TempDir(), "empty.git")
	run(t, "", "git", "init", "-q", "--bare", empty)
	_, err := Open(ctx, empty, keys, Options{})
	require.ErrorIs(t, err, ErrNotInitialized)
	require.NoError(t, Init(ctx, empty, keys, InitOptions{Now: testOptions().Now}))
	requireVerified(t, empty)
}

func TestAppend_AfterCloseIsRefused(t *testing.T) {
	dir, keys, _ := newLedger(t)
	l, err := Open(context.Background(), dir, keys, testOptions())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = l.Append(context.Background(), Batch{Drafts: []Draft{draft(0)}})
	require.ErrorIs(t, err, ErrClosed)
}

// TestLog_IsATransparencyLog reads the repository with x/mod alone: note for the
// checkpoint, tlog for proofs over the published tiles.
func TestLog_IsATransparencyLog(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 99)...)
	old := openTree(t, keys, l.Checkpoint())
	appendAll(t, l, drafts(99, 599)...)
	now := openTree(t, keys, l.Checkpoint())
	work := clone(t, dir)
	r := tlog.TileHashReader(now, diskTiles(work))
	proof, err := tlog.ProveTree(now.N, old.N, r)
	require.NoError(t, err)
	require.NoError(t, tlog.CheckTree(proof, now.N, now.Hash, old.N, old.Hash))
	for n := range now.N {
		b, err := os.ReadFile(filepath.Join(work, entryBase(n)+".sigstore.json"))
		require.NoError(t, err)
		bd, err := ParseBundle(b)
		require.NoError(t, err)
		p, err := tlog.ProveRecord(now.N, n, r)
		require.NoError(t, err)
		leaf := bd.VerificationMaterial.TlogEntries[0].CanonicalizedBody
		require.NoError(t, tlog.CheckRecord(p, now.N, now.Hash, n, tlog.RecordHash(leaf)))
	}
}

func openTree(t *testing.T, keys *Keys, checkpoint []byte) tlog.Tree {
	v, err := note.NewVerifier(keys.Public().LogVKey())
	require.NoError(t, err)
	n, err := note.Open(checkpoint, note.VerifierList(v))
	require.NoError(t, err)
	lines := strings.Split(n.Text, "\n")
	var tree tlog.Tree
	_, err = fmt.Sscan(lines[1], &tree.N)
	require.NoError(t, err)
	tree.Hash, err = tlog.ParseHash(lines[2])
	require.NoError(t, err)
	return tree
}

type diskTiles string

func (d diskTiles) Height() int                     { return tileHeight }
func (d diskTiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (d diskTiles) ReadTiles(ts []tlog.Tile) (out [][]byte, err error) {
	for _, t := range ts {
		b, err := os.ReadFile(filepath.Join(string(d), strings.Replace(t.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
