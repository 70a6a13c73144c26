package github

import (
	"regexp"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
)

// RepoOf is a repository as the REST API and most events tell it. Events on
// installations tell only the id and the names; the other fields are then empty.
func RepoOf(r *gh.Repository, installation int64) reconcile.Repo {
	return repo(r.GetID(), r.GetOwner(), r.GetName(), r.GetFullName(), reconcile.Repo{
		Installation: installation, DefaultBranch: r.GetDefaultBranch(), CloneURL: r.GetCloneURL(), HTMLURL: r.GetHTMLURL(),
	})
}

func repo(id int64, owner *gh.User, name, fullName string, out reconcile.Repo) reconcile.Repo {
	if id > 0 {
		out.ID = repoID(id)
	}
	out.Owner, out.Name = owner.GetLogin(), name
	first, last, _ := strings.Cut(fullName, "/")
	if out.Owner == "" {
		out.Owner = first
	}
	if out.Name == "" {
		out.Name = last
	}
	return out
}

func repoID(id int64) reconcile.RepoID { return reconcile.RepoID(strconv.FormatInt(id, 10)) }

// PullOf is a pull request as the REST API and events tell it. A list of pull
// requests lacks Merger and Commits. MergeSHA is set only once it is merged:
// before that, GitHub's field names a test merge.
func PullOf(p *gh.PullRequest) reconcile.PullRequest {
	if p == nil {
		return reconcile.PullRequest{}
	}
	out := reconcile.PullRequest{
		Number: p.GetNumber(), Title: p.GetTitle(), Author: person(p.User), HTMLURL: p.GetHTMLURL(),
		State: p.GetState(), Draft: p.GetDraft(), Merged: p.GetMerged() || p.MergedAt != nil,
		BaseRef: p.GetBase().GetRef(), HeadSHA: commitSHA(p.GetHead().GetSHA()),
		Commits: p.GetCommits(), UpdatedAt: p.GetUpdatedAt().UTC(),
	}
	if head := p.GetHead().GetRepo().GetID(); head > 0 {
		out.HeadRepoID = repoID(head)
	}
	if out.Merged {
		out.MergeSHA, out.MergedAt = commitSHA(p.GetMergeCommitSHA()), p.GetMergedAt().UTC()
		if p.MergedBy != nil {
			merger := person(p.MergedBy)
			out.Merger = &merger
		}
	}
	return out
}

// person is a user; a deleted one is nobody.
func person(u *gh.User) ledger.Person {
	return ledger.Person{Login: u.GetLogin(), ID: u.GetID()}
}

var sha1Name = regexp.MustCompile(`^[0-9a-f]{40}$`)

// commitSHA is "" for what is no full object name.
func commitSHA(s string) reconcile.CommitSHA {
	if !sha1Name.MatchString(s) {
		return ""
	}
	return reconcile.CommitSHA(s)
}
