package manifests

import "time"

// Conclusion is the outcome of one check.
type Conclusion string

const (
	// Success: nothing is wrong.
	Success Conclusion = "success"
	// Failure: at least one error finding belongs to the check.
	Failure Conclusion = "failure"
	// Neutral: there was nothing to judge, e.g. no budget for any environment
	// that the pull request touches.
	Neutral Conclusion = "neutral"
)

// Verdict is what Conductor thinks of a tree or of a pull request. It is a value:
// checks, comments, command output and ledger entries are rendered from it.
type Verdict struct {
	Findings []Finding   `json:"findings"` // sorted by file, line, column, rule
	Changes  []Change    `json:"changes,omitempty"`
	Cost     CostReport  `json:"cost"`
	Tenants  CheckResult `json:"tenants"` // the conductor/tenants check
	Budget   CheckResult `json:"budget"`  // the conductor/budget check
	// TouchedTenants are the tenants that Changes concern, sorted, Untagged
	// included. Empty means: not tenant-affecting.
	TouchedTenants []TenantID `json:"touched_tenants,omitempty"`
	// PolicyDigest is the sha256 (hex) of the base's policy inputs: the
	// .conductor.yaml and the Tenant, Budget, RateCard and SystemAllowlist
	// documents that judged this.
	PolicyDigest string `json:"policy_digest"`
	// Files counts the manifests looked at.
	Files int `json:"files"`
	// Compared says that there was a base: Judge made the verdict, not Check.
	Compared bool `json:"compared"`
}

// CheckResult is the outcome of one of the two checks with one line on why.
type CheckResult struct {
	Conclusion Conclusion `json:"conclusion"`
	Title      string     `json:"title"` // e.g. "2 problems in 1 file"
}

// Failed reports whether either check failed.
func (v Verdict) Failed() bool {
	return v.Tenants.Conclusion == Failure || v.Budget.Conclusion == Failure
}

// ChangeKind says what happened to a resource.
type ChangeKind string

const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified"
	// Opaque: a manifest changed that can't be read (syntax error, too large),
	// so its meaning is unknown. It counts as tenant-affecting.
	Opaque ChangeKind = "opaque"
)

// Change is one resource's semantic difference between base and head. Formatting,
// order, comments and moving a file within an environment make no Change.
type Change struct {
	Kind        ChangeKind  `json:"kind"`
	Resource    string      `json:"resource"` // "Deployment shop/web"; the file for Opaque
	File        string      `json:"file"`     // at head, or at base when removed
	Line        int         `json:"line"`     // 0 when removed
	Tenant      TenantID    `json:"tenant"`   // at head, or at base when removed
	Environment Environment `json:"environment,omitempty"`
	// Details are phrases such as "replicas 3 -> 6"; empty for added and removed
	// resources that need no more words.
	Details []string `json:"details,omitempty"`
	// Policy is true for Tenant, Budget, RateCard, SystemAllowlist and
	// .conductor.yaml edits: they don't judge the pull request that makes them.
	Policy bool `json:"policy,omitempty"`
}

// Options are the circumstances of a judgement.
type Options struct {
	// Now is used for expiry of allowlist entries and for cost in this month.
	Now time.Time
	// Branch is the base branch, for policies that map branches to
	// environments; "" where there is none.
	Branch string
	// Changed are the paths that differ between merge base and head. nil means
	// unknown: all paths that differ between the snapshots count.
	Changed map[string]bool
}
