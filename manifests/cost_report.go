package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// costSum is a part of a file's cost.
type costSum struct {
	placed
	amount decimal.Decimal
}

// sum adds the items of a file up, by environment and tenant.
func (e *evaluation) sum() {
next:
	for _, it := range e.items {
		for i := range e.sums {
			if e.sums[i].placed == (placed{it.env, it.tenant}) {
				e.sums[i].amount = e.sums[i].amount.Add(it.amount)
				continue next
			}
		}
		e.sums = append(e.sums, costSum{placed{it.env, it.tenant}, it.amount})
	}
}

// ledgerOf sums: the cost of each tenant in each environment.
type totals map[placed]decimal.Decimal

func (t totals) addFile(e *evaluation) {
	for _, s := range e.sums {
		t[s.placed] = t[s.placed].Add(s.amount)
	}
}

// scaling is what autoscalers change: they replace the replicas of their target.
type scaling struct {
	by map[*costItem]decimal.Decimal // to be added to the item's amount
}

type scaleTarget struct {
	kind, namespace, name string
	env                   Environment
}

// scale finds the targets of a tree's autoscalers. The expected number of
// replicas is the middle between minimum and maximum.
func (j *judge) scale(t tree, own []ownResource) scaling {
	s := scaling{}
	wanted := map[scaleTarget]decimal.Decimal{}
	for _, r := range own {
		if r.kind == nil || !r.kind.autoscaler {
			continue
		}
		spec := r.root.at("spec")
		low, high := int64(1), int64(0)
		if v, err := strconv.ParseInt(spec.at("minReplicas").text(), 10, 32); err == nil && v >= 0 {
			low = v
		}
		if v, err := strconv.ParseInt(spec.at("maxReplicas").text(), 10, 32); err == nil {
			high = v
		}
		ref := spec.at("scaleTargetRef")
		k := scaleTarget{ref.at("kind").text(), r.Namespace, ref.at("name").text(), r.env}
		if _, known := wanted[k]; !known && high >= low {
			wanted[k] = midpoint(low, high)
		}
	}
	if len(wanted) == 0 {
		return s
	}
	s.by = map[*costItem]decimal.Decimal{}
	for _, e := range t.evals {
		if e == nil {
			continue
		}
		for _, it := range e.items {
			n, ok := wanted[scaleTarget{it.r.Kind, it.r.Namespace, it.r.Name, it.env}]
			if it.scalable && ok && it.amount.IsPositive() { // replicas: 0 turns an autoscaler off
				s.by[it] = it.unit.Mul(n).Sub(it.amount)
			}
		}
	}
	return s
}

func (s scaling) amount(it *costItem) decimal.Decimal { return it.amount.Add(s.by[it]) }

func (s scaling) addTo(t totals) {
	for it, d := range s.by {
		k := placed{it.env, it.tenant}
		t[k] = t[k].Add(d)
	}
}

// report prices base and head. base is nil for a tree by itself.
func (m *judgement) report() CostReport {
	shared := totals{}
	base, head := totals{}, totals{}
	for _, p := range m.pairs {
		switch {
		case p.base == p.head:
			shared.addFile(p.head)
			continue
		case p.base != nil:
			base.addFile(p.base)
		}
		if p.head != nil {
			head.addFile(p.head)
		}
	}
	m.headScale = m.judge.scale(m.head, m.headOwn)
	m.headScale.addTo(head)
	if m.hasBase {
		m.baseScale = m.judge.scale(m.base, m.baseOwn)
		m.baseScale.addTo(base)
	}
	for k, d := range shared {
		head[k] = head[k].Add(d)
		if m.hasBase {
			base[k] = base[k].Add(d)
		}
	}
	r := CostReport{Currency: m.judge.rates.Currency, Rates: "RateCard " + clean(m.judge.rates.Name, 80)}
	if m.judge.rates.builtIn {
		r.Rates = "built-in list prices"
	}
	r.Unpriced, r.Assumptions = m.unpriced(), m.assumptions()
	m.rows(&r, base, head)
	return r
}

// rows makes a row for each environment with a cost, an unpriced workload or a
// budget.
func (m *judgement) rows(r *CostReport, base, head totals) {
	currency := m.judge.rates.Currency
	rows := map[Environment]*EnvironmentCost{}
	row := func(e Environment) *EnvironmentCost {
		if rows[e] == nil {
			zero := Money{decimal.Zero, currency}
			rows[e] = &EnvironmentCost{Environment: e, Base: zero, Head: zero, Delta: zero, Check: Neutral, Tenants: []TenantCost{}}
		}
		return rows[e]
	}
	tenants := map[placed]bool{}
	for k := range base {
		tenants[k] = true
	}
	for k := range head {
		tenants[k] = true
	}
	for k := range tenants {
		t := TenantCost{k.tenant, Money{base[k], currency}, Money{head[k], currency}, Money{decimal.Zero, currency}}
		e := row(k.env)
		if m.hasBase {
			t.Delta = t.Head.Sub(t.Base)
		}
		e.Base, e.Head, e.Delta = e.Base.Add(t.Base), e.Head.Add(t.Head), e.Delta.Add(t.Delta)
		e.Tenants = append(e.Tenants, t)
	}
	for _, u := range r.Unpriced {
		row(u.Environment).LowerBound = true
	}
	for _, b := range m.judge.budgets {
		e := row(b.Environment)
		if b.Tenant == "" {
			amount := b.Amount
			e.Budget = &amount
			if amount.Currency == currency {
				left := amount.Sub(e.Head)
				e.Headroom = &left
			}
		}
	}
	r.Environments = make([]EnvironmentCost, 0, len(rows))
	for _, e := range rows {
		slices.SortFunc(e.Tenants, func(a, b TenantCost) int { return strings.Compare(string(a.Tenant), string(b.Tenant)) })
		r.Environments = append(r.Environments, *e)
	}
	slices.SortFunc(r.Environments, func(a, b EnvironmentCost) int { return compareEnvironments(a.Environment, b.Environment) })
}

// unpriced lists what has no price at head, in file order.
func (m *judgement) unpriced() []Unpriced {
	n := 0
	known := map[string]int{}
	id := func(u Unpriced) string { return u.Resource + "\x00" + string(u.Environment) + "\x00" + u.Reason }
	for _, p := range m.pairs {
		if p.head != nil {
			n += len(p.head.unpriced)
		}
		if p.base != nil && p.base != p.head {
			for _, u := range p.base.unpriced {
				known[id(u)]++
			}
		}
	}
	out := make([]Unpriced, 0, n)
	for _, p := range m.pairs {
		if p.head == nil {
			continue
		}
		for _, u := range p.head.unpriced {
			if m.hasBase && p.base != p.head {
				if known[id(u)]--; known[id(u)] < 0 {
					u.New = true
				}
			}
			out = append(out, u)
		}
	}
	return out
}

// assumptions are the guesses that the prices at head rest on, with how often.
func (m *judgement) assumptions() []string {
	count := map[string]int{}
	for _, e := range m.head.evals {
		if e != nil {
			for _, a := range e.assumed {
				count[a.text] += a.n
			}
		}
	}
	if n := len(m.headScale.by); n > 0 {
		count["%s counted at the middle of its autoscaler's minimum and maximum"] = n
	}
	var out []string
	for text, n := range count {
		what := "workload"
		if strings.Contains(text, "request counted") {
			what = "container"
		}
		out = append(out, fmt.Sprintf(text, plural(n, what)))
	}
	slices.Sort(out)
	return out
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// mover is a workload's cost before and after.
type mover struct {
	item       *costItem // at head
	grown, now decimal.Decimal
}

// topMover is the workload of an environment (and tenant, if not "") whose cost
// grew most; where none grew, the most expensive one; nil where there is none.
func (m *judgement) topMover(env Environment, tenant TenantID) *mover {
	type identity struct {
		kind, namespace, name, generate string
		tenant                          TenantID
	}
	before := map[identity]decimal.Decimal{}
	id := func(it *costItem) identity {
		k := identity{it.r.group + "/" + it.r.Kind, it.r.Namespace, it.r.Name, it.r.GenerateName, ""}
		if tenant != "" {
			k.tenant = it.tenant
		}
		return k
	}
	covered := func(it *costItem) bool { return it.env == env && (tenant == "" || it.tenant == tenant) }
	for _, p := range m.pairs {
		if p.base == nil {
			continue
		}
		for _, it := range p.base.items {
			if covered(it) {
				before[id(it)] = before[id(it)].Add(m.baseScale.amount(it))
			}
		}
	}
	after := map[identity]*mover{}
	var best *mover
	var order []*mover
	for _, p := range m.pairs {
		if p.head == nil {
			continue
		}
		for _, it := range p.head.items {
			if !covered(it) {
				continue
			}
			k := id(it)
			if after[k] == nil {
				after[k] = &mover{item: it}
				order = append(order, after[k])
			}
			after[k].now = after[k].now.Add(m.headScale.amount(it))
		}
	}
	for k, v := range after {
		v.grown = v.now.Sub(before[k])
	}
	for _, v := range order {
		if best == nil || cmp.Or(v.grown.Cmp(best.grown), v.now.Cmp(best.now)) > 0 {
			best = v
		}
	}
	return best
}
