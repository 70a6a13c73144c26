package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the whole story on this machine: pull request, merge, signed entry",
		Long: `Start a GitHub emulator and the real bot on loopback, and play a story through the
public interfaces: a pull request without a tenant tag and over budget fails, a fix
passes, a review, a merge, and the merge's entry in a signed audit repository, which
is then verified. Nothing but Go and git is needed, and nothing leaves the machine.

It keeps serving afterwards, so that you can look around; Ctrl-C stops and cleans up.`,
		Example: `  conductor demo
  conductor demo --once --json
  conductor demo --dir ./demo     keep the repositories`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.once, "once", false, "exit after the story; non-zero if a step did not hold")
	flags.BoolVar(&f.json, "json", false, "print one JSON summary instead of the steps (implies --once)")
	flags.StringVar(&f.dir, "dir", "", "keep the repositories and the state in this folder, which must be new or empty")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "loopback address of the emulator")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long a single step may take")
	flags.BoolVar(&f.verbose, "verbose", false, "show the bot's log on standard error")
	return cmd
}

type demoFlags struct {
	once, json, verbose bool
	dir, listen         string
	timeout             time.Duration
}

// demoSummary is what --json prints.
type demoSummary struct {
	PullRequest struct {
		Number     int         `json:"number"`
		URL        string      `json:"url"`
		FirstHead  []demoCheck `json:"checks_before_fix"`
		Checks     []demoCheck `json:"checks"`
		CommentURL string      `json:"comment_url"`
	} `json:"pull_request"`
	Ledger struct {
		Entry       string `json:"entry"`
		Verified    bool   `json:"verified"`
		GitVerified *bool  `json:"git_verified"` // null: no ssh-keygen here
		Path        string `json:"path"`         // of the audit repository
		EntryPath   string `json:"entry_path"`   // within it
		URL         string `json:"url"`
	} `json:"ledger"`
	ElapsedMS int64  `json:"elapsed_ms"`
	Error     string `json:"error,omitempty"`
}

type demoCheck struct {
	Name        string `json:"name"`
	Conclusion  string `json:"conclusion"`
	Annotations int    `json:"annotations"`
}

func runDemo(ctx context.Context, out io.Writer, f demoFlags) error {
	dir, cleanup, err := demoDir(f.dir)
	if err != nil {
		return err
	}
	defer cleanup()
	logs := slog.New(slog.DiscardHandler)
	if f.verbose {
		logs = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	steps := out
	if f.json {
		steps = io.Discard
	}
	s := &story{dir: dir, out: steps, timeout: f.timeout, logger: logs}
	defer s.close()

	start := time.Now()
	storyErr := s.play(ctx, f.listen)
	s.summary.ElapsedMS = time.Since(start).Milliseconds()
	if storyErr != nil {
		s.summary.Error = storyErr.Error()
	}
	if f.json {
		if err := writeJSON(out, s.summary); err != nil {
			return err
		}
	}
	if errors.Is(storyErr, context.Canceled) && ctx.Err() != nil {
		return nil // Ctrl-C
	}
	if storyErr != nil {
		var held stepError
		if errors.As(storyErr, &held) {
			fmt.Fprintf(os.Stderr, "conductor demo: %s\n", plain(storyErr.Error()))
			return verdictError{"a step did not hold"}
		}
		return storyErr
	}
	fmt.Fprintf(steps, "\nThe whole story took %.1f s.\n", time.Since(start).Seconds())
	if f.once || f.json {
		return nil
	}
	fmt.Fprintf(steps, "\nLook around: %s   (Ctrl-C stops and cleans up)\n", s.hub.URL())
	<-ctx.Done()
	fmt.Fprintln(steps, "\nStopping.")
	return nil
}

// demoDir is the folder to play in; cleanup removes it unless the user named it.
func demoDir(named string) (dir string, cleanup func(), err error) {
	if named == "" {
		dir, err := os.MkdirTemp("", "conductor-demo-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	if list, err := os.ReadDir(named); err == nil && len(list) > 0 {
		return "", nil, usageError{fmt.Errorf("--dir %s isn't empty: name a new folder", named)}
	}
	if err := os.MkdirAll(named, 0o755); err != nil {
		return "", nil, usageError{fmt.Errorf("--dir: %w", err)}
	}
	dir, err = filepath.Abs(named)
	return dir, func() {}, err
}
