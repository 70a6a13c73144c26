package hub_test

import (
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

func notes(n int) []*github.CheckRunAnnotation {
	var out []*github.CheckRunAnnotation
	for i := range n {
		out = append(out, &github.CheckRunAnnotation{Path: github.String("b"), StartLine: github.Int(i + 1), EndLine: github.Int(i + 1),
			AnnotationLevel: github.String("failure"), Message: github.String("m")})
	}
	return out
}

func TestCheckRun_LimitsAreGitHubs(t *testing.T) {
	w := newWorld(t, hub.Options{Middleware: contract.ResponsesOnly(t)})
	pr, _ := w.pull("f", map[string]string{"b": "1\n"})
	bot := w.bot()
	try := func(o github.CreateCheckRunOptions) int {
		o.Name, o.HeadSHA = "a", pr.GetHead().GetSHA()
		_, resp, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", o)
		if err == nil {
			return 201
		}
		return resp.StatusCode
	}
	out := func(summary, text string, n int) github.CreateCheckRunOptions {
		return github.CreateCheckRunOptions{Output: &github.CheckRunOutput{Title: github.String("t"), Summary: &summary, Text: &text, Annotations: notes(n)}}
	}
	full := strings.Repeat("x", 65535)
	assert.Equal(t, 201, try(out(full, full, 50)))
	assert.Equal(t, 422, try(out(full+"x", "", 0)))
	assert.Equal(t, 422, try(out("s", full+"x", 0)))
	assert.Equal(t, 422, try(out("s", "", 51)))
	assert.Equal(t, 422, try(github.CreateCheckRunOptions{Status: github.String("completed")}), "no conclusion")
	assert.Equal(t, 422, try(github.CreateCheckRunOptions{Conclusion: github.String("fine")}))
	assert.Equal(t, 422, try(github.CreateCheckRunOptions{Status: github.String("waiting")}))
	action := &github.CheckRunAction{Label: "Do", Description: "It", Identifier: "do"}
	assert.Equal(t, 201, try(github.CreateCheckRunOptions{Actions: []*github.CheckRunAction{action, action, action}}))
	assert.Equal(t, 422, try(github.CreateCheckRunOptions{Actions: []*github.CheckRunAction{action, action, action, action}}))
	assert.Equal(t, 422, try(github.CreateCheckRunOptions{Actions: []*github.CheckRunAction{{Label: strings.Repeat("x", 21), Description: "It", Identifier: "do"}}}))
	_, resp, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: strings.Repeat("1", 40)})
	require.Error(t, err)
	assert.Equal(t, 422, resp.StatusCode)
}

func TestCheckRun_UpdatesAppendAnnotationsAndNeverReopen(t *testing.T) {
	w := newWorld(t, hub.Options{Middleware: contract.ResponsesOnly(t)})
	pr, _ := w.pull("f", map[string]string{"b": "1\n"})
	bot := w.bot()
	run, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA(), ExternalID: github.String("v1:1"),
		Conclusion: github.String("failure"), Output: &github.CheckRunOutput{Title: github.String("t"), Summary: github.String("s"), Annotations: notes(50)}})
	require.NoError(t, err)
	assert.Equal(t, "completed", run.GetStatus())
	run, _, err = bot.Checks.UpdateCheckRun(ctx, "acme", "shop", run.GetID(), github.UpdateCheckRunOptions{Name: "a",
		Output: &github.CheckRunOutput{Title: github.String("t"), Summary: github.String("s2"), Annotations: notes(20)}})
	require.NoError(t, err)
	assert.Equal(t, 70, run.GetOutput().GetAnnotationsCount())
	assert.Equal(t, "s2", run.GetOutput().GetSummary())
	assert.Equal(t, "v1:1", run.GetExternalID())
	page, resp, err := bot.Checks.ListCheckRunAnnotations(ctx, "acme", "shop", run.GetID(), &github.ListOptions{PerPage: 60})
	require.NoError(t, err)
	assert.Len(t, page, 60)
	assert.Equal(t, 2, resp.NextPage)
	_, _, err = bot.Checks.UpdateCheckRun(ctx, "acme", "shop", run.GetID(), github.UpdateCheckRunOptions{Name: "a", Status: github.String("in_progress")})
	require.Error(t, err)

	second, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA(), Conclusion: github.String("success")})
	require.NoError(t, err)
	latest, _, err := bot.Checks.ListCheckRunsForRef(ctx, "acme", "shop", "f", nil)
	require.NoError(t, err)
	require.Equal(t, 1, latest.GetTotal())
	assert.Equal(t, second.GetID(), latest.CheckRuns[0].GetID())
	all, _, err := bot.Checks.ListCheckRunsForRef(ctx, "acme", "shop", "f", &github.ListCheckRunsOptions{Filter: github.String("all")})
	require.NoError(t, err)
	assert.Equal(t, 2, all.GetTotal())
	require.Len(t, latest.CheckRuns[0].PullRequests, 1)
}

func TestCheckRun_RerequestAndButtonsReachTheApp(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, _ := w.pull("f", map[string]string{"b": "1\n"})
	run, _, err := w.bot().Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA(), Status: github.String("completed"),
		Conclusion: github.String("failure"), Actions: []*github.CheckRunAction{{Label: "Do", Description: "It", Identifier: "do"}}})
	require.NoError(t, err)
	_, err = w.user(w.alice).Checks.ReRequestCheckRun(ctx, "acme", "shop", run.GetID())
	require.NoError(t, err)
	require.NoError(t, w.h.RequestAction(run.GetID(), "alice", "do"))
	require.Error(t, w.h.RequestAction(run.GetID(), "alice", "other"))
	var actions []string
	for _, e := range w.events("check_run") {
		ev := e.payload.(*github.CheckRunEvent)
		actions = append(actions, ev.GetAction()+" "+ev.GetSender().GetLogin())
		if ev.GetAction() == "requested_action" {
			assert.Equal(t, "do", ev.GetRequestedAction().Identifier)
		}
	}
	assert.Equal(t, []string{"created conductor[bot]", "completed conductor[bot]", "rerequested alice", "requested_action alice"}, actions)
	assert.NotEmpty(t, w.events("check_suite"))
}

func TestComment_LimitsAuthorsAndPages(t *testing.T) {
	w := newWorld(t, hub.Options{Middleware: contract.ResponsesOnly(t)})
	w.pull("f", map[string]string{"b": "1\n"})
	bot, alice, eve := w.bot(), w.user(w.alice), w.user(w.eve)
	say := func(c *github.Client, body string) (*github.IssueComment, *github.Response) {
		k, resp, err := c.Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: &body})
		assert.Equal(t, resp.StatusCode == 201, err == nil)
		return k, resp
	}
	mine, resp := say(bot, strings.Repeat("x", 65536))
	assert.Equal(t, 201, resp.StatusCode)
	_, resp = say(bot, strings.Repeat("x", 65537))
	assert.Equal(t, 422, resp.StatusCode)
	_, resp = say(bot, strings.Repeat("😀", 32769))
	assert.Equal(t, 422, resp.StatusCode, "an emoji counts as two")
	_, resp = say(alice, " ")
	assert.Equal(t, 422, resp.StatusCode)
	_, resp = say(eve, "a stranger may comment")
	assert.Equal(t, 201, resp.StatusCode)
	_, resp, err := eve.Issues.EditComment(ctx, "acme", "shop", mine.GetID(), &github.IssueComment{Body: github.String("mine now")})
	require.Error(t, err)
	assert.Equal(t, 403, resp.StatusCode)
	got, _, err := bot.Issues.EditComment(ctx, "acme", "shop", mine.GetID(), &github.IssueComment{Body: github.String("new")})
	require.NoError(t, err)
	assert.Equal(t, "new", got.GetBody())
	page, resp, err := bot.Issues.ListComments(ctx, "acme", "shop", 1, &github.IssueListCommentsOptions{ListOptions: github.ListOptions{PerPage: 1}})
	require.NoError(t, err)
	require.Len(t, page, 1)
	assert.Equal(t, mine.GetID(), page[0].GetID())
	assert.Equal(t, 2, resp.LastPage)
	evs := w.events("issue_comment")
	require.Len(t, evs, 3)
	edited := evs[2].payload.(*github.IssueCommentEvent)
	assert.Equal(t, "edited", edited.GetAction())
	assert.True(t, edited.GetIssue().IsPullRequest())
}
