package ledger

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGit_AcceptsEveryCommitOfALedger(t *testing.T) {
	needProgram(t, "ssh-keygen")
	dir, _, l := newLedger(t)
	appendAll(t, l, drafts(0, 3)...)
	appendAll(t, l, draft(3))
	work := clone(t, dir)
	assert.Empty(t, strings.TrimSpace(run(t, work, "git", "fsck", "--strict")))
	log := strings.Fields(run(t, work, "git", "log", "--format=%H"))
	require.Len(t, log, 5)
	for _, c := range log {
		run(t, work, "git", "-c", "gpg.ssh.allowedSignersFile=keys/allowed_signers", "verify-commit", c)
	}
}

// shellBlocks are the ```sh blocks of a Markdown file.
var shellBlocks = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

var needs = regexp.MustCompile(`(?m)^# needs: (.+)$`)

// runBlocks runs a document's shell blocks in dir; a block that names a program
// that isn't there is skipped, visibly.
func runBlocks(t *testing.T, dir string, doc []byte) {
	t.Helper()
	blocks := shellBlocks.FindAllSubmatch(doc, -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		script := string(b[1])
		t.Run(strings.SplitN(script, "\n", 2)[0], func(t *testing.T) {
			for _, m := range needs.FindAllStringSubmatch(script, -1) {
				for _, program := range strings.Fields(m[1]) {
					needProgram(t, program)
				}
			}
			out := run(t, dir, "sh", "-euc", script)
			t.Log(out)
			assert.NotContains(t, out, "No signature")
		})
	}
}

func TestReadme_CommandsWorkAsWritten(t *testing.T) {
	needProgram(t, "ssh-keygen")
	needProgram(t, "openssl")
	dir, _, l := newLedger(t)
	appendAll(t, l, drafts(0, 3)...)
	work := clone(t, dir)
	doc, err := os.ReadFile(filepath.Join(work, "README.md"))
	require.NoError(t, err)
	runBlocks(t, work, doc)
	assert.Empty(t, run(t, work, "git", "status", "--short"), "the commands leave files behind")
}

func TestGuide_CommandsWorkAsWritten(t *testing.T) {
	needProgram(t, "ssh-keygen")
	needProgram(t, "openssl")
	dir, _, l := newLedger(t)
	appendAll(t, l, drafts(0, 3)...)
	doc, err := os.ReadFile("README.md")
	require.NoError(t, err)
	work := clone(t, dir)
	runBlocks(t, work, doc)
	assert.Empty(t, run(t, work, "git", "status", "--short"))
}
