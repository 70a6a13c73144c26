package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/bot/render"
	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/source"
)

// workTree is the --head that means "as it stands on disk".
const workTree = "worktree"

type checkFlags struct {
	base, head, branch, format string
}

var checkFormats = []string{"text", "json", "sarif", "markdown", "github"}

func newCheck() *cobra.Command {
	var f checkFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [PATH]",
		Short: "Check the manifests of a folder, or judge a change as a pull request",
		Long: `Check the manifests below PATH (default: this folder) with the code that the bot
runs. Without --base the whole tree is checked as it is. With --base the change from
there to the work tree, or to --head, is judged as a pull request would be: by the
base's policy, failing only for what the change brings.

A repository needs no .conductor.yaml: defaults apply. PATH may be a folder inside
a repository; its policy and tenants still count, and only findings below PATH are
shown.`,
		Example: `  conductor check
  conductor check deploy/prod --format json
  conductor check --base origin/main
  conductor check --base main --head feature --format markdown
  conductor check --format sarif > conductor.sarif`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			if asJSON {
				f.format = "json"
			}
			path := "."
			if len(list) == 1 {
				path = list[0]
			}
			return runCheck(cmd.Context(), cmd.OutOrStdout(), path, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.base, "base", "", "judge the change since this revision as a pull request into it")
	flags.StringVar(&f.head, "head", workTree, "with --base: the revision to judge, or 'worktree'")
	flags.StringVar(&f.branch, "branch", "", "base branch's name, where the policy maps branches to environments")
	flags.StringVar(&f.format, "format", "text", "output: "+strings.Join(checkFormats, ", "))
	flags.BoolVar(&asJSON, "json", false, "same as --format json")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(checkFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runCheck(ctx context.Context, out io.Writer, path string, f checkFlags) error {
	if !slices.Contains(checkFormats, f.format) {
		return usageError{fmt.Errorf("unknown --format %q: use one of %s", f.format, strings.Join(checkFormats, ", "))}
	}
	if f.base == "" && f.head != workTree {
		return usageError{errors.New("--head needs --base: say what to compare it with")}
	}
	root, below, err := locate(path)
	if err != nil {
		return err
	}
	// A short life with much short-lived memory: collecting rarely halves the time
	// of a large tree, and the limit keeps it from growing without bound.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(280 << 20)
	verdict, err := judge(ctx, root, f)
	if err != nil {
		return err
	}
	verdict = verdict.Below(below)
	if err := show(out, verdict, f.format); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if verdict.Failed() {
		return verdictError{"the check failed"}
	}
	return nil
}

func judge(ctx context.Context, root string, f checkFlags) (manifests.Verdict, error) {
	options := manifests.Options{Now: time.Now(), Branch: f.branch}
	if f.base == "" {
		snapshot, err := source.Folder(ctx, root)
		if err != nil {
			return manifests.Verdict{}, err
		}
		return manifests.Check(snapshot, options), nil
	}
	mirror, err := source.OpenLocal(root)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return manifests.Verdict{}, usageError{fmt.Errorf("--base needs a git repository, and %s isn't in one", root)}
	}
	if err != nil {
		return manifests.Verdict{}, err
	}
	base, err := mirror.Resolve(f.base)
	if err != nil {
		return manifests.Verdict{}, usageError{fmt.Errorf("--base: %w; is it fetched?", err)}
	}
	if f.head == workTree {
		return reconcile.JudgeWorkTree(ctx, mirror, root, base, options)
	}
	head, err := mirror.Resolve(f.head)
	if err != nil {
		return manifests.Verdict{}, usageError{fmt.Errorf("--head: %w; is it fetched?", err)}
	}
	return reconcile.JudgeRange(ctx, mirror, base, head, options)
}

// locate finds the repository that a path is in: the nearest folder upwards that
// holds .git or a policy file. below is the path within it, slash-separated, ""
// for all of it. A path outside of any repository is its own root.
func locate(path string) (root, below string, err error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", "", usageError{err}
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return "", "", usageError{fmt.Errorf("nothing to check at %s: %w", path, errors.Unwrap(err))}
	}
	dir := full
	if info, err := os.Stat(full); err != nil || !info.IsDir() {
		dir = filepath.Dir(full)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if exists(filepath.Join(at, ".git")) || exists(filepath.Join(at, manifests.PolicyFile)) {
			rel, err := filepath.Rel(at, full)
			if err != nil || rel == "." {
				return at, "", err
			}
			return at, filepath.ToSlash(rel), nil
		}
		if filepath.Dir(at) == at {
			return full, "", nil
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func show(out io.Writer, v manifests.Verdict, format string) error {
	var text []byte
	var err error
	switch format {
	case "json":
		text, err = render.JSON(v)
	case "sarif":
		text, err = render.SARIF(v, buildVersion())
	case "markdown":
		text = []byte(render.Markdown(v))
	case "github":
		text = []byte(render.GitHubCommands(v))
	default:
		color, width := terminal(out)
		return render.Text(out, v, render.Options{Color: color, Width: width})
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
