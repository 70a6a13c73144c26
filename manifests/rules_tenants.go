package manifests

const whyTag = "The tag is what isolation, audit and cost go by: an untagged or wrongly tagged workload runs outside every tenant's boundary (NIST SP 800-53 SC-4, AC-4, AC-16)."

const goodDeployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {conductor.dev/tenant-id: acme}
spec:
  template:
    metadata:
      labels: {conductor.dev/tenant-id: acme}
    spec:
      containers:
        - {name: web, image: web:1}
`

const acmeTenant = `apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, regime: none, owners: [team-acme]}
`

const globexTenant = `apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: globex}
spec: {displayName: Globex, regime: cjis, owners: [team-globex]}
`

func tenantRules() []Rule {
	return []Rule{{
		ID: "tenant/missing", Summary: "the workload has no tenant tag", Why: whyTag,
		Wrong: `apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
    - {name: web, image: web:1}
`,
		Right:  goodPod,
		Remedy: "add the label conductor.dev/tenant-id with the name of a Tenant, or have the workload named in a SystemAllowlist",
	}, {
		ID: "tenant/invalid", Summary: "the tenant tag isn't a valid label value",
		Why: whyTag + " Kubernetes refuses labels that aren't strings.",
		Wrong: `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    conductor.dev/tenant-id: 123
spec:
  containers:
    - {name: web, image: web:1}
`,
		Right:  goodPod,
		Remedy: "write the Tenant's name as a string; quote it if it looks like a number, a boolean or null",
	}, {
		ID: "tenant/unknown", Summary: "no Tenant has this name", Why: whyTag,
		Wrong: `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    conductor.dev/tenant-id: acne
spec:
  containers:
    - {name: web, image: web:1}
`,
		Right:  goodPod,
		Remedy: "use the name of a Tenant that the base branch has, or add the Tenant in a pull request of its own",
	}, {
		ID: "tenant/none-declared", Default: SeverityNotice, Summary: "the repository declares no Tenant, so tags can't be compared with known ones",
		Why: whyTag,
		Wrong: `# file: web.yaml
` + goodPod,
		Right: `# file: tenants.yaml
` + acmeTenant + `# file: web.yaml
` + goodPod,
		Remedy: "declare each tenant as a conductor.dev/v1 Tenant",
	}, {
		ID: "tenant/not-propagated", Summary: "the tenant tag doesn't reach what the workload schedules",
		Why: "Pods get their labels from the template, not from the object around it: policies and meters would see untagged pods (SC-4, AU-12 audit record generation).",
		Wrong: `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {conductor.dev/tenant-id: acme}
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - {name: web, image: web:1}
`,
		Right:  goodDeployment,
		Remedy: "add the same tenant label to the template's metadata",
	}, {
		ID: "tenant/mismatch", Summary: "the tenant tag says something else here than on the object",
		Why: "Pods of one tenant would run inside a workload of another (SC-4, AC-4).",
		Wrong: `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {conductor.dev/tenant-id: acme}
spec:
  template:
    metadata:
      labels: {conductor.dev/tenant-id: globex}
    spec:
      containers:
        - {name: web, image: web:1}
`,
		Right:  goodDeployment,
		Remedy: "use one tenant in both places",
	}, {
		ID: "tenant/duplicate", Summary: "two Tenants have the same name",
		Why: "Which regime and owners apply would depend on the order of files (AC-16, security attributes).",
		Wrong: `# file: a.yaml
apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: initech}
spec: {displayName: Initech}
# file: b.yaml
apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: initech}
spec: {displayName: Initech Two}
`,
		Right: `# file: a.yaml
apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: initech}
spec: {displayName: Initech}
`,
		Remedy: "keep one of them; the first by file name counts",
	}, {
		ID: "tenant/still-used", Summary: "a Tenant is removed while workloads carry its tag",
		Why: "The workloads would be left without an owner or a regime (AC-16, CM-3).",
		Wrong: `# file: globex.yaml (base)
` + globexTenant + `# file: globex.yaml (head)
# The Tenant is gone.
# file: web.yaml
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    conductor.dev/tenant-id: globex
spec:
  containers:
    - {name: web, image: web:1}
# file: tenants.yaml
` + acmeTenant,
		Right: `# file: tenants.yaml
` + acmeTenant + `---
` + globexTenant + `# file: web.yaml
` + goodPod,
		Remedy: "move or remove the tenant's workloads first, then the Tenant",
	}, {
		ID: "tenant/cross-tenant-dependency", Summary: "a job depends on a job of another tenant",
		Why: "A dependency passes data and timing between tenants (AC-4 information flow, SC-4 shared resources).",
		Wrong: `# file: acme.yaml
apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: sum
      dependsOn: [export/dump]
# file: globex.yaml
apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: export, labels: {conductor.dev/tenant-id: globex}}
spec:
  jobs:
    - name: dump
`,
		Right: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: dump
    - name: sum
      dependsOn: [dump]
`,
		Remedy: "depend only on jobs of the same tenant, or on a system job that the SystemAllowlist names",
	}, {
		ID: "allowlist/expired", Default: SeverityWarning, Summary: "an allowlist entry has expired",
		Why: "Exceptions end unless somebody renews them (CA-5, AC-6). The workload counts as untagged again.",
		Wrong: `apiVersion: conductor.dev/v1
kind: SystemAllowlist
metadata: {name: system}
spec:
  jobs:
    - kind: DaemonSet
      namespace: kube-system
      name: node-exporter
      reason: measures nodes, not tenants
      approvedBy: sec-lead
      expires: 2020-01-31
`,
		Right: `apiVersion: conductor.dev/v1
kind: SystemAllowlist
metadata: {name: system}
spec:
  jobs:
    - kind: DaemonSet
      namespace: kube-system
      name: node-exporter
      reason: measures nodes, not tenants
      approvedBy: sec-lead
      expires: 2099-01-31
`,
		Remedy: "renew the entry with a new date and approver, or remove it",
	}}
}

func jobRules() []Rule {
	return []Rule{{
		ID: "workflow/unknown-job", Summary: "the job depends on a job that doesn't exist",
		Why: "The job would never start, or start without what it waits for (CM-3).",
		Wrong: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: extract
    - name: sum
      dependsOn: [extrct]
`,
		Right: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: extract
    - name: sum
      dependsOn: [extract]
`,
		Remedy: "name a job of this Workflow, or \"workflow/job\" for one of another",
	}, {
		ID: "workflow/duplicate-job", Summary: "two jobs of a Workflow have the same name",
		Why: "A dependency on the name would be ambiguous, and so would its tenant (AC-16).",
		Wrong: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: sum
    - name: sum
`,
		Right: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: sum
    - name: sum-again
`,
		Remedy: "give each job a name of its own",
	}, {
		ID: "workflow/cycle", Summary: "jobs wait for each other in a circle",
		Why: "None of them would ever start (CM-3).",
		Wrong: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: a
      dependsOn: [b]
    - name: b
      dependsOn: [a]
`,
		Right: `apiVersion: conductor.dev/v1
kind: Workflow
metadata: {name: report, labels: {conductor.dev/tenant-id: acme}}
spec:
  jobs:
    - name: a
    - name: b
      dependsOn: [a]
`,
		Remedy: "remove one of the dependencies",
	}}
}
