package github

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	gh "github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
)

func TestForge_TellsAPullRequestFromOpeningToMerge(t *testing.T) {
	w := newWorld(t)
	alice := ledger.Person{Login: "alice", ID: w.alice.ID}
	open, err := w.app.PullRequest(t.Context(), w.repo, 1)
	require.NoError(t, err)
	assert.Equal(t, reconcile.PullRequest{Number: 1, Title: "Change a", Author: alice, HTMLURL: w.repo.HTMLURL + "/pull/1", State: "open",
		BaseRef: "main", HeadSHA: w.head, HeadRepoID: w.repo.ID, Commits: 1, UpdatedAt: open.UpdatedAt}, open)

	_, _, err = w.as(w.bob).PullRequests.CreateReview(t.Context(), "acme", "shop", 1, &gh.PullRequestReviewRequest{Event: gh.String("COMMENT"), Body: gh.String("hm")})
	require.NoError(t, err)
	_, _, err = w.as(w.bob).PullRequests.CreateReview(t.Context(), "acme", "shop", 1, &gh.PullRequestReviewRequest{Event: gh.String("APPROVE")})
	require.NoError(t, err)
	reviews, err := w.app.Reviews(t.Context(), w.repo, 1)
	require.NoError(t, err)
	require.Len(t, reviews, 2)
	bob := ledger.Person{Login: "bob", ID: w.bob.ID}
	assert.Equal(t, ledger.Review{Reviewer: bob, State: "COMMENTED", Commit: string(w.head), SubmittedAt: reviews[0].SubmittedAt}, reviews[0])
	assert.Equal(t, ledger.Review{Reviewer: bob, State: "APPROVED", Commit: string(w.head), SubmittedAt: reviews[1].SubmittedAt}, reviews[1])
	assert.False(t, reviews[1].SubmittedAt.IsZero())

	none, err := w.app.PullRequestsOf(t.Context(), w.repo, w.head)
	require.NoError(t, err)
	assert.Empty(t, none, "an open pull request brought nothing to its branch yet")

	merged, _, err := w.as(w.bob).PullRequests.Merge(t.Context(), "acme", "shop", 1, "", &gh.PullRequestOptions{MergeMethod: "squash"})
	require.NoError(t, err)
	sha := reconcile.CommitSHA(merged.GetSHA())
	brought, err := w.app.PullRequestsOf(t.Context(), w.repo, sha)
	require.NoError(t, err)
	require.Len(t, brought, 1)
	assert.Equal(t, 1, brought[0].Number)
	assert.True(t, brought[0].Merged)

	after, err := w.app.PullRequest(t.Context(), w.repo, 1)
	require.NoError(t, err)
	assert.True(t, after.Merged)
	assert.Equal(t, "closed", after.State)
	assert.Equal(t, sha, after.MergeSHA)
	assert.Equal(t, &bob, after.Merger)
	assert.False(t, after.MergedAt.IsZero())
}

func TestForge_WhatIsntThereIsNotFound(t *testing.T) {
	w := newWorld(t)
	_, err := w.app.PullRequest(t.Context(), w.repo, 99)
	require.ErrorIs(t, err, reconcile.ErrNotFound)
	other := w.repo
	other.Name = "nothing"
	_, err = w.app.Reviews(t.Context(), other, 1)
	require.ErrorIs(t, err, reconcile.ErrNotFound)
	_, err = w.app.PullRequest(t.Context(), reconcile.Repo{Owner: "a", Name: "b"}, 1)
	require.ErrorIs(t, err, reconcile.ErrNotFound, "no installation covers it")
}

func TestForge_ListsTheLatestCheckOfEachName(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(1), reconcile.Reported{})
	w.mustReport(w.passing(), after)
	checks, err := w.app.Checks(t.Context(), w.repo, w.head)
	require.NoError(t, err)
	assert.Equal(t, []ledger.CheckResult{{Name: "conductor/budget", Conclusion: "neutral"}, {Name: "conductor/tenants", Conclusion: "success"}}, checks)
}

func TestForge_ReadsEveryPage(t *testing.T) {
	const total = 250
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			fmt.Fprint(w, `{"token":"t","expires_at":"2999-01-01T00:00:00Z"}`)
			return
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		assert.Equal(t, "100", r.URL.Query().Get("per_page"))
		if page*100 < total {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, page+1))
		}
		var items []string
		for i := (page - 1) * 100; i < min(page*100, total); i++ {
			items = append(items, fmt.Sprintf(`{"id":%d,"name":"n%d","number":%d,"state":"APPROVED","merged_at":"2026-01-01T00:00:00Z"}`, i+1, i, i))
		}
		list := "[" + strings.Join(items, ",") + "]"
		switch {
		case strings.HasSuffix(r.URL.Path, "/check-runs"):
			list = `{"check_runs":` + list + `}`
		case strings.HasSuffix(r.URL.Path, "/repositories"):
			list = `{"repositories":` + list + `}`
		}
		fmt.Fprint(w, list)
	}))
	defer api.Close()
	a, err := New(Config{ID: 1, PrivateKey: testKey(), BaseURL: api.URL})
	require.NoError(t, err)
	repo := reconcile.Repo{Installation: 5, Owner: "o", Name: "r"}
	pulls, err := a.PullRequestsOf(t.Context(), repo, "0123456789012345678901234567890123456789")
	require.NoError(t, err)
	assert.Len(t, pulls, total)
	reviews, err := a.Reviews(t.Context(), repo, 1)
	require.NoError(t, err)
	assert.Len(t, reviews, total)
	checks, err := a.Checks(t.Context(), repo, "0123456789012345678901234567890123456789")
	require.NoError(t, err)
	assert.Len(t, checks, total)
	repos, err := a.Repositories(t.Context(), 5)
	require.NoError(t, err)
	assert.Len(t, repos, total)
	installations, err := a.Installations(t.Context())
	require.NoError(t, err)
	assert.Len(t, installations, total)
}

func TestRepoOf_FromEveryShapeOfPayload(t *testing.T) {
	want := reconcile.Repo{ID: "7", Installation: 5, Owner: "acme", Name: "shop", DefaultBranch: "main",
		CloneURL: "https://h/acme/shop.git", HTMLURL: "https://h/acme/shop"}
	owner := &gh.User{Login: gh.String("acme")}
	assert.Equal(t, want, RepoOf(&gh.Repository{ID: gh.Int64(7), Owner: owner, Name: gh.String("shop"), DefaultBranch: gh.String("main"),
		CloneURL: gh.String("https://h/acme/shop.git"), HTMLURL: gh.String("https://h/acme/shop")}, 5))
	assert.Equal(t, reconcile.Repo{ID: "7", Installation: 5, Owner: "acme", Name: "shop"},
		RepoOf(&gh.Repository{ID: gh.Int64(7), FullName: gh.String("acme/shop")}, 5))
	assert.Equal(t, reconcile.Repo{}, RepoOf(nil, 0))
}

func TestPullOf_OfADeletedForkAndUserAndAnUnmergedTestMerge(t *testing.T) {
	const sha = "0123456789012345678901234567890123456789"
	p := PullOf(&gh.PullRequest{Number: gh.Int(3), State: gh.String("open"), MergeCommitSHA: gh.String(sha),
		Head: &gh.PullRequestBranch{SHA: gh.String(sha)}, Base: &gh.PullRequestBranch{Ref: gh.String("main")}})
	assert.Equal(t, reconcile.PullRequest{Number: 3, State: "open", BaseRef: "main", HeadSHA: sha}, p)
	assert.Empty(t, PullOf(&gh.PullRequest{Head: &gh.PullRequestBranch{SHA: gh.String("../../x")}}).HeadSHA)
	assert.Equal(t, reconcile.PullRequest{}, PullOf(nil))
}
