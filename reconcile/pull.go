package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile/source"
)

// Store keeps what events told and what was reported. All of it can be lost: the
// forge tells the facts again, and a Reporter finds what it wrote.
type Store interface {
	Repo(ctx context.Context, id RepoID) (Repo, bool, error)
	Pull(ctx context.Context, repo RepoID, number int) (PullRequest, bool, error)
	SavePull(ctx context.Context, repo RepoID, pull PullRequest) error
	Reported(ctx context.Context, repo RepoID, number int) (Reported, error)
	SaveReported(ctx context.Context, repo RepoID, number int, r Reported) error
}

// Credentials lets git in to a repository; nil credentials mean none are needed.
type Credentials interface {
	GitAuth(ctx context.Context, repo Repo) (transport.AuthMethod, error)
}

// Pull is the loop of pull requests: the verdict on the head, against the base
// branch as it is now, stands on the forge.
type Pull struct {
	Store       Store
	Mirrors     *source.Mirrors
	Credentials Credentials
	Forge       Forge
	Reporter    Reporter
	Now         func() time.Time
	Logger      *slog.Logger
}

// MovedError says that the head moved while it was judged: nothing was reported,
// and the key must be looked at again.
type MovedError struct{ From, To CommitSHA }

func (e *MovedError) Error() string {
	return fmt.Sprintf("head moved from %s to %s while it was judged", e.From.Short(), e.To.Short())
}

// maxMoves is how often a head that moves while it is judged is followed at once:
// somebody who pushes again and again is waited for.
const maxMoves = 3

// Reconcile brings one pull request's checks and comment up to date.
func (p *Pull) Reconcile(ctx context.Context, key Key) error {
	repo, watched, err := p.Store.Repo(ctx, key.Repo)
	if err != nil || !watched {
		return err
	}
	for range maxMoves {
		var moved *MovedError
		if err = p.once(ctx, repo, key); !errors.As(err, &moved) {
			break
		}
	}
	return err
}

// once judges the head as it is now, and reports unless it moved meanwhile.
func (p *Pull) once(ctx context.Context, repo Repo, key Key) error {
	pull, err := p.facts(ctx, repo, int(key.Number))
	if err != nil || pull.State != "open" {
		return ignoreMissing(err)
	}
	before, err := p.Store.Reported(ctx, repo.ID, pull.Number)
	if err != nil {
		return err
	}
	report, err := p.judge(ctx, repo, pull)
	if errors.Is(err, source.ErrGone) {
		// The base branch or the pull request vanished: what the event said is
		// old. The forge's word decides, and the next try starts from it.
		return p.refresh(ctx, repo, pull)
	}
	if err != nil {
		return fmt.Errorf("judge %s#%d: %w", repo.FullName(), pull.Number, err)
	}
	if mayBeMerged(report, before) {
		if now, err := p.ask(ctx, repo, pull.Number); err != nil || now.State != "open" {
			return ignoreMissing(err)
		}
	}
	return p.report(ctx, report, before)
}

// mayBeMerged is true when the base branch moved since the last report, or holds
// the head: the event that says so may be under way. A merged pull request changes
// nothing any more, and must not look as if it had never changed anything.
func mayBeMerged(r Report, before Reported) bool {
	return r.Base == r.Head || before.BaseTip != "" && before.BaseTip != r.BaseTip
}

func ignoreMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// facts are what the last event said, or what the forge says where none did.
func (p *Pull) facts(ctx context.Context, repo Repo, number int) (PullRequest, error) {
	pull, known, err := p.Store.Pull(ctx, repo.ID, number)
	if err != nil || known {
		return pull, err
	}
	return p.ask(ctx, repo, number)
}

func (p *Pull) ask(ctx context.Context, repo Repo, number int) (PullRequest, error) {
	pull, err := p.Forge.PullRequest(ctx, repo, number)
	if err != nil {
		return PullRequest{}, fmt.Errorf("read pull request %s#%d: %w", repo.FullName(), number, err)
	}
	if err := p.Store.SavePull(ctx, repo.ID, pull); err != nil {
		return PullRequest{}, err
	}
	kept, _, err := p.Store.Pull(ctx, repo.ID, number) // with what only the Store knows
	return kept, err
}

func (p *Pull) refresh(ctx context.Context, repo Repo, was PullRequest) error {
	now, err := p.ask(ctx, repo, was.Number)
	if err != nil || now.State != "open" {
		return ignoreMissing(err)
	}
	return fmt.Errorf("pull request %s#%d: base %q or head %s isn't there to fetch: %w",
		repo.FullName(), now.Number, now.BaseRef, now.HeadSHA.Short(), source.ErrGone)
}

// judge compares the head with the base branch as they are in git now.
func (p *Pull) judge(ctx context.Context, repo Repo, pull PullRequest) (Report, error) {
	mirror, err := openMirror(ctx, p.Mirrors, p.Credentials, repo)
	if err != nil {
		return Report{}, err
	}
	defer mirror.Close()

	headRef, baseRef := pullRef(pull.Number), "refs/heads/"+pull.BaseRef
	refs, err := mirror.Fetch(ctx, headRef, baseRef)
	if err != nil {
		return Report{}, err
	}
	head, base, seen := refs[headRef], refs[baseRef], refs[headRef]
	if head != pull.HeadSHA {
		if pull, head, err = p.settle(ctx, mirror, repo, pull, head); err != nil {
			return Report{}, err
		}
	}
	verdict, mergeBase, err := judgePull(ctx, mirror, base, head, manifests.Options{Now: p.Now(), Branch: pull.BaseRef})
	if err != nil {
		return Report{}, err
	}
	return Report{Repo: repo, Pull: pull, Head: head, Base: mergeBase, BaseTip: base, Verdict: verdict},
		unmoved(ctx, mirror, headRef, seen)
}

// settle decides between the head that an event told and the one that the ref
// shows: refs lag behind events, and events get lost. The forge knows.
func (p *Pull) settle(ctx context.Context, mirror *source.Mirror, repo Repo, pull PullRequest, ref CommitSHA) (PullRequest, CommitSHA, error) {
	now, err := p.ask(ctx, repo, pull.Number)
	if err != nil {
		return pull, "", err
	}
	if now.HeadSHA == ref {
		return now, ref, nil
	}
	return now, now.HeadSHA, mirror.FetchCommit(ctx, now.HeadSHA)
}

// unmoved reads a ref once more, because people push while we judge.
func unmoved(ctx context.Context, mirror *source.Mirror, ref string, seen CommitSHA) error {
	refs, err := mirror.Refs(ctx)
	if err != nil {
		return err
	}
	if refs[ref] != seen {
		return &MovedError{From: seen, To: refs[ref]}
	}
	return nil
}

func (p *Pull) report(ctx context.Context, report Report, before Reported) error {
	number := report.Pull.Number
	if before.Reruns != report.Pull.Reruns {
		before.Checks, before.Reruns = nil, report.Pull.Reruns
	}
	after, reportErr := p.Reporter.Report(ctx, report, before)
	if reportErr == nil {
		after.BaseTip = report.BaseTip
	}
	// What stands is saved beside an error too: the next try goes on from there.
	// The save must not be lost to a cancelled context, or a write is repeated.
	saveErr := p.Store.SaveReported(context.WithoutCancel(ctx), report.Repo.ID, number, after)
	if err := errors.Join(reportErr, saveErr); err != nil {
		return fmt.Errorf("report on %s#%d at %s: %w", report.Repo.FullName(), number, report.Head.Short(), err)
	}
	p.Logger.InfoContext(ctx, "pull request judged", "repo", report.Repo.FullName(), "pull", number, "head", report.Head.Short(),
		"tenants", report.Verdict.Tenants.Conclusion, "budget", report.Verdict.Budget.Conclusion)
	return nil
}

// JudgeRange is what the check command calls: the verdict on the change from base
// to head as a pull request would get it.
func JudgeRange(ctx context.Context, mirror *source.Mirror, base, head CommitSHA, o manifests.Options) (manifests.Verdict, error) {
	verdict, _, err := judgePull(ctx, mirror, base, head, o)
	return verdict, err
}

// JudgeWorkTree judges a work tree, committed or not, as a pull request into base.
func JudgeWorkTree(ctx context.Context, mirror *source.Mirror, root string, base CommitSHA, o manifests.Options) (manifests.Verdict, error) {
	head, err := mirror.Resolve("HEAD")
	if err != nil {
		return manifests.Verdict{}, err
	}
	start, err := mirror.MergeBase(base, head)
	if err != nil {
		return manifests.Verdict{}, err
	}
	before, err := mirror.Snapshot(ctx, base)
	if err != nil {
		return manifests.Verdict{}, err
	}
	after, changed, err := mirror.WorkTree(ctx, root, start)
	if err != nil {
		return manifests.Verdict{}, err
	}
	o.Changed = changed
	return manifests.Judge(before, after, o), nil
}

// judgePull judges what the merge of head into base would give. The base branch's
// tip supplies the policy, so that a branch cut before a rule came doesn't escape
// it, and the pull request's own changes are those since the merge base.
func judgePull(ctx context.Context, mirror *source.Mirror, base, head CommitSHA, o manifests.Options) (manifests.Verdict, CommitSHA, error) {
	start, err := mirror.MergeBase(base, head)
	if err != nil {
		return manifests.Verdict{}, "", err
	}
	changed, err := mirror.Changed(ctx, start, head)
	if err != nil {
		return manifests.Verdict{}, "", err
	}
	before, err := mirror.Snapshot(ctx, base)
	if err != nil {
		return manifests.Verdict{}, "", err
	}
	after, err := mirror.Snapshot(ctx, head)
	if err != nil {
		return manifests.Verdict{}, "", err
	}
	o.Changed = changed
	return manifests.Judge(before, after, o), start, nil
}

func pullRef(number int) string { return "refs/pull/" + strconv.Itoa(number) + "/head" }

func openMirror(ctx context.Context, mirrors *source.Mirrors, credentials Credentials, repo Repo) (*source.Mirror, error) {
	var auth transport.AuthMethod
	if credentials != nil {
		var err error
		if auth, err = credentials.GitAuth(ctx, repo); err != nil {
			return nil, fmt.Errorf("credentials for %s: %w", repo.FullName(), err)
		}
	}
	return mirrors.Open(source.Remote{ID: string(repo.ID), URL: repo.CloneURL, Auth: auth})
}
