package render

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file in testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests with -update to write it")
	assert.Equal(t, string(want), got)
}

func usd(s string) manifests.Money {
	return manifests.Money{Amount: decimal.RequireFromString(s), Currency: "USD"}
}

func ptr[T any](v T) *T { return &v }

// failing is a pull request with problems of both checks, a warning, older
// problems, and a cost that moves.
func failing() reconcile.Report {
	return report(manifests.Verdict{Compared: true,
		Findings: []manifests.Finding{
			{Rule: "tenant/missing", Severity: manifests.SeverityError, File: "apps/search/reindex.yaml", Line: 4, Column: 3,
				Message: `Workflow search/reindex has no label conductor.dev/tenant-id`,
				Remedy:  `add the label conductor.dev/tenant-id with the name of a Tenant, e.g. "search"`, Resource: "Workflow search/reindex"},
			{Rule: "budget/exceeded", Severity: manifests.SeverityError, File: "budgets/prod.yaml", Line: 7, Column: 11, EndLine: 9, Budget: true,
				Message: "prod would cost $12,412.83 a month, $412.83 over its budget of $12,000.00",
				Remedy:  "lower requests or replicas, or have the budget raised first"},
			{Rule: "cost/no-requests", Severity: manifests.SeverityWarning, File: "apps/search/deploy.yaml", Line: 21, Column: 9, Budget: true,
				Message: "container web requests no memory, so 128Mi is assumed", Remedy: "set resources.requests.memory"},
			{Rule: "tenant/unknown", Severity: manifests.SeverityNotice, File: "legacy/cron.yaml", Line: 3, Column: 5, Existing: true,
				Message: `tenant "old-team" isn't known`, Remedy: "add a Tenant or correct the label"},
		},
		Changes: []manifests.Change{
			{Kind: manifests.Modified, Resource: "Deployment search/api", File: "apps/search/deploy.yaml", Line: 1, Tenant: "search",
				Environment: "prod", Details: []string{"replicas 3 -> 6", "memory 2Gi -> 4Gi"}},
			{Kind: manifests.Added, Resource: "Workflow search/reindex", File: "apps/search/reindex.yaml", Line: 1, Tenant: manifests.Untagged, Environment: "dev"},
			{Kind: manifests.Modified, Resource: "Budget prod", File: "budgets/prod.yaml", Line: 1, Environment: "prod", Tenant: "platform",
				Details: []string{"amount $12,000.00 -> $14,000.00"}, Policy: true},
			{Kind: manifests.Opaque, Resource: "apps/broken.yaml", File: "apps/broken.yaml", Line: 1, Tenant: manifests.Untagged},
		},
		Cost: manifests.CostReport{
			Currency: "USD", Rates: "RateCard default",
			Environments: []manifests.EnvironmentCost{
				{Environment: "dev", Base: usd("120"), Head: usd("120"), Delta: usd("0"), Budget: ptr(usd("4000")), Headroom: ptr(usd("3880")), Check: manifests.Success},
				{Environment: "prod", Base: usd("12200"), Head: usd("12412.83"), Delta: usd("212.83"), LowerBound: true, Budget: ptr(usd("12000")),
					Headroom: ptr(usd("-412.83")), Check: manifests.Failure, Tenants: []manifests.TenantCost{
						{Tenant: "checkout", Base: usd("6000"), Head: usd("5962.74"), Delta: usd("-37.26")},
						{Tenant: "platform", Base: usd("4000"), Head: usd("4000"), Delta: usd("0")},
						{Tenant: "search", Base: usd("2200"), Head: usd("2450.09"), Delta: usd("250.09")},
					}},
				{Environment: "stage", Base: usd("700"), Head: usd("700"), Delta: usd("0"), Check: manifests.Neutral},
			},
			Unpriced: []manifests.Unpriced{
				{Resource: "DaemonSet ops/agent", File: "ops/agent.yaml", Line: 1, Environment: "prod", Reason: "the number of nodes isn't known"},
				{Resource: "Deployment ml/gpu", File: "ml/gpu.yaml", Line: 12, Environment: "prod", Reason: "nvidia.com/mig-1g has no rate", New: true},
			},
			Assumptions: []string{"a CronWorkflow's run takes 10 minutes where history says nothing"},
		},
		Tenants:        manifests.CheckResult{Conclusion: manifests.Failure, Title: "1 problem in 1 file"},
		Budget:         manifests.CheckResult{Conclusion: manifests.Failure, Title: "prod is $412.83 over its budget"},
		TouchedTenants: []manifests.TenantID{"platform", "search", manifests.Untagged},
		PolicyDigest:   "4f9d9c04b8a2e8e4c3f7b1b5a6f0d2c1e3a4b5c6d7e8f90123456789abcdef01", Files: 14,
	})
}

// clean pull request that concerns a tenant.
func passing() reconcile.Report {
	return report(manifests.Verdict{Compared: true,
		Changes: []manifests.Change{{Kind: manifests.Modified, Resource: "Deployment search/api", File: "apps/search/deploy.yaml", Line: 1,
			Tenant: "search", Environment: "prod", Details: []string{"image search:1.4 -> search:1.5"}}},
		Cost: manifests.CostReport{Currency: "USD", Rates: "built-in list prices", Environments: []manifests.EnvironmentCost{
			{Environment: "prod", Base: usd("120"), Head: usd("120"), Delta: usd("0"), Budget: ptr(usd("12000")), Headroom: ptr(usd("11880")), Check: manifests.Success},
		}},
		Tenants:        manifests.CheckResult{Conclusion: manifests.Success, Title: "All 14 manifests are in order"},
		Budget:         manifests.CheckResult{Conclusion: manifests.Success, Title: "Within budget"},
		TouchedTenants: []manifests.TenantID{"search"}, PolicyDigest: "4f9d9c04b8a2e8e4", Files: 14,
	})
}

// tree is a verdict without a base.
func tree() manifests.Verdict {
	v := failing().Verdict
	v.Changes, v.TouchedTenants = nil, nil
	for i := range v.Cost.Environments {
		e := &v.Cost.Environments[i]
		e.Base, e.Delta, e.Tenants = usd("0"), usd("0"), nil
	}
	v.Compared = false
	return v
}

func report(v manifests.Verdict) reconcile.Report {
	return reconcile.Report{
		Repo: reconcile.Repo{ID: "4711", Owner: "acme", Name: "shop", DefaultBranch: "main", HTMLURL: "https://github.example/acme/shop"},
		Pull: reconcile.PullRequest{Number: 7, BaseRef: "main", State: "open", UpdatedAt: time.Unix(1750000000, 0)},
		Head: "9f3c1e2a7b5d4c6e8f0a1b2c3d4e5f6a7b8c9d0e", Base: "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
		Verdict: v,
	}
}
