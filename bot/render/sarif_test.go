package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

func TestSARIF_Golden(t *testing.T) {
	v := failing().Verdict
	for i := range v.Findings { // rules of the catalogue change their words without us
		v.Findings[i].Rule = "test/" + strings.ReplaceAll(v.Findings[i].Rule, "/", "-")
	}
	b, err := SARIF(v, "1.2.3")
	require.NoError(t, err)
	golden(t, "verdict.sarif", string(b))
}

func TestSARIF_ExplainsRulesOfTheCatalogue(t *testing.T) {
	rule := manifests.Rules()[0]
	b, err := SARIF(manifests.Verdict{Findings: []manifests.Finding{{Rule: rule.ID, Severity: manifests.SeverityError, File: "a", Line: 1, Message: "m"}}}, "1")
	require.NoError(t, err)
	var log sarifLog
	require.NoError(t, json.Unmarshal(b, &log))
	got := log.Runs[0].Tool.Driver.Rules[0]
	assert.Equal(t, rule.Summary, got.Short.Text)
	assert.Contains(t, got.Help.Text, rule.Remedy)
	assert.Contains(t, got.Help.Markdown, "`conductor explain "+rule.ID+"`")
}

func TestSARIF_ResultsPointAtTheirRulesAndAreToldApart(t *testing.T) {
	one := manifests.Finding{Rule: "b/x", Severity: manifests.SeverityWarning, File: "dir name/ü#?.yaml", Line: 3, Column: 7, Message: "m"}
	other := one
	other.Rule, other.Line, other.Column, other.Existing = "a/x", 0, 0, true
	b, err := SARIF(manifests.Verdict{Findings: []manifests.Finding{one, one, other}}, "")
	require.NoError(t, err)
	var log sarifLog
	require.NoError(t, json.Unmarshal(b, &log))
	run := log.Runs[0]
	require.Len(t, run.Results, 3)
	prints := map[string]bool{}
	for _, r := range run.Results {
		assert.Equal(t, r.RuleID, run.Tool.Driver.Rules[r.RuleIndex].ID)
		prints[r.Fingerprints["conductorFinding/v1"]] = true
	}
	assert.Len(t, prints, 3)
	place := run.Results[0].Locations[0].Physical
	assert.Equal(t, "dir%20name/%C3%BC%23%3F.yaml", place.Artifact.URI)
	assert.Equal(t, sarifRegion{StartLine: 3, StartColumn: 7}, place.Region)
	assert.Equal(t, sarifRegion{StartLine: 1}, run.Results[2].Locations[0].Physical.Region)
	assert.Equal(t, "unchanged", run.Results[2].Baseline)
	assert.Equal(t, "warning", run.Results[0].Level)
}

func TestSARIF_MessagesHoldNoLinksOfForeignText(t *testing.T) {
	b, err := SARIF(manifests.Verdict{Findings: []manifests.Finding{{Rule: "r/x", File: "a", Message: "see [here](https://evil.example)\x1b", Remedy: "[x](1)"}}}, "1")
	require.NoError(t, err)
	assert.NotContains(t, string(b), "](")
	assert.NotContains(t, string(b), "u001b")
}

func TestSARIF_OfNothingHasEmptyLists(t *testing.T) {
	b, err := SARIF(manifests.Verdict{}, "1")
	require.NoError(t, err)
	assert.Contains(t, string(b), `"results": []`)
	assert.Contains(t, string(b), `"rules": []`)
}
