package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
)

func TestComment_Golden(t *testing.T) {
	nothing := report(manifests.Verdict{Compared: true, Tenants: manifests.CheckResult{Conclusion: manifests.Success}, Budget: manifests.CheckResult{Conclusion: manifests.Neutral}})
	for name, r := range map[string]reconcile.Report{"failing": failing(), "passing": passing(), "nothing": nothing} {
		t.Run(name, func(t *testing.T) { golden(t, "comment_"+name+".md", Comment(r)) })
	}
}

func TestMarkdown_OfATreeShowsEveryEnvironmentAndNoChange(t *testing.T) {
	golden(t, "markdown_tree.md", Markdown(tree()))
}

func TestChecks_Golden(t *testing.T) {
	for name, r := range map[string]reconcile.Report{"failing": failing(), "passing": passing()} {
		t.Run(name, func(t *testing.T) {
			b, err := json.MarshalIndent(Checks(r), "", "  ")
			require.NoError(t, err)
			golden(t, "checks_"+name+".json", string(b)+"\n")
		})
	}
}

func TestText_Golden(t *testing.T) {
	for name, o := range map[string]Options{"plain": {}, "narrow": {Width: 60}, "color": {Color: true, Width: 100}} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			require.NoError(t, Text(&b, failing().Verdict, o))
			golden(t, "text_"+name+".txt", b.String())
		})
	}
	t.Run("tree", func(t *testing.T) {
		var b strings.Builder
		require.NoError(t, Text(&b, tree(), Options{}))
		golden(t, "text_tree.txt", b.String())
	})
}

func TestJSON_Golden(t *testing.T) {
	b, err := JSON(failing().Verdict)
	require.NoError(t, err)
	golden(t, "verdict.json", string(b))
}

func TestJSON_OfNothingHasEmptyListsAndAPass(t *testing.T) {
	b, err := JSON(manifests.Verdict{})
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(b, &got))
	assert.Equal(t, []any{}, got["findings"])
	assert.Equal(t, []any{}, got["changes"])
	assert.Equal(t, []any{}, got["cost"].(map[string]any)["environments"])
	assert.Equal(t, "pass", got["verdict"])
}

func TestGitHubCommands_Golden(t *testing.T) {
	golden(t, "commands.txt", GitHubCommands(failing().Verdict))
}

func TestGitHubCommands_EscapePropertiesAndMessages(t *testing.T) {
	got := GitHubCommands(manifests.Verdict{Findings: []manifests.Finding{{
		Rule: "a,b:c", Severity: manifests.SeverityError, File: "x,y:z%\n::set-env name=A::b.yaml", Line: 3, Column: 2,
		Message: "100%\r\n::error::", Remedy: "fix: it, now"}}})
	first, rest, _ := strings.Cut(got, "\n")
	assert.Equal(t, "::error file=x%2Cy%3Az%25 %3A%3Aset-env name=A%3A%3Ab.yaml,line=3,col=2,title=a%2Cb%3Ac::100%25  ::error::%0AFix: fix: it, now", first)
	assert.Equal(t, "conductor: 1 problem, 0 warnings, verdict pass\n", rest)
}

func TestComment_SaysARemedyOnceForARowOfTheSameProblem(t *testing.T) {
	f := manifests.Finding{Rule: "tenant/missing", Severity: manifests.SeverityError, File: "a.yaml", Line: 1, Message: "no tenant", Remedy: "add it"}
	other := f
	other.Remedy = "do something else"
	body := Comment(report(manifests.Verdict{Compared: true, Findings: []manifests.Finding{f, f, other}}))
	assert.Equal(t, 1, strings.Count(body, "**Fix:** add it."))
	assert.Equal(t, 1, strings.Count(body, "**Fix:** as above."))
	assert.Equal(t, 1, strings.Count(body, "**Fix:** do something else."))
}

func TestNewsworthy(t *testing.T) {
	assert.True(t, Newsworthy(failing().Verdict))
	assert.True(t, Newsworthy(passing().Verdict), "a tenant is touched")
	assert.False(t, Newsworthy(manifests.Verdict{}))
	assert.False(t, Newsworthy(manifests.Verdict{Findings: []manifests.Finding{{Existing: true}}}), "an older finding is no news")
	assert.True(t, Newsworthy(manifests.Verdict{Findings: []manifests.Finding{{Severity: manifests.SeverityNotice}}}))
	moved := manifests.EnvironmentCost{Environment: "dev", Delta: usd("0.01")}
	assert.True(t, Newsworthy(manifests.Verdict{Cost: manifests.CostReport{Environments: []manifests.EnvironmentCost{moved}}}))
}

func TestMarker_IsOneHTMLCommentWhateverTheRepository(t *testing.T) {
	assert.Equal(t, "<!-- conductor:v1 repo=4711 pr=7 -->", Marker("4711", 7))
	for _, id := range []reconcile.RepoID{"--> <b>", "a--b", "x\ny", "git-0123456789abcdef"} {
		m := Marker(id, 1)
		assert.Equal(t, 1, strings.Count(m, "-->"), m)
		assert.NotContains(t, strings.TrimSuffix(strings.TrimPrefix(m, "<!--"), "-->"), "--", m)
		assert.NotContains(t, m, "\n")
	}
}
