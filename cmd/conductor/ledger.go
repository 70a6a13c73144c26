package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/ledger"
)

func newLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Make, verify and read an audit repository",
		Long: `Make, verify and read an audit repository: a Git repository, local or behind a URL,
in which each entry is a signed commit and a leaf of a transparency log.`,
		Example: `  conductor ledger init audit.git
  conductor ledger verify audit.git
  conductor ledger log audit.git --tenant payments --since 7d
  conductor ledger show audit.git CL-1`,
	}
	cmd.AddCommand(newLedgerInit(), newLedgerVerify(), newLedgerLog(), newLedgerShow())
	return cmd
}

func newLedgerInit() *cobra.Command {
	var f ledgerFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init [DIR|URL]",
		Short: "Make a ledger: its keys, and entry CL-0 that introduces them",
		Long: `Make a ledger in a new local bare repository, or in an empty one behind a URL. Keys
are made unless the keys' folder holds some. With a password (file or environment)
they are stored encrypted; without one, only the file mode protects them.`,
		Example: `  conductor ledger init audit.git
  CONDUCTOR_LEDGER_PASSWORD=… conductor ledger init https://github.com/acme/audit.git --keys ./keys --origin audit.acme.example`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			remote, err := f.which(list)
			if err != nil {
				return err
			}
			c, secrets, err := f.settings(remote)
			if err != nil {
				return err
			}
			if err := initLedger(cmd.Context(), c, secrets); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(out, map[string]any{"ledger": c.Remote, "keys": c.KeysDir, "encrypted": len(secrets.LedgerPassword) > 0})
			}
			fmt.Fprintf(out, "The ledger is at %s; CL-0 introduces its keys.\nThe private keys are in %s: keep them safe and apart from the ledger.\n", c.Remote, c.KeysDir)
			if len(secrets.LedgerPassword) == 0 {
				fmt.Fprintln(out, "They are not encrypted, because no password was given (--password-file or CONDUCTOR_LEDGER_PASSWORD).")
			}
			return nil
		},
	}
	f.named(cmd.Flags())
	f.addWrite(cmd.Flags())
	cmd.Flags().StringVar(&f.origin, "origin", ledger.DefaultOrigin, "host name that names the log in its checkpoints, for ever")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newLedgerVerify() *cobra.Command {
	var f ledgerFlags
	var asJSON bool
	var jobs int
	cmd := &cobra.Command{
		Use:   "verify [DIR|URL]",
		Short: "Verify every signature, number, digest and proof of a ledger",
		Long: `Verify a ledger from its first commit to its last: each commit's signature and
parent, the numbers without gap or double, each bundle against its leaf, the Merkle
tree and its checkpoint, evidence digests, indexes and pages. It needs no network
for a local ledger, and names the first thing that is wrong.

Exit code 1 when anything doesn't hold.`,
		Example: `  conductor ledger verify audit.git
  conductor ledger verify https://github.com/acme/audit.git --json`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			remote, err := f.which(list)
			if err != nil {
				return err
			}
			return runLedgerVerify(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), remote, f, jobs, asJSON)
		},
	}
	f.named(cmd.Flags())
	f.addRead(cmd.Flags())
	cmd.Flags().IntVar(&jobs, "jobs", 0, "signatures checked at once (0: one for each processor)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runLedgerVerify(ctx context.Context, out, progress io.Writer, remote string, f ledgerFlags, jobs int, asJSON bool) error {
	auth, err := f.readAuth()
	if err != nil {
		return err
	}
	o := ledger.VerifyOptions{Auth: auth, Jobs: jobs}
	if color, _ := terminal(progress); color && !asJSON {
		o.Progress = func(done, total int64) { fmt.Fprintf(progress, "\rverified %d of %d commits", done, total) }
		defer fmt.Fprint(progress, "\r\x1b[K")
	}
	report, err := ledger.Verify(ctx, remote, o)
	if err != nil {
		return fmt.Errorf("verify %s: %w", remote, err)
	}
	if asJSON {
		err = writeJSON(out, report)
	} else {
		_, err = io.WriteString(out, plain(report.String()))
	}
	if err != nil {
		return err
	}
	if !report.Verified {
		return verdictError{"the ledger doesn't verify"}
	}
	return nil
}

func newLedgerLog() *cobra.Command {
	var f ledgerFlags
	var asJSON bool
	var tenant, repo, since string
	var limit int
	cmd := &cobra.Command{
		Use:   "log [DIR|URL]",
		Short: "List entries, newest first",
		Example: `  conductor ledger log audit.git
  conductor ledger log audit.git --tenant payments --since 7d --json`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, list []string) error {
			remote, err := f.which(list)
			if err != nil {
				return err
			}
			auth, err := f.readAuth()
			if err != nil {
				return err
			}
			filter := ledger.Filter{Tenant: tenant, Repository: repo, Limit: limit, Auth: auth}
			if filter.Since, err = parseSince(since, time.Now()); err != nil {
				return usageError{err}
			}
			entries, err := ledger.Entries(cmd.Context(), remote, filter)
			if err != nil {
				return fmt.Errorf("read %s: %w", remote, err)
			}
			return listEntries(cmd.OutOrStdout(), entries, asJSON)
		},
	}
	flags := cmd.Flags()
	f.named(flags)
	f.addRead(flags)
	flags.StringVar(&tenant, "tenant", "", "only entries that concern this tenant")
	flags.StringVar(&repo, "repo", "", "only entries of this repository (owner/name or id)")
	flags.StringVar(&since, "since", "", "only entries merged since: 7d, 12h, or a date such as 2026-11-01")
	flags.IntVar(&limit, "limit", 0, "at most so many (0: all)")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listEntries(out io.Writer, entries []ledger.Entry, asJSON bool) error {
	if asJSON {
		changes := make([]ledger.Change, len(entries))
		for i, e := range entries {
			changes[i] = e.Change
		}
		return writeJSON(out, changes)
	}
	if len(entries) == 0 {
		_, err := fmt.Fprintln(out, "no entries")
		return err
	}
	for _, e := range entries {
		c := e.Change
		pull := ""
		if c.PullRequest != nil {
			pull = fmt.Sprintf("#%d ", c.PullRequest.Number)
		}
		_, err := fmt.Fprintf(out, "%-8s %s  %s %.10s  %s%s  [%s]\n", e.Name(), c.MergedAt.Format("2006-01-02 15:04"),
			plain(c.Repository.Name), c.Commit, pull, plain(oneLine(c.Subject)), plain(strings.Join(c.Tenants, " ")))
		if err != nil {
			return err
		}
	}
	return nil
}

func newLedgerShow() *cobra.Command {
	var f ledgerFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [DIR|URL] CL-n",
		Short: "Show one entry",
		Long:  "Show one entry, by its number: CL-552, 552 or ledger://change-log/CL-552.",
		Example: `  conductor ledger show audit.git CL-1
  conductor ledger show https://github.com/acme/audit.git CL-552 --json`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, list []string) error {
			// The entry comes last; a number before a ledger is understood too.
			rest, name := list[:len(list)-1], list[len(list)-1]
			if _, err := ledger.ParseName(list[0]); err == nil && len(list) == 2 {
				rest, name = list[1:], list[0]
			}
			number, err := ledger.ParseName(name)
			if err != nil {
				return usageError{err}
			}
			remote, err := f.which(rest)
			if err != nil {
				return err
			}
			auth, err := f.readAuth()
			if err != nil {
				return err
			}
			entry, err := ledger.Show(cmd.Context(), remote, number, auth)
			if err != nil {
				return fmt.Errorf("read %s of %s: %w", name, remote, err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), entry)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), plain(entryText(entry)))
			return err
		},
	}
	f.named(cmd.Flags())
	f.addRead(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the entry's Statement and paths as JSON")
	return cmd
}

var days = regexp.MustCompile(`^(\d{1,5})([dw])$`)

// parseSince reads "7d", "2w", "12h", a date or an RFC 3339 time; "" is no limit.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		if m[2] == "w" {
			n *= 7
		}
		return now.AddDate(0, 0, -n), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q: use 7d, 2w, 12h, a date such as 2026-11-01, or an RFC 3339 time", s)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
