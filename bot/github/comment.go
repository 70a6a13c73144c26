package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/bot/render"
	"github.com/conductor-dev/conductor/reconcile"
)

// showComment brings the sticky comment up to date: the one that is remembered,
// else the one that is found, else a new one, which a verdict without news
// doesn't get.
func (a *App) showComment(ctx context.Context, c *client, r reconcile.Report, after reconcile.Reported) (reconcile.Reported, error) {
	body := render.Comment(r)
	sum := sha256.Sum256([]byte(body))
	digest := hex.EncodeToString(sum[:])
	if after.CommentID != 0 && after.CommentDigest == digest {
		return after, nil
	}
	if after.CommentID != 0 {
		err := c.editComment(ctx, r, after.CommentID, body)
		if err == nil {
			after.CommentDigest = digest
		}
		if err == nil || !errors.Is(err, reconcile.ErrNotFound) {
			return after, err
		}
		after.CommentID, after.CommentDigest = 0, "" // somebody deleted it
	}
	if after.CommentDigest != noComment {
		found, err := a.findComment(ctx, c, r)
		if err != nil {
			return after, err
		}
		if found != nil {
			after.CommentID, after.CommentDigest = found.GetID(), digest
			if found.GetBody() == body {
				return after, nil
			}
			if err := c.editComment(ctx, r, found.GetID(), body); err != nil {
				after.CommentDigest = ""
				return after, err
			}
			return after, nil
		}
		after.CommentDigest = noComment
	}
	if !render.Newsworthy(r.Verdict) {
		return after, nil
	}
	return a.createComment(ctx, c, r, body, digest, after)
}

// createComment posts a first comment. When the answer is lost, whether it stands
// is unknown: the next Report searches.
func (a *App) createComment(ctx context.Context, c *client, r reconcile.Report, body, digest string, after reconcile.Reported) (reconcile.Reported, error) {
	what := fmt.Sprintf("comment on %s#%d", r.Repo.FullName(), r.Pull.Number)
	posted, err := call(ctx, c, what, func() (*gh.IssueComment, *gh.Response, error) {
		return c.rest.Issues.CreateComment(ctx, r.Repo.Owner, r.Repo.Name, r.Pull.Number, &gh.IssueComment{Body: &body})
	})
	if err == nil {
		after.CommentID, after.CommentDigest = posted.GetID(), digest
		return after, nil
	}
	if lost(err) {
		after.CommentDigest = ""
	}
	return after, err
}

func (c *client) editComment(ctx context.Context, r reconcile.Report, id int64, body string) error {
	what := fmt.Sprintf("edit the comment on %s#%d", r.Repo.FullName(), r.Pull.Number)
	_, err := call(ctx, c, what, func() (*gh.IssueComment, *gh.Response, error) {
		return c.rest.Issues.EditComment(ctx, r.Repo.Owner, r.Repo.Name, id, &gh.IssueComment{Body: &body})
	})
	return err
}

// findComment looks through all comments for ours: written by our bot, and with
// the marker of this pull request as its first line. The oldest counts; anybody
// else's comment with our marker is left alone.
func (a *App) findComment(ctx context.Context, c *client, r reconcile.Report) (*gh.IssueComment, error) {
	author, err := a.author(ctx)
	if err != nil {
		return nil, err
	}
	list, err := pages(ctx, c, fmt.Sprintf("list comments of %s#%d", r.Repo.FullName(), r.Pull.Number),
		func(o gh.ListOptions) ([]*gh.IssueComment, *gh.Response, error) {
			return c.rest.Issues.ListComments(ctx, r.Repo.Owner, r.Repo.Name, r.Pull.Number, &gh.IssueListCommentsOptions{ListOptions: o})
		})
	if err != nil {
		return nil, err
	}
	marker := render.Marker(r.Repo.ID, r.Pull.Number)
	var found *gh.IssueComment
	for _, comment := range list {
		first, _, _ := strings.Cut(comment.GetBody(), "\n")
		if strings.TrimRight(first, "\r") == marker && strings.EqualFold(comment.GetUser().GetLogin(), author) &&
			(found == nil || comment.GetID() < found.GetID()) {
			found = comment
		}
	}
	return found, nil
}
