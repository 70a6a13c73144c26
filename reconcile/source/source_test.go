package source

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

// origin is a repository on disk that tests commit to with real git.
type origin struct {
	t   testing.TB
	dir string
}

func newOrigin(t testing.TB) *origin {
	o := &origin{t, t.TempDir()}
	o.git("init", "-q", "-b", "main")
	o.git("config", "uploadpack.allowAnySHA1InWant", "true")
	return o
}

func (o *origin) git(args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", o.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+o.dir,
		"GIT_AUTHOR_NAME=Dana", "GIT_AUTHOR_EMAIL=dana@example.com", "GIT_COMMITTER_NAME=Dana", "GIT_COMMITTER_EMAIL=dana@example.com")
	out, err := cmd.CombinedOutput()
	require.NoError(o.t, err, "git %v\n%s", args, out)
	return strings.TrimSpace(string(out))
}

// commit writes files ("" deletes) and commits them.
func (o *origin) commit(message string, files map[string]string) CommitSHA {
	o.t.Helper()
	for name, content := range files {
		path := filepath.Join(o.dir, name)
		if content == "" {
			require.NoError(o.t, os.Remove(path))
			continue
		}
		require.NoError(o.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(o.t, os.WriteFile(path, []byte(content), 0o644))
	}
	o.git("add", "-A")
	o.git("commit", "-q", "--allow-empty", "-m", message)
	return CommitSHA(o.git("rev-parse", "HEAD"))
}

func (o *origin) mirror() *Mirror {
	o.t.Helper()
	m, err := NewMirrors(o.t.TempDir()).Open(Remote{ID: "1", URL: o.dir})
	require.NoError(o.t, err)
	o.t.Cleanup(m.Close)
	return m
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func ctx() context.Context { return context.Background() }

func TestFetch_FollowsAForcePushAndNamesAMissingRef(t *testing.T) {
	o := newOrigin(t)
	first := o.commit("first", map[string]string{"a.yaml": configMap})
	second := o.commit("second", map[string]string{"b.yaml": configMap})
	m := o.mirror()
	refs, err := m.Fetch(ctx(), "refs/heads/main")
	require.NoError(t, err)
	assert.Equal(t, second, refs["refs/heads/main"])

	o.git("reset", "-q", "--hard", string(first))
	refs, err = m.Fetch(ctx(), "refs/heads/main")
	require.NoError(t, err)
	assert.Equal(t, first, refs["refs/heads/main"])

	_, err = m.Fetch(ctx(), "refs/heads/none")
	assert.ErrorIs(t, err, ErrGone)
	_, err = m.Fetch(ctx(), "refs/heads/../x y")
	assert.Error(t, err)
}

func TestFetchCommit_BringsACommitThatNoRefPointsAt(t *testing.T) {
	o := newOrigin(t)
	o.commit("first", nil)
	lost := o.commit("lost", map[string]string{"a.yaml": configMap})
	o.git("reset", "-q", "--hard", "HEAD~1")
	m := o.mirror()
	_, err := m.Fetch(ctx(), "refs/heads/main")
	require.NoError(t, err)
	assert.False(t, m.Has(lost))
	require.NoError(t, m.FetchCommit(ctx(), lost))
	assert.True(t, m.Has(lost))
}

func TestMirrors_RefuseAnIdThatIsAPath(t *testing.T) {
	for _, id := range []string{"", "../x", "a/b", "A", "-x", strings.Repeat("a", 65)} {
		_, err := NewMirrors(t.TempDir()).Open(Remote{ID: id, URL: "x"})
		assert.Error(t, err, "id %q", id)
	}
}

func TestFirstParents_LeavesOutWhatAMergeBrought(t *testing.T) {
	o := newOrigin(t)
	root := o.commit("root", nil)
	o.git("checkout", "-q", "-b", "side")
	o.commit("side", map[string]string{"s.yaml": configMap})
	o.git("checkout", "-q", "main")
	mine := o.commit("mine", map[string]string{"m.yaml": configMap})
	o.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	tip := CommitSHA(o.git("rev-parse", "HEAD"))
	m := fetched(t, o)

	walk, err := m.FirstParents(ctx(), "", tip)
	require.NoError(t, err)
	assert.Equal(t, []CommitSHA{root, mine, tip}, shas(walk.Commits))
	walk, err = m.FirstParents(ctx(), mine, tip)
	require.NoError(t, err)
	assert.Equal(t, []CommitSHA{tip}, shas(walk.Commits))
	walk, err = m.FirstParents(ctx(), tip, tip)
	require.NoError(t, err)
	assert.Empty(t, walk.Commits)
	assert.False(t, walk.Rewritten)
}

func TestFirstParents_TellsARewriteAndWhatItDropped(t *testing.T) {
	o := newOrigin(t)
	fork := o.commit("fork", nil)
	one := o.commit("one", map[string]string{"1.yaml": configMap})
	two := o.commit("two", map[string]string{"2.yaml": configMap})
	m := fetched(t, o)
	o.git("reset", "-q", "--hard", string(fork))
	instead := o.commit("instead", map[string]string{"3.yaml": configMap})
	_, err := m.Fetch(ctx(), "refs/heads/main")
	require.NoError(t, err)

	walk, err := m.FirstParents(ctx(), two, instead)
	require.NoError(t, err)
	assert.True(t, walk.Rewritten)
	assert.Equal(t, fork, walk.Fork)
	assert.Equal(t, []CommitSHA{one, two}, walk.Dropped)
	assert.Equal(t, []CommitSHA{instead}, shas(walk.Commits))

	// Back to an earlier commit of the same line: nothing new, two dropped.
	walk, err = m.FirstParents(ctx(), two, fork)
	require.NoError(t, err)
	assert.True(t, walk.Rewritten)
	assert.Equal(t, []CommitSHA{one, two}, walk.Dropped)
	assert.Empty(t, walk.Commits)

	// The old line is unknown: all of the new one counts.
	walk, err = m.FirstParents(ctx(), CommitSHA(strings.Repeat("1", 40)), instead)
	require.NoError(t, err)
	assert.True(t, walk.Rewritten)
	assert.Equal(t, []CommitSHA{fork, instead}, shas(walk.Commits))
}

func TestSnapshot_SharesUnchangedFilesAndRefusesLinks(t *testing.T) {
	o := newOrigin(t)
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(o.dir, "link.yaml")))
	first := o.commit("first", map[string]string{
		"a.yaml": configMap, "deep/er/b.yml": configMap, "c.txt": "not one", "large.yaml": "# " + strings.Repeat("x", manifests.MaxFileBytes),
	})
	second := o.commit("second", map[string]string{"a.yaml": configMap + "# changed\n"})
	m := fetched(t, o)
	before, err := m.files(ctx(), first)
	require.NoError(t, err)
	after, err := m.files(ctx(), second)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"a.yaml", "deep/er/b.yml", "large.yaml", "link.yaml"}, paths(before))
	was, is := byPath(before), byPath(after)
	assert.NotSame(t, was["a.yaml"], is["a.yaml"])
	assert.Same(t, was["deep/er/b.yml"], is["deep/er/b.yml"])

	snapshot, err := m.Snapshot(ctx(), first)
	require.NoError(t, err)
	rules := map[string]string{}
	for _, f := range manifests.Check(snapshot, manifests.Options{}).Findings {
		rules[f.File] = f.Rule
	}
	assert.Equal(t, map[string]string{"link.yaml": "file/symlink", "large.yaml": "file/too-large"}, rules)
}

func TestChanged_IsWhatTheBranchDidSinceItsMergeBase(t *testing.T) {
	o := newOrigin(t)
	start := o.commit("start", map[string]string{"a.yaml": configMap, "gone.yaml": configMap, "x.txt": "1"})
	o.git("checkout", "-q", "-b", "feature")
	head := o.commit("feature", map[string]string{"new.yaml": configMap, "gone.yaml": "", "x.txt": "2"})
	o.git("checkout", "-q", "main")
	base := o.commit("meanwhile", map[string]string{"meanwhile.yaml": configMap})
	m := fetched(t, o, "refs/heads/feature")

	found, err := m.MergeBase(base, head)
	require.NoError(t, err)
	assert.Equal(t, start, found)
	changed, err := m.Changed(ctx(), found, head)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"new.yaml": true, "gone.yaml": true}, changed)
}

func TestWorkTree_TellsWhatDiffersCommittedOrNot(t *testing.T) {
	o := newOrigin(t)
	base := o.commit("base", map[string]string{"same.yaml": configMap, "edit.yaml": configMap, "gone.yaml": configMap, ".gitignore": "ignored/\n"})
	for name, content := range map[string]string{"edit.yaml": configMap + "#\n", "new.yaml": configMap, "ignored/x.yaml": configMap} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(o.dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(o.dir, name), []byte(content), 0o644))
	}
	require.NoError(t, os.Remove(filepath.Join(o.dir, "gone.yaml")))
	m, err := OpenLocal(o.dir)
	require.NoError(t, err)
	after, changed, err := m.WorkTree(ctx(), o.dir, base)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"edit.yaml": true, "new.yaml": true, "gone.yaml": true}, changed)
	assert.Equal(t, 3, after.Len())
}

func TestPatch_WithholdsWhatItIsToldTo(t *testing.T) {
	o := newOrigin(t)
	base := o.commit("base", map[string]string{"a.yaml": "a: 1\n", "secret.yaml": "s: hunter1\n", "x.txt": "1\n"})
	head := o.commit("head", map[string]string{"a.yaml": "a: 2\n", "secret.yaml": "s: hunter2\n", "x.txt": "2\n"})
	m := fetched(t, o)
	patch, err := m.Patch(ctx(), base, head, func(p string) bool { return p == "secret.yaml" })
	require.NoError(t, err)
	assert.Equal(t, 2, patch.Files)
	assert.Equal(t, 1, patch.Additions)
	assert.Equal(t, 1, patch.Deletions)
	assert.Equal(t, []string{"secret.yaml"}, patch.Withheld)
	assert.Contains(t, string(patch.Text), "-a: 1\n+a: 2\n")
	assert.NotContains(t, string(patch.Text), "hunter")
	assert.NotContains(t, string(patch.Text), "x.txt")
}

func fetched(t testing.TB, o *origin, more ...string) *Mirror {
	t.Helper()
	m := o.mirror()
	_, err := m.Fetch(ctx(), append([]string{"refs/heads/main"}, more...)...)
	require.NoError(t, err)
	return m
}

func shas(commits []Commit) []CommitSHA {
	list := make([]CommitSHA, len(commits))
	for i, c := range commits {
		list[i] = c.SHA
	}
	return list
}

func paths(files []*manifests.File) []string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Path()
	}
	return list
}

func byPath(files []*manifests.File) map[string]*manifests.File {
	m := map[string]*manifests.File{}
	for _, f := range files {
		m[f.Path()] = f
	}
	return m
}
