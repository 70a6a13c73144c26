package hub_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestMerge_EachMethodMakesTheCommitsThatGitHubMakes(t *testing.T) {
	for method, c := range map[string]struct{ parents, landed int }{"merge": {2, 3}, "squash": {1, 1}, "rebase": {1, 2}} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t, hub.Options{})
			pr, g := w.pull("f", map[string]string{"b": "1\n"})
			g.commit("Second", map[string]string{"c": "2\n"})
			g.git("push", "--quiet")
			base := pr.GetBase().GetSHA()
			// The base goes on meanwhile, so that nothing is a fast-forward.
			main := w.clone(w.bob, w.repo)
			main.commit("Other", map[string]string{"z": "z\n"})
			main.git("push", "--quiet")
			res, _, err := w.user(w.bob).PullRequests.Merge(ctx, "acme", "shop", 1, "", &github.PullRequestOptions{MergeMethod: method})
			require.NoError(t, err)
			g.git("fetch", "--quiet", "origin")
			tip := g.git("rev-parse", "origin/main")
			assert.Equal(t, res.GetSHA(), tip)
			assert.Len(t, strings.Fields(g.git("rev-list", "--parents", "-1", tip)), c.parents+1)
			assert.Equal(t, c.landed+1, len(strings.Fields(g.git("rev-list", base+"..origin/main"))))
			assert.Equal(t, "README.md\na.yaml\nb\nc\nz", g.git("ls-tree", "--name-only", tip))
			got, _, err := w.bot().PullRequests.Get(ctx, "acme", "shop", 1)
			require.NoError(t, err)
			assert.True(t, got.GetMerged())
			assert.Equal(t, tip, got.GetMergeCommitSHA())
			assert.Equal(t, "bob", got.GetMergedBy().GetLogin())
			assert.Equal(t, 2, got.GetCommits())
			first := strings.Fields(g.git("rev-list", "--reverse", "--first-parent", base+"..origin/main"))[1]
			pulls, _, err := w.bot().PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", first, nil)
			require.NoError(t, err)
			assert.Len(t, pulls, 1, "each commit that landed knows its pull request")
			g.git("fsck", "--strict")
		})
	}
}

func TestMerge_RefusesStaleHeadsConflictsAndDrafts(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, g := w.pull("f", map[string]string{"a.yaml": "changed\n"})
	bob := w.user(w.bob)
	_, resp, err := bob.PullRequests.Merge(ctx, "acme", "shop", 1, "", &github.PullRequestOptions{SHA: pr.GetBase().GetSHA()})
	require.Error(t, err)
	assert.Equal(t, 409, resp.StatusCode)
	g.git("checkout", "--quiet", "main")
	g.commit("Conflict", map[string]string{"a.yaml": "other\n"})
	g.git("push", "--quiet")
	got, _, err := w.bot().PullRequests.Get(ctx, "acme", "shop", 1)
	require.NoError(t, err)
	assert.False(t, got.GetMergeable())
	assert.Equal(t, "dirty", got.GetMergeableState())
	for _, method := range []string{"merge", "squash", "rebase"} {
		_, resp, err = bob.PullRequests.Merge(ctx, "acme", "shop", 1, "", &github.PullRequestOptions{MergeMethod: method})
		require.Error(t, err)
		assert.Equal(t, 405, resp.StatusCode)
	}
	_, resp, err = w.user(w.eve).PullRequests.Merge(ctx, "acme", "shop", 1, "", nil)
	require.Error(t, err)
	assert.Equal(t, 403, resp.StatusCode)
}

func TestPull_FollowsItsBranchThroughPushesAndStates(t *testing.T) {
	w := newWorld(t, hub.Options{})
	_, g := w.pull("f", map[string]string{"b": "1\n"})
	g.commit("More", map[string]string{"b": "2\n"})
	g.git("push", "--quiet")
	g.git("commit", "--quiet", "--amend", "-m", "Rewritten")
	g.git("push", "--quiet", "--force")
	alice := w.user(w.alice)
	edit := func(pr *github.PullRequest) {
		_, _, err := alice.PullRequests.Edit(ctx, "acme", "shop", 1, pr)
		require.NoError(t, err)
	}
	edit(&github.PullRequest{Title: github.String("Better")})
	edit(&github.PullRequest{State: github.String("closed")})
	edit(&github.PullRequest{State: github.String("open")})
	req, err := alice.NewRequest("POST", "repos/acme/shop/pulls/1/convert_to_draft", nil)
	require.NoError(t, err)
	_, err = alice.Do(ctx, req, nil)
	require.NoError(t, err)
	g.git("push", "--quiet", "origin", ":f")
	var actions []string
	for _, e := range w.events("pull_request") {
		actions = append(actions, e.payload.(*github.PullRequestEvent).GetAction())
	}
	assert.Equal(t, []string{"opened", "synchronize", "synchronize", "edited", "closed", "reopened", "converted_to_draft", "closed"}, actions)
	pushes := w.events("push")
	forced := pushes[2].payload.(*github.PushEvent)
	assert.True(t, forced.GetForced())
	assert.True(t, pushes[len(pushes)-1].payload.(*github.PushEvent).GetDeleted())
	created := pushes[0].payload.(*github.PushEvent)
	assert.True(t, created.GetCreated())
	require.Len(t, created.Commits, 1)
	assert.Equal(t, []string{"b"}, created.Commits[0].Added)
	assert.Equal(t, "alice", created.Commits[0].GetAuthor().GetLogin())
}

func TestPull_FromAForkOfAStranger(t *testing.T) {
	w := newWorld(t, hub.Options{})
	_, _, err := w.user(w.eve).Repositories.CreateFork(ctx, "acme", "shop", nil)
	if err != nil { // GitHub answers 202, which go-github reports as an error
		require.ErrorContains(t, err, "job scheduled")
	}
	fork, found := w.h.Repo("eve/shop")
	require.True(t, found)
	g := w.clone(w.eve, fork)
	head := g.branch("patch", map[string]string{"e": "1\n"})
	pr, _, err := w.user(w.eve).PullRequests.Create(ctx, "acme", "shop", &github.NewPullRequest{Title: github.String("Hi"), Head: github.String("eve:patch"), Base: github.String("main")})
	require.NoError(t, err)
	assert.Equal(t, fork.ID, pr.GetHead().GetRepo().GetID())
	run, _, err := w.bot().Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: head})
	require.NoError(t, err)
	assert.Empty(t, run.PullRequests, "a fork's head shows no pull requests")
	head = g.commit("More", map[string]string{"e": "2\n"})
	g.git("push", "--quiet")
	base := w.clone(w.alice, w.repo)
	base.git("fetch", "--quiet", "origin", "refs/pull/1/head")
	assert.Equal(t, head, base.git("rev-parse", "FETCH_HEAD"))
	evs := w.events("pull_request")
	require.Len(t, evs, 2)
	assert.Equal(t, "synchronize", evs[1].payload.(*github.PullRequestEvent).GetAction())
}

func TestPull_MergedByAPushOfItsHead(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, g := w.pull("f", map[string]string{"b": "1\n"})
	g.git("checkout", "--quiet", "main")
	g.git("merge", "--quiet", "--no-ff", "f", "-m", "By hand")
	g.git("push", "--quiet")
	got, _, err := w.bot().PullRequests.Get(ctx, "acme", "shop", pr.GetNumber())
	require.NoError(t, err)
	assert.True(t, got.GetMerged())
	assert.Equal(t, g.git("rev-parse", "HEAD"), got.GetMergeCommitSHA())
	assert.Equal(t, 1, got.GetCommits())
}

func TestPull_CommitIndexMayLag(t *testing.T) {
	clock := newClock()
	w := newWorld(t, hub.Options{Now: clock.now, IndexLag: time.Minute})
	w.pull("f", map[string]string{"b": "1\n"})
	alice := w.user(w.alice)
	res, _, err := alice.PullRequests.Merge(ctx, "acme", "shop", 1, "", nil)
	require.NoError(t, err)
	pulls, _, err := alice.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", res.GetSHA(), nil)
	require.NoError(t, err)
	assert.Empty(t, pulls)
	clock.add(time.Minute)
	pulls, _, err = alice.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", res.GetSHA(), nil)
	require.NoError(t, err)
	assert.Len(t, pulls, 1)
}

func TestReview_DismissalRewritesTheState(t *testing.T) {
	w := newWorld(t, hub.Options{Middleware: contract.ResponsesOnly(t)})
	w.pull("f", map[string]string{"b": "1\n"})
	_, _, err := w.user(w.alice).PullRequests.CreateReview(ctx, "acme", "shop", 1, &github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	require.Error(t, err, "nobody approves their own")
	r, _, err := w.user(w.bob).PullRequests.CreateReview(ctx, "acme", "shop", 1, &github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	require.NoError(t, err)
	_, _, err = w.user(w.alice).PullRequests.DismissReview(ctx, "acme", "shop", 1, r.GetID(), &github.PullRequestReviewDismissalRequest{Message: github.String("no")})
	require.NoError(t, err)
	all, _, err := w.bot().PullRequests.ListReviews(ctx, "acme", "shop", 1, nil)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, "DISMISSED", all[0].GetState())
	evs := w.events("pull_request_review")
	require.Len(t, evs, 2)
	assert.Equal(t, "approved", evs[0].payload.(*github.PullRequestReviewEvent).GetReview().GetState())
}
