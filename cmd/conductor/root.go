package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by release builds with -ldflags "-X main.version=v1.2.3".
var version = ""

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "conductor",
		Short: "Check tenant manifests, price changes, and keep a signed record of every merge",
		Long: `Conductor checks the YAML that tenants commit (tags, budgets, job graphs), says
what a change means and costs, and records every tenant-affecting merge as a signed
entry in an audit repository that anybody can verify with git.

Exit codes: 0 all is well, 1 findings or a failed verification, 2 wrong usage or
configuration, 3 something could not be reached.`,
		Example: `  conductor demo                 see it all, on this machine, in under a minute
  conductor check                check the manifests of this repository
  conductor check --base main    judge this work tree as a pull request into main`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       buildVersion(),
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newCheck(), newServe(), newReconcile(), newLedger(), newInit(), newExplain(), newVersion(), newDemo(),
	)
	return root
}

// args wraps cobra's argument checks, so that a wrong number of arguments is a
// usage error with the way out.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error {
		if err := check(cmd, list); err != nil {
			return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: args(cobra.NoArgs),
		Example: "  conductor version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]string{"version": buildVersion(), "go": goVersion()})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "conductor %s (%s)\n", buildVersion(), goVersion())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func goVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.GoVersion
	}
	return "unknown Go"
}
