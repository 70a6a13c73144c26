package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/source"
)

type reconcileFlags struct {
	ledgerFlags
	repo, since, branch string
	once, json          bool
	every               time.Duration
}

func newReconcile() *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "reconcile --repo DIR|URL --ledger DIR|URL",
		Short: "Record a git repository's tenant-affecting commits in a ledger, without GitHub",
		Long: `Walk the first-parent history of a repository's default branch and append an entry
for each tenant-affecting commit that the ledger lacks. Run twice, nothing new is
recorded. Facts that only a forge knows (reviews, checks, who merged) are recorded as
unknown.

A branch that the ledger doesn't know yet is recorded from its first commit, or from
--since (exclusive). A local ledger that doesn't exist is made.`,
		Example: `  conductor reconcile --repo . --ledger ../audit.git --once
  conductor reconcile --repo https://example.com/shop.git --ledger audit.git --since v1.4.0 --once --json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.repo == "" || f.remote == "" {
				return usageError{errors.New("--repo and --ledger are both needed; see 'conductor reconcile --help'")}
			}
			return runReconcile(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", "", "git repository to read: a folder or a URL")
	flags.StringVar(&f.remote, "ledger", "", "ledger to write: a folder or a URL")
	flags.StringVar(&f.since, "since", "", "for a branch new to the ledger: record commits after this revision")
	flags.StringVar(&f.branch, "branch", "", "branch to record (default: the repository's default branch)")
	flags.BoolVar(&f.once, "once", false, "stop after one run instead of watching")
	flags.DurationVar(&f.every, "every", 30*time.Second, "without --once: how often to look")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per run")
	f.addWrite(flags)
	return cmd
}

func runReconcile(ctx context.Context, out, progress io.Writer, f reconcileFlags) error {
	config, secrets, err := f.settings(f.remote)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "conductor-mirror-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	mirrors := source.NewMirrors(scratch)
	repo, branch, since, err := identify(ctx, mirrors, f)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := ensureLedger(ctx, config, secrets, ledger.Options{Logger: logger}, progress)
	if err != nil {
		return err
	}
	defer log.Close()
	loop := &reconcile.Branch{
		Ledger: log, Mirrors: mirrors, Now: time.Now, Logger: logger, Backfill: true, Since: since,
	}
	if color, _ := terminal(progress); color && !f.json {
		loop.Progress = func(examined, of, recorded int) {
			fmt.Fprintf(progress, "\rexamined %d of %d commits, %d to record\x1b[K", examined, of, recorded)
			if examined == of {
				fmt.Fprint(progress, "\r\x1b[K")
			}
		}
	}
	for {
		outcome, err := loop.Reconcile(ctx, repo, branch)
		if err != nil {
			return err
		}
		if err := showOutcome(out, repo, branch, outcome, f.json); err != nil || f.once {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
	}
}

// unnamed is the mirror's id until its root commit is known.
const unnamed = "unnamed"

// identify names a repository that no forge has numbered: by its root commit,
// which every clone shares.
func identify(ctx context.Context, mirrors *source.Mirrors, f reconcileFlags) (repo reconcile.Repo, branch string, since source.CommitSHA, err error) {
	url := f.repo
	if !isURL(url) {
		if url, err = filepath.Abs(url); err != nil {
			return repo, "", "", usageError{err}
		}
		if !exists(url) {
			return repo, "", "", usageError{fmt.Errorf("--repo %s: no such folder", f.repo)}
		}
	}
	mirror, err := mirrors.Open(source.Remote{ID: unnamed, URL: url})
	if err != nil {
		return repo, "", "", err
	}
	defer func() {
		mirror.Close()
		if err == nil {
			err = mirrors.Rename(unnamed, string(repo.ID)) // what was fetched needn't be fetched again
		}
	}()
	branch = f.branch
	if branch == "" {
		if branch, err = mirror.DefaultBranch(ctx); err != nil {
			return repo, "", "", err
		}
	}
	refs, err := mirror.Fetch(ctx, "refs/heads/"+branch)
	if err != nil {
		return repo, "", "", err
	}
	tip := refs["refs/heads/"+branch]
	root, err := mirror.RootCommit(ctx, tip)
	if err != nil {
		return repo, "", "", err
	}
	if f.since != "" {
		rev := f.since
		if rest, ok := strings.CutPrefix(rev, "HEAD"); ok {
			rev = branch + rest
		}
		if since, err = mirror.ResolveRemote(ctx, rev); err != nil {
			return repo, "", "", usageError{fmt.Errorf("--since: %w", err)}
		}
	}
	owner, name := nameOf(f.repo, url)
	repo = reconcile.Repo{
		ID: reconcile.RepoID("git-" + string(root)[:16]), Owner: owner, Name: name, DefaultBranch: branch, CloneURL: url,
	}
	if isURL(url) {
		repo.HTMLURL = strings.TrimSuffix(url, ".git")
	}
	return repo, branch, since, nil
}

// nameOf is the last two elements of a URL's path, or of the folder's: enough for
// people, and nothing of the machine's layout above it.
func nameOf(given, full string) (owner, name string) {
	trimmed := strings.TrimSuffix(strings.TrimRight(hasScheme.ReplaceAllString(filepath.ToSlash(full), ""), "/"), ".git")
	trimmed = strings.TrimSuffix(trimmed, "/")
	name = path.Base(trimmed)
	owner = path.Base(path.Dir(trimmed))
	if !isURL(given) || owner == "." || owner == "/" {
		owner = "local"
	}
	return owner, name
}

func showOutcome(out io.Writer, repo reconcile.Repo, branch string, o reconcile.Outcome, asJSON bool) error {
	if asJSON {
		recorded := o.Recorded
		if recorded == nil {
			recorded = []ledger.Receipt{}
		}
		return writeJSON(out, map[string]any{
			"repository": repo.ID, "branch": branch, "examined": o.Examined, "recorded": recorded, "already_recorded": o.Known,
		})
	}
	for _, r := range o.Recorded {
		fmt.Fprintf(out, "%s  %s\n", r.Entry, r.Path)
	}
	_, err := fmt.Fprintf(out, "%s %s: %d commits examined, %d entries recorded\n", repo.FullName(), branch, o.Examined, len(o.Recorded))
	return err
}
