package ledger

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/stretchr/testify/require"
)

// filled makes a ledger of n entries.
func filled(b testing.TB, n int) (string, *Keys, *Log) {
	dir, keys, l := newLedger(b)
	for at := 0; at < n; at += 500 {
		appendAll(b, l, drafts(at, min(at+500, n))...)
	}
	return dir, keys, l
}

var benchSizes = []int{100, 1_000, 10_000}

// BenchmarkBuild is the CPU of an entry, without its push, as the ledger grows.
func BenchmarkBuild(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			_, _, l := filled(b, size)
			b.ReportAllocs()
			i := size
			for b.Loop() {
				d, err := described(draft(i))
				require.NoError(b, err)
				p, err := l.plan(context.Background(), []*request{{batch: Batch{Drafts: []Draft{d}}}})
				require.NoError(b, err)
				_, err = p.pack.encode()
				require.NoError(b, err)
				i++
			}
		})
	}
}

// BenchmarkAppend is one entry pushed to a local repository, beside go-git's own
// Add, Commit and Push in a work tree of the same ledger.
func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			_, _, l := filled(b, size)
			b.ReportAllocs()
			i := size
			for b.Loop() {
				appendAll(b, l, draft(i))
				i++
			}
		})
	}
}

func BenchmarkPorcelain(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			dir, _, _ := filled(b, size)
			work := clone(b, dir)
			repo, err := git.PlainOpen(work)
			require.NoError(b, err)
			tree, err := repo.Worktree()
			require.NoError(b, err)
			i := 0
			for b.Loop() {
				name := fmt.Sprintf("change-log/99/99/CL-%d.json", i)
				require.NoError(b, os.MkdirAll(filepath.Join(work, "change-log/99/99"), 0o755))
				require.NoError(b, os.WriteFile(filepath.Join(work, name), []byte(name), 0o644))
				_, err := tree.Add(name)
				require.NoError(b, err)
				_, err = tree.Commit(name, &git.CommitOptions{Author: &object.Signature{Name: "x", Email: "x", When: time.Now()}})
				require.NoError(b, err)
				require.NoError(b, repo.Push(&git.PushOptions{}))
				i++
			}
		})
	}
}

// BenchmarkVerify is the whole verification, beside git's check of the commits'
// signatures alone.
func BenchmarkVerify(b *testing.B) {
	const size = 1_000
	dir, _, _ := filled(b, size)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			requireVerified(b, dir)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(size+1), "µs/entry")
	})
	b.Run("git-log-signatures", func(b *testing.B) {
		needProgram(b, "ssh-keygen")
		work := clone(b, dir)
		for b.Loop() {
			cmd := exec.Command("git", "-c", "gpg.ssh.allowedSignersFile=keys/allowed_signers", "log", "--format=%G?")
			cmd.Dir = work
			require.NoError(b, cmd.Run())
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/(size+1), "µs/entry")
	})
}
