package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// checkBudgets compares the rows with the budgets. An environment fails only when
// this pull request raises its cost: a level above the budget is found again by
// each pull request that adds to it, and one that lowers it passes.
func (m *judgement) checkBudgets(r *CostReport) {
	for _, b := range m.judge.budgets {
		at := slices.IndexFunc(r.Environments, func(e EnvironmentCost) bool { return e.Environment == b.Environment })
		row := &r.Environments[at]
		if b.Amount.Currency != r.Currency {
			continue
		}
		head, delta := row.Head, row.Delta
		if b.Tenant != "" {
			zero := Money{decimal.Zero, r.Currency}
			head, delta = zero, zero
			for _, t := range row.Tenants {
				if t.Tenant == b.Tenant {
					head, delta = t.Head, t.Delta
				}
			}
		}
		check := m.checkBudget(b, head, delta, row.LowerBound)
		if check == Failure || row.Check == Neutral {
			row.Check = check
		}
	}
}

func (m *judgement) checkBudget(b *Budget, head, delta Money, lowerBound bool) Conclusion {
	grows := !m.hasBase || delta.Amount.IsPositive()
	who := string(b.Environment)
	if b.Tenant != "" {
		who = fmt.Sprintf("%s of tenant %s", b.Environment, b.Tenant)
	}
	f := Finding{Tenant: b.Tenant}
	switch {
	case head.Amount.GreaterThan(b.Amount.Amount):
		over := head.Sub(b.Amount)
		f.Rule = "budget/exceeded"
		f.Severity = map[Enforcement]Severity{Warn: SeverityWarning, Notice: SeverityNotice}[m.judge.policy.BudgetGate]
		f.Remedy = "lower replicas or requests, or have the Budget raised in a pull request of its own"
		title := fmt.Sprintf("%s %s exceeds its budget of %s by %s", who, head, b.Amount, over)
		f.Message = title
		if lowerBound {
			f.Message += ", not counting what has no price"
		}
		if !grows {
			f.Severity = SeverityNotice
			f.Message += "; this pull request doesn't add to it"
			f.Existing = true
		}
		if m.budgetFinding(b, f) == SeverityError {
			m.budgetTitles = append(m.budgetTitles, title)
			return Failure
		}
	default:
		share := int64(0)
		for _, p := range b.WarnAtPercent {
			if p > share && head.Amount.Mul(decimal.New(100, 0)).GreaterThanOrEqual(b.Amount.Amount.Mul(decimal.New(p, 0))) && head.Amount.IsPositive() {
				share = p
			}
		}
		if share == 0 {
			break
		}
		f.Rule = "budget/near-limit"
		f.Message = fmt.Sprintf("%s %s is at %s%% of its budget of %s", who, head, percent(head, b.Amount), b.Amount)
		f.Remedy = fmt.Sprintf("nothing yet; %s is left", b.Amount.Sub(head))
		if !grows {
			f.Severity, f.Existing = SeverityNotice, true
		}
		m.budgetFinding(b, f)
	}
	return Success
}

func percent(part, of Money) string {
	return part.Amount.Mul(decimal.New(100, 0)).DivRound(of.Amount, 6).RoundFloor(1).String()
}

// budgetFinding reports at the workload that grew most, and returns the severity
// that it was given: "" when the rule is off.
func (m *judgement) budgetFinding(b *Budget, f Finding) Severity {
	top := m.topMover(b.Environment, b.Tenant)
	if top == nil {
		return ""
	}
	it := top.item
	f.Line, f.Column, f.Resource = it.at.Line, it.at.Column, it.r.title()
	if f.Tenant == "" {
		f.Tenant = it.tenant
	}
	if m.hasBase && top.grown.IsPositive() {
		f.Message += fmt.Sprintf("; %s adds %s", it.r.title(), Money{top.grown, m.judge.rates.Currency})
	}
	existing := f.Existing
	f, ok := m.judge.finding(it.r.file, f)
	if !ok {
		return ""
	}
	if existing && f.Severity == SeverityError {
		f.Severity = SeverityNotice
	}
	m.findings = append(m.findings, f)
	return f.Severity
}

// ownDuplicates reports Tenants, Budgets and RateCards that are there twice; the
// first in file order counts.
func (j *judge) ownDuplicates(own []ownResource) []found {
	var out []found
	seen := map[string]*resource{}
	var cards []*RateCard
	for _, r := range own {
		var key, rule, what string
		var at Pos
		switch o := r.own.(type) {
		case *Tenant:
			key, rule, at = "tenant "+string(o.ID), "tenant/duplicate", o.At
			what = fmt.Sprintf("the tenant %q is declared twice", o.ID)
		case *Budget:
			key, rule, at = "budget "+string(o.Environment)+" "+string(o.Tenant), "budget/duplicate", o.At
			what = strings.TrimSuffix(fmt.Sprintf("a second Budget covers %s for %s", o.Environment, o.Tenant), " for ")
		case *RateCard:
			cards = append(cards, o)
			if chooseRates(cards) == cards[0] && len(cards) == 1 {
				seen["card"] = r.resource
				continue
			}
			key, rule, at = "card", "ratecard/duplicate", o.At
			what = "there is a second RateCard, and only one counts"
		default:
			continue
		}
		first, again := seen[key]
		if !again {
			seen[key] = r.resource
			continue
		}
		page, _ := Explain(rule)
		f := Finding{Rule: rule, Line: at.Line, Column: at.Column, Resource: r.title(), Tenant: r.tenant, Remedy: page.Remedy,
			Message: fmt.Sprintf("%s; the first is in %s", what, clean(first.file.path, 200))}
		if f, ok := j.finding(r.file, f); ok {
			out = append(out, found{f, r.resource})
		}
	}
	return out
}
