package manifests

// goodPod is the smallest workload that breaks no rule.
const goodPod = `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    conductor.dev/tenant-id: acme
spec:
  containers:
    - {name: web, image: web:1}
`

const whyRead = "A manifest that can't be read can't be judged, and what can't be judged could change a tenant unseen (NIST SP 800-53 CM-3, configuration change control)."

func fileRules() []Rule {
	return []Rule{{
		ID: "yaml/syntax", Summary: "the file isn't valid YAML", Why: whyRead,
		Wrong: `apiVersion: v1
kind: Pod
metadata:
  name: web
   labels: {}
`,
		Right:  goodPod,
		Remedy: "fix the syntax on or just before this line",
	}, {
		ID: "yaml/duplicate-key", Summary: "a mapping has the same key twice",
		Why: "Readers disagree on which of the two counts, so a reviewer and the cluster may see different tenants (CM-3).",
		Wrong: `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels:
    conductor.dev/tenant-id: acme
    conductor.dev/tenant-id: globex
spec:
  containers:
    - {name: web, image: web:1}
`,
		Right:  goodPod,
		Remedy: "remove one of the two keys, so that every reader sees the same value",
	}, {
		ID: "yaml/alias-bomb", Summary: "aliases expand to far more than is written",
		Why: "A few hundred bytes of nested aliases can fill the memory of whatever reads them (SC-5, denial of service).",
		Wrong: `a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
f: [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
`,
		Right:  goodPod,
		Remedy: "write the values out, or use fewer aliases of aliases",
	}, {
		ID: "yaml/too-deep", Summary: "values are nested more than 64 levels deep",
		Why:    "No Kubernetes object needs such nesting; it exhausts the stack of tools that read it (SC-5, denial of service).",
		Wrong:  "a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
		Right:  goodPod,
		Remedy: "flatten the value",
	}, {
		ID: "file/too-large", Summary: "the file is larger than 1 MiB and wasn't read", Why: whyRead + " Kubernetes refuses such objects as well.",
		Wrong: "# A manifest of more than 1,048,576 bytes.\n", Right: goodPod,
		Remedy: "split the file, or exclude its path in .conductor.yaml if it is no manifest",
	}, {
		ID: "file/symlink", Summary: "the manifest is a symbolic link and wasn't followed",
		Why:   "A link can point outside the repository or at a file that changes without review (CM-3, AC-4).",
		Wrong: "# prod/web.yaml -> ../shared/web.yaml\n", Right: goodPod,
		Remedy: "commit the file itself instead of a link to it",
	}, {
		ID: "file/submodule", Summary: "the manifest's path is a submodule and wasn't read",
		Why:   "A submodule's content lives in another repository, whose reviews and history aren't seen here (CM-3).",
		Wrong: "# prod/web.yaml is a submodule of another repository\n", Right: goodPod,
		Remedy: "commit the manifests here, or let Conductor watch the other repository",
	}, {
		ID: "file/bad-path", Summary: "the file's path can't be used",
		Why:   "Paths with .., backslashes or control characters mean different files to different tools (SI-10, input validation).",
		Wrong: "# ../prod/web.yaml\n", Right: goodPod,
		Remedy: "rename the file: a relative path with forward slashes and no control characters",
	}, {
		ID: "file/unreadable", Summary: "the file couldn't be read", Why: whyRead,
		Wrong: "# The repository names an object that is missing or isn't a regular file.\n", Right: goodPod,
		Remedy: "commit it again as a regular file",
	}, {
		ID: "render/unrendered", Default: SeverityNotice, Summary: "a Helm template is checked only once it is rendered",
		Why: "Conductor never executes templates of a pull request. What they make is judged where the rendered manifests are committed.",
		Wrong: `# file: chart/Chart.yaml
apiVersion: v2
name: shop
version: 1.0.0
# file: chart/templates/web.yaml
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-web
  {{- if .Values.labels }}
`,
		Right: `# file: chart/Chart.yaml
apiVersion: v2
name: shop
version: 1.0.0
# file: rendered/web.yaml
` + goodPod,
		Remedy: "commit the rendered manifests, or accept that this template isn't checked",
	}}
}

func schemaRules() []Rule {
	const why = "Conductor's own kinds decide what is enforced; a misspelt field would silently enforce nothing (CM-6, configuration settings)."
	return []Rule{{
		ID: "schema/unknown-field", Summary: "the field doesn't exist", Why: why,
		Wrong: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, ammount: "12000", amount: "12000", currency: USD, period: monthly}
`,
		Right: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD, period: monthly}
`,
		Remedy: "correct or remove the field",
	}, {
		ID: "schema/missing-field", Summary: "a required field is missing", Why: why,
		Wrong: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, currency: USD}
`,
		Right: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
`,
		Remedy: "add the field",
	}, {
		ID: "schema/invalid-value", Summary: "the value isn't one that the field takes", Why: why,
		Wrong: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: twelve thousand, currency: USD}
`,
		Right: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
`,
		Remedy: "correct the value",
	}, {
		ID: "schema/unknown-kind", Summary: "conductor.dev has no such kind", Why: why,
		Wrong: `apiVersion: conductor.dev/v1
kind: Budgets
metadata: {name: prod}
`,
		Right: `apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
`,
		Remedy: "correct the kind, or the apiVersion: it is conductor.dev/v1",
	}, {
		ID: "policy/edited", Default: SeverityNotice, Summary: "the pull request edits what judges it",
		Why: "Policy, tenants, budgets, rate cards and allowlists of the base branch decide, so that nobody approves their own exception (CM-3, AC-5 separation of duties). The edit counts from its merge.",
		Wrong: `# file: budget.yaml (base)
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
# file: budget.yaml (head)
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "15000", currency: USD}
`,
		Right: `# file: budget.yaml (base)
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec: {environment: prod, amount: "12000", currency: USD}
# file: budget.yaml (head)
# Reformatting changes nothing.
apiVersion: conductor.dev/v1
kind: Budget
metadata: {name: prod}
spec:
  environment: prod
  amount: "12000"
  currency: USD
`,
		Remedy: "have those approve it who own the policy; it takes effect once merged",
	}}
}
