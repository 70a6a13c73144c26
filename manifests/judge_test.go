package manifests_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

func judge(base, head *manifests.Snapshot) manifests.Verdict {
	return manifests.Judge(base, head, manifests.Options{Now: now})
}

func deployment(tenant, spec string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {conductor.dev/tenant-id: ` + tenant + `}
spec:
  replicas: 3
  template:
    metadata:
      labels: {conductor.dev/tenant-id: ` + tenant + `}
    spec:
      containers:
        - name: web
          image: web:1
          env: [{name: TOKEN, value: one}]
          resources: {requests: {cpu: 500m, memory: 1Gi}}
` + spec
}

// details are the words for the one change between two versions of a file.
func details(t *testing.T, before, after string) []string {
	t.Helper()
	v := judge(snapshot("t.yaml", twoTenants, "prod/x.yaml", before), snapshot("t.yaml", twoTenants, "prod/x.yaml", after))
	require.LessOrEqual(t, len(v.Changes), 1)
	if len(v.Changes) == 0 {
		return nil
	}
	assert.Equal(t, manifests.Modified, v.Changes[0].Kind)
	return v.Changes[0].Details
}

func TestChange_SaysInWordsWhatAChangeMeans(t *testing.T) {
	base := deployment("acme", "")
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"replicas: 3", "replicas: 6", []string{"replicas 3 -> 6"}},
		{"  replicas: 3\n", "", []string{"replicas 3 -> none"}},
		{"image: web:1", "image: web:2", []string{"image web: web:1 -> web:2"}},
		{"cpu: 500m", "cpu: 1", []string{"requests web cpu 500m -> 1"}},
		{"cpu: 500m", "cpu: '0.5'", nil},
		{"requests: {cpu: 500m, memory: 1Gi}", "requests: {cpu: 500m}", []string{"requests web memory 1Gi -> none"}},
		{"resources: {requests: {cpu: 500m, memory: 1Gi}}", "tty: true", []string{"requests web cpu 500m -> none", "requests web memory 1Gi -> none", "spec.template.spec.containers[web].tty added"}},
		{"value: one", "value: two", []string{"env TOKEN changed"}},
		{"name: TOKEN", "name: OTHER", []string{"env TOKEN removed", "env OTHER added"}},
		{"        - name: web\n", "        - {name: log, image: log:1}\n        - name: web\n", []string{"container log added"}},
		{"tenant-id: acme", "tenant-id: globex", []string{"tenant acme -> globex"}},
		{"  replicas: 3\n", "  replicas: 3\n  strategy: {type: Recreate}\n", []string{"spec.strategy added"}},
	} {
		assert.Equal(t, c.want, details(t, base, strings.ReplaceAll(base, c.from, c.to)), c.to)
	}
}

func replaceLine(s, from, to string) string { return strings.Replace(s, from, to, 1) }

func TestChange_OfCurrentKindsUsesTheirWords(t *testing.T) {
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {schedule: \"0 3 * * *\"}\n"
	assert.Equal(t, []string{"schedule 0 3 * * * -> 0 4 * * *"}, details(t, cron, replaceLine(cron, "0 3", "0 4")))
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {resources: {requests: {storage: 10Gi}}}\n"
	assert.Equal(t, []string{"storage 10Gi -> 20Gi"}, details(t, claim, replaceLine(claim, "10Gi", "20Gi")))
	budget := "apiVersion: conductor.dev/v1\nkind: Budget\nmetadata: {name: b}\nspec: {environment: prod, amount: 12000, currency: USD}\n"
	assert.Equal(t, []string{"amount 12,000 -> 15,000"}, details(t, budget, replaceLine(budget, "12000", "15000")))
	jobs := workflow("acme", "a", "    - {name: one, replicas: 2}\n")
	assert.Equal(t, []string{"replicas of one 2 -> 4"}, details(t, jobs, replaceLine(jobs, "replicas: 2", "replicas: 4")))
}

func TestChange_NeverPrintsSecrets(t *testing.T) {
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2, schedule: hunter3, image: hunter4}\n"
	got := details(t, secret, strings.ReplaceAll(secret, "hunter", "tiger"))
	assert.Equal(t, []string{"stringData.password changed", "stringData.schedule changed", "stringData.image changed"}, got)
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: {password: hunter2}\n"
	assert.Equal(t, []string{"data.password changed"}, details(t, config, strings.ReplaceAll(config, "hunter", "tiger")))
}

func TestChange_FormattingOrderCommentsAndMovesAreNone(t *testing.T) {
	base := deployment("acme", "")
	same := `# The same, written differently.
kind: Deployment
apiVersion: "apps/v1"
spec:
  template:
    spec:
      containers:
        - {image: "web:1", name: web, env: [{value: one, name: TOKEN}], resources: {requests: {memory: 1Gi, cpu: 500m}}}
    metadata: {labels: &l {conductor.dev/tenant-id: acme}}
  replicas: 3
metadata: {labels: *l, namespace: shop, name: web}
`
	v := judge(snapshot("t.yaml", twoTenants, "prod/x.yaml", base), snapshot("t.yaml", twoTenants, "prod/moved/y.yaml", same))
	assert.Empty(t, v.Changes)
	assert.Empty(t, v.TouchedTenants)
	assert.Empty(t, v.Findings)
	v = judge(snapshot("t.yaml", twoTenants, "prod/x.yaml", base), snapshot("t.yaml", twoTenants, "stage/x.yaml", base))
	require.Len(t, v.Changes, 2)
	assert.Equal(t, manifests.Removed, v.Changes[0].Kind)
	assert.Equal(t, 0, v.Changes[0].Line)
	assert.Equal(t, manifests.Environment("stage"), v.Changes[1].Environment)
}

func TestChange_GenerateNameObjectsPairUpByEqualityThenOrder(t *testing.T) {
	one := func(image string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-, labels: {conductor.dev/tenant-id: acme}}\nspec: {containers: [{name: c, image: " + image + "}]}\n---\n"
	}
	v := judge(snapshot("t.yaml", twoTenants, "x.yaml", one("a")+one("b")+one("c")), snapshot("t.yaml", twoTenants, "x.yaml", one("c")+one("a")+one("d")))
	require.Len(t, v.Changes, 1)
	assert.Equal(t, []string{"image c: b -> d"}, v.Changes[0].Details)
	assert.Equal(t, "Pod a-*", v.Changes[0].Resource)
}

func TestChange_ManyDifferencesAreBounded(t *testing.T) {
	config := func(v string) string {
		s := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata:\n"
		for i := range 100 {
			s += fmt.Sprintf("  k%d: %s\n", i, v)
		}
		return s
	}
	got := details(t, config("a"), config("b"))
	require.Len(t, got, 21)
	assert.Equal(t, "and 80 more", got[20])
}

func TestJudge_TouchesBothTenantsOfAMoveAndUntaggedOfUnreadableFiles(t *testing.T) {
	v := judge(snapshot("t.yaml", twoTenants, "x.yaml", deployment("acme", "")), snapshot("t.yaml", twoTenants, "x.yaml", deployment("globex", "")))
	assert.Equal(t, []manifests.TenantID{"acme", "globex"}, v.TouchedTenants)
	v = judge(snapshot("t.yaml", twoTenants, "x.yaml", deployment("acme", "")), snapshot("t.yaml", twoTenants, "x.yaml", "a: ["))
	assert.Equal(t, []manifests.TenantID{"acme", manifests.Untagged}, v.TouchedTenants)
	require.Len(t, v.Changes, 1)
	assert.Equal(t, manifests.Opaque, v.Changes[0].Kind)
	assert.Equal(t, []string{"x.yaml:1:1 yaml/syntax error"}, lines(v))
}

func TestJudge_OldFindingsFailOnlyOnObjectsThatThePullRequestChanges(t *testing.T) {
	untagged := "apiVersion: v1\nkind: Pod\nmetadata: {name: old}\nspec: {containers: [{name: c, image: a}]}\n"
	base := snapshot("t.yaml", twoTenants, "x.yaml", untagged, "y.yaml", "a: 1\n")
	shared := base.Files()
	other := manifests.NewSnapshot(append(shared[:2:2], manifests.Parse("y.yaml", []byte("a: 2\n"))))
	assert.Equal(t, []string{"x.yaml:3:1 tenant/missing notice existing"}, lines(judge(base, other)), "in a file that isn't touched")
	for name, c := range map[string]struct{ text, want string }{
		"a comment above":      {"# c\n" + untagged, "x.yaml:4:1 tenant/missing notice existing"},
		"another object added": {deployment("acme", "") + "---\n" + untagged, "x.yaml:21:1 tenant/missing notice existing"},
		"the object itself":    {strings.Replace(untagged, "image: a", "image: b", 1), "x.yaml:3:1 tenant/missing error"},
		"a copy of it":         {untagged + "---\n" + strings.Replace(untagged, "old", "new", 1), "x.yaml:3:1 tenant/missing notice existing,x.yaml:8:1 tenant/missing error"},
	} {
		v := judge(base, snapshot("t.yaml", twoTenants, "x.yaml", c.text, "y.yaml", "a: 1\n"))
		assert.Equal(t, strings.Split(c.want, ","), lines(v), name)
	}
	nameless := strings.Replace(untagged, "name: old", "generateName: g-", 1)
	v := judge(snapshot("t.yaml", twoTenants, "x.yaml", nameless), snapshot("t.yaml", twoTenants, "x.yaml", strings.Replace(nameless, "image: a", "image: b", 1)+"---\n"+nameless))
	assert.Equal(t, []string{"x.yaml:3:1 tenant/missing error", "x.yaml:8:1 tenant/missing notice existing"}, lines(v), "a nameless copy put first")
	moved := judge(base, snapshot("t.yaml", twoTenants, "z.yaml", untagged, "y.yaml", "a: 1\n"))
	assert.Equal(t, []string{"z.yaml:3:1 tenant/missing notice existing"}, lines(moved))
	assert.Equal(t, manifests.CheckResult{Conclusion: manifests.Success, Title: "No new problems; 1 known from before"}, moved.Tenants)
}

func TestJudge_GoesByThePolicyOfTheBase(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
	off := "enforcement: {tenant/missing: off}\n"
	v := judge(snapshot("t.yaml", twoTenants), snapshot("t.yaml", twoTenants, ".conductor.yaml", off, "x.yaml", pod))
	assert.Equal(t, []string{".conductor.yaml:1:1 policy/edited notice", "x.yaml:3:1 tenant/missing error"}, lines(v))
	v = judge(snapshot("t.yaml", twoTenants, ".conductor.yaml", off), snapshot("t.yaml", twoTenants, "x.yaml", pod))
	assert.Equal(t, []string{".conductor.yaml:1:1 policy/edited notice"}, lines(v), "removed, but still in force")
	v = judge(snapshot("t.yaml", twoTenants, ".conductor.yaml", off), snapshot("t.yaml", twoTenants, ".conductor.yaml", "enforcement: {tenant/missing: block}\n"))
	require.Len(t, v.Changes, 1)
	assert.Equal(t, []string{"enforcement[tenant/missing] off -> block"}, v.Changes[0].Details)
	assert.True(t, v.Changes[0].Policy)
}

func TestJudge_ATenantOfThePullRequestCountsFromItsMerge(t *testing.T) {
	initech := "apiVersion: conductor.dev/v1\nkind: Tenant\nmetadata: {name: initech}\nspec: {}\n"
	v := judge(snapshot("t.yaml", twoTenants), snapshot("t.yaml", twoTenants, "n.yaml", initech, "x.yaml", deployment("initech", "")))
	assert.Equal(t, []string{"n.yaml:2:1 policy/edited notice", "x.yaml:6:12 tenant/unknown error"}, lines(v))
	v = judge(snapshot(), snapshot("t.yaml", twoTenants, "x.yaml", deployment("acme", "")))
	assert.False(t, v.Failed(), "the first tenants of a repository can be added with their workloads")
}

func TestJudge_ChangedPathsLimitWhatIsThePullRequests(t *testing.T) {
	base := snapshot("t.yaml", twoTenants, "x.yaml", deployment("acme", ""))
	head := snapshot("t.yaml", twoTenants, "x.yaml", deployment("globex", ""), "y.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
	v := manifests.Judge(base, head, manifests.Options{Now: now, Changed: map[string]bool{"y.yaml": true}})
	require.Len(t, v.Changes, 1)
	assert.Equal(t, "Pod a", v.Changes[0].Resource)
}

func TestJudge_DependenciesBrokenFromAfarAreNew(t *testing.T) {
	a := workflow("acme", "a", "    - {name: one, dependsOn: [b/two]}\n")
	base := snapshot("t.yaml", twoTenants, "a.yaml", a, "b.yaml", workflow("acme", "b", "    - {name: two}\n"))
	v := judge(base, snapshot("t.yaml", twoTenants, "a.yaml", a, "b.yaml", workflow("globex", "b", "    - {name: two}\n")))
	assert.Equal(t, []string{"a.yaml:6:31 tenant/cross-tenant-dependency error"}, lines(v))
	v = judge(v0(base), v0(base))
	assert.Empty(t, v.Findings)
}

// v0 is the same snapshot, from the same files.
func v0(s *manifests.Snapshot) *manifests.Snapshot { return manifests.NewSnapshot(s.Files()) }

func TestJudge_IsDeterministicAndIndependentOfWhatWasJudgedBefore(t *testing.T) {
	base, head := example(mustExplain(t, "budget/exceeded").Wrong, true)
	first, err := json.Marshal(judge(base, head))
	require.NoError(t, err)
	for range 20 {
		manifests.Check(head, manifests.Options{Now: now.AddDate(1, 0, 0), Branch: "x"})
		again, err := json.Marshal(judge(base, head))
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

func mustExplain(t *testing.T, id string) manifests.Rule {
	r, ok := manifests.Explain(id)
	require.True(t, ok)
	return r
}

func TestJudge_PolicyDigestIgnoresLayoutAndChangesWithMeaning(t *testing.T) {
	of := func(files ...string) string { return check(files...).PolicyDigest }
	a := of("t.yaml", twoTenants, "b.yaml", "apiVersion: conductor.dev/v1\nkind: Budget\nmetadata: {name: b}\nspec: {environment: prod, amount: 1, currency: USD}\n")
	b := of("u.yaml", "# moved\n"+twoTenants, "b.yaml", "kind: Budget\napiVersion: conductor.dev/v1\nspec: {currency: USD, environment: prod, amount: 1}\nmetadata: {name: b}\n", "x.yaml", deployment("acme", ""))
	c := of("t.yaml", twoTenants, "b.yaml", "apiVersion: conductor.dev/v1\nkind: Budget\nmetadata: {name: b}\nspec: {environment: prod, amount: 2, currency: USD}\n")
	assert.Equal(t, a, b)
	assert.NotEqual(t, a, c)
	assert.Len(t, a, 64)
}

func FuzzJudge(f *testing.F) {
	for _, r := range manifests.Rules() {
		f.Add([]byte(r.Wrong), []byte(r.Right))
	}
	f.Add([]byte(deployment("acme", "")), []byte(deployment("globex", "")))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		tree := func(data []byte) *manifests.Snapshot {
			return manifests.NewSnapshot([]*manifests.File{
				manifests.Parse("declared.yaml", []byte(twoTenants)), manifests.Parse("prod/x.yaml", data), manifests.Parse(manifests.PolicyFile, data)})
		}
		base, head := tree(before), tree(after)
		v, err := json.Marshal(judge(base, head))
		if err != nil {
			t.Fatal(err)
		}
		again, _ := json.Marshal(judge(tree(before), tree(after)))
		if string(v) != string(again) {
			t.Fatalf("two verdicts:\n%s\n%s", v, again)
		}
		if same := judge(base, tree(before)); len(same.Changes) > 0 {
			for _, c := range same.Changes {
				if c.Kind != manifests.Opaque {
					t.Fatalf("a change of nothing: %+v", c)
				}
			}
		}
	})
}
