package manifests

import "strings"

const exampleBudget = `# file: budget.yaml
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "100", currency: USD, warnAtPercent: [80]}
`

// exampleLoad is a workload of prod; one replica costs $23.08 of CPU and $3.09
// of memory a month at list prices.
func exampleLoad(suffix, replicas string) string {
	return `# file: prod/web.yaml` + suffix + `
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web
  labels: {conductor.dev/tenant-id: acme}
spec:
  replicas: ` + replicas + `
  template:
    metadata:
      labels: {conductor.dev/tenant-id: acme}
    spec:
      containers:
        - name: web
          image: web:1
          resources: {requests: {cpu: "1", memory: 1Gi}}
`
}

func costRules() []Rule {
	const why = "A budget that only a bill enforces is noticed a month late. The estimate is the steady state of 730 hours (NIST SP 800-53 PM-3, SA-2 allocation of resources)."
	return []Rule{{
		ID: "budget/exceeded", Check: CheckBudget, Summary: "the estimated monthly cost is over the budget", Why: why,
		Wrong:  exampleBudget + exampleLoad(" (base)", "3") + exampleLoad(" (head)", "6"),
		Right:  exampleBudget + exampleLoad(" (base)", "2") + exampleLoad(" (head)", "3"),
		Remedy: "lower replicas or requests, or have the Budget raised in a pull request of its own",
	}, {
		ID: "budget/near-limit", Check: CheckBudget, Default: SeverityWarning, Summary: "the estimated monthly cost nears the budget", Why: why,
		Wrong:  strings.Replace(exampleBudget, `"100"`, `"90"`, 1) + exampleLoad("", "3"),
		Right:  exampleBudget + exampleLoad("", "3"),
		Remedy: "nothing yet; plan for a higher budget or lower requests",
	}, {
		ID: "budget/duplicate", Check: CheckBudget, Summary: "two Budgets cover the same environment and tenant", Why: "Which amount applies would depend on the order of files (SA-2).",
		Wrong: `# file: a.yaml
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
# file: b.yaml
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod-again}
spec: {environment: prod, amount: "15000", currency: USD}
`,
		Right: `# file: a.yaml
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
# file: b.yaml
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod-acme}
spec: {environment: prod, tenant: acme, amount: "5000", currency: USD}
`,
		Remedy: "keep one of them; the first by file name counts",
	}, {
		ID: "budget/currency-mismatch", Check: CheckBudget, Summary: "the Budget's currency isn't that of the rate card", Why: "Amounts in different currencies can't be compared, so that the budget wouldn't be enforced (SA-2).",
		Wrong: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: EUR}
`,
		Right: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
`,
		Remedy: "use one currency in Budgets and RateCard; the built-in prices are in USD",
	}, {
		ID: "ratecard/duplicate", Check: CheckBudget, Default: SeverityWarning, Summary: "there are several RateCards, and only one counts", Why: "Estimates with other prices than a reader expects mislead (SA-2).",
		Wrong: `# file: a.yaml
apiVersion: conductor.dev/v1
kind: RateCard
metadata: {name: cloud}
spec: {currency: USD, cpuCoreHour: "0.03", memoryGiBHour: "0.004"}
# file: b.yaml
apiVersion: conductor.dev/v1
kind: RateCard
metadata: {name: datacentre}
spec: {currency: USD, cpuCoreHour: "0.02", memoryGiBHour: "0.003"}
`,
		Right: `apiVersion: conductor.dev/v1
kind: RateCard
metadata: {name: cloud}
spec: {currency: USD, cpuCoreHour: "0.03", memoryGiBHour: "0.004"}
`,
		Remedy: "keep one RateCard; the one named default counts, else the first by file name",
	}}
}
