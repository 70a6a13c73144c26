package manifests_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

func TestTenant_TagsThatKubernetesWouldNotReadAsTextAreInvalid(t *testing.T) {
	for value, want := range map[string]string{
		"123": "tenant/invalid", "true": "tenant/invalid", "null": "tenant/invalid", "~": "tenant/invalid", "": "tenant/invalid",
		"1.5": "tenant/invalid", "yes": "tenant/invalid", "No": "tenant/invalid", "on": "tenant/invalid", `""`: "tenant/invalid",
		"{{ .Values.tenant }}": "tenant/invalid", `"{{workflow.parameters.t}}"`: "tenant/invalid", "[acme]": "tenant/invalid",
		"-acme": "tenant/invalid", `"a b"`: "tenant/invalid", "untagged": "tenant/invalid", `"` + strings.Repeat("a", 64) + `"`: "tenant/invalid",
		`"123"`: "tenant/unknown", "Acme": "tenant/unknown", "acme": "", `'acme'`: "", "!!str acme": "",
	} {
		v := check("t.yaml", twoTenants, "x.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels:\n    conductor.dev/tenant-id: "+value+"\n")
		if want == "" {
			assert.Empty(t, v.Findings, value)
			continue
		}
		assert.Equal(t, []string{"x.yaml:6:5 " + want + " error"}, lines(v), value)
	}
}

func TestTenant_MissingIsReportedAtLabelsElseMetadataElseKind(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: a}\n": "x.yaml:5:3",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n":                     "x.yaml:3:1",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-\n":            "x.yaml:3:1",
		"apiVersion: v1\nkind: Pod\nspec: {}\n":                                 "x.yaml:2:1",
	} {
		assert.Equal(t, []string{want + " tenant/missing error"}, lines(check("x.yaml", text)))
	}
}

func TestTenant_MustReachEveryTemplate(t *testing.T) {
	const head = "metadata: {name: w, labels: {conductor.dev/tenant-id: acme}}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"Deployment without template metadata", "apiVersion: apps/v1\nkind: Deployment\n" + head + "spec:\n  template:\n    spec: {}\n",
			[]string{"x.yaml:5:3 tenant/not-propagated error"}},
		{"CronJob: job template and pod template", "apiVersion: batch/v1\nkind: CronJob\n" + head + "spec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n          labels: {a: b}\n",
			[]string{"x.yaml:5:3 tenant/not-propagated error", "x.yaml:9:11 tenant/not-propagated error"}},
		{"Argo Workflow without any", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n" + head + "spec:\n  templates:\n    - name: a\n      container: {image: a}\n    - name: b\n      script: {image: b}\n",
			[]string{"x.yaml:4:1 tenant/not-propagated error"}},
		{"Argo Workflow with podMetadata", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n" + head + "spec:\n  podMetadata: {labels: {conductor.dev/tenant-id: acme}}\n  templates:\n    - name: a\n      container: {image: a}\n", []string{}},
		{"Argo Workflow with one of two templates", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n" + head + "spec:\n  templates:\n    - name: a\n      metadata: {labels: {conductor.dev/tenant-id: acme}}\n      container: {image: a}\n    - name: b\n      script: {image: b}\n    - name: c\n      dag: {tasks: [{name: x, inline: {container: {image: x}}}]}\n",
			[]string{"x.yaml:9:7 tenant/not-propagated error", "x.yaml:12:39 tenant/not-propagated error"}},
		{"CronWorkflow", "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\n" + head + "spec:\n  workflowSpec:\n    podMetadata: {labels: {conductor.dev/tenant-id: globex}}\n",
			[]string{"x.yaml:4:1 tenant/not-propagated error", "x.yaml:6:28 tenant/mismatch error"}},
		{"Knative", "apiVersion: serving.knative.dev/v1\nkind: Service\n" + head + "spec:\n  template:\n    metadata:\n      labels: {conductor.dev/tenant-id: globex}\n",
			[]string{"x.yaml:7:16 tenant/mismatch error"}},
		{"Tekton passes labels on", "apiVersion: tekton.dev/v1\nkind: PipelineRun\n" + head + "spec: {pipelineRef: {name: x}}\n", []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, lines(check("t.yaml", twoTenants, "x.yaml", c.text)))
		})
	}
}

const systemPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: agent, namespace: kube-system}\n"

func allowlist(name, expires string) string {
	return "apiVersion: conductor.dev/v1\nkind: SystemAllowlist\nmetadata: {name: sys}\nspec:\n  jobs:\n    - {kind: Pod, namespace: kube-system, name: " + name + ", reason: r, approvedBy: a, expires: " + expires + "}\n"
}

func TestAllowlist_NamesSystemWorkloadsExactlyAndOnlyUntilTheyExpire(t *testing.T) {
	assert.Empty(t, check("a.yaml", allowlist("agent", "2026-11-23"), "x.yaml", systemPod).Findings, "the last day counts")
	assert.Equal(t, []string{"x.yaml:3:1 tenant/missing error"}, lines(check("a.yaml", allowlist("agent-2", "2027-01-01"), "x.yaml", systemPod)))
	v := check("a.yaml", allowlist("agent", "2026-11-22"), "x.yaml", systemPod)
	assert.Equal(t, []string{"a.yaml:6:7 allowlist/expired warning", "x.yaml:3:1 tenant/missing error"}, lines(v))
	assert.Contains(t, v.Findings[1].Remedy, "expired at the end of 2026-11-22")
}

func TestAllowlist_OfThePullRequestItselfDoesNotCount(t *testing.T) {
	v := manifests.Judge(snapshot("t.yaml", twoTenants), snapshot("t.yaml", twoTenants, "a.yaml", allowlist("agent", "2027-01-01"), "x.yaml", systemPod), manifests.Options{Now: now})
	assert.Equal(t, []string{"a.yaml:2:1 policy/edited notice", "x.yaml:3:1 tenant/missing error"}, lines(v))
	assert.Contains(t, v.Findings[1].Remedy, "on the base branch")
}

func TestTenant_NamespacesAndPathsSuggestTheTag(t *testing.T) {
	tenants := "apiVersion: conductor.dev/v1\nkind: Tenant\nmetadata: {name: shop}\nspec: {namespaces: [shop], paths: [\"teams/shop/**\"]}\n"
	v := check("t.yaml", tenants, "teams/shop/x.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
	require.Len(t, v.Findings, 1)
	assert.Equal(t, "add the label conductor.dev/tenant-id: shop", v.Findings[0].Remedy)
}

func TestTenant_WithoutAnyTenantUnknownTagsAreOneNotice(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {conductor.dev/tenant-id: x}}\n"
	v := check("a.yaml", pod, "b.yaml", pod)
	assert.Equal(t, []string{"a.yaml:3:30 tenant/none-declared notice"}, lines(v))
	assert.Equal(t, manifests.CheckResult{Conclusion: manifests.Success, Title: "All 2 workloads carry a tenant"}, v.Tenants)
}

func TestHelm_TemplatesAreUnrenderedOnlyBelowAChart(t *testing.T) {
	const template = "apiVersion: v1\nkind: Pod\nmetadata:\n  {{- include \"labels\" . }}\n"
	assert.Equal(t, []string{"c/templates/x.yaml:1:1 render/unrendered notice"}, lines(check("c/Chart.yaml", "name: c\n", "c/templates/x.yaml", template)))
	assert.Equal(t, []string{"c/templates/x.yaml:4:3 yaml/syntax error"}, lines(check("d/Chart.yaml", "name: c\n", "c/templates/x.yaml", template)))
}

func workflow(tenant, name, jobs string) string {
	return "apiVersion: conductor.dev/v1\nkind: Workflow\nmetadata: {name: " + name + ", labels: {conductor.dev/tenant-id: " + tenant + "}}\nspec:\n  jobs:\n" + jobs
}

func TestWorkflow_JobsStayInsideTheirTenant(t *testing.T) {
	v := check("t.yaml", twoTenants,
		"a.yaml", workflow("acme", "a", "    - {name: one, tenant: globex}\n    - {name: two, dependsOn: [b/x, b/y, c/z, one]}\n"),
		"b.yaml", workflow("globex", "b", "    - {name: x}\n"))
	assert.Equal(t, []string{
		"a.yaml:6:19 tenant/mismatch error",
		"a.yaml:7:31 tenant/cross-tenant-dependency error",
		"a.yaml:7:36 workflow/unknown-job error",
		"a.yaml:7:41 workflow/unknown-job error",
	}, lines(v))
	assert.Contains(t, v.Findings[2].Message, `did you mean "b/x"?`)
}

func TestWorkflow_SystemJobsMustBeAllowedByName(t *testing.T) {
	job := workflow("acme", "a", "    - {name: sweep, system: true}\n    - {name: x, dependsOn: [sweep]}\n")
	v := check("t.yaml", twoTenants, "a.yaml", job)
	assert.Equal(t, []string{"a.yaml:6:21 tenant/missing error"}, lines(v))
	allow := "apiVersion: conductor.dev/v1\nkind: SystemAllowlist\nmetadata: {name: s}\nspec: {jobs: [{kind: Workflow, name: a/sweep, reason: r, approvedBy: b, expires: 2027-01-01}]}\n"
	assert.Empty(t, check("t.yaml", twoTenants, "a.yaml", job, "s.yaml", allow).Findings)
}

func TestWorkflow_CirclesAreFoundOnceAcrossDocuments(t *testing.T) {
	v := check("t.yaml", twoTenants,
		"a.yaml", workflow("acme", "a", "    - {name: one, dependsOn: [b/two]}\n    - {name: self, dependsOn: [self]}\n"),
		"b.yaml", workflow("acme", "b", "    - {name: two, dependsOn: [three]}\n    - {name: three, dependsOn: [a/one]}\n"))
	assert.Equal(t, []string{"a.yaml:6:31 workflow/cycle error", "a.yaml:7:32 workflow/cycle error"}, lines(v))
	assert.Contains(t, v.Findings[0].Message, "a/one -> b/two -> b/three -> a/one")
}

func TestSchema_PointsAtTheFieldAndSuggests(t *testing.T) {
	v := check("x.yaml", `apiVersion: conductor.dev/v1
kind: RateCard
metadata: {name: default, nmae: x}
spec:
  currency: usd
  cpuCoreHour: 1e1000000
  memoryGiBHour: -1
  gpuHours: 1
  defaults: {cpu: lots}
  environments: {prod: {nodes: 1.5}}
---
apiVersion: conductor.dev/v1
kind: Tenent
---
apiVersion: conductor.dev/v1
kind: SLO
metadata: {name: left-alone}
spec: {anything: 1}
`)
	assert.Equal(t, []string{
		"x.yaml:3:27 schema/unknown-field error",
		"x.yaml:5:13 schema/invalid-value error",
		"x.yaml:6:16 schema/invalid-value error",
		"x.yaml:7:18 schema/invalid-value error",
		"x.yaml:8:3 schema/unknown-field error",
		"x.yaml:9:19 schema/invalid-value error",
		"x.yaml:10:32 schema/invalid-value error",
		"x.yaml:13:7 schema/unknown-kind error",
	}, lines(v))
	assert.Contains(t, v.Findings[4].Message, `did you mean "gpuHour"?`)
	assert.Contains(t, v.Findings[7].Message, `did you mean "Tenant"?`)
}
