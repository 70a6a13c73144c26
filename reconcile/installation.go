package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Installer tells what the App is installed on.
type Installer interface {
	Installations(ctx context.Context) ([]int64, error)
	// Repositories lists what an installation covers; ErrNotFound when it was
	// removed or suspended.
	Repositories(ctx context.Context, installation int64) ([]Repo, error)
}

// Watchlist is the list of watched repositories.
type Watchlist interface {
	Repos(ctx context.Context) ([]Repo, error)
	SaveRepos(ctx context.Context, repos []Repo) error
	RemoveRepos(ctx context.Context, ids []RepoID) error
	OpenPulls(ctx context.Context, repo RepoID) ([]PullRequest, error)
}

// Enqueuer marks keys to be looked at again.
type Enqueuer interface {
	Enqueue(ctx context.Context, keys ...Key) error
}

// Installation is the loop of installations: what the App covers is watched, and
// nothing else.
type Installation struct {
	Installer Installer
	Watchlist Watchlist
	Queue     Enqueuer
	Logger    *slog.Logger
}

// Reconcile brings the watchlist in line with one installation, and has the
// default branch of each of its repositories looked at.
func (i *Installation) Reconcile(ctx context.Context, key Key) error {
	covered, err := i.Installer.Repositories(ctx, key.Number)
	if errors.Is(err, ErrNotFound) {
		covered, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("list repositories of installation %d: %w", key.Number, err)
	}
	if err := i.Watchlist.SaveRepos(ctx, covered); err != nil {
		return fmt.Errorf("watch repositories of installation %d: %w", key.Number, err)
	}
	if err := i.forget(ctx, key.Number, covered); err != nil {
		return err
	}
	keys := make([]Key, len(covered))
	for n, repo := range covered {
		keys[n] = BranchKey(repo.ID, repo.DefaultBranch)
	}
	i.Logger.InfoContext(ctx, "installation read", "installation", key.Number, "repositories", len(covered))
	return i.Queue.Enqueue(ctx, keys...)
}

// forget stops watching what the installation no longer covers.
func (i *Installation) forget(ctx context.Context, installation int64, covered []Repo) error {
	watched, err := i.Watchlist.Repos(ctx)
	if err != nil {
		return err
	}
	keep := map[RepoID]bool{}
	for _, repo := range covered {
		keep[repo.ID] = true
	}
	var gone []RepoID
	for _, repo := range watched {
		if repo.Installation == installation && !keep[repo.ID] {
			gone = append(gone, repo.ID)
		}
	}
	return i.Watchlist.RemoveRepos(ctx, gone)
}

// Sweep has everything looked at again: each installation, and through the state
// each watched default branch and each pull request known to be open. It is how
// lost events are made up for.
func (i *Installation) Sweep(ctx context.Context) error {
	ids, err := i.Installer.Installations(ctx)
	if err != nil {
		return err
	}
	var keys []Key
	for _, id := range ids {
		keys = append(keys, InstallationKey(id))
	}
	repos, err := i.Watchlist.Repos(ctx)
	if err != nil {
		return err
	}
	for _, repo := range repos {
		keys = append(keys, BranchKey(repo.ID, repo.DefaultBranch))
		pulls, err := i.Watchlist.OpenPulls(ctx, repo.ID)
		if err != nil {
			return err
		}
		for _, pull := range pulls {
			keys = append(keys, PullKey(repo.ID, pull.Number))
		}
	}
	return i.Queue.Enqueue(ctx, keys...)
}
