package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile/source"
)

// RepoID identifies a repository for ever, across renames: GitHub's numeric id in
// decimal, or "git-" and 16 hex digits for a plain git repository.
type RepoID string

// CommitSHA is a full, lower-case SHA-1 object name: 40 hex digits.
type CommitSHA = source.CommitSHA

// Repo is a watched repository.
type Repo struct {
	ID            RepoID
	Installation  int64  // the App's installation that covers it; 0 without a forge
	Owner, Name   string // current names; they may change
	DefaultBranch string
	CloneURL      string
	HTMLURL       string
}

// FullName is "owner/name".
func (r Repo) FullName() string { return r.Owner + "/" + r.Name }

// PullRequest is what an event or the forge said of a pull request at UpdatedAt.
type PullRequest struct {
	Number     int
	Title      string
	Author     ledger.Person
	HTMLURL    string
	State      string // open or closed
	Draft      bool
	Merged     bool
	BaseRef    string // branch name
	HeadSHA    CommitSHA
	HeadRepoID RepoID    // "" when the fork was deleted
	MergeSHA   CommitSHA // set once merged
	Merger     *ledger.Person
	MergedAt   time.Time
	Commits    int // number of commits; 0 unknown
	UpdatedAt  time.Time
	// Reruns counts how often fresh check runs were asked for. The Store keeps it;
	// a forge doesn't know.
	Reruns int `json:"-"`
}

// Report is a verdict on one head, to be shown to people.
type Report struct {
	Repo    Repo
	Pull    PullRequest
	Head    CommitSHA
	Base    CommitSHA // merge base that the head was compared with
	BaseTip CommitSHA // where the base branch stood: its policy judged
	Verdict manifests.Verdict
}

// Reported is what is known to stand on the forge for a pull request. It is kept
// in the state and may be lost: a Reporter then finds its things again.
type Reported struct {
	Head CommitSHA
	// BaseTip is where the base branch stood: when it moved, the pull request may
	// have been merged, whatever the last event said.
	BaseTip CommitSHA
	// Reruns is the PullRequest.Reruns that Checks answer.
	Reruns    int
	Checks    map[string]ReportedCheck // by check name
	CommentID int64                    // 0: none known
	// CommentDigest is the sha256 (hex) of the body that was last written.
	CommentDigest string
}

// ReportedCheck is a check run that stands on Reported.Head.
type ReportedCheck struct {
	ID     int64
	Digest string // of everything that was posted
}

// ErrNotFound is returned by a Forge for what doesn't exist or can't be seen.
var ErrNotFound = errors.New("not found on the forge")

// Forge knows what git doesn't: pull requests, reviews and check runs.
type Forge interface {
	PullRequest(ctx context.Context, repo Repo, number int) (PullRequest, error)
	// PullRequestsOf lists the pull requests that brought a commit to its branch.
	PullRequestsOf(ctx context.Context, repo Repo, commit CommitSHA) ([]PullRequest, error)
	// Reviews lists every submitted review, oldest first, as the forge has it.
	Reviews(ctx context.Context, repo Repo, number int) ([]ledger.Review, error)
	// Checks lists the latest check run of each name on a commit.
	Checks(ctx context.Context, repo Repo, commit CommitSHA) ([]ledger.CheckResult, error)
}

// Reporter shows a verdict on the forge: check runs with annotations and one
// comment. It writes only what differs from what was reported before, and
// returns what stands now, also beside an error, so that a retry goes on from
// there.
type Reporter interface {
	Report(ctx context.Context, r Report, before Reported) (Reported, error)
}
