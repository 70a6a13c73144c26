package render

import (
	"fmt"
	"strings"

	"github.com/conductor-dev/conductor/manifests"
)

// cost is the cost part of a page: the table, what isn't priced, and how the
// numbers came about. Empty when no cost moves and no budget is exceeded.
func (p page) cost() string {
	table := p.costTable()
	unpriced := p.unpriced()
	if table == "" && unpriced == "" {
		return ""
	}
	return table + unpriced + p.method()
}

// moversShown is how many tenants an environment's row is broken down to.
const moversShown = 5

// costTable has a row per environment that moves, with its tenants below it.
func (p page) costTable() string {
	rows, still := shown(p.verdict, p.tree)
	s := section{
		head: "| Environment | Now | After | Change a month | Budget | Headroom | Check |\n" +
			"| :-- | --: | --: | --: | --: | --: | :-: |\n",
		tail: "\n", share: shareCost, most: 20,
		more: func(n int) string { return fmt.Sprintf("| … and %d more | | | | | | |\n", n) },
		n:    len(rows), row: func(i int) string { return environmentRow(rows[i], false) + tenantRows(rows[i]) },
	}
	if p.tree {
		s.head = "| Environment | Cost a month | Budget | Headroom | Check |\n| :-- | --: | --: | --: | :-: |\n"
		s.more = func(n int) string { return fmt.Sprintf("| … and %d more | | | | |\n", n) }
		s.row = func(i int) string { return environmentRow(rows[i], true) }
	}
	out := s.String()
	if out != "" && len(still) > 0 {
		out += stillLine(still)
	}
	return out
}

// tenantRows break an environment's row down to those who move it.
func tenantRows(e manifests.EnvironmentCost) string {
	var b strings.Builder
	moved := movers(e.Tenants)
	for _, t := range moved[:min(moversShown, len(moved))] {
		fmt.Fprintf(&b, "| ↳ %s | %s | %s | %s | | | |\n", code(tenant(t.Tenant)), t.Base, t.Head, t.Delta.Signed())
	}
	if n := len(moved) - moversShown; n > 0 {
		fmt.Fprintf(&b, "| ↳ … and %s | | | | | | |\n", count(n, "more tenant"))
	}
	return b.String()
}

func environmentRow(e manifests.EnvironmentCost, tree bool) string {
	budget, headroom := "none", ""
	if e.Budget != nil {
		budget = e.Budget.String()
	}
	if e.Headroom != nil {
		headroom = e.Headroom.String()
		if e.LowerBound {
			headroom = "≤ " + headroom
		}
	}
	name := code(environment(e.Environment))
	if tree {
		return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, atLeast(e.Head, e.LowerBound), budget, headroom, mark(e.Check))
	}
	return fmt.Sprintf("| %s | %s | %s | **%s** | %s | %s | %s |\n",
		name, e.Base, atLeast(e.Head, e.LowerBound), e.Delta.Signed(), budget, headroom, mark(e.Check))
}

// atLeast marks an amount that misses an unpriced workload.
func atLeast(m manifests.Money, lower bool) string {
	if lower {
		return "≥ " + m.String()
	}
	return m.String()
}

func mark(c manifests.Conclusion) string {
	switch c {
	case manifests.Success:
		return "✅"
	case manifests.Failure:
		return "❌"
	}
	return "–"
}

// stillLine names the environments without a row.
func stillLine(names []string) string {
	const most = 6
	var b strings.Builder
	b.WriteString("No change in ")
	for i, n := range names[:min(most, len(names))] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(code(n))
	}
	if n := len(names) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String() + ".\n\n"
}

// unpriced lists the workloads whose cost is unknown, and counts those that were
// there before.
func (p page) unpriced() string {
	list, older := unpriced(p.verdict)
	rows, _ := shown(p.verdict, p.tree)
	switch {
	case len(list) == 0 && (older == 0 || len(rows) == 0):
		return ""
	case len(list) == 0:
		return "Also " + olderUnpriced(older) + ".\n\n"
	}
	title := fmt.Sprintf("**Not priced: %s**, so totals are lower bounds", count(len(list), "workload"))
	if older > 0 {
		title += fmt.Sprintf(" (and %d from before)", older)
	}
	return section{
		head: title + "\n\n", tail: "\n", share: shareUnpriced, most: 10, more: moreItems,
		n: len(list), row: func(i int) string {
			u := list[i]
			return fmt.Sprintf("- %s %s: %s\n", p.place(u.File, u.Line), prose(u.Resource), prose(u.Reason))
		},
	}.String()
}

// method says how the numbers came about, folded.
func (p page) method() string {
	c := p.verdict.Cost
	rates := "Requests × replicas × 730 hours a month"
	if c.Rates != "" {
		rates += ", priced by " + prose(c.Rates)
	}
	return section{
		head: "<details><summary>How this was computed</summary>\n\n", tail: "\n</details>\n\n",
		share: shareMethod, most: 20, more: moreItems,
		n: 1 + len(c.Assumptions), row: func(i int) string {
			if i == 0 {
				return "- " + rates + ".\n"
			}
			return "- Assumed: " + sentence(c.Assumptions[i-1]) + "\n"
		},
	}.String()
}
