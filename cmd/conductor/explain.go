package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conductor-dev/conductor/manifests"
)

func newExplain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [RULE]",
		Short: "Explain a rule: why it matters, what is wrong, what is right",
		Long:  "Explain a rule by its id, as findings name it. Without one, list all rules.",
		Example: `  conductor explain
  conductor explain tenant/missing`,
		Args: args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, r := range manifests.Rules() {
				ids = append(ids, r.ID+"\t"+r.Summary)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, list []string) error {
			if len(list) == 0 {
				return listRules(cmd.OutOrStdout(), asJSON)
			}
			rule, ok := manifests.Explain(list[0])
			if !ok {
				return usageError{fmt.Errorf("there is no rule %q; 'conductor explain' lists them", list[0])}
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), rule)
			}
			return explain(cmd.OutOrStdout(), rule)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func listRules(out io.Writer, asJSON bool) error {
	rules := manifests.Rules()
	if asJSON {
		return writeJSON(out, rules)
	}
	width := 0
	for _, r := range rules {
		width = max(width, len(r.ID))
	}
	for _, r := range rules {
		if _, err := fmt.Fprintf(out, "%-*s  %-7s  %s\n", width, r.ID, r.Default, r.Summary); err != nil {
			return err
		}
	}
	return nil
}

func explain(out io.Writer, r manifests.Rule) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, check conductor/%s)\n\n%s\n\n%s\n", r.ID, r.Default, r.Check, r.Summary, r.Why)
	for _, example := range []struct{ title, text string }{{"Wrong", r.Wrong}, {"Right", r.Right}} {
		if example.text != "" {
			fmt.Fprintf(&b, "\n%s:\n%s\n", example.title, indent(example.text))
		}
	}
	fmt.Fprintf(&b, "\nWhat to do: %s\n", r.Remedy)
	_, err := io.WriteString(out, b.String())
	return err
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
