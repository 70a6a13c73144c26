package manifests

import "strconv"

// Severity says what a finding does to a check.
type Severity string

const (
	// SeverityError fails the check that the rule belongs to.
	SeverityError Severity = "error"
	// SeverityWarning is shown and leaves the check green.
	SeverityWarning Severity = "warning"
	// SeverityNotice informs: findings that were there before the pull request,
	// and facts a reviewer should see.
	SeverityNotice Severity = "notice"
)

// TenantID is the value of the tenant tag, and the name of a Tenant.
type TenantID string

// Untagged is the tenant to which changes and costs of workloads without a
// valid tag are attributed. It can't be the name of a Tenant.
const Untagged TenantID = "untagged"

// Environment is where a workload runs: dev, stage, prod, or what the policy
// names. The empty Environment is "none could be told".
type Environment string

// Finding is one thing that is wrong, or worth a reviewer's look, at one place.
type Finding struct {
	Rule     string   `json:"rule"`     // stable id, e.g. tenant/missing; see Explain
	Severity Severity `json:"severity"` // after policy and after the diff was considered
	File     string   `json:"file"`     // slash-separated path from the repository's root
	Line     int      `json:"line"`     // 1-based; 1 where a file has no better place
	Column   int      `json:"column"`   // 1-based, in runes
	EndLine  int      `json:"end_line,omitempty"`
	Message  string   `json:"message"` // one sentence: what is wrong
	Remedy   string   `json:"remedy"`  // one sentence: what to do
	Tenant   TenantID `json:"tenant,omitempty"`
	// Resource is "Kind namespace/name" of the object concerned, "" for a file.
	Resource string `json:"resource,omitempty"`
	// Existing is true when the base had the same finding and the pull request
	// doesn't touch the object: such a finding never fails the pull request.
	Existing bool `json:"existing,omitempty"`
	// Budget is true for findings that belong to the budget check rather than
	// to the tenants check.
	Budget bool `json:"-"`
}

// Place is "file:line:column", the form that editors and terminals link.
func (f Finding) Place() string {
	return f.File + ":" + strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Column)
}
