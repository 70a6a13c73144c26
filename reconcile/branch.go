package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile/source"
)

const (
	// recordBatch is how many entries are handed to the ledger at once. Examined
	// commits between them cost nothing.
	recordBatch = 100
	// cursorStride is after how many commits without an entry the cursor is
	// written all the same, so that a long quiet stretch isn't walked again.
	cursorStride = 500
)

// Ledger is where entries go.
type Ledger interface {
	Append(ctx context.Context, batch ledger.Batch) ([]ledger.Receipt, error)
	Cursor(ctx context.Context, repositoryID, branch string) (ledger.Cursor, bool, error)
}

// Branch is the loop of watched branches: each tenant-affecting commit on the
// first-parent line after the branch's cursor has one entry in the ledger.
type Branch struct {
	Ledger      Ledger
	Mirrors     *source.Mirrors
	Credentials Credentials // nil: none needed
	// Facts tells what git doesn't; nil: there is no forge, and what only a forge
	// knows is recorded as unknown.
	Facts  *Facts
	Now    func() time.Time
	Logger *slog.Logger
	// Adopt says where watching a new branch begins: at its present tip, or with
	// Backfill at its root commit.
	Backfill bool
	// Since overrides both for branches without a cursor: commits after it are
	// recorded.
	Since CommitSHA
	// Progress, when set, is told of each examined commit.
	Progress func(examined, of, recorded int)
}

// Outcome says what one run of Branch.Reconcile did.
type Outcome struct {
	Examined int              // commits
	Recorded []ledger.Receipt // new entries only
	Known    int              // commits that had an entry already
}

// Reconcile records what is missing of one branch. Run twice, it records nothing
// the second time.
func (b *Branch) Reconcile(ctx context.Context, repo Repo, branch string) (Outcome, error) {
	mirror, err := openMirror(ctx, b.Mirrors, b.Credentials, repo)
	if err != nil {
		return Outcome{}, err
	}
	defer mirror.Close()

	ref := "refs/heads/" + branch
	refs, err := mirror.Fetch(ctx, ref)
	if errors.Is(err, source.ErrGone) {
		return Outcome{}, b.absent(ctx, repo, branch)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("fetch %s of %s: %w", branch, repo.FullName(), err)
	}
	return b.record(ctx, mirror, repo, branch, refs[ref])
}

// record walks from the branch's cursor to tip, oldest commit first, and appends
// an entry for each commit that concerns a tenant. The cursor moves with them in
// one publication: a crash leaves either none of it or all of it.
func (b *Branch) record(ctx context.Context, mirror *source.Mirror, repo Repo, branch string, tip CommitSHA) (Outcome, error) {
	cursor, adopted, err := b.cursor(ctx, repo, branch, tip)
	if err != nil || adopted {
		return Outcome{}, err
	}
	walk, err := mirror.FirstParents(ctx, CommitSHA(cursor.Through), tip)
	if err != nil {
		return Outcome{}, fmt.Errorf("walk %s of %s: %w", branch, repo.FullName(), err)
	}
	if walk.Rewritten {
		b.Logger.WarnContext(ctx, "branch was rewritten", "repo", repo.FullName(), "branch", branch,
			"was", cursor.Through, "now", tip, "dropped", len(walk.Dropped))
	}

	out := Outcome{}
	var batch ledger.Batch
	quiet := 0
	flush := func(through CommitSHA) error {
		cursor.Through = string(through)
		batch.Cursors = []ledger.Cursor{cursor}
		receipts, err := b.Ledger.Append(ctx, batch)
		if err != nil {
			return fmt.Errorf("record %d commits of %s: %w", len(batch.Drafts), repo.FullName(), err)
		}
		b.count(ctx, &out, repo, receipts)
		batch, quiet = ledger.Batch{}, 0
		return nil
	}
	for i, commit := range walk.Commits {
		draft, concerns, err := b.examine(ctx, mirror, repo, branch, commit, walk, i)
		if err != nil {
			return out, err
		}
		out.Examined++
		if quiet++; concerns {
			batch.Drafts = append(batch.Drafts, draft)
		}
		if len(batch.Drafts) == recordBatch || quiet >= cursorStride {
			if err := flush(commit.SHA); err != nil {
				return out, err
			}
		}
		if b.Progress != nil {
			b.Progress(out.Examined, len(walk.Commits), len(out.Recorded)+len(batch.Drafts))
		}
	}
	if len(batch.Drafts) > 0 || walk.Rewritten {
		return out, flush(tip)
	}
	return out, nil
}

// absent handles a branch that isn't there: in an empty repository it is adopted
// from its beginning, so that the first push is recorded too; a deleted one keeps
// its cursor and is waited for.
func (b *Branch) absent(ctx context.Context, repo Repo, branch string) error {
	_, known, err := b.Ledger.Cursor(ctx, string(repo.ID), branch)
	if err != nil {
		return fmt.Errorf("read cursor of %s %s: %w", repo.FullName(), branch, err)
	}
	if known {
		b.Logger.WarnContext(ctx, "watched branch isn't there", "repo", repo.FullName(), "branch", branch)
		return nil
	}
	return b.adopt(ctx, ledger.Cursor{Repository: repository(repo), Branch: branch})
}

func (b *Branch) adopt(ctx context.Context, cursor ledger.Cursor) error {
	if _, err := b.Ledger.Append(ctx, ledger.Batch{Cursors: []ledger.Cursor{cursor}}); err != nil {
		return fmt.Errorf("adopt %s of %s: %w", cursor.Branch, cursor.Repository.Name, err)
	}
	b.Logger.InfoContext(ctx, "branch adopted", "repo", cursor.Repository.Name, "branch", cursor.Branch, "from", cursor.Since)
	return nil
}

// cursor tells where to go on. A branch without one is adopted: its present tip
// becomes the cursor, written to the ledger so that every commit from here on is
// accounted for, unless its history is wanted too.
func (b *Branch) cursor(ctx context.Context, repo Repo, branch string, tip CommitSHA) (ledger.Cursor, bool, error) {
	cursor, known, err := b.Ledger.Cursor(ctx, string(repo.ID), branch)
	if err != nil {
		return cursor, false, fmt.Errorf("read cursor of %s %s: %w", repo.FullName(), branch, err)
	}
	if known {
		return cursor, false, nil
	}
	cursor = ledger.Cursor{Repository: repository(repo), Branch: branch, Since: string(b.Since), Through: string(b.Since)}
	if b.Since != "" || b.Backfill {
		return cursor, false, nil
	}
	cursor.Since, cursor.Through = string(tip), string(tip)
	return cursor, true, b.adopt(ctx, cursor)
}

func (b *Branch) count(ctx context.Context, out *Outcome, repo Repo, receipts []ledger.Receipt) {
	for _, r := range receipts {
		if r.Existing {
			out.Known++
			continue
		}
		out.Recorded = append(out.Recorded, r)
		b.Logger.InfoContext(ctx, "change recorded", "repo", repo.FullName(), "entry", r.Entry)
	}
}

// examine judges one commit against its first parent and describes it when it
// concerns a tenant.
func (b *Branch) examine(ctx context.Context, mirror *source.Mirror, repo Repo, branch string, commit source.Commit, walk source.Walk, i int) (ledger.Draft, bool, error) {
	var parent CommitSHA
	if len(commit.Parents) > 0 {
		parent = commit.Parents[0]
	}
	changed, err := mirror.Changed(ctx, parent, commit.SHA)
	if err != nil || len(changed) == 0 {
		return ledger.Draft{}, false, err
	}
	before, err := mirror.Snapshot(ctx, parent)
	if err != nil {
		return ledger.Draft{}, false, err
	}
	after, err := mirror.Snapshot(ctx, commit.SHA)
	if err != nil {
		return ledger.Draft{}, false, err
	}
	verdict := manifests.Judge(before, after, manifests.Options{Now: commit.Committer.When, Branch: branch, Changed: changed})
	if len(verdict.Changes) == 0 {
		return ledger.Draft{}, false, nil
	}
	withheld := func(path string) bool { return before.HoldsSecret(path) || after.HoldsSecret(path) }
	patch, err := mirror.Patch(ctx, parent, commit.SHA, withheld)
	if err != nil {
		return ledger.Draft{}, false, err
	}
	change := describe(repo, branch, commit, verdict)
	change.Diff.Files, change.Diff.Additions, change.Diff.Deletions = patch.Files, patch.Additions, patch.Deletions
	change.Diff.Withheld = patch.Withheld
	if i == 0 && walk.Rewritten {
		for _, sha := range walk.Dropped {
			change.Rewrote = append(change.Rewrote, string(sha))
		}
	}
	if b.Facts == nil {
		return ledger.Draft{Change: change, Patch: patch.Text}, true, nil
	}
	if err := b.Facts.complete(ctx, mirror, repo, commit, &change); err != nil {
		return ledger.Draft{}, false, fmt.Errorf("gather facts about %s in %s: %w", commit.SHA.Short(), repo.FullName(), err)
	}
	return ledger.Draft{Change: change, Patch: patch.Text}, true, nil
}

// describe is what git and the verdict say of a commit; the facts that only a
// forge knows are left unknown.
func describe(repo Repo, branch string, commit source.Commit, v manifests.Verdict) ledger.Change {
	c := ledger.Change{
		Repository:   repository(repo),
		Branch:       branch,
		Commit:       string(commit.SHA),
		Head:         string(commit.SHA),
		Subject:      commit.Subject,
		Method:       ledger.MethodUnknown,
		Author:       ledger.Person{Name: commit.Author.Name, Email: commit.Author.Email},
		Committer:    ledger.Person{Name: commit.Committer.Name, Email: commit.Committer.Email},
		Class:        ledger.Class{Value: "unclassified", DecidedBy: "nobody yet"},
		PolicyDigest: v.PolicyDigest,
		MergedAt:     commit.Committer.When.UTC(),
		Unknown:      []string{"checks", "merger", "method", "pullRequest", "reviews"},
	}
	if len(commit.Parents) > 0 {
		c.Previous = string(commit.Parents[0])
		c.Base = c.Previous
	}
	for _, t := range v.TouchedTenants {
		c.Tenants = append(c.Tenants, string(t))
	}
	for _, ch := range v.Changes {
		c.Semantic = append(c.Semantic, ledger.SemanticChange{
			Kind: string(ch.Kind), Resource: ch.Resource, Tenant: string(ch.Tenant),
			Environment: string(ch.Environment), File: ch.File, Details: ch.Details, Policy: ch.Policy,
		})
	}
	for _, e := range v.Cost.Environments {
		if e.Delta.Amount.IsZero() {
			continue
		}
		c.Cost = append(c.Cost, ledger.CostDelta{
			Environment: string(e.Environment), Currency: v.Cost.Currency,
			Before: e.Base.Amount.String(), After: e.Head.Amount.String(), LowerBound: e.LowerBound,
		})
	}
	return c
}

func repository(r Repo) ledger.Repository {
	return ledger.Repository{ID: string(r.ID), Name: r.FullName(), URL: r.HTMLURL}
}
