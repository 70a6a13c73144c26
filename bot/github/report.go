package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/bot/render"
	"github.com/conductor-dev/conductor/reconcile"
)

// inDoubt starts the digest of a check run whose posting was begun and not seen
// to end: it may stand, wholly or with some of its annotations, or not. The next
// Report looks before it posts.
const inDoubt = "?"

// noComment is the digest while it is known that we have no comment there.
const noComment = "none"

// Report shows a verdict: one check run per check on the head, and the comment.
// What already stands with the same content isn't sent again. In steady state
// that is one call per check and one for the comment; annotations beyond 50 cost
// one more per 50, and the first report on a pull request looks for a comment of
// an earlier life once.
//
// A verdict that changes on the same head gets a new check run, the newest of a
// name being the one that counts: GitHub adds the annotations of an update to
// those that are there, so an update would keep the old ones for ever.
func (a *App) Report(ctx context.Context, r reconcile.Report, before reconcile.Reported) (reconcile.Reported, error) {
	c, err := a.installation(r.Repo.Installation)
	if err != nil {
		return before, err
	}
	after := before
	after.Head, after.Checks = r.Head, map[string]reconcile.ReportedCheck{}
	if before.Head == r.Head {
		maps.Copy(after.Checks, before.Checks)
	}
	for _, run := range render.Checks(r) {
		stands, err := a.showCheck(ctx, c, r, run, after.Checks[run.Name])
		after.Checks[run.Name] = stands
		if err != nil {
			return after, err
		}
	}
	return a.showComment(ctx, c, r, after)
}

// maxBatch is how many annotations GitHub takes in one request.
const maxBatch = 50

// showCheck makes a check run stand, and returns what does, beside an error too.
func (a *App) showCheck(ctx context.Context, c *client, r reconcile.Report, run render.CheckRun, stands reconcile.ReportedCheck) (reconcile.ReportedCheck, error) {
	digest := digestOf(run)
	if stands.Digest == digest {
		return stands, nil
	}
	var posted *gh.CheckRun
	var err error
	if stands.Digest == inDoubt+digest {
		if posted, err = a.findCheck(ctx, c, r, run); err != nil {
			return stands, err
		}
	}
	doubt := reconcile.ReportedCheck{Digest: inDoubt + digest}
	if posted == nil {
		if posted, err = a.postCheck(ctx, c, r, run); err != nil {
			if lost(err) {
				return doubt, err
			}
			return stands, err
		}
	}
	doubt.ID = posted.GetID()
	if err := c.annotate(ctx, r, run, posted); err != nil {
		return doubt, err
	}
	return reconcile.ReportedCheck{ID: posted.GetID(), Digest: digest}, nil
}

// postCheck posts a run, complete at once. When the answer is lost it looks
// whether the run is there, and only then gives up.
func (a *App) postCheck(ctx context.Context, c *client, r reconcile.Report, run render.CheckRun) (*gh.CheckRun, error) {
	what := fmt.Sprintf("create check run %s on %s in %s", run.Name, r.Head.Short(), r.Repo.FullName())
	posted, err := call(ctx, c, what, func() (*gh.CheckRun, *gh.Response, error) {
		return c.rest.Checks.CreateCheckRun(ctx, r.Repo.Owner, r.Repo.Name, gh.CreateCheckRunOptions{
			Name: run.Name, HeadSHA: string(r.Head), ExternalID: gh.String(externalID(r)),
			Status: gh.String("completed"), Conclusion: gh.String(string(run.Conclusion)),
			Output: output(run, 0),
		})
	})
	if err == nil || !lost(err) || ctx.Err() != nil {
		return sent(posted, run), err
	}
	found, findErr := a.findCheck(ctx, c, r, run)
	if findErr != nil || found == nil {
		return nil, err
	}
	return found, nil
}

// sent notes how many annotations a new run has: GitHub may still count them.
func sent(posted *gh.CheckRun, run render.CheckRun) *gh.CheckRun {
	if posted != nil {
		posted.Output = &gh.CheckRunOutput{AnnotationsCount: gh.Int(min(maxBatch, len(run.Annotations)))}
	}
	return posted
}

// findCheck looks for a run that an earlier try posted: ours by App and external
// id, with the same words. nil when there is none.
func (a *App) findCheck(ctx context.Context, c *client, r reconcile.Report, run render.CheckRun) (*gh.CheckRun, error) {
	runs, err := c.checkRuns(ctx, r.Repo, r.Head, gh.ListCheckRunsOptions{
		CheckName: gh.String(run.Name), Filter: gh.String("all"), AppID: gh.Int64(a.config.ID),
	})
	if err != nil {
		return nil, err
	}
	var found *gh.CheckRun
	for _, f := range runs {
		if f.GetName() == run.Name && f.GetExternalID() == externalID(r) && f.GetApp().GetID() == a.config.ID &&
			f.GetConclusion() == string(run.Conclusion) && f.GetOutput().GetTitle() == run.Title &&
			strings.TrimSpace(f.GetOutput().GetSummary()) == strings.TrimSpace(run.Summary) &&
			f.GetID() > found.GetID() {
			found = f
		}
	}
	return found, nil
}

// annotate adds the annotations that a run doesn't have yet. They are always sent
// in the same order, so their number says where to go on.
func (c *client) annotate(ctx context.Context, r reconcile.Report, run render.CheckRun, posted *gh.CheckRun) error {
	for from := posted.GetOutput().GetAnnotationsCount(); from < len(run.Annotations); from += maxBatch {
		what := fmt.Sprintf("annotate check run %s on %s in %s", run.Name, r.Head.Short(), r.Repo.FullName())
		_, err := call(ctx, c, what, func() (*gh.CheckRun, *gh.Response, error) {
			return c.rest.Checks.UpdateCheckRun(ctx, r.Repo.Owner, r.Repo.Name, posted.GetID(), gh.UpdateCheckRunOptions{
				Name: run.Name, Output: output(run, from),
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// output is what a request says of a run, with the annotations from one on.
func output(run render.CheckRun, from int) *gh.CheckRunOutput {
	o := &gh.CheckRunOutput{Title: gh.String(run.Title), Summary: gh.String(run.Summary)}
	if run.Text != "" {
		o.Text = gh.String(run.Text)
	}
	for _, n := range run.Annotations[from:min(from+maxBatch, len(run.Annotations))] {
		annotation := &gh.CheckRunAnnotation{
			Path: gh.String(n.Path), StartLine: gh.Int(n.Line), EndLine: gh.Int(n.EndLine),
			AnnotationLevel: gh.String(string(n.Level)), Title: gh.String(n.Title), Message: gh.String(n.Message),
		}
		if n.Column > 0 {
			annotation.StartColumn, annotation.EndColumn = gh.Int(n.Column), gh.Int(n.Column)
		}
		if n.Details != "" {
			annotation.RawDetails = gh.String(n.Details)
		}
		o.Annotations = append(o.Annotations, annotation)
	}
	return o
}

// externalID is our name for a run: a run is of one pull request's head.
func externalID(r reconcile.Report) string {
	return fmt.Sprintf("v1:%s:%d:%s", r.Repo.ID, r.Pull.Number, r.Head)
}

// digestOf is the sha256 (hex) of everything that is posted for a run.
func digestOf(run render.CheckRun) string {
	b, err := json.Marshal(run)
	if err != nil {
		panic("marshal a check run: " + err.Error()) // strings and integers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
