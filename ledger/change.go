package ledger

import "time"

// PredicateType identifies a change-log entry's predicate in its in-toto
// Statement.
const PredicateType = "https://conductor.dev/change-log/v1"

// Repository names a watched repository. ID survives renames: GitHub's numeric
// id in decimal, or "git-" and the first 16 hex digits of the root commit where
// there is no forge. It matches ^[a-z0-9][a-z0-9-]{0,63}$.
type Repository struct {
	ID   string `json:"id"`
	Name string `json:"name"` // "acme/shop"; for plain git the URL's last elements
	URL  string `json:"url,omitempty"`
}

// Person is who did something. ID is the forge's stable numeric id, 0 when
// only git knows the person; then Name and Email come from the commit.
type Person struct {
	Login string `json:"login,omitempty"`
	ID    int64  `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Method says how a commit came onto the branch.
type Method string

const (
	MethodMerge      Method = "merge"
	MethodSquash     Method = "squash"
	MethodRebase     Method = "rebase"
	MethodDirectPush Method = "direct-push"
	// MethodUnknown: no forge was asked, so only git's view is known.
	MethodUnknown Method = "unknown"
)

// Change is the predicate of a change-log entry: one tenant-affecting commit on
// a watched branch. Fields that only a forge knows are nil when none was asked;
// they are never guessed.
type Change struct {
	// URI and Number are set by Append: "ledger://change-log/CL-552" and 552.
	URI    string `json:"uri"`
	Number int64  `json:"number"`

	Repository Repository `json:"repository"`
	Branch     string     `json:"branch"`
	Commit     string     `json:"commit"`             // on the branch, 40 hex
	Previous   string     `json:"previous,omitempty"` // its first parent; "" for a root
	Base       string     `json:"base,omitempty"`     // base of the pull request, or Previous
	Head       string     `json:"head,omitempty"`     // head of the pull request, or Commit
	// Rewrote are commits that a force-push dropped from the branch just before
	// this one, oldest first.
	Rewrote []string `json:"rewrote,omitempty"`
	Subject string   `json:"subject"` // first line of the commit message
	Method  Method   `json:"method"`

	PullRequest *PullRequest `json:"pullRequest,omitempty"`
	Author      Person       `json:"author"`
	Committer   Person       `json:"committer"`
	Merger      *Person      `json:"merger,omitempty"`
	// Reviews is nil when unknown; an empty list says that there were none.
	Reviews []Review `json:"reviews"`
	// Checks are the check results on the head when it was merged; nil: unknown.
	Checks []CheckResult `json:"checks"`

	Tenants  []string         `json:"tenants"`
	Semantic []SemanticChange `json:"semanticChanges"`
	// SemanticOmitted counts changes left out because the list was too long; the
	// diff's digest covers them. Set by Append.
	SemanticOmitted int         `json:"semanticChangesOmitted,omitempty"`
	Cost            []CostDelta `json:"cost,omitempty"`
	Diff            Diff        `json:"diff"`
	Class           Class       `json:"class"`

	PolicyDigest string    `json:"policyDigest"`      // sha256 hex of the policy that judged it
	Unknown      []string  `json:"unknown,omitempty"` // names of facts that nobody could tell, e.g. "reviews"
	MergedAt     time.Time `json:"mergedAt"`
	RecordedAt   time.Time `json:"recordedAt"` // set by Append
}

// PullRequest is the request that a commit came from.
type PullRequest struct {
	Number int    `json:"number"`
	URL    string `json:"url"`
	Title  string `json:"title"`
	Author Person `json:"author"`
}

// Review is one submitted review as the forge had it at record time.
type Review struct {
	Reviewer    Person    `json:"reviewer"`
	State       string    `json:"state"` // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED
	Commit      string    `json:"commit"`
	SubmittedAt time.Time `json:"submittedAt"`
	// ApprovedFinalHead: state APPROVED, on the merged head, the reviewer's
	// latest word, and not by the author.
	ApprovedFinalHead bool `json:"approvedFinalHead"`
}

// CheckResult is one check run on the merged head.
type CheckResult struct {
	Name       string `json:"name"`
	Conclusion string `json:"conclusion"`
}

// SemanticChange is one resource's change in words.
type SemanticChange struct {
	Kind        string   `json:"kind"` // added, removed, modified, opaque
	Resource    string   `json:"resource"`
	Tenant      string   `json:"tenant"`
	Environment string   `json:"environment,omitempty"`
	File        string   `json:"file"`
	Details     []string `json:"details,omitempty"`
	Policy      bool     `json:"policy,omitempty"`
}

// CostDelta is the estimated monthly cost before and after, per environment, as
// exact decimals.
type CostDelta struct {
	Environment string `json:"environment"`
	Currency    string `json:"currency"`
	Before      string `json:"before"`
	After       string `json:"after"`
	LowerBound  bool   `json:"lowerBound,omitempty"`
}

// Diff describes the change's patch. Append stores it beside the entry up to
// MaxPatchBytes; beyond that only the digest is kept.
type Diff struct {
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	Files     int    `json:"files"`
	Additions int    `json:"additions"`
	Deletions int    `json:"deletions"`
	Stored    bool   `json:"stored"`
	// Withheld are changed files whose content isn't in the patch: they hold a
	// Secret or are too large. Their object ids are.
	Withheld []string `json:"withheld,omitempty"`
}

// Class is the FedRAMP significant-change class and who decided it.
type Class struct {
	Value     string `json:"value"` // routine-recurring, adaptive, transformative, impact-categorization, unclassified
	DecidedBy string `json:"decidedBy"`
}
