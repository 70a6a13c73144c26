package github

import (
	"context"
	"fmt"
	"sort"

	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
)

// PullRequest reads one pull request.
func (a *App) PullRequest(ctx context.Context, repo reconcile.Repo, number int) (reconcile.PullRequest, error) {
	c, err := a.installation(repo.Installation)
	if err != nil {
		return reconcile.PullRequest{}, err
	}
	p, err := call(ctx, c, fmt.Sprintf("read pull request %s#%d", repo.FullName(), number), func() (*gh.PullRequest, *gh.Response, error) {
		return c.rest.PullRequests.Get(ctx, repo.Owner, repo.Name, number)
	})
	if err != nil {
		return reconcile.PullRequest{}, err
	}
	return PullOf(p), nil
}

// PullRequestsOf lists the merged pull requests that brought a commit to its
// branch. They lack Merger and Commits; PullRequest has them. Right after a merge
// the list may be empty for seconds to minutes.
func (a *App) PullRequestsOf(ctx context.Context, repo reconcile.Repo, commit reconcile.CommitSHA) ([]reconcile.PullRequest, error) {
	c, err := a.installation(repo.Installation)
	if err != nil {
		return nil, err
	}
	list, err := pages(ctx, c, fmt.Sprintf("list pull requests of %s in %s", commit.Short(), repo.FullName()),
		func(o gh.ListOptions) ([]*gh.PullRequest, *gh.Response, error) {
			return c.rest.PullRequests.ListPullRequestsWithCommit(ctx, repo.Owner, repo.Name, string(commit), &o)
		})
	if err != nil {
		return nil, err
	}
	var out []reconcile.PullRequest
	for _, p := range list {
		if pull := PullOf(p); pull.Merged {
			out = append(out, pull)
		}
	}
	return out, nil
}

// Reviews lists the submitted reviews, oldest first. A dismissal has already
// changed the state of the review that it dismissed.
func (a *App) Reviews(ctx context.Context, repo reconcile.Repo, number int) ([]ledger.Review, error) {
	c, err := a.installation(repo.Installation)
	if err != nil {
		return nil, err
	}
	list, err := pages(ctx, c, fmt.Sprintf("list reviews of %s#%d", repo.FullName(), number),
		func(o gh.ListOptions) ([]*gh.PullRequestReview, *gh.Response, error) {
			return c.rest.PullRequests.ListReviews(ctx, repo.Owner, repo.Name, number, &o)
		})
	if err != nil {
		return nil, err
	}
	out := []ledger.Review{}
	for _, r := range list {
		if r.GetState() == "PENDING" {
			continue // not submitted
		}
		out = append(out, ledger.Review{
			Reviewer: person(r.User), State: r.GetState(), Commit: string(commitSHA(r.GetCommitID())), SubmittedAt: r.GetSubmittedAt().UTC(),
		})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].SubmittedAt.Before(out[j].SubmittedAt) })
	return out, nil
}

// Checks lists the latest check run of each name on a commit, by name. A run that
// isn't completed has its status (queued, in_progress) for a conclusion.
func (a *App) Checks(ctx context.Context, repo reconcile.Repo, commit reconcile.CommitSHA) ([]ledger.CheckResult, error) {
	c, err := a.installation(repo.Installation)
	if err != nil {
		return nil, err
	}
	runs, err := c.checkRuns(ctx, repo, commit, gh.ListCheckRunsOptions{})
	if err != nil {
		return nil, err
	}
	latest := map[string]*gh.CheckRun{}
	for _, r := range runs {
		if was, ok := latest[r.GetName()]; !ok || r.GetID() > was.GetID() {
			latest[r.GetName()] = r
		}
	}
	out := []ledger.CheckResult{}
	for name, r := range latest {
		result := ledger.CheckResult{Name: name, Conclusion: r.GetConclusion()}
		if r.GetStatus() != "completed" {
			result.Conclusion = r.GetStatus()
		}
		out = append(out, result)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// checkRuns lists check runs on a commit, all pages.
func (c *client) checkRuns(ctx context.Context, repo reconcile.Repo, commit reconcile.CommitSHA, o gh.ListCheckRunsOptions) ([]*gh.CheckRun, error) {
	return pages(ctx, c, fmt.Sprintf("list check runs on %s in %s", commit.Short(), repo.FullName()),
		func(page gh.ListOptions) ([]*gh.CheckRun, *gh.Response, error) {
			o.ListOptions = page
			list, response, err := c.rest.Checks.ListCheckRunsForRef(ctx, repo.Owner, repo.Name, string(commit), &o)
			if err != nil || list == nil {
				return nil, response, err
			}
			return list.CheckRuns, response, nil
		})
}

// Installations lists where the App is installed, but for suspended ones.
func (a *App) Installations(ctx context.Context) ([]int64, error) {
	list, err := pages(ctx, a.self, "list installations", func(o gh.ListOptions) ([]*gh.Installation, *gh.Response, error) {
		return a.self.rest.Apps.ListInstallations(ctx, &o)
	})
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, i := range list {
		if i.SuspendedAt == nil {
			ids = append(ids, i.GetID())
		}
	}
	return ids, nil
}

// Repositories lists what an installation covers; ErrNotFound when it was removed
// or suspended. Repositories without a default branch (empty ones) are in it.
func (a *App) Repositories(ctx context.Context, installation int64) ([]reconcile.Repo, error) {
	c, err := a.installation(installation)
	if err != nil {
		return nil, err
	}
	list, err := pages(ctx, c, fmt.Sprintf("list repositories of installation %d", installation),
		func(o gh.ListOptions) ([]*gh.Repository, *gh.Response, error) {
			list, response, err := c.rest.Apps.ListRepos(ctx, &o)
			if err != nil || list == nil {
				return nil, response, err
			}
			return list.Repositories, response, nil
		})
	if err != nil {
		return nil, err
	}
	repos := make([]reconcile.Repo, len(list))
	for i, r := range list {
		repos[i] = RepoOf(r, installation)
	}
	return repos, nil
}
