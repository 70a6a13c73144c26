package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

// report is what conductor check --json prints, as a script reads it.
type report struct {
	Findings []struct {
		Rule, Severity, File, Message, Remedy string
		Line, Column                          int
	}
	Verdict string
}

func check(t *testing.T, dir string, code int, args ...string) (report, *os.ProcessState) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"check", dir, "--json"}, args...)...)
	out, err := cmd.Output()
	require.Equal(t, code, cmd.ProcessState.ExitCode(), "%v", err)
	var r report
	require.NoError(t, json.Unmarshal(out, &r))
	return r, cmd.ProcessState
}

// Real manifests that nobody here wrote: each untagged workload is found at the
// line where its label belongs, and valid YAML gives no other finding.
func TestCheck_ArgoExamples(t *testing.T) {
	examples := filepath.Join("..", "testdata", "argo-workflows-examples")
	copied := t.TempDir() // outside of this repository, which has a policy of its own tenants
	require.NoError(t, os.CopyFS(copied, os.DirFS(examples)))
	r, _ := check(t, copied, 1)
	var lines strings.Builder
	for _, f := range r.Findings {
		text, err := os.ReadFile(filepath.Join(copied, f.File))
		require.NoError(t, err)
		fmt.Fprintf(&lines, "%s:%d:%d %s: %s\n", f.File, f.Line, f.Column, f.Rule, strings.TrimSpace(strings.Split(string(text), "\n")[f.Line-1]))
	}
	golden := filepath.Join("testdata", "argo.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(lines.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), lines.String())
}

// Hostile trees: a clear finding for each file, in bounded time and memory.
func TestCheck_HostileTree(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
	bomb := head + "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 30; i++ {
		alias := fmt.Sprintf("*a%d,", i-1)
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(alias, 10), ","))
	}
	write("bomb.yaml", bomb)
	write("deep.yaml", head+"data: "+strings.Repeat("{a: ", 100)+"1"+strings.Repeat("}", 100)+"\n")
	write("deeper.yaml", head+"data: "+strings.Repeat("[", 200_000)+"\n")
	write("twice.yaml", "apiVersion: v1\nkind: ConfigMap\nkind: Pod\n")
	write("utf8.yaml", head+"data: {a: \"\xc3\x28\"}\n")
	write("large.yaml", head+strings.Repeat("# padding\n", 1<<20))
	write("nul.yaml", head+"data: \x00\n")
	write("keys.yaml", head+"data:\n"+strings.Repeat("  k: v\n", 50_000))
	write("documents.yaml", strings.Repeat("---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\n", 15_000))
	write("number.yaml", "apiVersion: conductor.dev/v1\nkind: Budget\nmetadata: {name: b}\nspec: {environment: dev, amount: \"1e1000000000\", currency: USD}\n")
	write("emoji-🚀.yaml", job("🚀", ""))
	write("\x1b[31mred.yaml", job("red", ""))
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "root")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "passwd.yaml")))

	r, state := check(t, dir, 1)
	rules := map[string]map[string]bool{}
	for _, f := range r.Findings {
		if rules[f.File] == nil {
			rules[f.File] = map[string]bool{}
		}
		rules[f.File][f.Rule] = true
		assert.NotContains(t, f.Message, "\x1b")
		assert.NotEmpty(t, f.Remedy, f.Rule)
	}
	for file, rule := range map[string]string{
		"bomb.yaml": "yaml/alias-bomb", "deep.yaml": "yaml/too-deep", "twice.yaml": "yaml/duplicate-key", "utf8.yaml": "yaml/syntax",
		"large.yaml": "file/too-large", "nul.yaml": "yaml/syntax", "keys.yaml": "yaml/duplicate-key", "documents.yaml": "tenant/missing",
		"number.yaml": "schema/invalid-value", "emoji-🚀.yaml": "tenant/missing", "passwd.yaml": "file/symlink",
	} {
		assert.True(t, rules[file][rule], "%s: %v, want %s", file, rules[file], rule)
	}
	assert.NotEmpty(t, rules["deeper.yaml"])
	peak := state.SysUsage().(*syscall.Rusage).Maxrss / 1024
	assert.Less(t, peak, int64(500), "MB of resident memory at the peak")

	text, err := exec.Command(binary, "check", dir).Output()
	require.Error(t, err)
	assert.NotContains(t, string(text), "\x1b", "a file's name must not reach the terminal's control")
}

// The demo is the story that newcomers see; as JSON it is what a script reads.
func TestDemo_TellsItsStoryAsJSON(t *testing.T) {
	out, err := exec.Command(binary, "demo", "--once", "--json", "--dir", filepath.Join(t.TempDir(), "kept")).Output()
	require.NoError(t, err, string(out))
	var summary struct {
		PullRequest struct {
			Number     int
			Checks     []struct{ Name, Conclusion string }
			CommentURL string `json:"comment_url"`
		} `json:"pull_request"`
		Ledger struct {
			Entry       string
			Verified    bool
			GitVerified *bool `json:"git_verified"`
			Path        string
		}
		ElapsedMS int64 `json:"elapsed_ms"`
	}
	require.NoError(t, json.Unmarshal(out, &summary))
	assert.Equal(t, 1, summary.PullRequest.Number)
	assert.NotEmpty(t, summary.PullRequest.CommentURL)
	for _, c := range summary.PullRequest.Checks {
		assert.Equal(t, "success", c.Conclusion, c.Name)
	}
	assert.Equal(t, "CL-1", summary.Ledger.Entry)
	assert.True(t, summary.Ledger.Verified)
	if _, err := exec.LookPath("ssh-keygen"); err == nil {
		require.NotNil(t, summary.Ledger.GitVerified)
		assert.True(t, *summary.Ledger.GitVerified)
	}
	assert.Positive(t, summary.ElapsedMS)
	assert.DirExists(t, summary.Ledger.Path, "--dir keeps the repositories")
}
