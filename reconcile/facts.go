package reconcile

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile/source"
)

// associationGrace is how long a commit that looks like a merge may stay without a
// pull request: the forge's index of commits lags behind the push by seconds to
// minutes, and a lag must not be recorded as a direct push.
const associationGrace = 3 * time.Minute

// Facts asks a forge what git doesn't know of a commit.
type Facts struct {
	Forge Forge
	Now   func() time.Time
}

// NotYetError says that a commit looks like the merge of a pull request that the
// forge doesn't tell of yet.
type NotYetError struct {
	Commit CommitSHA
	wait   time.Duration
}

func (e *NotYetError) Error() string {
	return fmt.Sprintf("the forge doesn't tell of the pull request of %s yet", e.Commit.Short())
}

// RetryAfter is how long to wait before asking again.
func (e *NotYetError) RetryAfter() time.Duration { return e.wait }

// mergeMarks are what forges write into the commits of merged pull requests.
var mergeMarks = regexp.MustCompile(`^Merge pull request #\d+ |\(#\d+\)$`)

// complete fills in the pull request, its people, reviews and checks, and how the
// commit was merged.
func (f *Facts) complete(ctx context.Context, mirror *source.Mirror, repo Repo, commit source.Commit, c *ledger.Change) error {
	pull, found, err := f.pullOf(ctx, repo, c.Branch, commit)
	if err != nil {
		return err
	}
	if !found {
		c.Method, c.Unknown = ledger.MethodDirectPush, nil
		c.Reviews, c.Checks = []ledger.Review{}, nil
		c.Checks, err = f.checks(ctx, repo, commit.SHA)
		return err
	}
	c.PullRequest = &ledger.PullRequest{Number: pull.Number, URL: pull.HTMLURL, Title: pull.Title, Author: pull.Author}
	c.Author.Login, c.Author.ID = authorOf(pull, commit, c.Author)
	c.Merger, c.Head, c.Unknown = pull.Merger, string(pull.HeadSHA), nil
	if c.Merger == nil {
		c.Unknown = append(c.Unknown, "merger")
	}
	if !pull.MergedAt.IsZero() {
		c.MergedAt = pull.MergedAt.UTC()
	}
	c.Method = method(ctx, mirror, commit, pull)
	c.Base = string(baseOf(mirror, commit, pull))

	reviews, err := f.Forge.Reviews(ctx, repo, pull.Number)
	if err != nil {
		return fmt.Errorf("read reviews of #%d: %w", pull.Number, err)
	}
	c.Reviews = EffectiveReviews(reviews, pull.Author, pull.HeadSHA)
	c.Checks, err = f.checks(ctx, repo, pull.HeadSHA)
	return err
}

func (f *Facts) checks(ctx context.Context, repo Repo, sha CommitSHA) ([]ledger.CheckResult, error) {
	checks, err := f.Forge.Checks(ctx, repo, sha)
	if err != nil {
		return nil, fmt.Errorf("read checks on %s: %w", sha.Short(), err)
	}
	if checks == nil {
		checks = []ledger.CheckResult{} // none, as opposed to unknown
	}
	return checks, nil
}

// pullOf finds the pull request that brought the commit to its branch.
func (f *Facts) pullOf(ctx context.Context, repo Repo, branch string, commit source.Commit) (PullRequest, bool, error) {
	pulls, err := f.Forge.PullRequestsOf(ctx, repo, commit.SHA)
	if err != nil {
		return PullRequest{}, false, fmt.Errorf("find the pull request of %s: %w", commit.SHA.Short(), err)
	}
	for _, p := range pulls {
		// A commit that came onto another branch by a pull request, and here by a
		// push, was pushed here: nobody approved that.
		if !p.Merged || p.BaseRef != branch {
			continue
		}
		// The list lacks who merged; the pull request itself has it.
		pull, err := f.Forge.PullRequest(ctx, repo, p.Number)
		if err != nil {
			return PullRequest{}, false, fmt.Errorf("read pull request #%d: %w", p.Number, err)
		}
		return pull, true, nil
	}
	age := f.Now().Sub(commit.Committer.When)
	if mergeMarks.MatchString(commit.Subject) && age >= 0 && age < associationGrace {
		return PullRequest{}, false, &NotYetError{Commit: commit.SHA, wait: max(time.Second, age/4)}
	}
	return PullRequest{}, false, nil
}

// authorOf gives the commit's author a login where it is the pull request's: the
// names that a commit carries are claims.
func authorOf(pull PullRequest, commit source.Commit, author ledger.Person) (string, int64) {
	if len(commit.Parents) > 1 || author.Login != "" {
		return author.Login, author.ID // a merge commit's author is who merged
	}
	return pull.Author.Login, pull.Author.ID
}

// method tells how the pull request's commits came onto the branch. A merge has
// two parents; a rebase keeps each commit's message and author date; a squash
// makes one new commit of all.
func method(ctx context.Context, mirror *source.Mirror, commit source.Commit, pull PullRequest) ledger.Method {
	switch {
	case len(commit.Parents) > 1:
		return ledger.MethodMerge
	case commit.SHA != pull.MergeSHA: // the last commit of a rebase is the one that the forge names
		return ledger.MethodRebase
	case rebasedFrom(ctx, mirror, pull, commit):
		return ledger.MethodRebase
	}
	return ledger.MethodSquash
}

// rebasedFrom reports whether a commit has the message and author date of one of
// the pull request's own commits.
func rebasedFrom(ctx context.Context, mirror *source.Mirror, pull PullRequest, commit source.Commit) bool {
	if mirror.FetchCommit(ctx, pull.HeadSHA) != nil {
		return false
	}
	sha := pull.HeadSHA
	for range max(1, pull.Commits) {
		own, err := mirror.Commit(sha)
		if err != nil {
			return false
		}
		if own.Message == commit.Message && own.Author.When.Equal(commit.Author.When) {
			return true
		}
		if len(own.Parents) == 0 {
			return false
		}
		sha = own.Parents[0]
	}
	return false
}

// baseOf is where the pull request started from: the merge base of its head with
// the branch before the merge.
func baseOf(mirror *source.Mirror, commit source.Commit, pull PullRequest) CommitSHA {
	if len(commit.Parents) == 0 {
		return ""
	}
	if base, err := mirror.MergeBase(commit.Parents[0], pull.HeadSHA); err == nil && base != "" {
		return base
	}
	return commit.Parents[0]
}

// EffectiveReviews marks the approvals that count: a reviewer's latest word is
// APPROVED, it was given on the head that was merged, and not by the author.
// Comments don't take an approval back; a request for changes or a dismissal does.
func EffectiveReviews(reviews []ledger.Review, author ledger.Person, head CommitSHA) []ledger.Review {
	out := make([]ledger.Review, len(reviews))
	latest := map[int64]int{}
	for i, r := range reviews {
		r.ApprovedFinalHead = false
		out[i] = r
		if r.State == "COMMENTED" || r.State == "PENDING" {
			continue
		}
		if was, ok := latest[r.Reviewer.ID]; !ok || !r.SubmittedAt.Before(out[was].SubmittedAt) {
			latest[r.Reviewer.ID] = i
		}
	}
	for reviewer, i := range latest {
		r := &out[i]
		r.ApprovedFinalHead = r.State == "APPROVED" && r.Commit == string(head) && reviewer != 0 && reviewer != author.ID
	}
	return out
}
