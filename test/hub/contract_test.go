package hub_test

import (
	"errors"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

// TestContract_EveryOperationAnswersAsGitHubDescribes calls all operations with the
// checks on; the checks fail the test.
func TestContract_EveryOperationAnswersAsGitHubDescribes(t *testing.T) {
	check := contract.NewChecker(t)
	w := newWorld(t, hub.Options{Middleware: check.Middleware})
	pr, _ := w.pull("feature/one", map[string]string{"b.yaml": "x: 1\n"})
	head := pr.GetHead().GetSHA()
	app, bot, alice, bob, eve := w.jwt(), w.bot(), w.user(w.alice), w.user(w.bob), w.user(w.eve)
	call := func(c *github.Client, method, path string, body any) {
		t.Helper()
		req, err := c.NewRequest(method, path, body)
		require.NoError(t, err)
		var out any
		_, err = c.Do(ctx, req, &out)
		if accepted := new(github.AcceptedError); !errors.As(err, &accepted) {
			require.NoError(t, err, "%s %s", method, path)
		}
	}
	type j = map[string]any
	const r = "repos/acme/shop"
	run, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: head, Status: github.String("in_progress")})
	require.NoError(t, err)
	id := run.GetID()
	_, _, err = bot.Checks.UpdateCheckRun(ctx, "acme", "shop", id, github.UpdateCheckRunOptions{Name: "a", Status: github.String("completed"), Conclusion: github.String("neutral"),
		Output: &github.CheckRunOutput{Title: github.String("t"), Summary: github.String("s"), Annotations: []*github.CheckRunAnnotation{
			{Path: github.String("b.yaml"), StartLine: github.Int(1), EndLine: github.Int(1), AnnotationLevel: github.String("notice"), Message: github.String("m")}}}})
	require.NoError(t, err)
	note, _, err := bot.Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: github.String("x")})
	require.NoError(t, err)
	review, _, err := bob.PullRequests.CreateReview(ctx, "acme", "shop", 1, &github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	require.NoError(t, err)
	suites, _, err := bot.Checks.ListCheckSuitesForRef(ctx, "acme", "shop", head, nil)
	require.NoError(t, err)
	require.Equal(t, 1, suites.GetTotal())
	suite := suites.CheckSuites[0].GetID()
	w.events("")
	deliveries, _, err := app.Apps.ListHookDeliveries(ctx, nil)
	require.NoError(t, err)
	require.NotEmpty(t, deliveries)
	del := deliveries[0].GetID()

	call(app, "GET", "app", nil)
	call(app, "GET", "app/hook/config", nil)
	call(app, "PATCH", "app/hook/config", j{"secret": hookSecret})
	call(app, "GET", "app/hook/deliveries/"+str(del), nil)
	call(app, "POST", "app/hook/deliveries/"+str(del)+"/attempts", nil)
	call(app, "GET", "app/installations", nil)
	call(app, "GET", "app/installations/"+str(w.install), nil)
	call(app, "GET", r+"/installation", nil)
	call(app, "POST", "app/installations/"+str(w.install)+"/access_tokens", j{"repositories": []string{"shop"}, "permissions": j{"checks": "write"}})
	call(bot, "GET", "installation/repositories", nil)
	call(bot, "GET", "rate_limit", nil)
	call(alice, "GET", "user", nil)
	call(bot, "GET", "users/alice", nil)
	call(bot, "GET", "users/conductor%5Bbot%5D", nil)
	call(bot, "GET", "orgs/acme", nil)
	call(bot, "GET", r, nil)
	call(eve, "POST", r+"/forks", j{})
	call(bot, "GET", r+"/branches", nil)
	call(bot, "GET", r+"/branches/feature/one", nil)
	call(bot, "GET", r+"/git/ref/heads/main", nil)
	call(bot, "GET", r+"/git/matching-refs/heads/", nil)
	call(alice, "POST", r+"/git/refs", j{"ref": "refs/heads/two", "sha": head})
	call(alice, "PATCH", r+"/git/refs/heads/two", j{"sha": pr.GetBase().GetSHA(), "force": true})
	call(alice, "DELETE", r+"/git/refs/heads/two", nil)
	call(bot, "GET", r+"/commits", nil)
	call(bot, "GET", r+"/commits/"+head+"/pulls", nil)
	call(bot, "GET", r+"/commits/"+head+"/check-runs", nil)
	call(bot, "GET", r+"/commits/feature/one/check-runs?filter=all", nil)
	call(bot, "GET", r+"/commits/"+head, nil)
	call(bot, "GET", r+"/compare/main...feature/one", nil)
	call(bot, "GET", r+"/pulls?state=all", nil)
	call(bot, "GET", r+"/pulls/1", nil)
	call(alice, "PATCH", r+"/pulls/1", j{"title": "New title"})
	call(bot, "GET", r+"/pulls/1/files", nil)
	call(bot, "GET", r+"/pulls/1/commits", nil)
	call(alice, "POST", r+"/pulls/1/convert_to_draft", nil)
	call(alice, "POST", r+"/pulls/1/ready_for_review", nil)
	call(bot, "GET", r+"/pulls/1/reviews", nil)
	call(bot, "GET", r+"/pulls/1/reviews/"+str(review.GetID()), nil)
	call(alice, "PUT", r+"/pulls/1/reviews/"+str(review.GetID())+"/dismissals", j{"message": "no"})
	call(bot, "GET", r+"/check-runs/"+str(id), nil)
	call(bot, "GET", r+"/check-runs/"+str(id)+"/annotations", nil)
	call(alice, "POST", r+"/check-runs/"+str(id)+"/rerequest", nil)
	call(bot, "POST", r+"/check-suites", j{"head_sha": head})
	call(bot, "GET", r+"/check-suites/"+str(suite), nil)
	call(bot, "GET", r+"/check-suites/"+str(suite)+"/check-runs", nil)
	call(alice, "POST", r+"/check-suites/"+str(suite)+"/rerequest", nil)
	call(bot, "GET", r+"/issues/1/comments", nil)
	call(bot, "GET", r+"/issues/comments/"+str(note.GetID()), nil)
	call(bot, "PATCH", r+"/issues/comments/"+str(note.GetID()), j{"body": "y"})
	call(bot, "DELETE", r+"/issues/comments/"+str(note.GetID()), nil)
	call(bob, "PUT", r+"/pulls/1/merge", j{"merge_method": "squash"})
	call(bot, "GET", r+"/pulls/1/merge", nil)
	call(bot, "GET", r+"/pulls/1", nil)

	counts := check.Counts()
	for op, github := range hub.Operations() {
		if github && op != "GET /app/installations" { // the checker's list says why
			assert.NotZero(t, counts[op], "%s was never called", op)
		}
	}
}
