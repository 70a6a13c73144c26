package manifests_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

// check judges files given as path, text, path, text …
func check(files ...string) manifests.Verdict {
	return manifests.Check(snapshot(files...), manifests.Options{Now: now})
}

func snapshot(files ...string) *manifests.Snapshot {
	var fs []*manifests.File
	for i := 0; i < len(files); i += 2 {
		fs = append(fs, manifests.Parse(files[i], []byte(files[i+1])))
	}
	return manifests.NewSnapshot(fs)
}

// lines renders findings as "file:line:column rule severity".
func lines(v manifests.Verdict) []string {
	out := []string{}
	for _, f := range v.Findings {
		s := fmt.Sprintf("%s %s %s", f.Place(), f.Rule, f.Severity)
		if f.Existing {
			s += " existing"
		}
		out = append(out, s)
	}
	return out
}

func TestParse_ReportsSyntaxErrorsOnTheLineAPersonWouldPointAt(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string
	}{
		{"unclosed flow list", "a: 1\nb: 2\nc: [1, 2\nd: 3\n", "x.yaml:3:1"},
		{"wrong indentation", "a: 1\nb:\n  - x\n c: 3\n", "x.yaml:4:2"},
		{"wrong indentation after a comment", "# top\n\na: 1\nb:\n  - x\n c: 3\n", "x.yaml:6:2"},
		{"tab", "a: 1\n\tb: 2\n", "x.yaml:2:2"},
		{"two colons", "x: 1\na: b: c\n", "x.yaml:2:1"},
		{"first line", "a: b: c\n", "x.yaml:1:1"},
		{"unknown anchor", "a: 1\nb: *nope\n", "x.yaml:2:1"},
		{"second document", "a: 1\n---\nb: 1\nc: ]\n", "x.yaml:4:1"},
		{"invalid UTF-8", "a: 1\nb: é\xff\n", "x.yaml:2:5"},
		{"control character", "a: 1\nb: \x01\n", "x.yaml:2:4"},
		{"UTF-16", "\xff\xfea\x00:\x00", "x.yaml:1:1"},
		{"CRLF", "a: 1\r\nb: @\r\n", "x.yaml:2:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := check("x.yaml", c.text)
			assert.Equal(t, []string{c.want + " yaml/syntax error"}, lines(v))
			assert.Equal(t, manifests.Failure, v.Tenants.Conclusion)
		})
	}
}

func TestParse_ToleratesByteOrderMarksLineEndingsAndForeignYAML(t *testing.T) {
	for name, text := range map[string]string{
		"BOM":              "\ufeffkey: value\n",
		"CRLF":             "key: value\r\nother: x\r\n",
		"empty":            "",
		"only comments":    "# nothing\n",
		"a list":           "- a\n- b\n",
		"a scalar":         "hello\n",
		"not a manifest":   "name: ci\non: push\njobs: {}\n",
		"unknown kind":     "apiVersion: example.com/v1\nkind: Widget\nspec: {}\n",
		"kustomization":    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n",
		"empty documents":  "---\n---\n---\n",
		"kind is a number": "apiVersion: v1\nkind: 3\n",
	} {
		assert.Empty(t, check("x.yaml", text).Findings, name)
	}
}

func TestParse_KeepsLinesThatEditorsCountWhereYAMLSeesOtherBreaks(t *testing.T) {
	v := check("x.yaml", "note: \"a\u2028 b\u0085 c\"\napiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n")
	assert.Equal(t, []string{"x.yaml:4:1 tenant/missing error"}, lines(v))
}

func TestParse_BoundsHostileDocuments(t *testing.T) {
	bomb := "a0: &a0 [x]\n"
	for i := range 60 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	merges := "base: &b {"
	for i := range 2000 {
		merges += fmt.Sprintf("k%d: 1, ", i)
	}
	merges += "}\n" + func() string {
		var b strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&b, "m%d: {<<: *b}\n", i)
		}
		return b.String()
	}()
	for _, c := range []struct{ name, text, rule string }{
		{"billion laughs", bomb, "yaml/alias-bomb"},
		{"alias of itself", "a: &a\n  b: *a\n", "yaml/alias-bomb"},
		{"merge bomb", merges, "yaml/alias-bomb"},
		{"100 levels", strings.Repeat("[", 100) + strings.Repeat("]", 100), "yaml/too-deep"},
		{"20,000 levels", strings.Repeat("[", 20_000), "yaml/too-deep"},
		{"deep through aliases", "a: &a " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\nb: " + strings.Repeat("[", 40) + "*a" + strings.Repeat("]", 40), "yaml/too-deep"},
		{"too large", strings.Repeat("# x\n", 1<<19), "file/too-large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := check("x.yaml", c.text)
			require.NotEmpty(t, v.Findings)
			assert.Equal(t, c.rule, v.Findings[0].Rule)
		})
	}
}

func TestParse_ReportsDuplicateKeysAtTheSecondKeyAndKeepsTheFirst(t *testing.T) {
	v := check("t.yaml", twoTenants, "x.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n  labels: {conductor.dev/tenant-id: acme}\n")
	assert.Equal(t, []string{"x.yaml:5:3 yaml/duplicate-key error"}, lines(v))
	assert.Contains(t, v.Findings[0].Remedy, "line 4")
}

func TestParse_RefusesPathsThatLeaveTheRepository(t *testing.T) {
	for _, p := range []string{"../a.yaml", "/a.yaml", "a/../b.yaml", "a\\b.yaml", "a\nb.yaml", "./a.yaml", "a//b.yaml", "C:/a.yaml", "", "a\x00.yaml", "\xff.yaml", strings.Repeat("a", 5000)} {
		v := check(p, "a: 1\n")
		require.Len(t, v.Findings, 1, "%q", p)
		assert.Equal(t, "file/bad-path", v.Findings[0].Rule)
		assert.NotContains(t, v.Findings[0].File, "\n")
	}
	assert.Empty(t, check("ünïcode/日本.yaml", "a: 1\n").Findings)
}

func TestSelects_TakesYAMLOnly(t *testing.T) {
	for p, want := range map[string]bool{"a.yaml": true, "b/c.YML": true, ".conductor.yaml": true, "a.json": false, "yaml": false, "a.yaml/b": false} {
		assert.Equal(t, want, manifests.Selects(p), p)
	}
}

func TestParse_OpensListsAndResolvesAnchorsAndMergeKeys(t *testing.T) {
	v := check("t.yaml", twoTenants, "x.yaml", `apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: &meta
      name: a
      labels: &labels {conductor.dev/tenant-id: acme}
  - apiVersion: v1
    kind: Pod
    metadata:
      <<: *meta
      name: b
  - apiVersion: v1
    kind: Pod
    metadata:
      name: c
      labels: {<<: [*labels], app: c}
  - apiVersion: v1
    kind: Pod
    metadata: {name: d, labels: {<<: *labels, conductor.dev/tenant-id: acne}}
  - apiVersion: v1
    kind: Pod
    metadata: {name: e}
`)
	assert.Equal(t, []string{"x.yaml:21:47 tenant/unknown error", "x.yaml:24:5 tenant/missing error"}, lines(v))
	assert.Contains(t, v.Findings[0].Message, `did you mean "acme"?`)
}

func TestNewSnapshot_LaterFilesReplaceEarlierOnes(t *testing.T) {
	s := snapshot("b.yaml", "a: [", "a.yaml", "a: 1", "b.yaml", "a: 1")
	assert.Equal(t, 2, s.Len())
	assert.Empty(t, manifests.Check(s, manifests.Options{Now: now}).Findings)
}

func TestParse_MessagesCarryNoControlCharactersAndAreBounded(t *testing.T) {
	v := check("x.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"a\\u202eb\\n\\e[31m"+strings.Repeat("x", 5000)+"\"\n")
	require.Len(t, v.Findings, 1)
	f := v.Findings[0]
	assert.Less(t, len(f.Message), 400)
	assert.NotContains(t, f.Message, "\u202e")
	assert.NotContains(t, f.Message, "\x1b")
	assert.NotContains(t, f.Message, "\n")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{twoTenants, "a: &a [*a]\n", "{{ x }}: {{ y }}\n", "a: [", "? {a: b}\n: c\n", "<<: {a: 1}\n", "--- |\n x\n...\n", "\ufeffa: 1\r\n", "%TAG ! x\n---\n!a b\n"} {
		f.Add("prod/web.yaml", []byte(s))
		f.Add(manifests.PolicyFile, []byte(s))
	}
	for _, r := range manifests.Rules() {
		f.Add("dev/x.yaml", []byte(r.Wrong))
	}
	for _, data := range argoFiles(f) {
		f.Add("x.yaml", data)
	}
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		start := time.Now()
		s := manifests.NewSnapshot([]*manifests.File{manifests.Parse(path, data)})
		v := manifests.Check(s, manifests.Options{Now: now})
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("took %s", took)
		}
		for _, x := range v.Findings {
			if x.Line < 1 || x.Column < 1 || x.Rule == "" || x.Message == "" || x.Remedy == "" {
				t.Fatalf("incomplete finding %+v", x)
			}
			if x.Line > 2+strings.Count(string(data), "\n") {
				t.Fatalf("%s is beyond the end of the file", x.Place())
			}
		}
	})
}

// Each of these once was quadratic, or could have been.
func TestJudge_TimeStaysLinearInHostileFiles(t *testing.T) {
	many := func(n int, head, each string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			b.WriteString(strings.ReplaceAll(each, "#", fmt.Sprint(i)))
		}
		return b.String()
	}
	for name, c := range map[string][2]string{
		"generateName objects": {many(3000, "", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {hostname: h#}\n---\n"), many(3000, "", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {hostname: g#}\n---\n")},
		"unknown jobs":         {workflow("acme", "a", many(2000, "", "    - {name: job-#, dependsOn: [jab-#]}\n")), ""},
		"chained jobs":         {workflow("acme", "a", many(2000, "", "    - {name: job-1#, dependsOn: [job-#]}\n")), ""},
		"merged keys":          {many(1, many(10000, "a: &a\n", "  key-#: 1\n"), "b: {<<: *a, c: 1}\n"), ""},
		"cron jobs":            {many(2000, "", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c#}\nspec: {schedule: '* * * * *', timeZone: Europe/Paris, jobTemplate: {}}\n---\n"), ""},
		"wide mapping":         {many(20000, "", "key-#: 1\n"), many(20000, "", "key-#: 2\n")},
		"tenants":              {many(2000, "", "apiVersion: v1\nkind: Pod\nmetadata: {name: a#, labels: {conductor.dev/tenant-id: t#}}\n---\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.NotPanics(t, func() {
				judge(snapshot("t.yaml", twoTenants, "x.yaml", c[0]), snapshot("t.yaml", twoTenants, "x.yaml", c[1]))
			})
		})
	}
}
