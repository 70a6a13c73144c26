package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/conductor-dev/conductor/manifests"
)

// The subset of SARIF 2.1.0 (OASIS, errata 01) that we write; section numbers
// are beside the fields.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct { // 3.14
		Tool       sarifTool             `json:"tool"`
		ColumnKind string                `json:"columnKind"`
		BaseIDs    map[string]sarifPlace `json:"originalUriBaseIds"`
		Results    []sarifResult         `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct { // 3.19
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct { // 3.49
		ID            string       `json:"id"`
		Short         sarifText    `json:"shortDescription"`
		Full          *sarifText   `json:"fullDescription,omitempty"`
		Help          sarifText    `json:"help"`
		Configuration sarifDefault `json:"defaultConfiguration"`
	}
	sarifDefault struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifResult struct { // 3.27
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Baseline     string            `json:"baselineState,omitempty"`
	}
	sarifLocation struct { // 3.28
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifPlace  `json:"artifactLocation"`
		Region   sarifRegion `json:"region"`
	}
	sarifPlace struct {
		URI         string     `json:"uri,omitempty"`
		BaseID      string     `json:"uriBaseId,omitempty"`
		Description *sarifText `json:"description,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
		EndLine     int `json:"endLine,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// sarifSchema is the published schema of SARIF 2.1.0.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// SARIF is a verdict as a SARIF 2.1.0 log, indented, with a final newline.
// version is Conductor's own. Findings that were there before the change have
// the baseline state "unchanged".
func SARIF(v manifests.Verdict, version string) ([]byte, error) {
	rules, index := sarifRules(v.Findings)
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "Conductor", Version: version, Rules: rules}},
		ColumnKind: "unicodeCodePoints",
		BaseIDs:    map[string]sarifPlace{"%SRCROOT%": {Description: &sarifText{Text: "The root of the repository."}}},
		Results:    []sarifResult{},
	}
	seen := map[string]int{}
	for _, f := range v.Findings {
		run.Results = append(run.Results, sarifOf(f, index[f.Rule], seen))
	}
	return indented(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// noLinks breaks embedded links, which a plain message may have (3.11.6).
var noLinks = strings.NewReplacer("](", "] (")

func sarifOf(f manifests.Finding, rule int, seen map[string]int) sarifResult {
	text := clean(f.Message, maxMessage)
	if f.Remedy != "" {
		text += "\n" + clean(f.Remedy, maxMessage)
	}
	r := sarifResult{
		RuleID: f.Rule, RuleIndex: rule, Level: sarifLevel(f.Severity), Message: sarifText{Text: noLinks.Replace(text)},
		Fingerprints: map[string]string{"conductorFinding/v1": fingerprint(f, seen)},
	}
	if f.Existing {
		r.Baseline = "unchanged"
	}
	location := sarifLocation{Physical: sarifPhysical{
		Artifact: sarifPlace{URI: escapePath(f.File), BaseID: "%SRCROOT%"},
		Region:   sarifRegion{StartLine: max(f.Line, 1), StartColumn: max(f.Column, 0)},
	}}
	if f.EndLine > f.Line {
		location.Physical.Region.EndLine = f.EndLine
	}
	if f.Resource != "" {
		location.Logical = []sarifLogical{{Name: f.Resource, Kind: "resource"}}
	}
	r.Locations = []sarifLocation{location}
	return r
}

// fingerprint tells a finding from others across runs, so it has no line; the
// n-th of the same kind in a file is told by its number.
func fingerprint(f manifests.Finding, seen map[string]int) string {
	key := fmt.Sprintf("%q %q %q %q", f.Rule, f.File, f.Resource, f.Message)
	seen[key]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", key, seen[key]))
	return hex.EncodeToString(sum[:16])
}

func sarifLevel(s manifests.Severity) string {
	switch s {
	case manifests.SeverityError:
		return "error"
	case manifests.SeverityWarning:
		return "warning"
	}
	return "note"
}

// sarifRuleOf describes a rule: from the catalogue, or by its id alone where the
// catalogue doesn't have it.
func sarifRuleOf(id string) sarifRule {
	more := "conductor explain " + id
	r := sarifRule{
		ID: id, Short: sarifText{Text: "Conductor's rule " + id},
		Help: sarifText{Text: "Run: " + more}, Configuration: sarifDefault{Level: "error"},
	}
	rule, known := manifests.Explain(id)
	if !known {
		return r
	}
	r.Short.Text, r.Configuration.Level = rule.Summary, sarifLevel(rule.Default)
	if rule.Why != "" {
		r.Full = &sarifText{Text: rule.Why}
	}
	r.Help = sarifText{
		Text:     join("\n\n", rule.Why, rule.Remedy, labelled("Wrong:\n", rule.Wrong), labelled("Right:\n", rule.Right), "Run: "+more),
		Markdown: join("\n\n", rule.Why, rule.Remedy, fenced("Wrong:", rule.Wrong), fenced("Right:", rule.Right), "Run `"+more+"`."),
	}
	return r
}

// join is strings.Join without the empty parts.
func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), sep)
}

func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}

// fenced is an example of the rule catalogue, which is our own text.
func fenced(label, text string) string {
	if text == "" {
		return ""
	}
	return label + "\n```yaml\n" + strings.TrimSuffix(text, "\n") + "\n```"
}

// sarifRules describes the rules that the findings break, sorted by id.
func sarifRules(findings []manifests.Finding) (rules []sarifRule, index map[string]int) {
	index = map[string]int{}
	ids := []string{}
	for _, f := range findings {
		if _, ok := index[f.Rule]; !ok {
			index[f.Rule] = 0
			ids = append(ids, f.Rule)
		}
	}
	sort.Strings(ids)
	rules = []sarifRule{}
	for i, id := range ids {
		index[id] = i
		rules = append(rules, sarifRuleOf(id))
	}
	return rules, index
}
