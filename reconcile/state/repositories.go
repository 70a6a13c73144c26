package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/conductor-dev/conductor/reconcile"
)

const repoColumns = `id, installation, owner, name, default_branch, clone_url, html_url`

// Repo gives a repository that the state knows, and whether it is watched: false
// for one that is unknown or removed. A known repository is filled in
// either way.
func (d *DB) Repo(ctx context.Context, id reconcile.RepoID) (reconcile.Repo, bool, error) {
	var r reconcile.Repo
	var status string
	err := d.read.QueryRowContext(ctx, `SELECT `+repoColumns+`, status FROM repositories WHERE id = $1`, id).
		Scan(&r.ID, &r.Installation, &r.Owner, &r.Name, &r.DefaultBranch, &r.CloneURL, &r.HTMLURL, &status)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return reconcile.Repo{}, false, nil
	case err != nil:
		return reconcile.Repo{}, false, fmt.Errorf("read repository %s: %w", id, err)
	}
	return r, status == "active", nil
}

// Repos lists the watched repositories, by id.
func (d *DB) Repos(ctx context.Context) ([]reconcile.Repo, error) {
	return collect(ctx, d.read, "list repositories", scanRepo,
		`SELECT `+repoColumns+` FROM repositories WHERE status = 'active' ORDER BY id`)
}

func scanRepo(rows *sql.Rows) (r reconcile.Repo, err error) {
	err = rows.Scan(&r.ID, &r.Installation, &r.Owner, &r.Name, &r.DefaultBranch, &r.CloneURL, &r.HTMLURL)
	return r, err
}

// SaveRepos stores what the forge says of repositories that it lets us see: they
// are watched from now on, whatever they were before. Empty fields keep what was
// known.
func (d *DB) SaveRepos(ctx context.Context, repos []reconcile.Repo) error {
	return d.Update(ctx, func(t *Tx) error {
		for _, r := range repos {
			if err := t.NoteRepo(ctx, r); err != nil {
				return err
			}
			if _, err := t.exec(ctx, "watch repository", `UPDATE repositories SET status = 'active' WHERE id = $1`, r.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteRepo stores what an event says of a repository. It doesn't make a removed
// repository watched again: the event may be older than the removal. Empty fields keep what was known.
func (t *Tx) NoteRepo(ctx context.Context, r reconcile.Repo) error {
	if r.ID == "" {
		return errors.New("save repository: it has no id")
	}
	_, err := t.exec(ctx, "save repository", `
		INSERT INTO repositories (`+repoColumns+`, status) VALUES ($1, $2, $3, $4, $5, $6, $7, 'active')
		ON CONFLICT (id) DO UPDATE SET
			installation   = CASE WHEN excluded.installation = 0 THEN repositories.installation ELSE excluded.installation END,
			owner          = COALESCE(NULLIF(excluded.owner, ''), repositories.owner),
			name           = COALESCE(NULLIF(excluded.name, ''), repositories.name),
			default_branch = COALESCE(NULLIF(excluded.default_branch, ''), repositories.default_branch),
			clone_url      = COALESCE(NULLIF(excluded.clone_url, ''), repositories.clone_url),
			html_url       = COALESCE(NULLIF(excluded.html_url, ''), repositories.html_url)`,
		r.ID, r.Installation, r.Owner, r.Name, r.DefaultBranch, r.CloneURL, r.HTMLURL)
	return err
}

// RemoveRepos stops watching repositories. Their facts stay.
func (d *DB) RemoveRepos(ctx context.Context, ids []reconcile.RepoID) error {
	return d.Update(ctx, func(t *Tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, "remove repository", `UPDATE repositories SET status = 'removed' WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return nil
	})
}
