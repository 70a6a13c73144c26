package hub_test

import (
	"context"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

var ctx = context.Background()

func TestStory_FromPullRequestToMergeThroughRealClients(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, g := w.pull("feature", map[string]string{"b.yaml": "x: 1\n"})
	assert.Equal(t, 1, pr.GetNumber())
	opened := w.events("pull_request")
	require.Len(t, opened, 1)
	ev := opened[0].payload.(*github.PullRequestEvent)
	assert.Equal(t, "opened", ev.GetAction())
	assert.Equal(t, w.install, ev.GetInstallation().GetID())
	assert.Equal(t, pr.GetHead().GetSHA(), ev.GetPullRequest().GetHead().GetSHA())
	assert.Equal(t, "alice", ev.GetSender().GetLogin())

	bot := w.bot()
	run, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "conductor/tenants", HeadSHA: pr.GetHead().GetSHA(),
		Status: github.String("completed"), Conclusion: github.String("failure"),
		Output: &github.CheckRunOutput{Title: github.String("1 problem"), Summary: github.String("**bad**"), Annotations: []*github.CheckRunAnnotation{
			{Path: github.String("b.yaml"), StartLine: github.Int(1), EndLine: github.Int(1), AnnotationLevel: github.String("failure"), Message: github.String("no tenant")}}}})
	require.NoError(t, err)
	assert.Equal(t, "failure", run.GetConclusion())
	note, _, err := bot.Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: github.String("hello")})
	require.NoError(t, err)
	assert.Equal(t, "conductor[bot]", note.GetUser().GetLogin())

	head := g.commit("Fix", map[string]string{"b.yaml": "x: 2\n"})
	g.git("push", "--quiet")
	pr, _, err = bot.PullRequests.Get(ctx, "acme", "shop", 1)
	require.NoError(t, err)
	assert.Equal(t, head, pr.GetHead().GetSHA())
	assert.True(t, pr.GetMergeable())
	assert.Equal(t, 2, pr.GetCommits())
	assert.Equal(t, 1, pr.GetChangedFiles())

	_, _, err = w.user(w.bob).PullRequests.CreateReview(ctx, "acme", "shop", 1, &github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	require.NoError(t, err)
	res, _, err := w.user(w.bob).PullRequests.Merge(ctx, "acme", "shop", 1, "", nil)
	require.NoError(t, err)
	pulls, _, err := bot.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "shop", res.GetSHA(), nil)
	require.NoError(t, err)
	require.Len(t, pulls, 1)
	assert.Equal(t, res.GetSHA(), pulls[0].GetMergeCommitSHA())

	var names []string
	for _, e := range w.events("") {
		names = append(names, e.event)
	}
	assert.Contains(t, names, "installation")
	assert.Contains(t, names, "pull_request_review")
	pushes := w.events("push")
	last := pushes[len(pushes)-1].payload.(*github.PushEvent)
	assert.Equal(t, "refs/heads/main", last.GetRef())
	assert.Equal(t, res.GetSHA(), last.GetAfter())
	assert.Len(t, last.Commits, 3)
	assert.Len(t, w.h.BotCalls(), 4)
}
