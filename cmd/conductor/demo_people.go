package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/test/hub"
)

// person is somebody with a personal access token and a git client.
type person struct {
	hub.User
	api *github.Client
}

func newPerson(h *hub.Hub, u hub.User) person {
	api, err := github.NewClient(nil).WithAuthToken(u.Token).WithEnterpriseURLs(h.URL(), h.URL())
	if err != nil {
		panic(err) // the hub's own address parses
	}
	return person{u, api}
}

// push commits one state of the sample files to a branch and pushes it. The
// branch starts at the default branch where it isn't there yet.
func (p person) push(ctx context.Context, repo hub.Repo, branch, message, state string) (string, error) {
	auth := &http.BasicAuth{Username: p.Login, Password: p.Token}
	clone, err := git.CloneContext(ctx, memory.NewStorage(), memfs.New(), &git.CloneOptions{URL: repo.CloneURL, Auth: auth})
	if err != nil {
		return "", fmt.Errorf("clone %s: %w", repo.FullName, err)
	}
	tree, err := clone.Worktree()
	if err != nil {
		return "", err
	}
	if from, err := clone.Reference(plumbing.NewRemoteReferenceName("origin", branch), true); err == nil {
		if err := tree.Checkout(&git.CheckoutOptions{Hash: from.Hash()}); err != nil {
			return "", err
		}
	}
	files, err := demoTree(state)
	if err != nil {
		return "", err
	}
	for name, content := range files {
		if err := util.WriteFile(tree.Filesystem, name, []byte(content), 0o644); err != nil {
			return "", err
		}
		if _, err := tree.Add(name); err != nil {
			return "", err
		}
	}
	hash, err := tree.Commit(message, &git.CommitOptions{Author: &object.Signature{Name: p.Login, Email: p.Email, When: time.Now()}})
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	err = clone.PushContext(ctx, &git.PushOptions{
		Auth: auth, RefSpecs: []config.RefSpec{config.RefSpec(hash.String() + ":refs/heads/" + branch)},
	})
	if err != nil {
		return "", fmt.Errorf("push %s: %w", branch, err)
	}
	return hash.String(), nil
}

func (p person) open(ctx context.Context, repo hub.Repo, branch, title string) (*github.PullRequest, error) {
	pull, _, err := p.api.PullRequests.Create(ctx, repo.Owner, repo.Name, &github.NewPullRequest{
		Title: github.String(title), Head: github.String(branch), Base: github.String(repo.DefaultBranch),
	})
	if err != nil {
		return nil, fmt.Errorf("open the pull request: %w", err)
	}
	return pull, nil
}

func (p person) approve(ctx context.Context, repo hub.Repo, number int) error {
	_, _, err := p.api.PullRequests.CreateReview(ctx, repo.Owner, repo.Name, number, &github.PullRequestReviewRequest{
		Event: github.String("APPROVE"), Body: github.String("Within the budget now, thank you."),
	})
	if err != nil {
		return fmt.Errorf("approve the pull request: %w", err)
	}
	return nil
}

func (p person) merge(ctx context.Context, repo hub.Repo, number int) (string, error) {
	result, _, err := p.api.PullRequests.Merge(ctx, repo.Owner, repo.Name, number, "", &github.PullRequestOptions{MergeMethod: "merge"})
	if err != nil {
		return "", fmt.Errorf("merge the pull request: %w", err)
	}
	return result.GetSHA(), nil
}

// awaitChecks waits until both of the bot's checks are complete on a head.
func (s *story) awaitChecks(ctx context.Context, head string) ([]demoCheck, error) {
	var checks []demoCheck
	err := s.until(ctx, "checks on "+head[:10], func() (bool, error) {
		runs, err := s.runs(ctx, head)
		if err != nil {
			return false, err
		}
		checks = nil
		for _, r := range runs {
			if r.GetStatus() == "completed" {
				checks = append(checks, demoCheck{r.GetName(), r.GetConclusion(), r.GetOutput().GetAnnotationsCount()})
			}
		}
		return len(checks) == 2, nil
	})
	return checks, err
}

func (s *story) runs(ctx context.Context, head string) ([]*github.CheckRun, error) {
	list, _, err := s.dana.api.Checks.ListCheckRunsForRef(ctx, s.repo.Owner, s.repo.Name, head, nil)
	if err != nil {
		return nil, err
	}
	return list.CheckRuns, nil
}

func (s *story) tellChecks(checks []demoCheck) {
	for _, c := range checks {
		mark := "✗"
		if c.Conclusion == "success" {
			mark = "✓"
		}
		s.tell("%s %s: %s", mark, c.Name, c.Conclusion)
	}
}

// tellAnnotations prints what the checks annotate, and holds them to the lines
// that are wrong.
func (s *story) tellAnnotations(ctx context.Context, head string) error {
	runs, err := s.runs(ctx, head)
	if err != nil {
		return err
	}
	places := map[string]bool{}
	for _, r := range runs {
		list, _, err := s.dana.api.Checks.ListCheckRunAnnotations(ctx, s.repo.Owner, s.repo.Name, r.GetID(), nil)
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.GetAnnotationLevel() == "failure" {
				places[fmt.Sprintf("%s:%d", a.GetPath(), a.GetStartLine())] = true
				s.tell("  %s:%d  %s", a.GetPath(), a.GetStartLine(), plain(a.GetMessage()))
			}
		}
	}
	const untagged, replicas = "workflows/prod/fraud-report.yaml:3", "apps/prod/payments-api.yaml:9"
	return held(places[untagged] && places[replicas], "annotations should be at %s and %s, and are at %v", untagged, replicas, places)
}

func (s *story) botComment(ctx context.Context) (*github.IssueComment, error) {
	var found *github.IssueComment
	err := s.until(ctx, "the bot's comment", func() (bool, error) {
		list, _, err := s.dana.api.Issues.ListComments(ctx, s.repo.Owner, s.repo.Name, s.pull.GetNumber(), nil)
		if err != nil {
			return false, err
		}
		mine := 0
		for _, c := range list {
			if c.GetUser().GetType() == "Bot" {
				found, mine = c, mine+1
			}
		}
		return mine > 0, held(mine <= 1, "there should be one comment, and there are %d", mine)
	})
	return found, err
}

var errNoKeygen = errors.New("ssh-keygen isn't installed")

// gitVerify clones the audit repository and has plain git check each commit's
// signature, as an auditor would.
func gitVerify(ctx context.Context, from, clone string) (int, error) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		return 0, errNoKeygen
	}
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return string(out), nil
	}
	if _, err := git("clone", "--quiet", from, clone); err != nil {
		return 0, err
	}
	list, err := git("-C", clone, "rev-list", "HEAD")
	if err != nil {
		return 0, err
	}
	commits := strings.Fields(list)
	for _, sha := range commits {
		if _, err := git("-C", clone, "-c", "gpg.ssh.allowedSignersFile=keys/allowed_signers", "verify-commit", sha); err != nil {
			return 0, err
		}
	}
	return len(commits), nil
}

func randomSecret() (Secret, error) {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a secret: %w", err)
	}
	return Secret(hex.EncodeToString(b)), nil
}
