package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/test/hub"
)

func TestRecord_EachWayToMerge(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()

	// A merge commit.
	pull, head := w.propose("merged", map[string]string{"jobs/merged.yaml": job("merged", "payments")})
	w.checks(head)
	w.approve(pull.GetNumber())
	sha := w.merge(pull.GetNumber(), "merge")
	c := w.entries(1)[0]
	assert.Equal(t, ledger.MethodMerge, c.Method)
	assert.Equal(t, sha, c.Commit)
	assert.Equal(t, head, c.Head)
	assert.Equal(t, pull.GetNumber(), c.PullRequest.Number)
	assert.Equal(t, "dana", c.PullRequest.Author.Login)
	require.NotNil(t, c.Merger)
	assert.Equal(t, "omar", c.Merger.Login)
	require.Len(t, c.Reviews, 1)
	assert.Equal(t, "omar", c.Reviews[0].Reviewer.Login)
	assert.True(t, c.Reviews[0].ApprovedFinalHead)
	assert.Equal(t, []string{"payments"}, c.Tenants)
	assert.Len(t, c.Checks, 2)
	assert.Empty(t, c.Unknown)

	// A squash of two commits, approved before the last of them.
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "-b", "squashed")
	w.commit(dir, "One", map[string]string{"jobs/one.yaml": job("one", "payments")})
	w.git(dir, "push", "-q", "origin", "squashed")
	pull = w.open("squashed")
	w.approve(pull.GetNumber())
	w.commit(dir, "Two", map[string]string{"jobs/two.yaml": job("two", "dispatch")})
	w.git(dir, "push", "-q", "origin", "squashed")
	w.merge(pull.GetNumber(), "squash")
	c = w.entries(2)[1]
	assert.Equal(t, ledger.MethodSquash, c.Method)
	assert.Equal(t, []string{"dispatch", "payments"}, c.Tenants)
	require.Len(t, c.Reviews, 1)
	assert.False(t, c.Reviews[0].ApprovedFinalHead, "the approval was given on an older head")

	// A rebase of two commits gives two entries of one pull request.
	w.git(dir, "checkout", "-q", "main")
	w.git(dir, "pull", "-q")
	w.git(dir, "checkout", "-q", "-b", "rebased")
	w.commit(dir, "Three", map[string]string{"jobs/three.yaml": job("three", "payments")})
	w.commit(dir, "Four", map[string]string{"jobs/four.yaml": job("four", "payments")})
	w.git(dir, "push", "-q", "origin", "rebased")
	pull = w.open("rebased")
	w.merge(pull.GetNumber(), "rebase")
	for i, c := range w.entries(4)[2:] {
		assert.Equal(t, ledger.MethodRebase, c.Method, "commit %d", i)
		assert.Equal(t, pull.GetNumber(), c.PullRequest.Number)
		assert.NotNil(t, c.Reviews)
		assert.Empty(t, c.Reviews)
	}

	// A direct push of several commits; the one that concerns no tenant has no entry.
	w.git(dir, "checkout", "-q", "main")
	w.git(dir, "pull", "-q")
	w.commit(dir, "Five", map[string]string{"jobs/five.yaml": job("five", "payments")})
	w.commit(dir, "Only words", map[string]string{"README.md": "A better shop.\n"})
	last := w.commit(dir, "Six", map[string]string{"jobs/five.yaml": job("five", "dispatch"), "jobs/one.yaml": ""})
	w.git(dir, "push", "-q", "origin", "main")
	pushed := w.entries(6)[4:]
	for _, c := range pushed {
		assert.Equal(t, ledger.MethodDirectPush, c.Method)
		assert.Nil(t, c.PullRequest)
	}
	assert.Equal(t, last, pushed[1].Commit)
	assert.Equal(t, []string{"dispatch", "payments"}, pushed[1].Tenants, "a move concerns both")
	w.verified()
}

func TestRecord_WithoutAnyWebhook(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	w.hub.Inject(hub.Fault{Kind: hub.Lost, Event: anyEvent})
	dir := w.clone(w.dana)
	w.commit(dir, "Quietly", map[string]string{"jobs/quiet.yaml": job("quiet", "payments")})
	w.git(dir, "push", "-q", "origin", "main")
	assert.Equal(t, "Quietly", w.entries(1)[0].Subject)
}

func TestRecord_WhatHappenedWhileTheBotWasDown(t *testing.T) {
	w := newWorld(t)
	b := w.start()
	w.install()
	b.stop(syscall.SIGTERM)
	dir := w.clone(w.dana)
	for i := range 3 {
		w.commit(dir, fmt.Sprintf("While away %d", i), map[string]string{fmt.Sprintf("jobs/away%d.yaml", i): job(fmt.Sprintf("away%d", i), "payments")})
	}
	w.git(dir, "push", "-q", "origin", "main")
	w.start()
	w.entries(3)
	w.verified()
}

func TestRecord_LateIndexIsNoDirectPush(t *testing.T) {
	w := newWorld(t, func(o *hub.Options) { o.IndexLag = 3 * time.Second })
	w.start()
	w.install()
	pull, head := w.propose("late", map[string]string{"jobs/late.yaml": job("late", "payments")})
	w.checks(head)
	w.merge(pull.GetNumber(), "squash")
	c := w.entries(1)[0]
	require.NotNil(t, c.PullRequest, "the forge told of the pull request late; it must be waited for")
	assert.Equal(t, ledger.MethodSquash, c.Method)
}

func TestRecord_RewrittenBranch(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	dir := w.clone(w.dana)
	dropped := w.commit(dir, "To be dropped", map[string]string{"jobs/x.yaml": job("x", "payments")})
	w.git(dir, "push", "-q", "origin", "main")
	w.entries(1)
	w.git(dir, "reset", "-q", "--hard", "HEAD~1")
	w.commit(dir, "Instead", map[string]string{"jobs/y.yaml": job("y", "payments")})
	w.git(dir, "push", "-q", "--force", "origin", "main")
	c := w.entries(2)[1]
	assert.Equal(t, "Instead", c.Subject)
	assert.Equal(t, []string{dropped}, c.Rewrote)
	w.verified()
}

// kill -9 at any moment: after a restart each merge has exactly one entry.
func TestRecord_KilledAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	b := w.start()
	w.install()
	dir := w.clone(w.dana)
	const pushes = 12
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range pushes {
			w.commit(dir, fmt.Sprintf("Push %d", i), map[string]string{fmt.Sprintf("jobs/p%d.yaml", i): job(fmt.Sprintf("p%d", i), "payments")})
			w.git(dir, "push", "-q", "origin", "main")
		}
	})
	for i := range 6 {
		time.Sleep(time.Duration(40*i) * time.Millisecond)
		b.stop(syscall.SIGKILL)
		b = w.start()
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, c := range w.entries(pushes) {
		assert.False(t, seen[c.Subject], "%s is recorded twice", c.Subject)
		seen[c.Subject] = true
	}
	w.verified()
}

func TestRecord_EntryPageIsEscaped(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	dir := w.clone(w.dana)
	w.commit(dir, "<script>alert(1)</script> @dana [x](http://y) | `z`", map[string]string{"jobs/e.yaml": job("e", "payments")})
	w.git(dir, "push", "-q", "origin", "main")
	w.entries(1)
	page := w.git(w.audit.GitDir, "show", "main:change-log/00/00/CL-1.md")
	assert.NotContains(t, page, "<script>")
	assert.NotContains(t, page, "[x](http://y)")
	assert.False(t, strings.Contains(page, " @dana "), "nobody is mentioned by an entry")
}

// Whoever holds the audit repository rolls it back while the bot is down. The bot
// remembers what it saw, refuses to go on, and overwrites nothing.
func TestRecord_RefusesALedgerThatWasRolledBack(t *testing.T) {
	w := newWorld(t)
	b := w.start()
	w.install()
	dir := w.clone(w.dana)
	for i := range 2 {
		w.commit(dir, fmt.Sprintf("Change %d", i), map[string]string{fmt.Sprintf("jobs/r%d.yaml", i): job(fmt.Sprintf("r%d", i), "payments")})
		w.git(dir, "push", "-q", "origin", "main")
		w.entries(i + 1)
	}
	w.eventually("the checkpoint to be remembered", func() bool { return strings.Contains(w.remembered(), "\n3\n") })
	b.stop(syscall.SIGTERM)
	w.git(w.audit.GitDir, "update-ref", "refs/heads/main", "main~1")
	rolledBack := w.git(w.audit.GitDir, "rev-parse", "main")

	cmd := exec.Command(binary, "serve", "--config", w.config)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "does not extend what was last seen")
	assert.Equal(t, rolledBack, w.git(w.audit.GitDir, "rev-parse", "main"))
}

// A repository that is empty when the App is installed is watched from its very
// first commit on.
func TestRecord_FirstCommitOfAnEmptyRepository(t *testing.T) {
	w := newWorld(t)
	empty, err := w.hub.CreateRepo("acme/empty", hub.RepoOptions{})
	require.NoError(t, err)
	w.repo = empty
	w.start()
	w.install()
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "-b", "main")
	w.commit(dir, "Begin", map[string]string{"tenants.yaml": tenants, "jobs/a.yaml": job("a", "payments")})
	w.git(dir, "push", "-q", "origin", "main")
	assert.Equal(t, "Begin", w.entries(1)[0].Subject)
	w.verified()
}

// Commits that a pull request brought to another branch, and a push to this one,
// are direct pushes here.
func TestRecord_PushOfAnotherBranchsMergeIsADirectPush(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	dir := w.clone(w.dana)
	w.git(dir, "push", "-q", "origin", "main:develop")
	w.git(dir, "checkout", "-q", "-b", "feature")
	w.commit(dir, "Feature", map[string]string{"jobs/f.yaml": job("f", "payments")})
	w.git(dir, "push", "-q", "origin", "feature")
	pull, _, err := w.dana.api.PullRequests.Create(context.Background(), w.repo.Owner, w.repo.Name, &github.NewPullRequest{
		Title: github.String("Feature"), Head: github.String("feature"), Base: github.String("develop"),
	})
	require.NoError(t, err)
	w.merge(pull.GetNumber(), "rebase")
	w.git(dir, "fetch", "-q", "origin")
	w.git(dir, "push", "-q", "origin", "origin/develop:refs/heads/main")
	assert.Equal(t, ledger.MethodDirectPush, w.entries(1)[0].Method)
}
