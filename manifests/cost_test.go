package manifests_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

// roundCard makes prices that can be checked in the head: a core is $1 an hour
// ($730 a month), a GiB $0.10 ($73), a GPU $10, a GiB of disk $1 a month.
const roundCard = `apiVersion: conductor.dev/v1
kind: RateCard
metadata: {name: default}
spec:
  currency: USD
  cpuCoreHour: 1
  memoryGiBHour: "0.1"
  gpuHour: 10
  storageGiBMonth: 1
  loadBalancerMonth: 18
  defaults: {cpu: 100m, memory: 1Gi}
  environments: {prod: {nodes: 5}}
---
`

func workload(kind, api, spec string) string {
	return "apiVersion: " + api + "\nkind: " + kind + "\nmetadata: {name: w, labels: {conductor.dev/tenant-id: acme}, annotations: {conductor.dev/expected-duration: 30m}}\nspec: " + spec + "\n"
}

const tagged = "metadata: {labels: {conductor.dev/tenant-id: acme}}"

func pods(requests string) string {
	return "template: {" + tagged + ", spec: {containers: [{name: c, resources: {requests: " + requests + "}}]}}"
}

func TestCost_OfEachKind(t *testing.T) {
	oneCore := pods("{cpu: 1, memory: 0}")
	for _, c := range []struct {
		name, text, want string // want: amount, or "?reason"
	}{
		{"Deployment", workload("Deployment", "apps/v1", "{replicas: 3, "+oneCore+"}"), "2190"},
		{"Deployment without replicas", workload("Deployment", "apps/v1", "{"+oneCore+"}"), "730"},
		{"Deployment of none", workload("Deployment", "apps/v1", "{replicas: 0, "+oneCore+"}"), "0"},
		{"replicas by template", workload("Deployment", "apps/v1", "{replicas: \"{{ .x }}\", "+oneCore+"}"), "?replicas isn't a whole number"},
		{"StatefulSet with volumes", workload("StatefulSet", "apps/v1", "{replicas: 2, "+oneCore+", volumeClaimTemplates: [{spec: {resources: {requests: {storage: 10Gi}}}}]}"), "1480"},
		{"DaemonSet", workload("DaemonSet", "apps/v1", "{"+oneCore+"}"), "3650"},
		{"Job", workload("Job", "batch/v1", "{completions: 4, parallelism: 2, "+oneCore+"}"), "2"},
		{"CronJob hourly", workload("CronJob", "batch/v1", "{schedule: '0 * * * *', jobTemplate: {"+tagged+", spec: {"+oneCore+"}}}"), "365"},
		{"CronJob suspended", workload("CronJob", "batch/v1", "{suspend: true, schedule: '0 * * * *', jobTemplate: {"+tagged+", spec: {"+oneCore+"}}}"), ""},
		{"CronJob with a bad schedule", workload("CronJob", "batch/v1", "{schedule: 'never', jobTemplate: {"+tagged+", spec: {"+oneCore+"}}}"), `?schedule "never" isn't five cron fields`},
		{"CronJob with a bad zone", workload("CronJob", "batch/v1", "{schedule: '0 * * * *', timeZone: ../../etc/passwd, jobTemplate: {"+tagged+", spec: {"+oneCore+"}}}"), `?"../../etc/passwd" isn't an IANA time zone`},
		{"PVC", workload("PersistentVolumeClaim", "v1", "{resources: {requests: {storage: 1Ti}}}"), "1024"},
		{"load balancer", workload("Service", "v1", "{type: LoadBalancer}"), "18"},
		{"cluster service", workload("Service", "v1", "{type: ClusterIP}"), ""},
		{"GPU", workload("Deployment", "apps/v1", "{"+pods("{cpu: 0, memory: 0, nvidia.com/gpu: 1}")+"}"), "7300"},
		{"unknown device", workload("Deployment", "apps/v1", "{"+pods("{cpu: 1, memory: 0, nvidia.com/mig-1g: 1}")+"}"), "730 ?nvidia.com/mig-1g has no price"},
		{"exponent bomb", workload("Deployment", "apps/v1", "{"+pods("{cpu: 1e1000000, memory: 0}")+"}"), "0 ?cpu of container c isn't a quantity"},
		{"negative", workload("Deployment", "apps/v1", "{"+pods("{cpu: -1, memory: 0}")+"}"), "0 ?cpu of container c isn't a quantity"},
		{"defaults", workload("Deployment", "apps/v1", "{"+pods("{}")+"}"), "146"},
		{"Knative to zero", workload("Service", "serving.knative.dev/v1", "{"+oneCore+"}"), "?it scales to zero; how much it runs isn't known"},
		{"Argo Workflow", workload("Workflow", "argoproj.io/v1alpha1", "{podMetadata: {labels: {conductor.dev/tenant-id: acme}}, templates: [{name: a, container: {resources: {requests: {cpu: 1, memory: 0}}}}]}"), "0.5"},
		{"Argo loop", workload("Workflow", "argoproj.io/v1alpha1", "{templates: [{name: a, steps: [[{name: x, withParam: y}]]}]}"), "?it loops over a list, so how many pods it runs isn't known"},
		{"WorkflowTemplate", workload("WorkflowTemplate", "argoproj.io/v1alpha1", "{templates: []}"), ""},
		{"TaskRun", workload("TaskRun", "tekton.dev/v1", "{taskSpec: {steps: [{name: a, computeResources: {requests: {cpu: 2, memory: 0}}}]}}"), "1"},
		{"Workflow by schedule", strings.Replace(workload("Workflow", "conductor.dev/v1", "{schedule: '0 * * * *', jobs: [{name: a, duration: 30m, replicas: 2, resources: {requests: {cpu: 1, memory: 0}}}]}"), "metadata: {name: w,", "metadata: {name: w,", 1), "730"},
		{"Workflow all month", workload("Workflow", "conductor.dev/v1", "{jobs: [{name: a, resources: {requests: {cpu: 1, memory: 0}}}]}"), "730"},
		{"Workflow of unknown duration", workload("Workflow", "conductor.dev/v1", "{schedule: '@daily', jobs: [{name: a}]}"), `?how long the job "a" takes isn't known: set its duration`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := check("r.yaml", roundCard+twoTenants, "prod/x.yaml", c.text)
			var got []string
			for _, e := range v.Cost.Environments {
				require.Equal(t, manifests.Environment("prod"), e.Environment)
				assert.Equal(t, len(v.Cost.Unpriced) > 0, e.LowerBound)
				if len(e.Tenants) > 0 {
					require.Equal(t, manifests.TenantID("acme"), e.Tenants[0].Tenant)
					got = append(got, e.Head.Amount.String())
				}
			}
			for _, u := range v.Cost.Unpriced {
				got = append(got, "?"+u.Reason)
			}
			assert.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

func TestCost_PodRequestFollowsTheKubernetesRule(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		cores      string
	}{
		{"containers add up", "containers: [{resources: {requests: {cpu: 1}}}, {resources: {requests: {cpu: 500m}}}]", "1.5"},
		{"a limit alone is the request", "containers: [{resources: {limits: {cpu: 2}}}]", "2"},
		{"a request wins over the limit", "containers: [{resources: {limits: {cpu: 2}, requests: {cpu: 1}}}]", "1"},
		{"a larger init container counts", "initContainers: [{resources: {requests: {cpu: 3}}}], containers: [{resources: {requests: {cpu: 1}}}]", "3"},
		{"init containers don't add up", "initContainers: [{resources: {requests: {cpu: 3}}}, {resources: {requests: {cpu: 2}}}], containers: [{resources: {requests: {cpu: 1}}}]", "3"},
		{"sidecars run beside containers", "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 2}}}], containers: [{resources: {requests: {cpu: 1}}}]", "3"},
		{"sidecars run beside later init containers", "initContainers: [{restartPolicy: Always, resources: {requests: {cpu: 2}}}, {resources: {requests: {cpu: 5}}}], containers: [{resources: {requests: {cpu: 1}}}]", "7"},
		{"but not beside earlier ones", "initContainers: [{resources: {requests: {cpu: 5}}}, {restartPolicy: Always, resources: {requests: {cpu: 2}}}], containers: [{resources: {requests: {cpu: 1}}}]", "5"},
		{"the pod's own request overrides", "resources: {requests: {cpu: 4}}, containers: [{resources: {requests: {cpu: 1}}}]", "4"},
		{"the pod's limit stands in only without container requests", "resources: {limits: {cpu: 4}}, containers: [{resources: {requests: {cpu: 1}}}]", "1"},
		{"the pod's limit alone", "resources: {limits: {cpu: 4}}, containers: [{}]", "4"},
		{"overhead is added", "overhead: {cpu: 250m}, containers: [{resources: {requests: {cpu: 1}}}]", "1.25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := strings.Replace(roundCard, `"0.1"`, `"0"`, 1)
			v := check("r.yaml", card+twoTenants, "prod/x.yaml", workload("Pod", "v1", "{"+c.spec+"}"))
			require.Len(t, v.Cost.Environments, 1)
			want := decimal.RequireFromString(c.cores).Mul(decimal.New(730, 0))
			assert.Equal(t, want.String(), v.Cost.Environments[0].Head.Amount.String())
		})
	}
}

func TestCost_BuiltInPricesAreOpenCostsInDollars(t *testing.T) {
	v := check("t.yaml", twoTenants, "dev/x.yaml", workload("Deployment", "apps/v1", "{replicas: 3, "+pods("{cpu: 500m, memory: 1Gi}")+"}"))
	assert.Equal(t, "built-in list prices", v.Cost.Rates)
	assert.Equal(t, "$43.89", v.Cost.Environments[0].Head.String())
	assert.Equal(t, manifests.Neutral, v.Budget.Conclusion)
}

func TestCost_AutoscalersReplaceReplicasByTheMiddleOfTheirRange(t *testing.T) {
	scaler := "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: Deployment, name: w}, minReplicas: 2, maxReplicas: 7}\n"
	target := workload("Deployment", "apps/v1", "{replicas: 1, "+pods("{cpu: 1, memory: 0}")+"}")
	v := check("r.yaml", roundCard+twoTenants, "prod/x.yaml", target, "prod/h.yaml", scaler)
	assert.Equal(t, "3285", v.Cost.Environments[0].Head.Amount.String())
	assert.Contains(t, v.Cost.Assumptions, "1 workload counted at the middle of its autoscaler's minimum and maximum")
	base := snapshot("r.yaml", roundCard+twoTenants, "prod/x.yaml", target, "prod/h.yaml", scaler)
	j := judge(base, snapshot("r.yaml", roundCard+twoTenants, "prod/x.yaml", target, "prod/h.yaml", strings.Replace(scaler, "7", "9", 1)))
	assert.Equal(t, "730", j.Cost.Environments[0].Delta.Amount.String())
}

const budgets = `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "2000", currency: USD}
---
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: dev}
spec: {environment: dev, amount: 100, currency: USD}
---
`

func loads(replicas string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w, labels: {conductor.dev/tenant-id: acme}}\nspec:\n  replicas: " + replicas + "\n  " + pods("{cpu: 1, memory: 0}") + "\n"
}

func TestBudget_FailsOnlyWhenThePullRequestAddsToIt(t *testing.T) {
	tree := func(n string) *manifests.Snapshot {
		return snapshot("r.yaml", roundCard+budgets+twoTenants, "prod/x.yaml", loads(n))
	}
	for _, c := range []struct {
		from, to, title string
		conclusion      manifests.Conclusion
		found           []string
	}{
		{"1", "2", "+$730.00 a month; within budget", manifests.Success, []string{}},
		{"2", "3", "prod $2,190.00 exceeds its budget of $2,000.00 by $190.00", manifests.Failure, []string{"prod/x.yaml:5:3 budget/exceeded error"}},
		{"3", "4", "prod $2,920.00 exceeds its budget of $2,000.00 by $920.00", manifests.Failure, []string{"prod/x.yaml:5:3 budget/exceeded error"}},
		{"4", "3", "-$730.00 a month; within budget", manifests.Success, []string{"prod/x.yaml:5:3 budget/exceeded notice existing"}},
		{"3", "3", "No change in estimated cost", manifests.Success, []string{"prod/x.yaml:5:3 budget/exceeded notice existing"}},
	} {
		v := judge(tree(c.from), tree(c.to))
		assert.Equal(t, c.found, lines(v), c.from+c.to)
		assert.Equal(t, manifests.CheckResult{Conclusion: c.conclusion, Title: c.title}, v.Budget)
		var names []string
		for _, e := range v.Cost.Environments {
			names = append(names, string(e.Environment))
		}
		assert.Equal(t, []string{"dev", "prod"}, names, "every environment with a budget has a row")
	}
}

func TestBudget_CountsTheGateOfThePolicyAndTenants(t *testing.T) {
	warn := check(".conductor.yaml", "budgets: {gate: warn}\n", "r.yaml", roundCard+budgets+twoTenants, "prod/x.yaml", loads("3"))
	assert.Equal(t, []string{"prod/x.yaml:5:3 budget/exceeded warning"}, lines(warn))
	assert.False(t, warn.Failed())
	own := "apiVersion: conductor.dev/v1\nkind: Budget\nmetadata: {name: acme}\nspec: {environment: prod, tenant: acme, amount: 1000, currency: USD}\n---\n"
	v := check("r.yaml", roundCard+own+twoTenants, "prod/x.yaml", loads("2"))
	assert.Equal(t, "prod of tenant acme $1,460.00 exceeds its budget of $1,000.00 by $460.00", v.Budget.Title)
	euro := check("r.yaml", roundCard+strings.Replace(budgets, "amount: \"2000\", currency: USD", "amount: 1, currency: EUR", 1)+twoTenants, "prod/x.yaml", loads("2"))
	assert.Equal(t, []string{"r.yaml:17:48 budget/currency-mismatch error"}, lines(euro))
}

func TestBudget_OfThePullRequestDoesNotApproveItself(t *testing.T) {
	base := snapshot("r.yaml", roundCard+budgets+twoTenants, "prod/x.yaml", loads("2"))
	v := judge(base, snapshot("r.yaml", roundCard+strings.Replace(budgets, "2000", "9000", 1)+twoTenants, "prod/x.yaml", loads("3")))
	assert.Equal(t, manifests.Failure, v.Budget.Conclusion)
	require.Len(t, v.Changes, 2)
	assert.Equal(t, []string{"replicas 2 -> 3"}, v.Changes[0].Details)
	assert.Equal(t, []string{"amount 2,000 -> 9,000"}, v.Changes[1].Details)
}

func TestCost_TotalsDoNotDependOnTheOrderOfFiles(t *testing.T) {
	var files []*manifests.File
	for i := range 40 {
		files = append(files, manifests.Parse("prod/"+string(rune('a'+i%26))+strings.Repeat("x", i/26)+".yaml", []byte(loads(decimal.New(int64(i), 0).String()))))
	}
	files = append(files, manifests.Parse("r.yaml", []byte(roundCard+twoTenants)))
	want := manifests.Check(manifests.NewSnapshot(files), manifests.Options{Now: now})
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		assert.Equal(t, want, manifests.Check(manifests.NewSnapshot(files), manifests.Options{Now: now}))
	}
	assert.Equal(t, "569400", want.Cost.Environments[0].Head.Amount.String())
}
