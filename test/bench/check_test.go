package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// files is how many manifests the benchmark checks: Argo's examples, repeated.
const files = 10_000

// rego is conftest's equivalent of tenant/missing: each workload carries the label.
const rego = `package main

import rego.v1

kinds := {"Workflow", "CronWorkflow", "WorkflowTemplate", "ClusterWorkflowTemplate"}

deny contains msg if {
	kinds[input.kind]
	not input.metadata.labels["conductor.dev/tenant-id"]
	msg := sprintf("%s: no tenant", [input.kind])
}
`

// BenchmarkCheck compares conductor check with conftest on the same files and the
// same rule, as processes. Metrics: seconds, and peak resident memory in MB.
func BenchmarkCheck(b *testing.B) {
	dir := tree(b)
	binary := filepath.Join(b.TempDir(), "conductor")
	out, err := exec.Command("go", "build", "-o", binary, "../../cmd/conductor").CombinedOutput()
	require.NoError(b, err, string(out))

	var ours, theirs time.Duration
	b.Run("conductor", func(b *testing.B) {
		ours = measure(b, func() *exec.Cmd { return exec.Command(binary, "check", dir, "--format", "json") })
	})
	conftest := os.Getenv("CONFTEST")
	if conftest == "" {
		b.Log("conftest isn't measured: set CONFTEST to its binary, or run make bench")
		return
	}
	policy := filepath.Join(b.TempDir(), "policy")
	require.NoError(b, os.MkdirAll(policy, 0o755))
	require.NoError(b, os.WriteFile(filepath.Join(policy, "tenant.rego"), []byte(rego), 0o644))
	b.Run("conftest", func(b *testing.B) {
		theirs = measure(b, func() *exec.Cmd {
			return exec.Command(conftest, "test", "--policy", policy, "--output", "json", "--no-color", dir)
		})
		b.ReportMetric(float64(theirs)/float64(ours), "x-slower")
	})
}

// measure runs a command b.N times. It exits with 1, because it finds what there
// is to find; anything else is a failure.
func measure(b *testing.B, command func() *exec.Cmd) time.Duration {
	b.ReportAllocs()
	var peak int64
	start := time.Now()
	runs := 0
	for b.Loop() {
		cmd := command()
		_ = cmd.Run()
		require.Equal(b, 1, cmd.ProcessState.ExitCode(), cmd.Args)
		peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		runs++
	}
	mean := time.Since(start) / time.Duration(runs)
	b.ReportMetric(float64(peak)/1024, "peak-MB")
	b.ReportMetric(mean.Seconds(), "s/run")
	return mean
}

// tree lays out the examples, repeated, in folders of a hundred.
func tree(b *testing.B) string {
	b.Helper()
	examples, err := filepath.Glob(filepath.Join("..", "testdata", "argo-workflows-examples", "*.yaml"))
	require.NoError(b, err)
	require.NotEmpty(b, examples)
	dir := b.TempDir()
	for i := range files {
		data, err := os.ReadFile(examples[i%len(examples)])
		require.NoError(b, err)
		folder := filepath.Join(dir, fmt.Sprintf("%02d", i/100))
		require.NoError(b, os.MkdirAll(folder, 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%05d.yaml", i)), data, 0o644))
	}
	return dir
}
