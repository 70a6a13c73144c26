package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/manifests"
)

// entryText is an entry for a person at a terminal.
func entryText(e ledger.Entry) string {
	var b strings.Builder
	c := e.Change
	fmt.Fprintf(&b, "%s  %s\n\n", e.Name(), c.Subject)
	row := func(name, format string, a ...any) { fmt.Fprintf(&b, "  %-14s%s\n", name, fmt.Sprintf(format, a...)) }
	row("repository", "%s (%s)", c.Repository.Name, c.Repository.ID)
	row("branch", "%s", c.Branch)
	row("commit", "%s", c.Commit)
	row("method", "%s", c.Method)
	if p := c.PullRequest; p != nil {
		row("pull request", "#%d %s, by %s", p.Number, p.Title, who(p.Author))
	}
	row("author", "%s", who(c.Author))
	if c.Merger != nil {
		row("merged by", "%s", who(*c.Merger))
	}
	row("tenants", "%s", strings.Join(c.Tenants, ", "))
	row("merged", "%s", c.MergedAt.Format(time.RFC3339))
	row("recorded", "%s", c.RecordedAt.Format(time.RFC3339))
	if len(c.Unknown) > 0 {
		row("not known", "%s", strings.Join(c.Unknown, ", "))
	}
	if len(c.Rewrote) > 0 {
		row("rewrote", "%s", strings.Join(c.Rewrote, ", "))
	}
	section(&b, "Changes", semantic(c))
	section(&b, "Reviews", reviews(c))
	section(&b, "Checks", checkLines(c))
	section(&b, "Estimated cost, per month", costs(c))
	fmt.Fprintf(&b, "\n  patch %s (%d files, +%d -%d)\n  %s\n", c.Diff.SHA256, c.Diff.Files, c.Diff.Additions, c.Diff.Deletions, c.URI)
	return b.String()
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
}

func semantic(c ledger.Change) (lines []string) {
	for _, s := range c.Semantic {
		line := fmt.Sprintf("%s %s (%s)", s.Kind, s.Resource, s.Tenant)
		if s.Environment != "" {
			line += " in " + s.Environment
		}
		if len(s.Details) > 0 {
			line += ": " + strings.Join(s.Details, "; ")
		}
		lines = append(lines, oneLine(line))
	}
	return lines
}

func reviews(c ledger.Change) (lines []string) {
	for _, r := range c.Reviews {
		counts := "doesn't count for what was merged"
		if r.ApprovedFinalHead {
			counts = "approves exactly what was merged"
		}
		lines = append(lines, fmt.Sprintf("%s %s %.10s at %s: %s", who(r.Reviewer), r.State, r.Commit, r.SubmittedAt.Format(time.RFC3339), counts))
	}
	return lines
}

func checkLines(c ledger.Change) (lines []string) {
	for _, r := range c.Checks {
		lines = append(lines, r.Name+" "+r.Conclusion)
	}
	return lines
}

func costs(c ledger.Change) (lines []string) {
	for _, d := range c.Cost {
		env := d.Environment
		if env == "" {
			env = "unassigned"
		}
		line := fmt.Sprintf("%-12s%s -> %s", env, amount(d.Before, d.Currency), amount(d.After, d.Currency))
		if d.LowerBound {
			line += " at least"
		}
		lines = append(lines, line)
	}
	return lines
}

// amount prints an exact decimal as money; what isn't one is shown as it is.
func amount(s, currency string) string {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return s + " " + currency
	}
	return manifests.Money{Amount: d, Currency: currency}.String()
}

func who(p ledger.Person) string {
	switch {
	case p.Login != "" && p.ID != 0:
		return fmt.Sprintf("%s (id %d)", p.Login, p.ID)
	case p.Login != "":
		return p.Login
	case p.Email != "":
		return fmt.Sprintf("%s <%s>", p.Name, p.Email)
	}
	return p.Name
}
