package github

import (
	"fmt"
	"testing"

	gh "github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/bot/render"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/test/hub"
)

const (
	postRun     = "POST /repos/acme/shop/check-runs"
	postComment = "POST /repos/acme/shop/issues/1/comments"
)

func TestReport_ShowsChecksWithAnnotationsAndOneComment(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(2), reconcile.Reported{})

	runs := w.runs(render.TenantsCheck)
	require.Len(t, runs, 1)
	assert.Equal(t, "failure", runs[0].GetConclusion())
	assert.Equal(t, "completed", runs[0].GetStatus())
	assert.Equal(t, fmt.Sprintf("v1:%s:1:%s", w.repo.ID, w.head), runs[0].GetExternalID())
	notes := w.annotations(runs[0].GetID())
	require.Len(t, notes, 2)
	assert.Equal(t, "a.yaml", notes[0].GetPath())
	assert.Equal(t, 1, notes[0].GetStartLine())
	assert.Equal(t, "failure", notes[0].GetAnnotationLevel())

	comments := w.comments()
	require.Len(t, comments, 1)
	assert.Equal(t, w.hubApp.BotLogin, comments[0].GetUser().GetLogin())
	assert.Equal(t, render.Comment(w.failing(2)), comments[0].GetBody())
	assert.Equal(t, comments[0].GetID(), after.CommentID)
	assert.Equal(t, w.head, after.Head)
}

func TestReport_UnchangedVerdictSendsNothing(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(2), reconcile.Reported{})
	w.calls()
	assert.Equal(t, after, w.mustReport(w.failing(2), after))
	assert.Empty(t, w.calls())
}

func TestReport_ANewHeadCostsThreeCallsInSteadyState(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(2), reconcile.Reported{})
	w.push("a: 3\n")
	w.calls()
	next := w.mustReport(w.failing(1), after)
	assert.Equal(t, []string{postRun, postRun, fmt.Sprintf("PATCH /repos/acme/shop/issues/comments/%d", after.CommentID)}, w.calls())
	assert.Equal(t, after.CommentID, next.CommentID)
	assert.Len(t, w.comments(), 1)
}

func TestReport_AChangedVerdictOnTheSameHeadGetsANewRunWithOnlyItsOwnAnnotations(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(2), reconcile.Reported{})
	w.calls()
	after = w.mustReport(w.failing(1), after)
	assert.Len(t, w.calls(), 2, "the budget check is the same")
	runs := w.runs(render.TenantsCheck)
	require.Len(t, runs, 2)
	assert.Len(t, w.annotations(after.Checks[render.TenantsCheck].ID), 1)
}

func TestReport_SendsAnnotationsInBatchesOf50(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(120), reconcile.Reported{})
	assert.Len(t, w.annotations(after.Checks[render.TenantsCheck].ID), 120)
	assert.Len(t, w.runs(render.TenantsCheck), 1)
}

func TestReport_GoesOnWhereABatchFailed(t *testing.T) {
	for _, kind := range []hub.FaultKind{hub.StatusFault, hub.LostResponse} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.fault(kind, "PATCH", "/check-runs/")
			after, err := w.app.Report(t.Context(), w.failing(120), reconcile.Reported{})
			require.Error(t, err)
			after = w.mustReport(w.failing(120), after)
			require.Len(t, w.runs(render.TenantsCheck), 1)
			notes := w.annotations(after.Checks[render.TenantsCheck].ID)
			require.Len(t, notes, 120)
			lines := map[int]bool{}
			for _, n := range notes {
				lines[n.GetStartLine()] = true
			}
			assert.Len(t, lines, 120, "each once")
		})
	}
}

func TestReport_ALostAnswerNeverMakesASecondRunOrComment(t *testing.T) {
	for _, path := range []string{"/check-runs$", "/comments$"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t)
			w.fault(hub.LostResponse, "POST", path)
			after, err := w.app.Report(t.Context(), w.failing(2), reconcile.Reported{})
			if err != nil {
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, Transient, e.Class)
				assert.False(t, e.Permanent())
			}
			w.mustReport(w.failing(2), after)
			assert.Len(t, w.runs(render.TenantsCheck), 1)
			assert.Len(t, w.runs(render.BudgetCheck), 1)
			assert.Len(t, w.comments(), 1)
		})
	}
}

func TestReport_LooksBeforePostingAgainWhenTheLookFailedToo(t *testing.T) {
	w := newWorld(t)
	w.fault(hub.LostResponse, "POST", "/check-runs$")
	w.fault(hub.StatusFault, "GET", "/check-runs$")
	after, err := w.app.Report(t.Context(), w.failing(2), reconcile.Reported{})
	require.Error(t, err)
	w.mustReport(w.failing(2), after)
	assert.Len(t, w.runs(render.TenantsCheck), 1)
}

func TestReport_AServerErrorWithoutEffectIsMadeUpFor(t *testing.T) {
	w := newWorld(t)
	w.fault(hub.StatusFault, "POST", "/check-runs$")
	after, err := w.app.Report(t.Context(), w.failing(2), reconcile.Reported{})
	require.Error(t, err)
	w.mustReport(w.failing(2), after)
	assert.Len(t, w.runs(render.TenantsCheck), 1)
	assert.Len(t, w.comments(), 1)
}

func TestReport_FindsItsCommentAgainWhenTheStateWasLost(t *testing.T) {
	w := newWorld(t)
	for i := range 130 { // ours isn't on the first page
		_, _, err := w.as(w.alice).Issues.CreateComment(t.Context(), "acme", "shop", 1, &gh.IssueComment{Body: gh.String(fmt.Sprint("talk ", i))})
		require.NoError(t, err)
	}
	after := w.mustReport(w.failing(2), reconcile.Reported{})
	again := w.mustReport(w.failing(1), reconcile.Reported{})
	assert.Equal(t, after.CommentID, again.CommentID)
	c, _, err := w.as(w.alice).Issues.GetComment(t.Context(), "acme", "shop", again.CommentID)
	require.NoError(t, err)
	assert.Equal(t, render.Comment(w.failing(1)), c.GetBody())
}

func TestReport_NeverEditsAnotherPersonsCommentWithOurMarker(t *testing.T) {
	w := newWorld(t)
	forged := render.Marker(w.repo.ID, 1) + "\n✅ **Ready**"
	_, _, err := w.as(w.bob).Issues.CreateComment(t.Context(), "acme", "shop", 1, &gh.IssueComment{Body: &forged})
	require.NoError(t, err)
	w.mustReport(w.failing(2), reconcile.Reported{})
	comments := w.comments()
	require.Len(t, comments, 2)
	assert.Equal(t, forged, comments[0].GetBody())
	assert.Equal(t, w.hubApp.BotLogin, comments[1].GetUser().GetLogin())
}

func TestReport_OfTwoCommentsOfOursTheOldestCounts(t *testing.T) {
	w := newWorld(t)
	first := w.mustReport(w.failing(2), reconcile.Reported{})
	c, err := w.app.installation(w.install)
	require.NoError(t, err)
	_, _, err = c.rest.Issues.CreateComment(t.Context(), "acme", "shop", 1, &gh.IssueComment{Body: gh.String(render.Comment(w.failing(2)))})
	require.NoError(t, err)
	assert.Equal(t, first.CommentID, w.mustReport(w.failing(1), reconcile.Reported{}).CommentID)
	assert.Len(t, w.comments(), 2)
}

func TestReport_MakesANewCommentWhenSomebodyDeletedIt(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.failing(2), reconcile.Reported{})
	_, err := w.as(w.alice).Issues.DeleteComment(t.Context(), "acme", "shop", after.CommentID)
	require.NoError(t, err)
	again := w.mustReport(w.failing(1), after)
	assert.NotEqual(t, after.CommentID, again.CommentID)
	assert.Len(t, w.comments(), 1)
}

func TestReport_StaysQuietWithoutNewsAndUpdatesWhatIsThere(t *testing.T) {
	w := newWorld(t)
	after := w.mustReport(w.passing(), reconcile.Reported{})
	assert.Empty(t, w.comments())
	assert.Zero(t, after.CommentID)
	w.calls()

	w.push("a: 3\n")
	w.calls()
	after = w.mustReport(w.passing(), after)
	assert.Equal(t, []string{postRun, postRun}, w.calls(), "no search for a comment that isn't there")

	after = w.mustReport(w.failing(1), after)
	assert.Equal(t, []string{postRun, postRun, postComment}, w.calls())
	w.mustReport(w.passing(), after)
	require.Len(t, w.comments(), 1)
	assert.Contains(t, w.comments()[0].GetBody(), "✅ **Ready**")
}

func TestReport_RefusesContentForACommitThatIsntThereForGood(t *testing.T) {
	w := newWorld(t)
	r := w.failing(1)
	r.Head = "0123456789012345678901234567890123456789"
	_, err := w.app.Report(t.Context(), r, reconcile.Reported{})
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, Invalid, e.Class)
	assert.True(t, e.Permanent())
}

func TestReport_IsSilentWhileTheRateLimitLasts(t *testing.T) {
	w := newWorld(t)
	w.hub.Inject(hub.Fault{Kind: hub.SecondaryLimit, Method: "POST", Status: 429, Count: 1})
	_, err := w.app.Report(t.Context(), w.failing(1), reconcile.Reported{})
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, RateLimited, e.Class)
	assert.GreaterOrEqual(t, e.RetryAfter().Seconds(), 60.0)
	w.calls()
	_, err = w.app.Report(t.Context(), w.failing(1), reconcile.Reported{})
	require.ErrorAs(t, err, &e)
	assert.Equal(t, RateLimited, e.Class)
	assert.Empty(t, w.calls())
}
