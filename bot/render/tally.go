package render

import (
	"fmt"
	"sort"

	"github.com/conductor-dev/conductor/manifests"
)

// tally sorts a verdict's findings by what they ask of the reader.
type tally struct {
	errors   []manifests.Finding
	warnings []manifests.Finding
	notices  []manifests.Finding
	existing []manifests.Finding // were there before; they fail nothing
}

// newTally sorts the findings that keep accepts, in their order.
func newTally(findings []manifests.Finding, keep func(manifests.Finding) bool) tally {
	var t tally
	for _, f := range findings {
		switch {
		case !keep(f):
		case f.Existing:
			t.existing = append(t.existing, f)
		case f.Severity == manifests.SeverityError:
			t.errors = append(t.errors, f)
		case f.Severity == manifests.SeverityWarning:
			t.warnings = append(t.warnings, f)
		default:
			t.notices = append(t.notices, f)
		}
	}
	return t
}

func all(manifests.Finding) bool        { return true }
func ofBudget(f manifests.Finding) bool { return f.Budget }
func ofTenants(f manifests.Finding) bool {
	return !f.Budget
}

// Newsworthy reports whether a verdict has something to tell in a comment: a
// finding that the change brought, a cost that moves, or a change that concerns
// a tenant.
func Newsworthy(v manifests.Verdict) bool {
	for _, f := range v.Findings {
		if !f.Existing {
			return true
		}
	}
	for _, e := range v.Cost.Environments {
		if !e.Delta.Amount.IsZero() {
			return true
		}
	}
	return v.Failed() || len(v.TouchedTenants) > 0
}

// totalDelta is the cost change over all environments, and whether one of them
// misses an unpriced workload. ok is false when nothing changed, or when the
// currencies differ.
func totalDelta(c manifests.CostReport) (sum manifests.Money, lower, ok bool) {
	for _, e := range c.Environments {
		if e.Delta.Currency != "" && sum.Currency != "" && e.Delta.Currency != sum.Currency {
			return manifests.Money{}, false, false
		}
		sum = sum.Add(e.Delta)
		lower = lower || (e.LowerBound && !e.Delta.Amount.IsZero())
	}
	return sum, lower, !sum.Amount.IsZero()
}

// shown is what an environment's row shows: those whose cost moves or whose
// budget is exceeded, and in a tree all of them. The others are named in one
// line.
func shown(v manifests.Verdict, tree bool) (rows []manifests.EnvironmentCost, still []string) {
	for _, e := range v.Cost.Environments {
		if tree || !e.Delta.Amount.IsZero() || e.Check == manifests.Failure {
			rows = append(rows, e)
		} else {
			still = append(still, environment(e.Environment))
		}
	}
	return rows, still
}

// movers are the tenants whose cost moves, the largest movement first.
func movers(tenants []manifests.TenantCost) []manifests.TenantCost {
	var out []manifests.TenantCost
	for _, t := range tenants {
		if !t.Delta.Amount.IsZero() {
			out = append(out, t)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		return out[i].Delta.Amount.Abs().GreaterThan(out[j].Delta.Amount.Abs())
	})
	return out
}

// unpriced is what has no price: in a tree all of it, of a change what it brought;
// older counts the rest.
func unpriced(v manifests.Verdict) (list []manifests.Unpriced, older int) {
	for _, u := range v.Cost.Unpriced {
		if u.New || !v.Compared {
			list = append(list, u)
		}
	}
	return list, len(v.Cost.Unpriced) - len(list)
}

// olderUnpriced says what an older part of a total is missing.
func olderUnpriced(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s from before, so totals are lower bounds", count(n, "unpriced workload"))
}
