package ledger

import (
	"context"
	"crypto/sha1" //nolint:gosec // made-up commit names
	"encoding/hex"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clock is the tests' time: it starts here and moves a second a call.
var epoch = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func testKeys(t testing.TB, origin string) *Keys {
	t.Helper()
	k, err := GenerateKeys(origin, epoch.Add(-time.Hour), rand.New(rand.NewSource(1)))
	require.NoError(t, err)
	return k
}

func testOptions() Options {
	return Options{Now: func() time.Time { return epoch }}
}

// newLedger makes a local ledger and opens it.
func newLedger(t testing.TB) (string, *Keys, *Log) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit.git")
	keys := testKeys(t, "audit.example.com")
	require.NoError(t, Init(context.Background(), dir, keys, InitOptions{Now: testOptions().Now}))
	return dir, keys, openLedger(t, dir, keys)
}

func openLedger(t testing.TB, dir string, keys *Keys) *Log {
	t.Helper()
	l, err := Open(context.Background(), dir, keys, testOptions())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func fakeSHA(label string) string {
	sum := sha1.Sum([]byte(label)) //nolint:gosec // a made-up commit name
	return hex.EncodeToString(sum[:])
}

// draft is the i-th of a series of plausible changes.
func draft(i int) Draft {
	sha := fakeSHA(fmt.Sprint("commit ", i))
	head := fakeSHA(fmt.Sprint("head ", i))
	tenant := []string{"acme", "globex", "initech"}[i%3]
	return Draft{
		Patch: fmt.Appendf(nil, "diff --git a/%[1]d.yaml b/%[1]d.yaml\n--- a/%[1]d.yaml\n+++ b/%[1]d.yaml\n@@ -1 +1 @@\n-replicas: 1\n+replicas: %[1]d\n", i),
		Change: Change{
			Repository: Repository{ID: "1234567", Name: "acme/shop", URL: "https://github.com/acme/shop"},
			Branch:     "main", Commit: sha, Previous: fakeSHA(fmt.Sprint("commit ", i-1)), Head: head,
			Subject: fmt.Sprintf("Scale checkout to %d replicas", i), Method: MethodMerge,
			PullRequest: &PullRequest{Number: i + 1, URL: fmt.Sprintf("https://github.com/acme/shop/pull/%d", i+1), Title: "Scale checkout", Author: Person{Login: "ada", ID: 7}},
			Author:      Person{Name: "Ada", Email: "ada@example.com"}, Committer: Person{Name: "GitHub", Email: "noreply@github.com"},
			Merger: &Person{Login: "grace", ID: 8},
			Reviews: []Review{
				{Reviewer: Person{Login: "grace", ID: 8}, State: "APPROVED", Commit: head, SubmittedAt: epoch, ApprovedFinalHead: true},
				{Reviewer: Person{Login: "alan", ID: 9}, State: "APPROVED", Commit: sha, SubmittedAt: epoch},
			},
			Checks:   []CheckResult{{"conductor/tenants", "success"}, {"conductor/budget", "failure"}},
			Tenants:  []string{tenant},
			Semantic: []SemanticChange{{Kind: "modified", Resource: "Deployment/checkout", Tenant: tenant, Environment: "prod", File: "k8s/checkout.yaml", Details: []string{"replicas: 1 -> " + fmt.Sprint(i)}}},
			Cost:     []CostDelta{{Environment: "prod", Currency: "USD", Before: "100.00", After: "250.50", LowerBound: true}},
			Class:    Class{Value: "adaptive", DecidedBy: "policy"}, PolicyDigest: fmt.Sprintf("%064d", i),
			MergedAt: epoch.Add(time.Duration(i) * time.Minute),
		},
	}
}

func drafts(from, to int) []Draft {
	var out []Draft
	for i := from; i < to; i++ {
		out = append(out, draft(i))
	}
	return out
}

func appendAll(t testing.TB, l *Log, ds ...Draft) []Receipt {
	t.Helper()
	rs, err := l.Append(context.Background(), Batch{Drafts: ds})
	require.NoError(t, err)
	require.Len(t, rs, len(ds))
	return rs
}

// run runs a program in dir, away from this machine's git configuration.
func run(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(dir, name, args...)
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return out
}

func tryRun(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func needProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}

// clone gives a work tree of a ledger.
func clone(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "clone")
	run(t, "", "git", "clone", "-q", dir, to)
	return to
}
