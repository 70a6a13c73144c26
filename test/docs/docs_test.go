// Package docs runs the shell blocks of the READMEs, so that every command in
// them works.
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// The README's blocks run one after the other, in a copy of the repository, as
// somebody who follows it would run them.
func TestREADME_CommandsWork(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "conductor")
	run(t, ".", nil, "git", "clone", "-q", filepath.Join("..", ".."), copied)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	blocks := shellBlock.FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)

	var script strings.Builder
	for _, b := range blocks {
		if strings.TrimSpace(b[1]) == "make test" {
			continue // it is what runs this test
		}
		script.WriteString(b[1])
	}
	// The demo ends after its story instead of waiting for Ctrl-C.
	env := []string{"ARGS=--once"}
	out := run(t, copied, env, "bash", "-euo", "pipefail", "-c", script.String())
	require.Contains(t, out, "good signatures")
}

// Links from one document to another lead somewhere.
func TestLinks_LeadSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	documents, err := filepath.Glob(filepath.Join(root, "*", "README.md"))
	require.NoError(t, err)
	deeper, err := filepath.Glob(filepath.Join(root, "*", "*", "README.md"))
	require.NoError(t, err)
	for _, document := range append(append(documents, deeper...), filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(document), m[1]))
			require.NoError(t, err, "%s links to %s", document, m[1])
		}
	}
}

func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}
