package manifests_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

// argoFiles are manifests that nobody here wrote; see testdata/argo/NOTICE.
func argoFiles(tb testing.TB) map[string][]byte {
	tb.Helper()
	dir := "testdata/argo"
	if d := os.Getenv("ARGO_EXAMPLES"); d != "" {
		dir = d
	}
	paths, err := filepath.Glob(dir + "/*.yaml")
	require.NoError(tb, err)
	require.NotEmpty(tb, paths)
	files := map[string][]byte{}
	for _, p := range paths {
		files[filepath.Base(p)], err = os.ReadFile(p)
		require.NoError(tb, err)
	}
	return files
}

func TestCheck_FindsEachUntaggedArgoWorkflowAtItsLabelsOrMetadata(t *testing.T) {
	for name, data := range argoFiles(t) {
		v := manifests.Check(manifests.NewSnapshot([]*manifests.File{manifests.Parse(name, data)}), manifests.Options{Now: now})
		want := 0
		lines := strings.Split(string(data), "\n")
		for _, line := range lines {
			if strings.HasPrefix(line, "kind: ") && strings.Contains(line, "Workflow") {
				want++
			}
		}
		found := v.Findings
		if name == "k8s-patch-json-workflow.yaml" { // has a duplicate key indeed
			require.Len(t, found, 2)
			assert.Equal(t, "yaml/duplicate-key", found[1].Rule)
			assert.Equal(t, 13, found[1].Line)
			found = found[:1]
		}
		assert.Len(t, found, want, name)
		for _, f := range found {
			assert.Equal(t, "tenant/missing", f.Rule, name)
			line := strings.TrimSpace(lines[f.Line-1])
			assert.Contains(t, []string{"labels:", "metadata:"}, line, f.Place())
		}
	}
}

// repeated is n files made of the examples, each with a path of its own.
func repeated(tb testing.TB, n int) (paths []string, data [][]byte) {
	examples := argoFiles(tb)
	names := slices.Sorted(maps.Keys(examples))
	for i := range n {
		name := names[i%len(names)]
		paths = append(paths, fmt.Sprintf("team-%03d/%05d-%s", i/100, i, name))
		data = append(data, examples[name])
	}
	return paths, data
}

func parseAll(paths []string, data [][]byte) *manifests.Snapshot {
	files := make([]*manifests.File, len(paths))
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(paths); i += workers {
				files[i] = manifests.Parse(paths[i], data[i])
			}
		})
	}
	wg.Wait()
	return manifests.NewSnapshot(files)
}

func BenchmarkParseAndCheck(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			paths, data := repeated(b, n)
			size := 0
			for _, d := range data {
				size += len(d)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				v := manifests.Check(parseAll(paths, data), manifests.Options{Now: now})
				if v.Files != n {
					b.Fatal(v.Files)
				}
			}
		})
	}
}

// BenchmarkJudge is a pull request of 5 files; all others are shared with base.
func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			paths, data := repeated(b, n)
			base := parseAll(paths, data)
			manifests.Check(base, manifests.Options{Now: now})
			files := base.Files()
			for i := range 5 {
				at := i * n / 5
				files[at] = manifests.Parse(paths[at], bytes.ReplaceAll(data[at], []byte("image: "), []byte("image: mirror/")))
			}
			b.ReportAllocs()
			for b.Loop() {
				head := manifests.NewSnapshot(files)
				if v := manifests.Judge(base, head, manifests.Options{Now: now}); v.Files != n {
					b.Fatal(v.Files)
				}
			}
		})
	}
}
