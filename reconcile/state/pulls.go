package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/conductor-dev/conductor/reconcile"
)

// Pull gives what is known of a pull request.
func (d *DB) Pull(ctx context.Context, repo reconcile.RepoID, number int) (reconcile.PullRequest, bool, error) {
	var facts string
	var reruns int
	err := d.read.QueryRowContext(ctx, `SELECT facts, reruns FROM pull_requests WHERE repo = $1 AND number = $2`, repo, number).Scan(&facts, &reruns)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return reconcile.PullRequest{}, false, nil
	case err != nil:
		return reconcile.PullRequest{}, false, fmt.Errorf("read pull request %s#%d: %w", repo, number, err)
	}
	var p reconcile.PullRequest
	if err := json.Unmarshal([]byte(facts), &p); err != nil {
		return reconcile.PullRequest{}, false, fmt.Errorf("read pull request %s#%d: %w", repo, number, err)
	}
	p.Reruns = reruns
	return p, true, nil
}

// OpenPulls lists the open pull requests that are known of a repository, by number.
func (d *DB) OpenPulls(ctx context.Context, repo reconcile.RepoID) ([]reconcile.PullRequest, error) {
	return collect(ctx, d.read, "list open pull requests", func(rows *sql.Rows) (p reconcile.PullRequest, err error) {
		var facts string
		if err := rows.Scan(&facts); err != nil {
			return p, err
		}
		return p, json.Unmarshal([]byte(facts), &p)
	}, `SELECT facts FROM pull_requests WHERE repo = $1 AND state = 'open' ORDER BY number`, repo)
}

// SavePull stores a pull request unless what is known is newer. See Tx.SavePull.
func (d *DB) SavePull(ctx context.Context, repo reconcile.RepoID, p reconcile.PullRequest) error {
	return d.Update(ctx, func(t *Tx) error { return t.SavePull(ctx, repo, p) })
}

// SavePull stores a pull request unless what is known is newer by UpdatedAt. GitHub
// gives whole seconds there: of two facts of one second the later arrival stays,
// but for a merge, which can't be undone.
func (t *Tx) SavePull(ctx context.Context, repo reconcile.RepoID, p reconcile.PullRequest) error {
	if repo == "" || p.Number <= 0 {
		return fmt.Errorf("save pull request %s#%d: repository and number are needed", repo, p.Number)
	}
	facts, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("save pull request %s#%d: %w", repo, p.Number, err)
	}
	merged := 0
	if p.Merged {
		merged = 1
	}
	_, err = t.exec(ctx, "save pull request", `
		INSERT INTO pull_requests (repo, number, state, merged, head_sha, updated_at, facts)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (repo, number) DO UPDATE SET
			state = excluded.state, merged = excluded.merged, head_sha = excluded.head_sha,
			updated_at = excluded.updated_at, facts = excluded.facts
		WHERE excluded.updated_at >= pull_requests.updated_at AND excluded.merged >= pull_requests.merged`,
		repo, p.Number, p.State, merged, p.HeadSHA, millis(p.UpdatedAt), string(facts))
	return err
}

// AskRerun notes that fresh check runs were asked for on a pull request.
func (t *Tx) AskRerun(ctx context.Context, repo reconcile.RepoID, number int64) error {
	_, err := t.exec(ctx, "ask for a rerun", `UPDATE pull_requests SET reruns = reruns + 1 WHERE repo = $1 AND number = $2`, repo, number)
	return err
}

// OpenPullsAt lists the numbers of the open pull requests whose head is a commit.
func (t *Tx) OpenPullsAt(ctx context.Context, repo reconcile.RepoID, head reconcile.CommitSHA) ([]int, error) {
	return collect(ctx, t.tx, "find pull requests by head", func(rows *sql.Rows) (n int, err error) {
		return n, rows.Scan(&n)
	}, `SELECT number FROM pull_requests WHERE repo = $1 AND head_sha = $2 AND state = 'open' ORDER BY number`, repo, head)
}

// Reported gives what is known to stand on the forge for a pull request; the zero
// value when nothing is known.
func (d *DB) Reported(ctx context.Context, repo reconcile.RepoID, number int) (reconcile.Reported, error) {
	var r reconcile.Reported
	var checks string
	err := d.read.QueryRowContext(ctx,
		`SELECT head, base_tip, reruns, checks, comment_id, comment_digest FROM reported WHERE repo = $1 AND number = $2`, repo, number).
		Scan(&r.Head, &r.BaseTip, &r.Reruns, &checks, &r.CommentID, &r.CommentDigest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return reconcile.Reported{}, nil
	case err == nil:
		err = json.Unmarshal([]byte(checks), &r.Checks)
	}
	if err != nil {
		return reconcile.Reported{}, fmt.Errorf("read what was reported on %s#%d: %w", repo, number, err)
	}
	return r, nil
}

// SaveReported stores what stands on the forge for a pull request.
func (d *DB) SaveReported(ctx context.Context, repo reconcile.RepoID, number int, r reconcile.Reported) error {
	checks, err := json.Marshal(r.Checks)
	if err != nil {
		return fmt.Errorf("save what was reported on %s#%d: %w", repo, number, err)
	}
	return d.Update(ctx, func(t *Tx) error {
		_, err := t.exec(ctx, "save what was reported", `
			INSERT INTO reported (repo, number, head, base_tip, reruns, checks, comment_id, comment_digest)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (repo, number) DO UPDATE SET
				head = excluded.head, base_tip = excluded.base_tip, reruns = excluded.reruns, checks = excluded.checks,
				comment_id = excluded.comment_id, comment_digest = excluded.comment_digest`,
			repo, number, r.Head, r.BaseTip, r.Reruns, string(checks), r.CommentID, r.CommentDigest)
		return err
	})
}
