package render

import (
	"bytes"
	"encoding/json"

	"github.com/conductor-dev/conductor/manifests"
)

// jsonVerdict is the check command's JSON: findings and cost are always there.
type jsonVerdict struct {
	Findings       []manifests.Finding   `json:"findings"`
	Changes        []manifests.Change    `json:"changes"`
	Cost           manifests.CostReport  `json:"cost"`
	Verdict        string                `json:"verdict"` // pass or fail
	Tenants        manifests.CheckResult `json:"tenants"`
	Budget         manifests.CheckResult `json:"budget"`
	TouchedTenants []manifests.TenantID  `json:"touched_tenants"`
	PolicyDigest   string                `json:"policy_digest"`
	Files          int                   `json:"files"`
}

// JSON is a verdict for scripts, indented, with a final newline. Lists are never
// null; money is {"amount": decimal string, "currency": ISO 4217}. Foreign text is
// as it was found: JSON escapes control characters itself.
func JSON(v manifests.Verdict) ([]byte, error) {
	out := jsonVerdict{
		Findings: notNil(v.Findings), Changes: notNil(v.Changes), Cost: v.Cost, Verdict: outcome(v),
		Tenants: v.Tenants, Budget: v.Budget, TouchedTenants: notNil(v.TouchedTenants),
		PolicyDigest: v.PolicyDigest, Files: v.Files,
	}
	out.Cost.Environments = notNil(out.Cost.Environments)
	return indented(out)
}

func outcome(v manifests.Verdict) string {
	if v.Failed() {
		return "fail"
	}
	return "pass"
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
