package ledger

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func verify(t testing.TB, dir string, o VerifyOptions) VerifyReport {
	t.Helper()
	r, err := Verify(context.Background(), dir, o)
	require.NoError(t, err)
	return r
}

func requireVerified(t testing.TB, dir string) VerifyReport {
	t.Helper()
	r := verify(t, dir, VerifyOptions{})
	require.True(t, r.Verified, r.Problem())
	return r
}

func TestVerify_AcceptsALedgerOfSingleEntriesBatchesAndCursors(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 3)...)
	appendAll(t, l, draft(3))
	_, err := l.Append(context.Background(), Batch{Cursors: []Cursor{testCursor(3)}})
	require.NoError(t, err)
	_, err = l.Append(context.Background(), Batch{Drafts: drafts(4, 300), Cursors: []Cursor{testCursor(299)}})
	require.NoError(t, err)
	appendAll(t, l, drafts(300, 1040)...) // fills tiles and day pages

	r := requireVerified(t, dir)
	assert.EqualValues(t, 1041, r.Entries)
	assert.EqualValues(t, 1042, r.Commits)
	assert.False(t, r.KeysTrusted)
	assert.Equal(t, string(l.Checkpoint()), r.Checkpoint)

	files, err := keys.Public().files()
	require.NoError(t, err)
	var last, total int64
	r = verify(t, clone(t, dir), VerifyOptions{
		TrustedKeys: &TrustedKeys{EntryKey: files["keys/conductor-2026-1.pub"], LogKey: string(files["keys/log.vkey"])},
		Progress:    func(done, all int64) { last, total = done, all },
	})
	assert.True(t, r.Verified, r.Problem())
	assert.True(t, r.KeysTrusted)
	assert.Equal(t, [2]int64{1042, 1042}, [2]int64{last, total})
}

func testCursor(i int) Cursor {
	return Cursor{Repository: draft(0).Change.Repository, Branch: "main", Through: fakeSHA(fmt.Sprint("commit ", i))}
}

// forge edits the tip's tree and commits it on the branch, signed with the given
// keys, in place of whatever a ledger would do.
type forge struct {
	t    testing.TB
	dir  string
	src  *localSource
	st   *store
	keys *Keys
	root *dir
	c    commit
}

func newForge(t testing.TB, path string, keys *Keys) *forge {
	src, err := openLocal(path)
	require.NoError(t, err)
	f := &forge{t: t, dir: path, src: src, st: newStore(src), keys: keys}
	tip, err := src.tip(context.Background())
	require.NoError(t, err)
	old, err := f.st.commit(context.Background(), tip)
	require.NoError(t, err)
	f.root = dirAt(old.tree)
	f.c = commit{parent: tip, email: keys.Public().Principal(), when: old.when, message: cursorMessage}
	return f
}

func (f *forge) emit(kind plumbing.ObjectType, b []byte) plumbing.Hash {
	o := f.src.st.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	require.NoError(f.t, err)
	_, err = w.Write(b)
	require.NoError(f.t, err)
	h, err := f.src.st.SetEncodedObject(o)
	require.NoError(f.t, err)
	return h
}

func (f *forge) read(path string) []byte {
	h, err := f.root.blobAt(context.Background(), f.st, path)
	require.NoError(f.t, err)
	b, err := f.st.blob(context.Background(), h, maxBundleBytes)
	require.NoError(f.t, err, path)
	return bytes.Clone(b)
}

func (f *forge) write(path string, b []byte) {
	require.NoError(f.t, f.root.put(context.Background(), f.st, path, f.emit(plumbing.BlobObject, b)))
}

func (f *forge) flip(path string) {
	b := f.read(path)
	b[len(b)/2] ^= 1
	f.write(path, b)
}

// publish signs the commit and moves the branch to it.
func (f *forge) publish() plumbing.Hash {
	f.c.tree = f.root.encode(f.emit)
	g, err := NewGitSigner(f.keys.Entry, rand.New(rand.NewSource(2)))
	require.NoError(f.t, err)
	require.NoError(f.t, f.c.sign(g))
	return f.raw(f.c.encode())
}

func (f *forge) raw(commit []byte) plumbing.Hash {
	h := f.emit(plumbing.CommitObject, commit)
	require.NoError(f.t, f.src.st.SetReference(plumbing.NewHashReference(branchRef, h)))
	return h
}

func TestVerify_NamesTheFileThatALaterSignedCommitChanged(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 4)...)
	_, err := l.Append(context.Background(), Batch{Cursors: []Cursor{testCursor(3)}})
	require.NoError(t, err)
	good := filepath.Join(t.TempDir(), "good.git")
	run(t, "", "git", "clone", "-q", "--mirror", dir, good)

	for _, path := range []string{
		"README.md", "checkpoint", "tile/0/000.p/5", "tile/entries/000.p/5",
		"change-log/00/00/CL-0.json", "change-log/00/00/CL-0.md", "change-log/00/00/CL-0.sigstore.json",
		"change-log/00/00/CL-2.json", "change-log/00/00/CL-2.sigstore.json", "change-log/00/00/CL-2.md", "change-log/00/00/CL-2.patch",
		commitIndexPath(draft(1).Change.Commit), "index/tenant/acme/2026/11/23.md",
		"keys/conductor-2026-1.pub", "keys/log.vkey", "keys/log.pub", "keys/allowed_signers", "keys/trusted_root.json",
		"cursors/1234567.json",
	} {
		t.Run(strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.git")
			run(t, "", "git", "clone", "-q", "--mirror", good, bad)
			f := newForge(t, bad, keys)
			f.flip(path)
			c := f.publish()
			r := verify(t, bad, VerifyOptions{})
			require.False(t, r.Verified)
			assert.Equal(t, path, r.First.Path, r.Problem())
			if path != "change-log/00/00/CL-0.json" { // without it there are no keys to blame a commit with
				assert.Equal(t, c.String(), r.First.Commit, r.Problem())
			}
			if n, ok := entryOfPath(path); ok {
				assert.Equal(t, EntryName(n), r.First.Entry)
			}
		})
	}
}

func TestVerify_RefusesCommitsThatALedgerDoesNotMake(t *testing.T) {
	ctx := context.Background()
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 2)...)
	stranger, err := GenerateKeys("audit.example.com", epoch.Add(-time.Hour), rand.New(rand.NewSource(99)))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		make func(*forge)
		want string
	}{
		"signed by a stranger": {func(f *forge) { f.keys = stranger; f.write("cursors/1.json", nil); f.publish() }, "not in keys/allowed_signers"},
		"unsigned":             {func(f *forge) { f.c.tree = f.root.encode(f.emit); f.raw(f.c.encode()) }, "not signed"},
		"for another person":   {func(f *forge) { f.c.email = "mallory@example.com"; f.publish() }, "not in keys/allowed_signers"},
		"changed after signing": {func(f *forge) {
			f.publish()
			f.c.message = "Move cursors!\n"
			f.raw(f.c.encode())
		}, "does not verify"},
		"merge": {func(f *forge) {
			f.publish()
			b := bytes.Replace(f.c.encode(), []byte("\nauthor "), []byte("\nparent "+fakeSHA("x")+"\nauthor "), 1)
			f.raw(b)
		}, "2 parents"},
		"dated back":      {func(f *forge) { f.c.when = f.c.when.Add(-time.Hour); f.publish() }, "dated before its parent"},
		"before the key":  {func(f *forge) { f.c.when = time.Unix(0, 0).UTC(); f.publish() }, "before the key was valid"},
		"empty":           {func(f *forge) { f.publish() }, "moves none"},
		"another message": {func(f *forge) { f.c.message = "CL-3: hello\n"; f.publish() }, "missing"},
		"extra file": {func(f *forge) {
			f.write("evil.sh", []byte("x"))
			f.write("cursors/9.json", cursorBytes(t))
			f.publish()
		}, "changed another file"},
		"no cursor":            {func(f *forge) { f.write("cursors/9.json", []byte("{}")); f.publish() }, "cursors"},
		"cursor with bad name": {func(f *forge) { f.write("cursors/UP.json", cursorBytes(t)); f.publish() }, "not a cursor file"},
		"entry deleted":        {func(f *forge) { require.NoError(t, f.root.removeDir(ctx, f.st, "change-log/00/00")); f.publish() }, "CL-0"},
		"keys replaced": {func(f *forge) {
			files, err := stranger.Public().files()
			require.NoError(t, err)
			for p, b := range files {
				f.write(p, b)
			}
			f.publish()
		}, "keys/"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.git")
			run(t, "", "git", "clone", "-q", "--mirror", dir, bad)
			c.make(newForge(t, bad, keys))
			r := verify(t, bad, VerifyOptions{})
			require.False(t, r.Verified)
			assert.Contains(t, r.Problem(), c.want)
		})
	}
}

func cursorBytes(t testing.TB) []byte {
	f := &cursorFile{}
	c := testCursor(1)
	c.Repository.ID = "9"
	f.set(c)
	b, err := marshal(f)
	require.NoError(t, err)
	return b
}

func TestVerify_RollbackAndRewriteWithAllKeysNeedAnOldCheckpoint(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 2)...)
	older := l.Checkpoint()
	before := run(t, dir, "git", "rev-parse", "main")
	appendAll(t, l, drafts(2, 4)...)
	seen := l.Checkpoint()
	assert.True(t, verify(t, dir, VerifyOptions{Seen: older}).Verified)
	assert.True(t, verify(t, dir, VerifyOptions{Seen: seen}).Verified)

	run(t, dir, "git", "update-ref", "refs/heads/main", strings.TrimSpace(before))
	assert.True(t, verify(t, dir, VerifyOptions{}).Verified, "a rolled back ledger is sound in itself")
	r := verify(t, dir, VerifyOptions{Seen: seen})
	require.False(t, r.Verified)
	assert.Contains(t, r.Problem(), "rolled back")

	forged := filepath.Join(t.TempDir(), "forged.git")
	require.NoError(t, Init(context.Background(), forged, keys, InitOptions{Now: testOptions().Now}))
	m := openLedger(t, forged, keys)
	lie := draft(1)
	lie.Change.Merger = &Person{Login: "mallory"}
	appendAll(t, m, draft(0), lie, draft(2), draft(3))
	assert.True(t, verify(t, forged, VerifyOptions{}).Verified, "whoever has all keys can write a sound history")
	r = verify(t, forged, VerifyOptions{Seen: seen})
	require.False(t, r.Verified)
	assert.Contains(t, r.Problem(), "rewritten")

	_, err := Open(context.Background(), forged, keys, Options{Seen: seen})
	require.ErrorIs(t, err, ErrDiverged)
	_, err = Open(context.Background(), dir, keys, Options{Seen: seen})
	require.ErrorIs(t, err, ErrDiverged)
}

func TestVerify_RefusesOtherKeysThanTheTrusted(t *testing.T) {
	dir, _, _ := newLedger(t)
	other, err := GenerateKeys("audit.example.com", epoch, rand.New(rand.NewSource(7)))
	require.NoError(t, err)
	r := verify(t, dir, VerifyOptions{TrustedKeys: &TrustedKeys{EntryKey: []byte(other.Public().entryPEM())}})
	assert.Contains(t, r.Problem(), "entry key is not the trusted one")
	r = verify(t, dir, VerifyOptions{TrustedKeys: &TrustedKeys{LogKey: other.Public().vkey()}})
	assert.Contains(t, r.Problem(), "log key is not the trusted one")
}

func TestVerify_DamagedOrMissingObjectsAreNeverVerified(t *testing.T) {
	dir, keys, l := newLedger(t)
	appendAll(t, l, drafts(0, 2)...)
	for _, path := range []string{"change-log/00/00/CL-1.md", "change-log/00/00/CL-1.patch", "README.md", "tile/0/000.p/3", "keys/log.pub"} {
		for _, damage := range []string{"missing", "other bytes"} {
			t.Run(damage+" "+strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
				bad := filepath.Join(t.TempDir(), "bad.git")
				run(t, "", "cp", "-r", dir, bad)
				f := newForge(t, bad, keys)
				h, err := f.root.blobAt(context.Background(), f.st, path)
				require.NoError(t, err)
				file := filepath.Join(bad, "objects", h.String()[:2], h.String()[2:])
				require.NoError(t, os.Remove(file))
				if damage == "other bytes" {
					var buf bytes.Buffer
					w := zlib.NewWriter(&buf)
					_, err := w.Write([]byte("blob 4\x00evil"))
					require.NoError(t, err)
					require.NoError(t, w.Close())
					require.NoError(t, os.WriteFile(file, buf.Bytes(), 0o444))
				}
				r := verify(t, bad, VerifyOptions{})
				require.False(t, r.Verified)
				assert.Equal(t, path, r.First.Path, r.Problem())
			})
		}
	}
}

func TestVerify_ShallowCloneIsPartialAndSaysSo(t *testing.T) {
	dir, _, l := newLedger(t)
	appendAll(t, l, drafts(0, 3)...)
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, "", "git", "clone", "-q", "--depth", "1", "file://"+dir, shallow)
	r := verify(t, shallow, VerifyOptions{})
	require.False(t, r.Verified)
	assert.Contains(t, r.Problem(), "--unshallow")
}

func TestEntries_FiltersNewestFirst(t *testing.T) {
	ctx := context.Background()
	dir, _, l := newLedger(t)
	appendAll(t, l, drafts(0, 7)...)
	all, err := Entries(ctx, dir, Filter{})
	require.NoError(t, err)
	require.Len(t, all, 7)
	assert.Equal(t, "CL-7", all[0].Name())
	acme, err := Entries(ctx, dir, Filter{Tenant: "acme", Repository: "acme/shop", Limit: 2})
	require.NoError(t, err)
	require.Len(t, acme, 2)
	assert.Equal(t, "CL-4", acme[1].Name())
	late, err := Entries(ctx, dir, Filter{Since: epoch.Add(5 * time.Minute), Repository: "1234567"})
	require.NoError(t, err)
	assert.Len(t, late, 2)

	e, err := Show(ctx, dir, 3, nil)
	require.NoError(t, err)
	assert.Equal(t, draft(2).Change.Commit, e.Change.Commit)
	assert.Equal(t, draft(2).Patch, e.Patch)
	assert.Contains(t, e.Page, "Scale checkout to 2 replicas")
	assert.Len(t, e.Files, 4)
	e, err = Show(ctx, dir, 0, nil)
	require.NoError(t, err)
	assert.Equal(t, "init", e.Key.Event)
	_, err = Show(ctx, dir, 8, nil)
	require.ErrorIs(t, err, ErrNoEntry)
}
